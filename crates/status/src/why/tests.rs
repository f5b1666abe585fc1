//! Every message that says what a CloneSet waits for has a line that says what to do.

use super::*;
use crate::StuckResize;
use std::collections::BTreeSet;

const TROUBLESHOOTING: &str = include_str!("../../../../docs/how-to/troubleshooting.md");
const SIGNALS: &str = include_str!("../../../../docs/reference/signals.md");

/// One of each.
fn every_wait() -> Vec<Wait> {
    let until = Timestamp::UNIX_EPOCH;
    let pods = 1;
    vec![
        Wait::Stalled,
        Wait::Deleting(Deletion {
            pods,
            finalizers: vec!["foregroundDeletion".into()],
            held_pod: None,
        }),
        Wait::NotStarting(NotStarting {
            pods,
            pod: "web-a".into(),
            revision: "web-1".into(),
            failure: crate::StartFailure {
                container: Some("main".into()),
                reason: "ErrImagePull".into(),
                detail: None,
            },
        }),
        Wait::NotReady(NotReady {
            pods,
            pod: "web-a".into(),
            cause: "container main runs".into(),
        }),
        Wait::Starting { pods, until },
        Wait::ScaleUpLimited { missing: 1, limit: 0 },
        Wait::Unproven {
            missing: pods,
            unproven: pods,
        },
        Wait::DeletionBudget { pods },
        Wait::Paused { pods },
        Wait::OnDelete { pods },
        Wait::UpdateBudget { pods },
        Wait::PartitionRaised { pods },
        Wait::Unscheduled { pods },
        Wait::MinReadySeconds { pods, until },
        Wait::PodsFail {
            pods,
            until,
            pod: "web-a".into(),
            why: "NodeAffinity (Predicate NodeAffinity failed)".into(),
        },
        Wait::ClaimsInUse { pods, until },
        Wait::AwaitingConfirmation {
            pods,
            gate: "example.com/checked".into(),
        },
        Wait::Draining { pods, until },
        Wait::Restarting {
            pods,
            until: None,
            resize: Some(StuckResize {
                pod: "web-a".into(),
                node: "n1".into(),
                reason: "Deferred".into(),
                detail: None,
            }),
        },
        Wait::Hook {
            pods,
            hook: "preDelete",
        },
        Wait::NotInPlace {
            pods,
            pod: "web-a".into(),
            obstacle: "spec.containers[0].command".into(),
        },
        Wait::UnreadableState {
            pods,
            first: "annotation of pod web-a".into(),
        },
        Wait::UnreadablePods {
            pods,
            pod: "web-a".into(),
            error: "invalid type: null, expected a string".into(),
        },
        Wait::UnknownState {
            pods,
            pod: "web-a".into(),
            state: "Foreign".into(),
        },
        Wait::StaleCache { resource: "pods" },
        Wait::BackingOff,
        Wait::RunawayCreation,
        Wait::ScalingFirst,
    ]
}

/// What the lines of the table on messages begin with; `…` stands for anything.
fn documented() -> Vec<&'static str> {
    let section = TROUBLESHOOTING.split_once("\n| message | means |\n").unwrap().1;
    let rows = section.lines().skip(1).take_while(|line| line.starts_with("| "));
    rows.map(|row| row.trim_start_matches("| ").split(" | ").next().unwrap())
        .collect()
}

fn fits(message: &str, row: &str) -> bool {
    row.split('…').all(|part| message.contains(part.trim()))
}

#[test]
fn every_wait_that_a_condition_tells_is_explained_and_no_other() {
    let told: Vec<String> = every_wait()
        .iter()
        .filter(|wait| crate::kstatus::is_telling(wait))
        .map(ToString::to_string)
        .collect();
    let rows = documented();
    for message in &told {
        assert!(rows.iter().any(|row| fits(message, row)), "nothing on: {message}");
    }
    for row in rows {
        assert!(
            told.iter().any(|message| fits(message, row)),
            "nobody says: {row}"
        );
    }
}

#[test]
fn the_metric_of_waits_is_documented_with_every_reason() {
    let row = SIGNALS
        .lines()
        .find(|line| line.contains("`cloneset_waits_total`"))
        .unwrap();
    let documented: BTreeSet<&str> = row.split('`').skip(5).step_by(2).collect();
    let reasons: BTreeSet<&str> = every_wait().iter().map(Wait::reason).collect();
    assert_eq!(documented, reasons);
}
