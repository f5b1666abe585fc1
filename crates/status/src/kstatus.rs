//! The conditions that generic tools wait for: `Ready`, `Reconciling`, `Stalled` (kstatus; `helm --wait`, Flux,
//! `kubectl wait`).
//!
//! `Reconciling` and `Stalled` are present only while they are true. A CloneSet at rest on its partition or paused is
//! not reconciling: it is where somebody wanted it. Kruise's own conditions are none of this file's business.

use crate::conditions::{self, ConditionUpdate, Wanted};
use crate::phase::Phase;
use crate::refusal::with_advice;
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

    /// From the rejection of every pod of the template.
    pub(crate) fn of_rejection(rejection: ConditionUpdate, stored: &CloneSetStatus) -> Option<Self> {
        let message = match rejection {
            ConditionUpdate::Clear => return None,
            ConditionUpdate::Set(message) => with_advice(message),
            ConditionUpdate::Keep => stored
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

    /// From a progress deadline that was missed, with what the release waits for.
    pub(crate) fn of_deadline(status: &CloneSetStatus, waits: &[Wait]) -> Option<Self> {
        let condition = status.conditions.iter().flatten().find(|condition| {
            condition.type_ == types::PROGRESSING
                && condition.reason.as_deref() == Some(reasons::PROGRESS_DEADLINE_EXCEEDED)
        })?;
        Some(Self {
            reason: reasons::PROGRESS_DEADLINE_EXCEEDED,
            message: with_waits(condition.message.clone().unwrap_or_default(), waits.iter()),
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
    let ready = at_rest && stall.is_none();
    let reason = reason(status, phase, all_there, stall, waits);
    let counted = counted(status, replicas);
    let message = if ready {
        // A wish that is not carried out although everything is at rest is reported nowhere else.
        let in_vain = |wait: &&Wait| matches!(wait, Wait::PartitionRaised { .. });
        with_waits(counted, waits.iter().filter(in_vain))
    } else {
        with_causes(with_waits(counted, waits.iter()), status, stall)
    };
    let list = status.conditions.get_or_insert_default();
    if ready || stall.is_some() || phase == Phase::Deleting {
        conditions::clear(list, types::RECONCILING);
    } else {
        set(list, types::RECONCILING, true, reason, message.clone(), now);
    }
    set(list, types::READY, ready, reason, message, now);
}

/// A message, and after it what is waited for.
fn with_waits<'a>(mut message: String, waits: impl Iterator<Item = &'a Wait>) -> String {
    let waits: Vec<&Wait> = waits.filter(|wait| is_telling(wait)).collect();
    let explained = waits.iter().any(|wait| explains_scheduling(wait));
    for wait in waits {
        if explained && matches!(wait, Wait::Unscheduled { .. }) {
            continue;
        }
        message.push_str("; ");
        message.push_str(&wait.to_string());
    }
    message
}

/// A message, and after it what fails or stalls, as far as it does not say so already: tools show this message alone.
fn with_causes(mut message: String, status: &CloneSetStatus, stall: Option<&Stall>) -> String {
    let fails = |condition: &&cloneset_api::Condition| {
        matches!(
            condition.type_.as_str(),
            types::FAILED_SCALE | types::FAILED_UPDATE
        ) && condition.status == "True"
    };
    let failures = status.conditions.iter().flatten().filter(fails);
    let failures = failures.filter_map(|condition| condition.message.as_deref());
    let stall = stall.filter(|stall| stall.reason != reasons::PROGRESS_DEADLINE_EXCEEDED);
    for cause in stall
        .map(|stall| stall.message.as_str())
        .into_iter()
        .chain(failures)
    {
        if !message.contains(cause) {
            message.push_str("; ");
            message.push_str(cause);
        }
    }
    message
}

/// Removes what [`set_ready`] sets.
pub(crate) fn clear_ready(status: &mut CloneSetStatus) {
    let list = status.conditions.get_or_insert_default();
    conditions::clear(list, types::RECONCILING);
    conditions::clear(list, types::READY);
}

fn reason(
    status: &CloneSetStatus,
    phase: Phase,
    all_there: bool,
    stall: Option<&Stall>,
    waits: &[Wait],
) -> &'static str {
    let failing = |type_: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let not_starting = waits.iter().any(|wait| matches!(wait, Wait::NotStarting(_)));
    let under_way = if not_starting {
        reasons::PODS_NOT_STARTING
    } else {
        Phase::Progressing.as_str()
    };
    match (phase, stall) {
        (Phase::Deleting, _) => phase.as_str(),
        (_, Some(stall)) => stall.reason,
        (Phase::Degraded, None) if failing(types::FAILED_SCALE) => types::FAILED_SCALE,
        (Phase::Degraded, None) => types::FAILED_UPDATE,
        (Phase::Progressing, None) => under_way,
        (Phase::Paused | Phase::OnDelete | Phase::PartitionReached | Phase::Healthy, None) if !all_there => {
            under_way
        }
        (_, None) => phase.as_str(),
    }
}

/// The numbers of `kubectl get`, in words: "5 pods, all available; 2 of 2 updated". `replicas` is how many there should
/// be.
fn counted(status: &CloneSetStatus, replicas: i32) -> String {
    let CloneSetStatus {
        replicas: existing,
        available_replicas: available,
        updated_replicas: updated,
        updated_available_replicas: updated_available,
        expected_updated_replicas: expected,
        ..
    } = *status;
    let pods = if existing == 1 { "pod" } else { "pods" };
    let desired = if existing == replicas {
        String::new()
    } else {
        format!(" ({replicas} desired)")
    };
    let available = match available {
        _ if existing == 0 => String::new(),
        1 if existing == 1 => ", available".to_owned(),
        all if all == existing => ", all available".to_owned(),
        some => format!(", {some} available"),
    };
    let progress = if existing == 0 && expected == 0 {
        String::new()
    } else if updated <= expected {
        format!("; {updated} of {expected} updated")
    } else if updated == existing {
        "; all updated".to_owned()
    } else {
        format!("; {updated} updated ({expected} desired)")
    };
    let of_these = if updated_available < updated && updated < existing {
        format!(", {updated_available} of these available")
    } else {
        String::new()
    };
    format!("{existing} {pods}{desired}{available}{progress}{of_these}")
}

/// Does it say why pods have no node?
fn explains_scheduling(wait: &Wait) -> bool {
    matches!(wait, Wait::NotStarting(pods) if pods.failure.reason == "Unschedulable")
}

/// Waits that last. The others are over before anybody could read them, have a condition of their own, or come and go
/// with every attempt: a message that changes costs a write.
pub(crate) fn is_telling(wait: &Wait) -> bool {
    !matches!(
        wait,
        Wait::Stalled | Wait::Starting { .. } | Wait::ScalingFirst | Wait::BackingOff | Wait::RunawayCreation
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

#[cfg(test)]
mod tests;
