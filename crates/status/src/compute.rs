//! The whole status from what is true now (`behaviour.md` 7.1, `design.md` 6 deviations 6 and 7).
//!
//! Pure and total: it is computed in every pass, also in one that waits or failed, and compared with the stored
//! status to see whether a write is due. Nothing here writes.

use crate::conditions::{self, Wanted};
use crate::counts::Counts;
use crate::why::{Problem, Verdict};
use cloneset_api::CloneSetStatus;
use cloneset_api::names::{conditions as types, reasons};
use jiff::Timestamp;

/// What a status is computed from.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Generation of the object acted on.
    pub generation: i64,
    /// The pods, counted.
    pub counts: Counts,
    /// Name of the update revision; `None` while it could not be determined.
    pub update_revision: Option<&'a str>,
    /// Name of the current revision, likewise.
    pub current_revision: Option<&'a str>,
    /// Pods that the partition wants on the update revision.
    pub expected_updated: i32,
    /// How often a new revision's name was taken, in total.
    pub collision_count: Option<i32>,
    /// The selector as text; `None` when it is not valid.
    pub label_selector: Option<String>,
    /// What is wrong with the spec.
    pub problems: &'a [Problem],
    /// What became of creating and deleting in this pass; `None` keeps what an earlier pass found.
    pub scaling: Option<Result<(), String>>,
    /// What became of updating in this pass, likewise.
    pub updating: Option<Result<(), String>>,
}

/// The status that should be stored, given the stored one. Returns `previous` unchanged when nothing is new.
pub fn compute(previous: &CloneSetStatus, observed: Observed<'_>, now: Timestamp) -> CloneSetStatus {
    let Observed {
        generation,
        counts:
            Counts {
                replicas,
                ready,
                available,
                updated,
                updated_ready,
                updated_available,
            },
        update_revision,
        current_revision,
        expected_updated,
        collision_count,
        label_selector,
        problems,
        scaling,
        updating,
    } = observed;
    let mut list = previous.conditions.clone().unwrap_or_default();
    set_stalled(&mut list, problems, now);
    set_failure(&mut list, types::FAILED_SCALE, scaling, now);
    set_failure(&mut list, types::FAILED_UPDATE, updating, now);
    CloneSetStatus {
        observed_generation: Some(generation),
        replicas,
        ready_replicas: ready,
        available_replicas: available,
        updated_replicas: updated,
        updated_ready_replicas: updated_ready,
        updated_available_replicas: updated_available,
        expected_updated_replicas: expected_updated,
        update_revision: update_revision
            .map(str::to_owned)
            .or_else(|| previous.update_revision.clone()),
        current_revision: current_revision
            .map(str::to_owned)
            .or_else(|| previous.current_revision.clone()),
        collision_count: collision_count.or(previous.collision_count),
        conditions: if list.is_empty() && previous.conditions.is_none() {
            None
        } else {
            Some(list)
        },
        label_selector: label_selector.or_else(|| previous.label_selector.clone()),
    }
}

fn set_stalled(list: &mut Vec<cloneset_api::Condition>, problems: &[Problem], now: Timestamp) {
    if problems.is_empty() {
        conditions::clear(list, types::STALLED);
        return;
    }
    // A wrong value outranks an unsupported one: it is wrong in every version.
    let unsupported_only = problems
        .iter()
        .all(|problem| problem.verdict == Verdict::Unsupported);
    let reason = if unsupported_only {
        reasons::NOT_YET_SUPPORTED
    } else {
        reasons::INVALID_SPEC
    };
    let message = problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    conditions::set(
        list,
        Wanted {
            type_: types::STALLED,
            status: true,
            reason,
            message,
        },
        now,
    );
}

fn set_failure(
    list: &mut Vec<cloneset_api::Condition>,
    type_: &'static str,
    outcome: Option<Result<(), String>>,
    now: Timestamp,
) {
    match outcome {
        None => {}
        Some(Ok(())) => conditions::clear(list, type_),
        Some(Err(message)) => {
            conditions::set(
                list,
                Wanted {
                    type_,
                    status: true,
                    reason: type_,
                    message,
                },
                now,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed() -> Observed<'static> {
        Observed {
            generation: 3,
            counts: Counts {
                replicas: 5,
                ready: 4,
                available: 3,
                updated: 2,
                updated_ready: 1,
                updated_available: 1,
            },
            update_revision: Some("web-new"),
            current_revision: Some("web-old"),
            expected_updated: 2,
            collision_count: None,
            label_selector: Some("app=web".into()),
            problems: &[],
            scaling: None,
            updating: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn computing_twice_from_the_same_facts_changes_nothing() {
        let mut failing = observed();
        failing.scaling = Some(Err("no quota".into()));
        let once = compute(&CloneSetStatus::default(), failing.clone(), at(1));
        assert_eq!(compute(&once, failing, at(2)), once);
    }

    #[test]
    fn a_failure_is_kept_until_the_same_kind_of_work_succeeds() {
        let step = |previous: &CloneSetStatus, scaling| {
            compute(
                previous,
                Observed {
                    scaling,
                    ..observed()
                },
                at(1),
            )
            .conditions
            .unwrap_or_default()
            .len()
        };
        let failed = compute(
            &CloneSetStatus::default(),
            Observed {
                scaling: Some(Err("no quota".into())),
                ..observed()
            },
            at(1),
        );
        assert_eq!(failed.conditions.as_ref().unwrap()[0].type_, "FailedScale");
        assert_eq!(
            step(&failed, None),
            1,
            "a pass that did not scale says nothing about it"
        );
        assert_eq!(step(&failed, Some(Ok(()))), 0);
    }

    #[test]
    fn every_problem_is_named_and_the_condition_goes_with_the_last() {
        let problem = |field, verdict| Problem {
            field,
            value: "\"x\"".into(),
            rule: "better".into(),
            verdict,
        };
        let problems = [
            problem("spec.a", Verdict::InvalidCautious),
            problem("spec.b", Verdict::Unsupported),
        ];
        let stalled = compute(
            &CloneSetStatus::default(),
            Observed {
                problems: &problems,
                ..observed()
            },
            at(1),
        );
        let condition = &stalled.conditions.as_ref().unwrap()[0];
        assert_eq!(condition.reason.as_deref(), Some("InvalidSpec"));
        assert_eq!(
            condition.message.as_deref(),
            Some("spec.a: \"x\" must be better; spec.b: \"x\" is better")
        );
        assert_eq!(compute(&stalled, observed(), at(2)).conditions, Some(vec![]));
    }
}
