//! The vocabulary of reasons: why something is not done, and what is wrong with a spec.
//!
//! Status, plan, controller and plugin share these words, so a person reads the same answer in a condition, an
//! event, a log line, a metric and on the command line. Nothing here decides.

use jiff::Timestamp;
use std::fmt;

/// Something that is not being done now, and what holds it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The spec asks for something this version must not act on; see the `Stalled` condition.
    Stalled,
    /// The CloneSet is being deleted: nothing is created or updated any more.
    Deleting,
    /// Pods that are missing are not created while this many are unavailable (`scaleStrategy.maxUnavailable`).
    ScaleUpLimited {
        /// Pods still to be created.
        missing: i32,
        /// Pods that may be created now.
        limit: i32,
    },
    /// Available pods that are surplus or marked for deletion stay until others are available.
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
    /// Pods run to an end as soon as they are made; others are made in their place at a slower pace.
    PodsFail {
        /// Pods that have ended.
        pods: i32,
        /// When others are made.
        until: Timestamp,
    },
    /// An earlier attempt failed; the next one comes when its time has come.
    BackingOff,
    /// Scaling comes first: updates are considered in the next pass.
    ScalingFirst,
}

impl Wait {
    /// When the passing of time alone ends the wait.
    pub fn until(&self) -> Option<Timestamp> {
        match self {
            Self::MinReadySeconds { until, .. } | Self::PodsFail { until, .. } => Some(*until),
            Self::Stalled
            | Self::Deleting
            | Self::ScaleUpLimited { .. }
            | Self::DeletionBudget { .. }
            | Self::Paused { .. }
            | Self::OnDelete { .. }
            | Self::UpdateBudget { .. }
            | Self::Unscheduled { .. }
            | Self::BackingOff
            | Self::ScalingFirst => None,
        }
    }

    /// One word for metrics and machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Stalled => "Stalled",
            Self::Deleting => "Deleting",
            Self::ScaleUpLimited { .. } => "ScaleUpLimited",
            Self::DeletionBudget { .. } => "DeletionBudget",
            Self::Paused { .. } => "Paused",
            Self::OnDelete { .. } => "OnDelete",
            Self::UpdateBudget { .. } => "UpdateBudget",
            Self::Unscheduled { .. } => "Unscheduled",
            Self::MinReadySeconds { .. } => "MinReadySeconds",
            Self::PodsFail { .. } => "PodsFail",
            Self::BackingOff => "BackingOff",
            Self::ScalingFirst => "ScalingFirst",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stalled => f.write_str("the spec cannot be acted on; see condition Stalled"),
            Self::Deleting => f.write_str("the CloneSet is being deleted"),
            Self::ScaleUpLimited { missing, limit } => {
                write!(
                    f,
                    "{missing} pods are missing, scaleStrategy.maxUnavailable lets {limit} be created now"
                )
            }
            Self::DeletionBudget { pods } => {
                write!(
                    f,
                    "{pods} available pods to delete wait until others are available (maxUnavailable)"
                )
            }
            Self::Paused { pods } => write!(
                f,
                "{pods} pods to update wait because updateStrategy.paused is set"
            ),
            Self::OnDelete { pods } => write!(f, "{pods} pods to update wait to be deleted (type OnDelete)"),
            Self::UpdateBudget { pods } => {
                write!(
                    f,
                    "{pods} pods to update wait until others are available (maxUnavailable)"
                )
            }
            Self::Unscheduled { pods } => write!(f, "{pods} pods have no node yet"),
            Self::MinReadySeconds { pods, until } => {
                write!(
                    f,
                    "{pods} ready pods are not available yet (minReadySeconds); the first is at {until}"
                )
            }
            Self::PodsFail { pods, until } => {
                write!(
                    f,
                    "{pods} pods have ended, the last as soon as it was made; others follow at {until}"
                )
            }
            Self::BackingOff => f.write_str("an earlier attempt failed and is repeated later"),
            Self::ScalingFirst => f.write_str("pods are being created or deleted first"),
        }
    }
}

/// What a [`Problem`] means for the CloneSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value is wrong, and a cautious one stands in for it: the CloneSet goes on with that.
    InvalidCautious,
    /// The value is wrong and nothing sensible can stand in for it: no pod is changed.
    InvalidBlocking,
    /// The field asks for something this version cannot do: no pod is changed.
    Unsupported,
}

/// Something wrong with a field of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Path of the field, as in `kubectl explain`.
    pub field: &'static str,
    /// What stands there.
    pub value: String,
    /// What should; completes "must be …" or "is …".
    pub rule: String,
    /// What it means.
    pub verdict: Verdict,
}

impl Problem {
    /// Does it stop every change of a pod?
    pub fn blocks(&self) -> bool {
        match self.verdict {
            Verdict::InvalidCautious => false,
            Verdict::InvalidBlocking | Verdict::Unsupported => true,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            rule,
            verdict,
        } = self;
        match verdict {
            Verdict::InvalidCautious | Verdict::InvalidBlocking => {
                write!(f, "{field}: {value} must be {rule}")
            }
            Verdict::Unsupported => write!(f, "{field}: {value} is {rule}"),
        }
    }
}
