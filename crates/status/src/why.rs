//! The vocabulary of reasons: why something is not done, and what is wrong with a spec.
//!
//! Status, plan, controller and plugin share these words, so a person reads the same answer in a condition, an
//! event, a log line, a metric and on the command line. Nothing here decides.

mod message;

use crate::resize::StuckResize;
use crate::unready::{NotReady, NotStarting};
use cloneset_api::CloneSetStatus;
use cloneset_api::names::{conditions, reasons};
use jiff::Timestamp;
use std::fmt;

/// Something that is not being done now, and what holds it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The spec holds a value for which nothing sensible can stand in; see the `Stalled` condition.
    Stalled,
    /// The CloneSet is being deleted: nothing is created or updated any more.
    Deleting(Deletion),
    /// Pods cannot start.
    NotStarting(NotStarting),
    /// Pods run and are not ready.
    NotReady(NotReady),
    /// Pods are starting.
    Starting {
        /// How many.
        pods: i32,
        /// When the first of them should be ready.
        until: Timestamp,
    },
    /// Pods that are missing are not created while this many are unavailable (`scaleStrategy.maxUnavailable`).
    ScaleUpLimited {
        /// Pods still to be created.
        missing: i32,
        /// Pods that may be created now.
        limit: i32,
    },
    /// Pods of the update revision that are missing are not created while others of that revision are not available.
    Unproven {
        /// Pods still to be created.
        missing: i32,
        /// Pods of the update revision that are not available.
        unproven: i32,
    },
    /// Serving pods that are surplus or marked for deletion stay until others are available.
    DeletionBudget {
        /// Pods held back.
        pods: i32,
    },
    /// Pods stay on their revision because the update is paused.
    Paused {
        /// Pods held back.
        pods: i32,
    },
    /// Pods stay on their revision until somebody deletes them (type `OnDelete`).
    OnDelete {
        /// Pods held back.
        pods: i32,
    },
    /// Pods stay on their revision because more must not be unavailable at once (`maxUnavailable`).
    UpdateBudget {
        /// Pods held back.
        pods: i32,
    },
    /// Pods have the update revision beyond what a partition that was raised leaves for it, and going back by partition
    /// is switched off.
    PartitionRaised {
        /// Pods that would go back.
        pods: i32,
    },
    /// Pods have no node yet; they enter service once they are scheduled.
    Unscheduled {
        /// Pods without a node.
        pods: i32,
    },
    /// Pods are ready but not yet for `minReadySeconds`.
    MinReadySeconds {
        /// Pods that are not there yet.
        pods: i32,
        /// When the first of them is.
        until: Timestamp,
    },
    /// Pods of the revision failed soon after they were created, so the next ones are created later.
    PodsFail {
        /// Pods that are missing.
        pods: i32,
        /// When they are created.
        until: Timestamp,
        /// The newest pod that failed.
        pod: String,
        /// How it ended.
        why: String,
    },
    /// Pods that are being deleted, not by us, have claims: what comes in their place takes these over once they are
    /// free, or gets new ones when they are not by then.
    ClaimsInUse {
        /// Pods to be created.
        pods: i32,
        /// When the first of them gets new claims instead.
        until: Timestamp,
    },
    /// Updated pods run and pass their probes, but readiness gates that others open are not open.
    AwaitingConfirmation {
        /// Pods that wait.
        pods: i32,
        /// The first gate that one of them waits for.
        gate: String,
    },
    /// Pods are out of service and are changed in place when `gracePeriodSeconds` have passed.
    Draining {
        /// Pods out of service.
        pods: i32,
        /// When the first of them is changed.
        until: Timestamp,
    },
    /// Pods were changed in place, and their containers have not followed yet.
    Restarting {
        /// Pods that wait.
        pods: i32,
        /// When to look again although nothing was told of them.
        until: Option<Timestamp>,
        /// The first pod whose resize its kubelet does not apply.
        resize: Option<StuckResize>,
    },
    /// A lifecycle hook holds pods.
    Hook {
        /// Pods that are held.
        pods: i32,
        /// Its name in `spec.lifecycle`.
        hook: &'static str,
    },
    /// Pods stay on their revision because they cannot be changed in place and must not be re-created (type
    /// `InPlaceOnly`).
    NotInPlace {
        /// Pods that stay.
        pods: i32,
        /// The first of them.
        pod: String,
        /// What would have to change.
        obstacle: String,
    },
    /// What stands on pods about their in-place update cannot be read, so nothing is done with them.
    UnreadableState {
        /// Pods that are left alone.
        pods: i32,
        /// Annotation and pod of the first.
        first: String,
    },
    /// Pods of which only the metadata can be read: they count as not available, and the controller leaves them alone.
    UnreadablePods {
        /// Pods that cannot be read.
        pods: i32,
        /// The first of them.
        pod: String,
        /// Why it cannot be read.
        error: String,
    },
    /// Pods have a lifecycle state that is not one of a CloneSet: they are never available, and are left alone.
    UnknownState {
        /// Pods in such a state.
        pods: i32,
        /// The first of them.
        pod: String,
        /// Its state.
        state: String,
    },
    /// The controller has not heard of these objects for so long that what it knows of the cluster may be wrong.
    StaleCache {
        /// Their resource, such as `pods`.
        resource: &'static str,
    },
    /// An earlier attempt failed; the next one comes when its time has come.
    BackingOff,
    /// Pods that were created did not become ours, so nothing is created or replaced until the spec changes.
    RunawayCreation,
    /// Scaling comes first: updates are considered in the next pass.
    ScalingFirst,
}

impl Wait {
    /// When the passing of time alone ends the wait.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::MinReadySeconds { until, .. }
            | Self::PodsFail { until, .. }
            | Self::ClaimsInUse { until, .. }
            | Self::Starting { until, .. }
            | Self::Draining { until, .. } => Some(*until),
            Self::Restarting { until, .. } => *until,
            Self::Stalled
            | Self::Deleting(_)
            | Self::NotStarting(_)
            | Self::NotReady(_)
            | Self::ScaleUpLimited { .. }
            | Self::Unproven { .. }
            | Self::DeletionBudget { .. }
            | Self::Paused { .. }
            | Self::OnDelete { .. }
            | Self::UpdateBudget { .. }
            | Self::PartitionRaised { .. }
            | Self::Unscheduled { .. }
            | Self::AwaitingConfirmation { .. }
            | Self::Hook { .. }
            | Self::NotInPlace { .. }
            | Self::UnreadableState { .. }
            | Self::UnreadablePods { .. }
            | Self::UnknownState { .. }
            | Self::StaleCache { .. }
            | Self::BackingOff
            | Self::RunawayCreation
            | Self::ScalingFirst => None,
        }
    }

    /// Is nothing left to do while it waits, because the user wants it so, or because it is over when pods are ready or a
    /// condition of its own is gone? Every other wait holds something back.
    pub fn is_at_rest(&self) -> bool {
        matches!(
            self,
            Self::Stalled
                | Self::Deleting(_)
                | Self::RunawayCreation
                | Self::Paused { .. }
                | Self::OnDelete { .. }
                | Self::PartitionRaised { .. }
                | Self::NotInPlace { .. }
                | Self::UnreadableState { .. }
                | Self::UnreadablePods { .. }
                | Self::UnknownState { .. }
                | Self::MinReadySeconds { .. }
                | Self::AwaitingConfirmation { .. }
                | Self::Unscheduled { .. }
                | Self::NotStarting(_)
                | Self::NotReady(_)
                | Self::Starting { .. }
        )
    }

    /// One word for metrics and machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stalled => "Stalled",
            Self::Deleting(_) => "Deleting",
            Self::NotStarting(_) => reasons::PODS_NOT_STARTING,
            Self::NotReady(_) => "PodsNotReady",
            Self::Starting { .. } => "Starting",
            Self::ScaleUpLimited { .. } => "ScaleUpLimited",
            Self::Unproven { .. } => "Unproven",
            Self::DeletionBudget { .. } => "DeletionBudget",
            Self::Paused { .. } => "Paused",
            Self::OnDelete { .. } => "OnDelete",
            Self::UpdateBudget { .. } => "UpdateBudget",
            Self::PartitionRaised { .. } => "PartitionRaised",
            Self::Unscheduled { .. } => "Unscheduled",
            Self::MinReadySeconds { .. } => "MinReadySeconds",
            Self::PodsFail { .. } => "PodsFail",
            Self::ClaimsInUse { .. } => "ClaimsInUse",
            Self::AwaitingConfirmation { .. } => "AwaitingConfirmation",
            Self::Draining { .. } => "Draining",
            Self::Restarting { .. } => "Restarting",
            Self::Hook { .. } => "Hook",
            Self::NotInPlace { .. } => "NotInPlace",
            Self::UnreadableState { .. } => "UnreadableState",
            Self::UnreadablePods { .. } => "UnreadablePods",
            Self::UnknownState { .. } => "UnknownState",
            Self::StaleCache { .. } => "StaleCache",
            Self::BackingOff => "BackingOff",
            Self::RunawayCreation => "RunawayCreation",
            Self::ScalingFirst => "ScalingFirst",
        }
    }
}

/// What the deletion of a CloneSet waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// Pods there are, also those that are terminating.
    pub pods: i32,
    /// Finalizers of the CloneSet.
    pub finalizers: Vec<String>,
    /// The first pod that is terminating and has finalizers of its own, with these.
    pub held_pod: Option<(String, Vec<String>)>,
}

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CloneSet is being deleted")?;
        if !self.finalizers.is_empty() {
            write!(f, " and waits for finalizer {}", self.finalizers.join(", "))?;
        }
        match self.pods {
            0 => {}
            1 => f.write_str("; 1 pod is left")?,
            pods => write!(f, "; {pods} pods are left")?,
        }
        match &self.held_pod {
            Some((pod, finalizers)) => {
                write!(f, ", and pod {pod} waits for finalizer {}", finalizers.join(", "))
            }
            None => Ok(()),
        }
    }
}

/// Why no pod is created any more: creating would never end (`reliability.md` F37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runaway {
    /// One word: [`reasons::POD_ALTERED`] or [`reasons::PODS_VANISH`].
    pub reason: &'static str,
    /// What happened, and what ends it.
    pub message: String,
}

impl Runaway {
    /// `pod` is stored otherwise than it is sent: `what` completes "is stored …".
    pub fn altered(pod: &str, what: &str) -> Self {
        Self {
            reason: reasons::POD_ALTERED,
            message: format!(
                "pod {pod} is stored {what}: a mutating webhook or policy changes it on the way; no pod is created or \
                 replaced until the spec changes"
            ),
        }
    }

    /// So many pods were gone, or not ours any more, before they were seen once.
    pub fn vanishing(pods: usize) -> Self {
        Self {
            reason: reasons::PODS_VANISH,
            message: format!(
                "{pods} pods were deleted, or taken from this CloneSet, before they were seen once; no pod is created \
                 or replaced until the spec changes"
            ),
        }
    }

    /// So many pods were taken out by their labels, one after the other.
    pub fn taken_out(pods: usize) -> Self {
        Self {
            reason: reasons::PODS_VANISH,
            message: format!(
                "{pods} pods were taken from this CloneSet by a change of their labels within ten minutes; no pod is \
                 created or replaced until the spec changes"
            ),
        }
    }

    /// As an earlier process told it for this generation; nothing it did not tell is known any more.
    pub fn told(status: &CloneSetStatus, generation: i64) -> Option<Self> {
        let condition = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == conditions::RUNAWAY_CREATION && condition.status == "True")
            .filter(|_| status.observed_generation == Some(generation))?;
        let is_altered = condition.reason.as_deref() == Some(reasons::POD_ALTERED);
        Some(Self {
            reason: if is_altered {
                reasons::POD_ALTERED
            } else {
                reasons::PODS_VANISH
            },
            message: condition.message.clone().unwrap_or_default(),
        })
    }
}

/// What a [`Problem`] means for the CloneSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value is wrong, and a cautious one stands in for it: the CloneSet goes on with that.
    InvalidCautious,
    /// The value is wrong and nothing sensible can stand in for it: no pod is changed.
    InvalidBlocking,
}

/// Something wrong with a field of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in `kubectl explain`.
    pub field: &'static str,
    /// What stands there.
    pub value: String,
    /// What should; completes "must be …".
    pub rule: String,
    /// What it means.
    pub verdict: Verdict,
}

impl Problem {
    /// Does it stop every change of a pod?
    pub fn blocks(&self) -> bool {
        match self.verdict {
            Verdict::InvalidCautious => false,
            Verdict::InvalidBlocking => true,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field, value, rule, ..
        } = self;
        write!(f, "{field}: {value} must be {rule}")
    }
}

#[cfg(test)]
mod tests;
