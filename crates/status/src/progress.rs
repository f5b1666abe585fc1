//! The `Progressing` condition and its deadline (`behaviour.md` 7.3, with deviation 8 of `design.md` 6).
//!
//! Reasons and messages are Kruise's to the letter: other tools read them. The clock is an argument, and when to look
//! again is told, not waited for.

use crate::conditions::{clear, whole_seconds};
use cloneset_api::names::{conditions as types, reasons};
use cloneset_api::{CloneSetStatus, Condition};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// `progressDeadlineSeconds` that means none.
const NONE: i32 = i32::MAX;

/// Sets or removes the condition in `status`, whose counters and revisions are already those of this pass.
///
/// The deadline is that of a release, or of the first rollout: it runs from the moment the reason became
/// `CloneSetUpdated`, and starts again with a new update revision (Kruise lets it run on, and also counts the time at
/// rest). After a release the condition stays as the release left it, as with a Deployment, also while pods are missing
/// or not available: a slow scale-out misses no deadline, and neither does a pod that fails.
pub(crate) fn set_progressing(
    status: &mut CloneSetStatus,
    previous_update_revision: Option<&str>,
    replicas: i32,
    held: bool,
    deadline_seconds: Option<i32>,
    now: Timestamp,
) {
    let mut list = status.conditions.take().unwrap_or_default();
    let Some(seconds) = limited(deadline_seconds) else {
        clear(&mut list, types::PROGRESSING);
        status.conditions = Some(list);
        return;
    };
    let stored = list
        .iter()
        .find(|condition| condition.type_ == types::PROGRESSING);
    let is_new_revision =
        previous_update_revision.is_some() && status.update_revision.as_deref() != previous_update_revision;
    let (is_true, reason) = if is_available(status, replicas) {
        (true, reasons::CLONESET_AVAILABLE)
    } else if let Some(rest) = rest(stored).filter(|_| !is_new_revision && !is_moving_pods(status, replicas))
    {
        (true, rest)
    } else if held {
        (true, reasons::CLONESET_PAUSED)
    } else if status.expected_updated_replicas < replicas
        && status.expected_updated_replicas <= status.updated_available_replicas
    {
        (true, reasons::PARTITION_AVAILABLE)
    } else if !is_new_revision && stored.is_some_and(|stored| has_timed_out(stored, seconds, now)) {
        (false, reasons::PROGRESS_DEADLINE_EXCEEDED)
    } else {
        (true, reasons::CLONESET_UPDATED)
    };
    let restarts = is_new_revision && reason == reasons::CLONESET_UPDATED;
    let revision = status.update_revision.as_deref().unwrap_or_default();
    put(
        &mut list,
        (is_true, reason),
        message(reason, revision),
        restarts,
        now,
    );
    status.conditions = Some(list);
}

fn limited(deadline_seconds: Option<i32>) -> Option<i32> {
    deadline_seconds.filter(|seconds| *seconds != NONE)
}

fn is_available(status: &CloneSetStatus, replicas: i32) -> bool {
    // Of no pods none is missing: the current revision may stay where it is (deviation 6).
    (replicas == 0 || status.current_revision == status.update_revision)
        && [
            status.replicas,
            status.updated_replicas,
            status.updated_available_replicas,
        ]
        .iter()
        .all(|count| *count == replicas)
}

/// The reason with which the last release ended, if none has begun since.
fn rest(stored: Option<&Condition>) -> Option<&'static str> {
    match stored?.reason.as_deref()? {
        reasons::CLONESET_AVAILABLE => Some(reasons::CLONESET_AVAILABLE),
        reasons::PARTITION_AVAILABLE => Some(reasons::PARTITION_AVAILABLE),
        _ => None,
    }
}

/// Are there pods of another revision that the partition wants updated? Where updated pods are missing and no pod is on
/// the wrong revision, scaling makes them.
fn is_moving_pods(status: &CloneSetStatus, replicas: i32) -> bool {
    let old = status.replicas.saturating_sub(status.updated_replicas);
    let kept_old = replicas.saturating_sub(status.expected_updated_replicas);
    status.updated_replicas < status.expected_updated_replicas && old > kept_old
}

/// A deadline that was missed stays missed; otherwise only time spent updating counts.
fn has_timed_out(stored: &Condition, seconds: i32, now: Timestamp) -> bool {
    match stored.reason.as_deref() {
        Some(reasons::PROGRESS_DEADLINE_EXCEEDED) => true,
        Some(reasons::CLONESET_UPDATED) => ends(stored, seconds).is_some_and(|end| end < now),
        _ => false,
    }
}

fn ends(condition: &Condition, seconds: i32) -> Option<Timestamp> {
    let since = condition.last_update_time.as_ref()?.0;
    since.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}

fn message(reason: &str, revision: &str) -> String {
    match reason {
        reasons::CLONESET_AVAILABLE => "CloneSet is available".to_owned(),
        reasons::CLONESET_PAUSED => "CloneSet is paused".to_owned(),
        reasons::PARTITION_AVAILABLE => "CloneSet has been paused due to partition ready".to_owned(),
        reasons::PROGRESS_DEADLINE_EXCEEDED => {
            format!("CloneSet revision {revision} has timed out progressing")
        }
        _ => "CloneSet is progressing".to_owned(),
    }
}

/// An equal status and reason leave everything as it is, the message too, unless the clock starts again.
fn put(
    list: &mut Vec<Condition>,
    (is_true, reason): (bool, &str),
    message: String,
    restarts: bool,
    now: Timestamp,
) {
    let status = if is_true { "True" } else { "False" };
    let stored = list
        .iter()
        .find(|condition| condition.type_ == types::PROGRESSING);
    let same_status = stored.is_some_and(|stored| stored.status == status);
    if same_status && !restarts && stored.is_some_and(|stored| stored.reason.as_deref() == Some(reason)) {
        return;
    }
    let now = Some(Time(whole_seconds(now)));
    let last_transition_time = match stored {
        Some(stored) if same_status => stored.last_transition_time.clone(),
        _ => now.clone(),
    };
    clear(list, types::PROGRESSING);
    list.push(Condition {
        type_: types::PROGRESSING.to_owned(),
        status: status.to_owned(),
        last_update_time: now,
        last_transition_time,
        reason: Some(reason.to_owned()),
        message: Some(message),
    });
}

/// When the passing of time alone makes the deadline missed: a moment after it, times having whole seconds.
pub fn deadline(status: &CloneSetStatus, deadline_seconds: Option<i32>) -> Option<Timestamp> {
    let seconds = limited(deadline_seconds)?;
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == types::PROGRESSING)?;
    if condition.reason.as_deref() != Some(reasons::CLONESET_UPDATED) {
        return None;
    }
    ends(condition, seconds)?
        .checked_add(SignedDuration::from_secs(1))
        .ok()
}

#[cfg(test)]
mod tests;
