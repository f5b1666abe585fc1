//! The last step of a pass: tell what is true and what was done, as status, events and metrics from the same
//! reasons.
//!
//! Status is computed in every pass, also after a failure, and written only when it says something new: the first
//! change at once, then at most two a second while things move, and the final state always.

mod news;

use crate::cache::index::Kind;
use crate::cache::owned::version_of;
use crate::cache::pending::{Expect, Mark};
use crate::reconcile::act::{Acted, Attempt};
use crate::reconcile::backoffs::Work;
use crate::reconcile::memory::Memory;
use crate::run::Context;
use crate::telemetry::events::{Happening, enumerate};
use crate::telemetry::metrics::ReasonLabel;
use crate::write::writer::{self, Target, WriteError};
use cloneset_api::names::{conditions, events};
use cloneset_api::{CloneSet, CloneSetStatus};
use cloneset_plan::{DeleteReason, Desired, OutReason, Plan};
use cloneset_status::progress::deadline;
use cloneset_status::{Observed, Runaway, Wait, compute, unknown_fields};
use jiff::Timestamp;
use kube::api::{PartialObjectMeta, Patch};
use kube::runtime::events::EventType;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two writes of one status while things move.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// Failures in a row after which an unclear answer is told, not only repeated.
const TOLERATED: u32 = 2;

/// When status has to be looked at again although nothing happened.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// It does not say yet what is true, because it was written a moment ago: then it may be written again.
    pub rest: Option<Duration>,
    /// Time alone will make it say something else then.
    pub deadline: Option<Timestamp>,
}

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing status")]
pub struct ReportError(#[from] pub WriteError);

/// Writes status if it says something new, and leaves events.
pub async fn report(
    context: &Context,
    cloneset: &CloneSet,
    desired: &Desired,
    plan: &Plan,
    acted: &Acted,
    memory: &mut Memory,
) -> Result<Reported, ReportError> {
    tell_actions(context, cloneset, acted, memory.failures);
    news::report_held(context, cloneset, acted);
    news::report_claims(context, cloneset, acted);
    news::report_unknown_names(context, cloneset, desired, acted, memory);
    news::report_orphans(context, cloneset, memory);
    news::report_not_starting(context, cloneset, &plan.waits, memory);
    tell_waits(context, cloneset, &plan.waits, memory);
    let status = status(context, cloneset, desired, plan, acted, memory);
    let deadline = deadline(&status, desired.progress_deadline);
    if cloneset.status.as_ref() == Some(&status) {
        return Ok(Reported { rest: None, deadline });
    }
    tell_runaway(context, cloneset, memory.runaway.as_ref());
    // Asked to come back later: that holds for this write too.
    let busy = |(_, error): &(Attempt, WriteError)| matches!(error, WriteError::Throttled { .. });
    if acted.failed.iter().any(busy) {
        return Ok(Reported { rest: None, deadline });
    }
    // A collision decides the next name, so it is written at once.
    let since = memory.status_written.map(|at| at.elapsed());
    if let Some(rest) = since.and_then(|since| STATUS_INTERVAL.checked_sub(since))
        && !rest.is_zero()
        && !acted.name_collision
    {
        return Ok(Reported {
            rest: Some(rest),
            deadline,
        });
    }
    write(context, cloneset, &status, memory).await?;
    tell_unknown_fields(context, cloneset, &status);
    Ok(Reported { rest: None, deadline })
}

fn status(
    context: &Context,
    cloneset: &CloneSet,
    desired: &Desired,
    plan: &Plan,
    acted: &Acted,
    memory: &Memory,
) -> CloneSetStatus {
    let failures = memory.failures;
    let known = plan.observed(cloneset, desired);
    let collisions = plan
        .outlook
        .collision_count
        .saturating_add(i32::from(acted.name_collision));
    // A revision that could not be written is not named: nobody could look it up.
    let revision_failed = acted.name_collision
        || acted
            .failed
            .iter()
            .any(|(attempt, _)| matches!(attempt, Attempt::Revision(_)));
    let observed = Observed {
        update_revision: known.update_revision.filter(|_| !revision_failed),
        current_revision: known.current_revision.filter(|_| !revision_failed),
        collision_count: (collisions > 0).then_some(collisions),
        scaling: outcome(plan, acted, failures, is_scaling),
        updating: outcome(plan, acted, failures, is_updating)
            .map(|told| told.and_then(|()| plan.impossible_update().map_or(Ok(()), Err))),
        refusal: refusal(plan, acted, failures),
        runaway: memory.runaway.as_ref(),
        with_kstatus: !context.features.kruise_conditions_only,
        ..known
    };
    let stored = cloneset.status.clone().unwrap_or_default();
    let mut status = compute(&stored, observed, context.now());
    let revision = status.update_revision.as_ref();
    let found = revision.and_then(|revision| memory.unknown_fields.get(revision));
    unknown_fields::set(&mut status, found.map(Vec::as_slice), context.now());
    status
}

/// Deletions for an update are an update's business. Without an attempt the question is about a success, of which only
/// the kind of work is known.
fn is_scaling(work: Work, attempt: Option<&Attempt>) -> bool {
    match work {
        Work::Create | Work::Release | Work::Claims => true,
        Work::Delete => !matches!(attempt, Some(Attempt::Delete(_, DeleteReason::Update))),
        Work::TakeOut => attempt.is_none_or(|attempt| !is_for_update(attempt)),
        // Names that stay on the list of pods to delete harm nobody.
        Work::Prune
        | Work::Revision
        | Work::Rehearsal
        | Work::PutInService
        | Work::ChangeInPlace
        | Work::Trim => false,
    }
}

fn is_updating(work: Work, attempt: Option<&Attempt>) -> bool {
    match work {
        Work::Revision | Work::Rehearsal | Work::PutInService | Work::ChangeInPlace => true,
        Work::Delete => matches!(attempt, None | Some(Attempt::Delete(_, DeleteReason::Update))),
        Work::TakeOut => attempt.is_none_or(is_for_update),
        Work::Create | Work::Release | Work::Prune | Work::Claims | Work::Trim => false,
    }
}

/// Is a pod taken out of service for an update, and not for good?
fn is_for_update(attempt: &Attempt) -> bool {
    match attempt {
        Attempt::TakeOut(_, OutReason::DeletionHook(why)) => *why == DeleteReason::Update,
        _ => true,
    }
}

/// What the condition of one kind of work should say: the first refusal of this pass, or that it went well. `None`
/// keeps what an earlier pass found: nothing of the kind was attempted although there is something to do, or the
/// failures say nothing (a lost race, one missing answer).
fn outcome(
    plan: &Plan,
    acted: &Acted,
    failures: u32,
    is_mine: fn(Work, Option<&Attempt>) -> bool,
) -> Option<Result<(), String>> {
    let mine: Vec<&(Attempt, WriteError)> = acted
        .failed
        .iter()
        .filter(|(attempt, _)| is_mine(attempt.work(), Some(attempt)))
        .collect();
    if !mine.is_empty() {
        let told = mine
            .iter()
            .find_map(|(attempt, error)| complaint(attempt, error, failures));
        return told.map(Err);
    }
    // Of what succeeded while something is held back nobody can tell whether it is of the kind that failed.
    let went_well = !plan.waits.contains(&Wait::BackingOff) && succeeded(acted, is_mine);
    (went_well || !left_undone(plan, acted)).then_some(Ok(()))
}

fn succeeded(acted: &Acted, is_mine: fn(Work, Option<&Attempt>) -> bool) -> bool {
    let mut kinds = acted.done.iter().filter(|work| **work != Work::Delete);
    let mut deletions = acted.deleted.iter();
    kinds.any(|work| is_mine(*work, None))
        || deletions.any(|(pod, why)| is_mine(Work::Delete, Some(&Attempt::Delete(pod.clone(), *why))))
}

/// Was something not even attempted, so that this pass says nothing about how it would have gone?
fn left_undone(plan: &Plan, acted: &Acted) -> bool {
    let waits = plan.waits.iter().any(|wait| {
        matches!(
            wait,
            Wait::Stalled | Wait::Deleting(_) | Wait::BackingOff | Wait::RunawayCreation | Wait::ScalingFirst
        )
    });
    let blocked = acted
        .failed
        .iter()
        .any(|(attempt, _)| attempt.work() == Work::Revision);
    waits || acted.name_collision || blocked
}

/// Does the API server take no pod of the template? A quota that is used up says that it would.
fn refusal(plan: &Plan, acted: &Acted, failures: u32) -> Option<Result<(), String>> {
    let tries = |work: Work| matches!(work, Work::Create | Work::Rehearsal);
    let mine = acted.failed.iter().filter(|(attempt, _)| tries(attempt.work()));
    // A revision has the labels of its template: one that is rejected can have no pod.
    let refused = acted.failed.iter().find(|(attempt, error)| {
        (tries(attempt.work()) || attempt.work() == Work::Revision)
            && matches!(error, WriteError::Refused(_) | WriteError::Malformed(_))
    });
    if let Some((attempt, error)) = refused {
        // Once may be a service account or a namespace that is still being made.
        return complaint(attempt, error, failures)
            .filter(|_| failures > 0)
            .map(Err);
    }
    let taken = (acted.done.iter().any(|work| tries(*work)) && !plan.waits.contains(&Wait::BackingOff))
        || mine
            .clone()
            .any(|(_, error)| matches!(error, WriteError::OverQuota(_)));
    let nothing_to_try = mine.clone().next().is_none() && !left_undone(plan, acted);
    (taken || nothing_to_try).then_some(Ok(()))
}

/// What people should know of a failed write. That the answer was unclear once or twice is nothing to tell.
fn complaint(attempt: &Attempt, error: &WriteError, failures: u32) -> Option<String> {
    match error {
        WriteError::Refused(message)
        | WriteError::NotAllowed(message)
        | WriteError::OverQuota(message)
        | WriteError::Malformed(message) => Some(format!("{}: {message}", describe(attempt))),
        WriteError::Throttled { .. } | WriteError::Unclear(_) | WriteError::Raced(_)
            if failures >= TOLERATED =>
        {
            Some(format!("{}: {error}", describe(attempt)))
        }
        WriteError::NotLeading
        | WriteError::Withheld
        | WriteError::Raced(_)
        | WriteError::Gone(_)
        | WriteError::AlreadyExists
        | WriteError::NamespaceTerminating
        | WriteError::Throttled { .. }
        | WriteError::Unclear(_) => None,
    }
}

fn describe(attempt: &Attempt) -> String {
    match attempt {
        Attempt::Revision(name) => format!("cannot write revision {name}"),
        Attempt::Rehearsal(revision) => {
            format!("no pod is given up for revision {revision}, of which none would be taken")
        }
        Attempt::Create(_) => "cannot create a pod".to_owned(),
        Attempt::Delete(name, _) => format!("cannot delete pod {name}"),
        Attempt::PutInService(name) => format!("cannot put pod {name} in service"),
        Attempt::TakeOut(name, _) => format!("cannot take pod {name} out of service"),
        Attempt::ChangeInPlace(name) => format!("cannot change pod {name} in place"),
        Attempt::Release(name) => format!("cannot give up pod {name}, which the selector no longer matches"),
        Attempt::Prune => {
            "cannot take the names of pods that are gone off spec.scaleStrategy.podsToDelete".to_owned()
        }
        Attempt::CreateClaim(name) => format!("cannot create claim {name}"),
        Attempt::DeleteClaim(name) => format!("cannot delete claim {name}"),
        Attempt::HandOverClaim(name) => format!("cannot make claim {name} go with its pod"),
        Attempt::Trim(name) => format!("cannot delete revision {name}"),
    }
}

async fn write(
    context: &Context,
    cloneset: &CloneSet,
    status: &CloneSetStatus,
    memory: &mut Memory,
) -> Result<(), WriteError> {
    let target = Target::of::<CloneSet>(cloneset.metadata.namespace.as_deref(), "clonesets/status");
    let patch = Patch::Merge(json!({
        "metadata": {"uid": cloneset.metadata.uid, "resourceVersion": cloneset.metadata.resource_version},
        "status": status,
    }));
    let name = cloneset.metadata.name.as_deref().unwrap_or_default();
    memory.status_written = Some(Instant::now());
    let stored: PartialObjectMeta<CloneSet> =
        writer::patch(context, &target, name, Some("status"), &patch).await?;
    let expect = Expect::Version(version_of(&stored));
    memory
        .marks
        .push(Mark::new(Kind::CloneSet, name, &memory.uid, expect));
    Ok(())
}

/// One event for each kind of thing that was done, naming the pods.
fn tell_actions(context: &Context, cloneset: &CloneSet, acted: &Acted, failures: u32) {
    let mut created: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (pod, revision) in &acted.created {
        created.entry(revision).or_default().push(pod);
    }
    for (revision, pods) in created {
        let note = format!("created {} of revision {revision}", enumerate(&pods));
        leave(
            context,
            cloneset,
            (EventType::Normal, events::SUCCESSFUL_CREATE, "CreatePod"),
            note,
            pods.first(),
        );
    }
    for why in [
        DeleteReason::ScaleIn,
        DeleteReason::Specified,
        DeleteReason::Update,
        DeleteReason::Finished,
    ] {
        let pods: Vec<&str> = acted
            .deleted
            .iter()
            .filter(|(_, of)| *of == why)
            .map(|(pod, _)| pod.as_str())
            .collect();
        if !pods.is_empty() {
            let note = format!("deleted {}: {}", enumerate(&pods), news::because(why));
            leave(
                context,
                cloneset,
                (EventType::Normal, why.event_reasons().0, "DeletePod"),
                note,
                pods.first(),
            );
        }
    }
    let mut changed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (pod, revision) in &acted.changed {
        changed.entry(revision).or_default().push(pod);
    }
    for (revision, pods) in changed {
        let note = format!("updated {} in place to revision {revision}", enumerate(&pods));
        let kind = (
            EventType::Normal,
            events::SUCCESSFUL_UPDATE_POD_IN_PLACE,
            "UpdatePodInPlace",
        );
        leave(context, cloneset, kind, note, pods.first());
    }
    // One event for a kind of failure, however many pods it hit.
    let mut told = BTreeSet::new();
    for (attempt, error) in &acted.failed {
        if let (Some((reason, action)), Some(note)) = (failure(attempt), complaint(attempt, error, failures))
            && told.insert(reason)
        {
            leave(
                context,
                cloneset,
                (EventType::Warning, reason, action),
                note,
                None,
            );
        }
    }
}

fn failure(attempt: &Attempt) -> Option<(&'static str, &'static str)> {
    match attempt {
        Attempt::Rehearsal(_) => Some((events::FAILED_UPDATE_POD_RECREATE, "RehearsePod")),
        Attempt::Create(_) => Some((events::FAILED_CREATE, "CreatePod")),
        Attempt::Delete(_, why) => Some((why.event_reasons().1, "DeletePod")),
        Attempt::Revision(_) => Some((events::FAILED_CREATE, "WriteRevision")),
        Attempt::TakeOut(_, OutReason::DeletionHook(why)) => Some((why.event_reasons().1, "HoldPod")),
        Attempt::TakeOut(..) | Attempt::ChangeInPlace(_) => {
            Some((events::FAILED_UPDATE_POD_IN_PLACE, "UpdatePodInPlace"))
        }
        Attempt::CreateClaim(_) => Some((events::FAILED_CREATE, "CreateClaim")),
        Attempt::DeleteClaim(_) => Some((events::FAILED_DELETE, "DeleteClaim")),
        Attempt::HandOverClaim(_) => Some((events::FAILED_UPDATE, "HandOverClaim")),
        Attempt::PutInService(_) | Attempt::Release(_) | Attempt::Prune | Attempt::Trim(_) => None,
    }
}

/// Tells that creation has been stopped, once: the status that is about to be written says so from then on.
fn tell_runaway(context: &Context, cloneset: &CloneSet, runaway: Option<&Runaway>) {
    let told = |status: &CloneSetStatus| {
        let mut stored = status.conditions.iter().flatten();
        stored.any(|condition| condition.type_ == conditions::RUNAWAY_CREATION)
    };
    if let Some(runaway) = runaway.filter(|_| !cloneset.status.as_ref().is_some_and(told)) {
        let kind = (EventType::Warning, events::RUNAWAY_CREATION, "CreatePod");
        leave(context, cloneset, kind, runaway.message.clone(), None);
    }
}

/// Reports unknown fields once: the status that was just written names them from then on.
fn tell_unknown_fields(context: &Context, cloneset: &CloneSet, status: &CloneSetStatus) {
    let before = cloneset.status.as_ref().and_then(unknown_fields::told);
    if let Some(message) = unknown_fields::told(status).filter(|message| before != Some(*message)) {
        let kind = (EventType::Warning, events::UNKNOWN_FIELDS, "CreatePod");
        leave(context, cloneset, kind, message.to_owned(), None);
    }
}

/// Tells a wait that people should know of once, when it begins.
fn tell_waits(context: &Context, cloneset: &CloneSet, waits: &[Wait], memory: &mut Memory) {
    for wait in waits {
        context
            .metrics
            .waits
            .get_or_create(&ReasonLabel {
                reason: wait.reason(),
            })
            .inc();
        let kind = match wait {
            Wait::ScaleUpLimited { .. } => (EventType::Warning, events::SCALE_UP_LIMITED, "CreatePod"),
            Wait::NotInPlace { .. } | Wait::UnreadableState { .. } => (
                EventType::Warning,
                events::FAILED_UPDATE_POD_IN_PLACE,
                "UpdatePodInPlace",
            ),
            _ => continue,
        };
        if !memory.told_waits.contains(wait.reason()) {
            leave(context, cloneset, kind, wait.to_string(), None);
        }
    }
    memory.told_waits = waits.iter().map(Wait::reason).collect();
}

fn leave(
    context: &Context,
    cloneset: &CloneSet,
    (type_, reason, action): (EventType, &'static str, &'static str),
    note: String,
    pod: Option<&&str>,
) {
    let happening = Happening {
        type_,
        reason,
        action,
        note,
        pod: pod.copied(),
    };
    if !context.events.leave(cloneset, happening) {
        context.metrics.events_dropped.inc();
    }
}
