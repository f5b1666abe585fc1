//! The `Progressing` condition over the life of a CloneSet.

use super::*;

const DEADLINE: i32 = 100;

/// A CloneSet of five pods on its way through time; `counts` are updated, updated and available, expected.
struct Life {
    status: CloneSetStatus,
}

impl Life {
    fn new() -> Self {
        Self {
            status: CloneSetStatus {
                replicas: 5,
                update_revision: Some("web-1".into()),
                current_revision: Some("web-1".into()),
                ..CloneSetStatus::default()
            },
        }
    }

    fn pass(&mut self, second: i64, counts: (i32, i32, i32), paused: bool) -> String {
        self.pass_on("web-1", second, counts, paused)
    }

    fn pass_on(&mut self, revision: &str, second: i64, counts: (i32, i32, i32), paused: bool) -> String {
        let before = self.status.update_revision.replace(revision.to_owned());
        (
            self.status.updated_replicas,
            self.status.updated_available_replicas,
            self.status.expected_updated_replicas,
        ) = counts;
        let now = Timestamp::from_second(second).unwrap();
        set_progressing(
            &mut self.status,
            before.as_deref(),
            5,
            paused,
            Some(DEADLINE),
            now,
        );
        let condition = &self.status.conditions.as_ref().unwrap()[0];
        format!("{} {}", condition.status, condition.reason.as_deref().unwrap())
    }

    fn message(&self) -> &str {
        self.status.conditions.as_ref().unwrap()[0]
            .message
            .as_deref()
            .unwrap()
    }

    fn due(&self) -> Option<i64> {
        deadline(&self.status, Some(DEADLINE)).map(Timestamp::as_second)
    }
}

#[test]
fn an_update_that_takes_too_long_has_missed_its_deadline_and_stays_so_until_it_is_at_rest() {
    let mut life = Life::new();
    assert_eq!(life.pass(0, (0, 0, 5), false), "True CloneSetUpdated");
    assert_eq!(life.due(), Some(101));
    assert_eq!(
        life.pass(100, (3, 2, 5), false),
        "True CloneSetUpdated",
        "progress does not matter"
    );
    assert_eq!(life.pass(101, (4, 4, 5), false), "False ProgressDeadlineExceeded");
    assert_eq!(
        life.message(),
        "CloneSet revision web-1 has timed out progressing"
    );
    assert_eq!(life.due(), None);
    assert_eq!(life.pass(102, (4, 4, 5), false), "False ProgressDeadlineExceeded");
    assert_eq!(life.pass(103, (5, 5, 5), false), "True CloneSetAvailable");
    assert_eq!(life.message(), "CloneSet is available");
}

#[test]
fn time_at_rest_does_not_count() {
    let mut life = Life::new();
    life.pass(0, (5, 5, 5), false);
    assert_eq!(life.pass(1_000, (5, 4, 5), false), "True CloneSetUpdated");
    assert_eq!(life.due(), Some(1_101));
    assert_eq!(life.pass(1_050, (4, 4, 5), true), "True CloneSetPaused");
    assert_eq!(life.due(), None);
    assert_eq!(life.pass(9_000, (4, 4, 5), false), "True CloneSetUpdated");
    assert_eq!(
        life.pass(9_050, (2, 2, 2), false),
        "True ProgressPartitionAvailable"
    );
    assert_eq!(life.message(), "CloneSet has been paused due to partition ready");
    assert_eq!(life.pass(20_000, (2, 1, 2), false), "True CloneSetUpdated");
}

#[test]
fn a_new_revision_starts_the_clock_again_also_after_the_deadline() {
    let mut life = Life::new();
    life.pass(0, (0, 0, 5), false);
    assert_eq!(
        life.pass_on("web-2", 90, (0, 0, 5), false),
        "True CloneSetUpdated"
    );
    assert_eq!(life.due(), Some(191));
    assert_eq!(
        life.pass_on("web-2", 191, (0, 0, 5), false),
        "False ProgressDeadlineExceeded"
    );
    assert_eq!(
        life.pass_on("web-3", 200, (0, 0, 5), false),
        "True CloneSetUpdated"
    );
    assert_eq!(life.due(), Some(301));
}

#[test]
fn an_equal_condition_is_left_untouched_and_no_deadline_removes_it() {
    let mut life = Life::new();
    life.pass(0, (0, 0, 5), false);
    let before = life.status.conditions.clone();
    life.pass(50, (1, 1, 5), false);
    assert_eq!(life.status.conditions, before);
    for none in [None, Some(i32::MAX)] {
        let mut status = life.status.clone();
        set_progressing(&mut status, None, 5, false, none, Timestamp::UNIX_EPOCH);
        assert_eq!(status.conditions, Some(vec![]));
        assert_eq!(deadline(&life.status, none), None);
    }
}
