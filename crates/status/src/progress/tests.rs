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
    assert_eq!(life.pass(1_000, (4, 4, 5), false), "True CloneSetUpdated");
    assert_eq!(life.due(), Some(1_101));
    assert_eq!(life.pass(1_050, (4, 4, 5), true), "True CloneSetPaused");
    assert_eq!(life.due(), None);
    assert_eq!(life.pass(9_000, (4, 4, 5), false), "True CloneSetUpdated");
    assert_eq!(
        life.pass(9_050, (2, 2, 2), false),
        "True ProgressPartitionAvailable"
    );
    assert_eq!(life.message(), "CloneSet has been paused due to partition ready");
    assert_eq!(life.pass(20_000, (2, 2, 3), false), "True CloneSetUpdated");
    assert_eq!(life.due(), Some(20_101));
}

/// The deadline is a release's. Pods that fail, or that scaling makes, show in `Ready`.
#[test]
fn after_a_release_nothing_misses_a_deadline_until_the_next_one() {
    let mut life = Life::new();
    life.pass(0, (5, 5, 5), false);
    assert_eq!(
        life.pass(1_000, (5, 4, 5), false),
        "True CloneSetAvailable",
        "one pod fails"
    );
    assert_eq!(life.due(), None);
    life.status.replicas = 3;
    assert_eq!(
        life.pass(2_000, (3, 3, 5), false),
        "True CloneSetAvailable",
        "two are missing"
    );
    assert_eq!(
        life.pass(3_000, (3, 3, 5), true),
        "True CloneSetAvailable",
        "paused or not"
    );
    life.status.replicas = 5;
    assert_eq!(
        life.pass_on("web-2", 4_000, (0, 0, 2), false),
        "True CloneSetUpdated"
    );
    assert_eq!(life.due(), Some(4_101));
    assert_eq!(
        life.pass_on("web-2", 4_010, (2, 1, 2), false),
        "True CloneSetUpdated",
        "not available yet"
    );
    assert_eq!(
        life.pass_on("web-2", 4_020, (2, 2, 2), false),
        "True ProgressPartitionAvailable"
    );
    assert_eq!(
        life.pass_on("web-2", 9_000, (2, 1, 2), false),
        "True ProgressPartitionAvailable"
    );
    assert_eq!(
        life.pass_on("web-2", 9_500, (1, 1, 2), false),
        "True CloneSetUpdated",
        "an old pod has to be updated"
    );
    life.pass_on("web-2", 9_510, (2, 2, 2), false);
    life.status.replicas = 4;
    assert_eq!(
        life.pass_on("web-2", 9_600, (1, 1, 2), false),
        "True ProgressPartitionAvailable",
        "an updated pod is replaced"
    );
}

/// 0 to 1 together with a new template is a release; so is the first rollout.
#[test]
fn a_release_that_begins_with_no_pods_has_its_deadline_and_so_has_the_first_rollout() {
    let report = |status: &mut CloneSetStatus, revision: &str, replicas: i32, second: i64| {
        let before = status.update_revision.replace(revision.to_owned());
        status.expected_updated_replicas = replicas;
        let now = Timestamp::from_second(second).unwrap();
        set_progressing(status, before.as_deref(), replicas, false, Some(DEADLINE), now);
        status.conditions.as_ref().unwrap()[0].reason.clone().unwrap()
    };
    let mut status = CloneSetStatus::default();
    assert_eq!(report(&mut status, "web-1", 0, 0), "CloneSetAvailable");
    assert_eq!(report(&mut status, "web-2", 1, 500), "CloneSetUpdated");
    assert_eq!(report(&mut status, "web-2", 1, 601), "ProgressDeadlineExceeded");
    let mut first = CloneSetStatus::default();
    assert_eq!(report(&mut first, "web-1", 1, 0), "CloneSetUpdated");
    assert_eq!(report(&mut first, "web-1", 1, 101), "ProgressDeadlineExceeded");
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

/// `behaviour.md` 7.3, row by row: the first that fits decides.
#[test]
fn every_situation_has_its_reason_and_message_and_the_first_that_fits_decides() {
    let overdue = Some((reasons::CLONESET_UPDATED, 0));
    let exceeded = Some((reasons::PROGRESS_DEADLINE_EXCEEDED, 0));
    // (updated, updated and available, expected), paused, the condition before and its second => what is told.
    for (counts, paused, before, told) in [
        (
            (5, 5, 5),
            true,
            exceeded,
            "True CloneSetAvailable: CloneSet is available",
        ),
        (
            (5, 5, 2),
            true,
            exceeded,
            "True CloneSetAvailable: CloneSet is available",
        ),
        (
            (2, 2, 2),
            true,
            exceeded,
            "True CloneSetPaused: CloneSet is paused",
        ),
        ((0, 0, 5), true, None, "True CloneSetPaused: CloneSet is paused"),
        (
            (2, 2, 2),
            false,
            exceeded,
            "True ProgressPartitionAvailable: CloneSet has been paused due to partition ready",
        ),
        (
            (3, 3, 2),
            false,
            None,
            "True ProgressPartitionAvailable: CloneSet has been paused due to partition ready",
        ),
        (
            (2, 1, 2),
            false,
            overdue,
            "False ProgressDeadlineExceeded: CloneSet revision web-1 has timed out progressing",
        ),
        (
            (5, 4, 5),
            false,
            exceeded,
            "False ProgressDeadlineExceeded: CloneSet revision web-1 has timed out progressing",
        ),
        (
            (2, 1, 2),
            false,
            None,
            "True CloneSetUpdated: CloneSet is progressing",
        ),
        (
            (5, 4, 5),
            false,
            None,
            "True CloneSetUpdated: CloneSet is progressing",
        ),
        (
            (5, 4, 5),
            false,
            Some((reasons::CLONESET_AVAILABLE, 0)),
            "True CloneSetAvailable: CloneSet is available",
        ),
        (
            (4, 4, 5),
            false,
            Some((reasons::CLONESET_AVAILABLE, 0)),
            "True CloneSetUpdated: CloneSet is progressing",
        ),
    ] {
        let mut life = Life::new();
        if let Some((reason, second)) = before {
            let time = Some(Time(Timestamp::from_second(second).unwrap()));
            life.status.conditions = Some(vec![Condition {
                type_: types::PROGRESSING.into(),
                status: if reason == reasons::PROGRESS_DEADLINE_EXCEEDED {
                    "False"
                } else {
                    "True"
                }
                .into(),
                last_update_time: time.clone(),
                last_transition_time: time,
                reason: Some(reason.into()),
                message: Some(message(reason, "web-1")),
            }]);
        }
        let short = life.pass(1_000, counts, paused);
        assert_eq!(format!("{short}: {}", life.message()), told, "{counts:?}");
    }
}

/// Complete is more than that every pod is there: nothing may be left to come.
#[test]
fn a_set_whose_current_revision_is_another_is_not_available_unless_it_has_no_pods() {
    let mut life = Life::new();
    life.status.current_revision = Some("web-0".into());
    assert_eq!(life.pass(0, (5, 5, 5), false), "True CloneSetUpdated");
    let mut none = CloneSetStatus {
        update_revision: Some("web-1".into()),
        current_revision: Some("web-0".into()),
        ..CloneSetStatus::default()
    };
    set_progressing(
        &mut none,
        Some("web-1"),
        0,
        false,
        Some(DEADLINE),
        Timestamp::UNIX_EPOCH,
    );
    let reason = none.conditions.as_ref().unwrap()[0].reason.as_deref();
    assert_eq!(reason, Some(reasons::CLONESET_AVAILABLE));
}

#[test]
fn another_reason_moves_the_update_time_and_another_status_both_times() {
    let mut life = Life::new();
    let mut times = |second, counts| {
        life.pass(second, counts, false);
        let condition = &life.status.conditions.as_ref().unwrap()[0];
        let second = |time: &Option<Time>| time.as_ref().unwrap().0.as_second();
        (
            second(&condition.last_transition_time),
            second(&condition.last_update_time),
        )
    };
    assert_eq!(times(10, (5, 5, 5)), (10, 10));
    assert_eq!(times(20, (4, 4, 5)), (10, 20), "still True");
    assert_eq!(times(200, (5, 4, 5)), (200, 200), "False");
    assert_eq!(times(300, (5, 4, 5)), (200, 200), "nothing new");
    assert_eq!(times(400, (5, 5, 5)), (400, 400), "True again");
}
