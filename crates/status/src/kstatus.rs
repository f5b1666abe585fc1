//! The conditions that generic tools wait for: `Ready`, `Reconciling`, `Stalled` (kstatus; `helm --wait`, Flux,
//! `kubectl wait`).
//!
//! `Reconciling` and `Stalled` are present only while they are true. A CloneSet at rest on its partition or paused is
//! not reconciling: it is where somebody wanted it. Kruise's own conditions are none of this file's business.

use crate::conditions::{self, Wanted};
use crate::phase::Phase;
use crate::why::{Problem, Runaway, Wait};
use cloneset_api::CloneSetStatus;
use cloneset_api::names::{conditions as types, reasons};
use jiff::Timestamp;

/// Why nothing goes on until somebody changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

impl Stall {
    /// From what is wrong with the spec.
    pub(crate) fn of_spec(problems: &[Problem]) -> Option<Self> {
        if problems.is_empty() {
            return None;
        }
        let message = problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("; ");
        Some(Self {
            reason: reasons::INVALID_SPEC,
            message,
        })
    }

    /// From a refusal of the pods themselves: `None` keeps what an earlier pass found.
    pub(crate) fn of_refusal(refusal: Option<Result<(), String>>, stored: &CloneSetStatus) -> Option<Self> {
        let message = match refusal {
            Some(Ok(())) => return None,
            Some(Err(message)) => message,
            None => stored
                .conditions
                .iter()
                .flatten()
                .find(|condition| {
                    condition.type_ == types::STALLED
                        && condition.reason.as_deref() == Some(reasons::POD_REFUSED)
                })?
                .message
                .clone()?,
        };
        Some(Self {
            reason: reasons::POD_REFUSED,
            message,
        })
    }

    /// From creation that was stopped.
    pub(crate) fn of_runaway(runaway: &Runaway) -> Self {
        Self {
            reason: types::RUNAWAY_CREATION,
            message: runaway.message.clone(),
        }
    }

    /// From a progress deadline that was missed.
    pub(crate) fn of_deadline(status: &CloneSetStatus) -> Option<Self> {
        let condition = status.conditions.iter().flatten().find(|condition| {
            condition.type_ == types::PROGRESSING
                && condition.reason.as_deref() == Some(reasons::PROGRESS_DEADLINE_EXCEEDED)
        })?;
        Some(Self {
            reason: reasons::PROGRESS_DEADLINE_EXCEEDED,
            message: condition.message.clone().unwrap_or_default(),
        })
    }
}

/// Sets `Stalled` while something stalls.
pub(crate) fn set_stalled(status: &mut CloneSetStatus, stall: Option<&Stall>, now: Timestamp) {
    let list = status.conditions.get_or_insert_default();
    match stall {
        None => conditions::clear(list, types::STALLED),
        Some(Stall { reason, message }) => {
            set(list, types::STALLED, true, reason, message.clone(), now);
        }
    }
}

/// What there should be, as far as readiness goes.
pub(crate) struct Wishes {
    /// Pods there should be.
    pub(crate) replicas: i32,
    /// Pods are being created or deleted: the counters are of before that.
    pub(crate) moving: bool,
}

/// Sets `Ready` and `Reconciling` from the counters of `status` and the phase; removes them when they are not wanted.
pub(crate) fn set_ready(
    status: &mut CloneSetStatus,
    &Wishes { replicas, moving }: &Wishes,
    phase: Phase,
    stall: Option<&Stall>,
    waits: &[Wait],
    now: Timestamp,
) {
    let all_there = !moving && status.replicas == replicas && status.available_replicas == replicas;
    let at_rest = match phase {
        Phase::Paused | Phase::OnDelete | Phase::PartitionReached | Phase::Healthy => all_there,
        Phase::Deleting
        | Phase::Unobserved
        | Phase::Degraded
        | Phase::AwaitingConfirmation
        | Phase::Progressing => false,
    };
    let reason = reason(status, phase, all_there, stall);
    let counted = counted(status, replicas);
    let list = status.conditions.get_or_insert_default();
    let ready = at_rest && stall.is_none();
    if ready || stall.is_some() || phase == Phase::Deleting {
        conditions::clear(list, types::RECONCILING);
    } else {
        let mut message = counted.clone();
        for wait in waits.iter().filter(|wait| is_telling(wait)) {
            message.push_str("; ");
            message.push_str(&wait.to_string());
        }
        set(list, types::RECONCILING, true, reason, message, now);
    }
    let mut message = counted;
    // A wish that is not carried out although everything is at rest would be told nowhere else.
    for wait in waits
        .iter()
        .filter(|wait| matches!(wait, Wait::PartitionRaised { .. }))
    {
        message.push_str("; ");
        message.push_str(&wait.to_string());
    }
    set(list, types::READY, ready, reason, message, now);
}

/// Removes what [`set_ready`] sets.
pub(crate) fn clear_ready(status: &mut CloneSetStatus) {
    let list = status.conditions.get_or_insert_default();
    conditions::clear(list, types::RECONCILING);
    conditions::clear(list, types::READY);
}

fn reason(status: &CloneSetStatus, phase: Phase, all_there: bool, stall: Option<&Stall>) -> &'static str {
    let failing = |type_: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    match (phase, stall) {
        (Phase::Deleting, _) => phase.as_str(),
        (_, Some(stall)) => stall.reason,
        (Phase::Degraded, None) if failing(types::FAILED_SCALE) => types::FAILED_SCALE,
        (Phase::Degraded, None) => types::FAILED_UPDATE,
        (Phase::Paused | Phase::OnDelete | Phase::PartitionReached | Phase::Healthy, None) if !all_there => {
            Phase::Progressing.as_str()
        }
        (_, None) => phase.as_str(),
    }
}

fn counted(status: &CloneSetStatus, replicas: i32) -> String {
    let CloneSetStatus {
        available_replicas,
        updated_available_replicas,
        expected_updated_replicas,
        ..
    } = status;
    format!(
        "{available_replicas} of {replicas} pods are available, \
         {updated_available_replicas} of {expected_updated_replicas} updated"
    )
}

/// Waits that last. The others are over before anybody could read them, have a condition of their own, or come and go
/// with every attempt: a message that changes costs a write.
pub(crate) fn is_telling(wait: &Wait) -> bool {
    !matches!(
        wait,
        Wait::Stalled | Wait::Deleting | Wait::ScalingFirst | Wait::BackingOff | Wait::RunawayCreation
    )
}

fn set(
    list: &mut Vec<cloneset_api::Condition>,
    type_: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
    now: Timestamp,
) {
    let wanted = Wanted {
        type_,
        status,
        reason,
        message,
    };
    conditions::set(list, wanted, now);
}
