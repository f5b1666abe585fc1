//! Where a CloneSet stands, in one word that a person and a pipeline can act on.
//!
//! Only from fields that Kruise writes too, so the plugin gives the same word for a CloneSet of either controller.
//! It says what is; the conditions that carry it are `conditions`' and `kstatus`' business.

use cloneset_api::CloneSetStatus;
use cloneset_api::names::{conditions, reasons};
use std::fmt;

/// Where a CloneSet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It is being deleted.
    Deleting,
    /// The controller has not acted on the latest change of the spec yet.
    Unobserved,
    /// The progress deadline has passed, or creating or updating pods fails.
    Degraded,
    /// The update is held by `updateStrategy.paused`.
    Paused,
    /// Pods of the old revision wait to be deleted by somebody (type `OnDelete`).
    OnDelete,
    /// The new pods run and pass their probes; they wait for somebody to open their readiness gates.
    AwaitingConfirmation,
    /// Pods are being created, deleted or updated, or are not available yet.
    Progressing,
    /// As many pods are updated as the partition wants, and they are available.
    PartitionReached,
    /// Every pod is updated and available.
    Healthy,
}

impl Phase {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deleting => "Deleting",
            Self::Unobserved => "Unobserved",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::OnDelete => "OnDelete",
            Self::AwaitingConfirmation => "AwaitingConfirmation",
            Self::Progressing => "Progressing",
            Self::PartitionReached => "PartitionReached",
            Self::Healthy => "Healthy",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why no pod is updated although some should be: somebody wants it so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// `updateStrategy.paused`.
    Paused,
    /// Type `OnDelete`.
    OnDelete,
}

/// What a phase is told from.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Does it have a deletion timestamp?
    pub deleting: bool,
    /// Its generation.
    pub generation: i64,
    /// Pods there should be.
    pub replicas: i32,
    /// Is the update held?
    pub held: Option<Held>,
    /// Are there updated pods that are not available, all of which only wait for readiness gates of somebody else?
    pub awaiting_confirmation: bool,
    /// Counters and Kruise's conditions.
    pub status: &'a CloneSetStatus,
}

/// Where it stands; the first that holds, from the gravest.
///
/// Pods that are terminating count nowhere, as in every counter: a pod that is stuck on its way out keeps no release
/// from being complete.
pub fn phase(standing: &Standing<'_>) -> Phase {
    let status = standing.status;
    let behind = status.updated_replicas < status.expected_updated_replicas;
    let served = status.updated_available_replicas >= status.expected_updated_replicas;
    let all_updated =
        status.updated_replicas == status.replicas && status.updated_available_replicas == status.replicas;
    // Before the first release there is one revision, and no partition to reach.
    let is_only_revision =
        status.current_revision.is_some() && status.current_revision == status.update_revision;
    if standing.deleting {
        Phase::Deleting
    } else if status.observed_generation != Some(standing.generation) {
        Phase::Unobserved
    } else if is_degraded(status) {
        Phase::Degraded
    } else if let (true, Some(held)) = (behind, standing.held) {
        match held {
            Held::Paused => Phase::Paused,
            Held::OnDelete => Phase::OnDelete,
        }
    } else if standing.awaiting_confirmation {
        Phase::AwaitingConfirmation
    } else if behind || !served || status.replicas != standing.replicas {
        Phase::Progressing
    } else if all_updated && is_only_revision {
        Phase::Healthy
    } else if status.expected_updated_replicas < standing.replicas {
        Phase::PartitionReached
    } else if all_updated {
        Phase::Healthy
    } else {
        Phase::Progressing
    }
}

fn is_degraded(status: &CloneSetStatus) -> bool {
    status
        .conditions
        .iter()
        .flatten()
        .any(|condition| match condition.type_.as_str() {
            conditions::PROGRESSING => {
                condition.reason.as_deref() == Some(reasons::PROGRESS_DEADLINE_EXCEEDED)
            }
            conditions::FAILED_SCALE | conditions::FAILED_UPDATE => condition.status == "True",
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_api::Condition;

    /// replicas, updated, updated and available, expected.
    fn status(replicas: i32, updated: i32, available: i32, expected: i32) -> CloneSetStatus {
        CloneSetStatus {
            observed_generation: Some(1),
            replicas,
            updated_replicas: updated,
            updated_available_replicas: available,
            expected_updated_replicas: expected,
            ..CloneSetStatus::default()
        }
    }

    fn standing(status: &CloneSetStatus) -> Standing<'_> {
        Standing {
            deleting: false,
            generation: 1,
            replicas: 5,
            held: None,
            awaiting_confirmation: false,
            status,
        }
    }

    #[test]
    fn counters_alone_tell_how_far_a_release_is() {
        for (counters, expected) in [
            ((5, 0, 0, 2), Phase::Progressing),
            ((5, 2, 1, 2), Phase::Progressing),
            ((5, 2, 2, 2), Phase::PartitionReached),
            ((5, 3, 3, 2), Phase::PartitionReached),
            ((5, 5, 4, 5), Phase::Progressing),
            ((5, 5, 5, 5), Phase::Healthy),
            // Surplus pods are not gone yet.
            ((6, 6, 6, 5), Phase::Progressing),
            ((4, 2, 2, 2), Phase::Progressing),
            ((0, 0, 0, 0), Phase::Progressing),
        ] {
            let (replicas, updated, available, wanted) = counters;
            let status = status(replicas, updated, available, wanted);
            assert_eq!(phase(&standing(&status)), expected, "{counters:?}");
        }
    }

    /// A partition says what stays on the old revision. Where there is none, nothing was reached by it.
    #[test]
    fn with_one_revision_a_partition_is_not_reached_but_everything_is_healthy() {
        let mut status = status(5, 5, 5, 2);
        status.update_revision = Some("web-1".into());
        status.current_revision = Some("web-1".into());
        assert_eq!(phase(&standing(&status)), Phase::Healthy);
        status.current_revision = Some("web-0".into());
        assert_eq!(
            phase(&standing(&status)),
            Phase::PartitionReached,
            "a partition that was raised"
        );
        status.updated_available_replicas = 4;
        status.current_revision = Some("web-1".into());
        assert_ne!(phase(&standing(&status)), Phase::Healthy);
    }

    #[test]
    fn what_somebody_asked_for_outranks_what_the_counters_say() {
        let moving = status(5, 1, 0, 2);
        let base = standing(&moving);
        let paused = Standing {
            held: Some(Held::Paused),
            ..base
        };
        assert_eq!(phase(&paused), Phase::Paused);
        let on_delete = Standing {
            held: Some(Held::OnDelete),
            ..base
        };
        assert_eq!(phase(&on_delete), Phase::OnDelete);
        let awaiting = Standing {
            awaiting_confirmation: true,
            ..base
        };
        assert_eq!(phase(&awaiting), Phase::AwaitingConfirmation);
        assert_eq!(
            phase(&Standing {
                generation: 2,
                ..paused
            }),
            Phase::Unobserved
        );
        assert_eq!(
            phase(&Standing {
                deleting: true,
                generation: 2,
                ..base
            }),
            Phase::Deleting
        );
        let settled = status(5, 5, 5, 5);
        let held = Standing {
            held: Some(Held::Paused),
            ..standing(&settled)
        };
        assert_eq!(phase(&held), Phase::Healthy, "nothing is held back");
    }

    #[test]
    fn failures_outrank_a_pause_and_a_missed_deadline_counts_as_one() {
        let condition = |type_: &str, status: &str, reason: &str| Condition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: None,
            last_transition_time: None,
            last_update_time: None,
        };
        for (type_, state, reason, degraded) in [
            ("Progressing", "False", "ProgressDeadlineExceeded", true),
            ("Progressing", "True", "CloneSetUpdated", false),
            ("FailedScale", "True", "FailedScale", true),
            ("FailedUpdate", "True", "FailedUpdate", true),
            ("FailedUpdate", "False", "FailedUpdate", false),
        ] {
            let mut status = status(5, 1, 1, 2);
            status.conditions = Some(vec![condition(type_, state, reason)]);
            let held = Standing {
                held: Some(Held::Paused),
                ..standing(&status)
            };
            assert_eq!(phase(&held) == Phase::Degraded, degraded, "{type_} {reason}");
        }
    }
}
