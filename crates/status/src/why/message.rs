//! The messages of the reasons to wait: one sentence each, as conditions and logs show it.
//!
//! Words only: when a wait applies is decided elsewhere.

use super::Wait;
use cloneset_api::names::labels;
use std::fmt;

/// "1 pod waits", "2 old pods wait": how many, of what kind.
struct Waiting(i32, &'static str);

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(number, kind) = self;
        let ending = if *number == 1 { "pod waits" } else { "pods wait" };
        write!(f, "{number} {kind}{ending}")
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the spec cannot be acted on; see condition Stalled"),
            Self::Deleting(deletion) => deletion.fmt(f),
            Self::NotStarting(pods) => pods.fmt(f),
            Self::NotReady(pods) => pods.fmt(f),
            Self::Starting { pods, .. } => write!(f, "{} to become ready", Waiting(*pods, "new ")),
            Self::ScaleUpLimited { missing, limit } => write!(
                f,
                "{} to be created: scaleStrategy.maxUnavailable lets {limit} be created now",
                Waiting(*missing, "")
            ),
            Self::Unproven { missing, unproven } => {
                let are = if *unproven == 1 { "pod is" } else { "pods are" };
                write!(
                    f,
                    "{} to be created: {unproven} updated {are} not available, and no more may be unproven at a time \
                     (maxUnavailable, maxSurge)",
                    Waiting(*missing, "")
                )
            }
            Self::DeletionBudget { pods } => write!(
                f,
                "{} to be deleted until others are available (maxUnavailable)",
                Waiting(*pods, "serving ")
            ),
            Self::Paused { pods } => write!(
                f,
                "{} to be updated because updateStrategy.paused is set",
                Waiting(*pods, "")
            ),
            Self::OnDelete { pods } => write!(
                f,
                "{} to be deleted by the user (updateStrategy.type is OnDelete)",
                Waiting(*pods, "old ")
            ),
            Self::UpdateBudget { pods } => write!(
                f,
                "{} to be updated until others are available (maxUnavailable)",
                Waiting(*pods, "")
            ),
            Self::PartitionRaised { pods } => {
                let kept = if *pods == 1 { "pod keeps" } else { "pods keep" };
                write!(
                    f,
                    "{pods} {kept} the update revision although the partition was raised: only with the feature gate \
                     CloneSetPartitionRollback do pods go back by it; without, put the old template back"
                )
            }
            Self::Unscheduled { pods } => write!(f, "{} for a node", Waiting(*pods, "")),
            Self::MinReadySeconds { pods, until } => write!(
                f,
                "{} for minReadySeconds to pass, until {until} at least",
                Waiting(*pods, "ready ")
            ),
            Self::PodsFail {
                pods,
                until,
                pod,
                why,
            } => write!(
                f,
                "{} to be created until {until}: pod {pod} failed soon after it was created: {why}; check the template \
                 and the node of that pod",
                Waiting(*pods, "")
            ),
            Self::ClaimsInUse { pods, until } => write!(
                f,
                "{} to be created for the claims of pods that are being deleted, until {until} at most",
                Waiting(*pods, "")
            ),
            Self::AwaitingConfirmation { pods, gate } => write!(
                f,
                "{} for readiness gate {gate} to be opened",
                Waiting(*pods, "updated ")
            ),
            Self::Draining { .. }
            | Self::Restarting { .. }
            | Self::Hook { .. }
            | Self::NotInPlace { .. }
            | Self::UnreadableState { .. }
            | Self::UnreadablePods { .. }
            | Self::UnknownState { .. } => self.explain_update(f),
            Self::StaleCache { resource } => write!(
                f,
                "no pod is created, updated or deleted because the API server sends the controller no events for {resource}; \
                 see the controller's log"
            ),
            Self::BackingOff => f.write_str("an earlier attempt failed and is repeated later"),
            Self::RunawayCreation => {
                f.write_str("no pod is created until the spec changes; see condition RunawayCreation")
            }
            Self::ScalingFirst => f.write_str("pods are being created or deleted first"),
        }
    }
}

impl Wait {
    /// The message about pods whose update, or whose life, is held up.
    fn explain_update(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining { pods, until } => write!(
                f,
                "{} out of service for gracePeriodSeconds to pass, until {until} at least",
                Waiting(*pods, "")
            ),
            Self::Restarting { pods, resize, .. } => {
                write!(
                    f,
                    "{} for containers changed in place to run what they should",
                    Waiting(*pods, "")
                )?;
                resize.iter().try_for_each(|resize| write!(f, ": {resize}"))
            }
            Self::Hook { pods, hook } => {
                write!(
                    f,
                    "{} for lifecycle hook {hook} (its labels and finalizers are in spec.lifecycle)",
                    Waiting(*pods, "")
                )
            }
            Self::NotInPlace { pods, pod, obstacle } => write!(
                f,
                "{pods} of the pods cannot be updated in place, and type InPlaceOnly re-creates none: pod {pod} differs in \
                 {obstacle}; put the old value back, set type InPlaceIfPossible, or delete the pods"
            ),
            Self::UnreadablePods { pods, pod, error } => {
                let are = if *pods == 1 { "pod is" } else { "pods are" };
                write!(
                    f,
                    "{pods} {are} left alone because the controller cannot read all of it: pod {pod}: {error}; correct the \
                     pod or delete it"
                )
            }
            Self::UnreadableState { pods, first } => {
                let of = if *pods == 1 { "pod" } else { "pods" };
                write!(
                    f,
                    "cannot read the in-place update state of {pods} {of} (first: {first}); delete the pod, or change the \
                     template again"
                )
            }
            Self::UnknownState { pods, pod, state } => {
                let are = if *pods == 1 { "pod is" } else { "pods are" };
                write!(
                    f,
                    "{pods} {are} not available because of an unknown lifecycle state: pod {pod} has the label \
                     {}={state}; remove the label or delete the pod",
                    labels::LIFECYCLE_STATE
                )
            }
            _ => f.write_str(self.reason()),
        }
    }
}
