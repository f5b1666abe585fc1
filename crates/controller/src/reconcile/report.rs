//! The last step of a reconcile: report what is true and what was done, as status, events and metrics from the same
//! reasons.
//!
//! Status is computed in every reconcile, also after a failure, and written only when it changes: the first change at
//! once, then at most two a second while things move, and the final state always.

use crate::reconcile::act::Acted;
use crate::reconcile::events::EventLog;
use crate::reconcile::failure::Failure;
use crate::reconcile::memory::Memory;
use crate::telemetry::events::{Events, NewEvent};
use crate::telemetry::metrics::labels::ReasonLabel;
use crate::write::cloneset::patch_status;
use crate::write::error::{BackoffScope, WriteError};
use crate::write::owner::Owner;
use cloneset_api::CloneSetStatus;
use cloneset_api::names::events;
use cloneset_plan::{ActionKind, DeleteReason, Desired, Plan};
use cloneset_status::progress::deadline;
use cloneset_status::{ConditionUpdate, Observed, Wait, compute, unknown_fields};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::EventType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use std::time::Duration;
use tokio::time::Instant;

/// Time between two writes of one status while things move.
const STATUS_INTERVAL: Duration = Duration::from_millis(500);

/// When status has to be computed again although nothing happened.
#[derive(Clone, Copy, Debug)]
pub struct Reported {
    /// Set if the stored status is not up to date because it was written a moment ago: when it may be written again.
    pub rest: Option<Duration>,
    /// When time alone changes the status.
    pub deadline: Option<Timestamp>,
}

/// Why the status could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing status")]
pub struct ReportError(#[from] pub WriteError);

/// Reports what reconciles found and did.
pub struct Reporter {
    /// Where events go.
    pub events: Events,
    /// Counts what reconciles wait for.
    pub waits: Family<ReasonLabel, Counter>,
    /// Write Kruise's conditions only, without `Ready` and `Reconciling`?
    pub kruise_conditions_only: bool,
}

impl Reporter {
    /// Reports a CloneSet of which only the metadata can be read. Its status cannot be computed, so it is an event.
    pub fn report_unreadable(&self, cloneset: &ObjectMeta, error: &str) {
        let note = format!(
            "the controller cannot read this CloneSet, so it changes no pod of it: {error}; correct the spec"
        );
        let event = NewEvent {
            type_: EventType::Warning,
            reason: events::UNREADABLE,
            action: "ReadCloneSet",
            note,
            pod: None,
        };
        self.events.record(cloneset, event);
    }

    /// Writes status if it changes, and records events.
    pub async fn report(
        &self,
        owner: &Owner<'_>,
        desired: &Desired,
        plan: &Plan,
        acted: &Acted,
        memory: &mut Memory,
    ) -> Result<Reported, ReportError> {
        for wait in &plan.waits {
            let reason = wait.reason();
            self.waits.get_or_create(&ReasonLabel { reason }).inc();
        }
        let log = EventLog {
            events: &self.events,
            cloneset: owner.cloneset,
        };
        log.report(acted, desired, &plan.waits, memory);
        let status = self.status(owner, desired, plan, acted, memory);
        let deadline = deadline(&status, desired.progress_deadline);
        if owner.cloneset.status.as_ref() == Some(&status) {
            return Ok(Reported { rest: None, deadline });
        }
        log.report_runaway(memory.runaway.as_ref());
        // The API server asked to wait: so does this write.
        let is_throttled = |failure: &Failure| matches!(failure.error, WriteError::Throttled { .. });
        if acted.failed.iter().any(is_throttled) {
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
        memory.status_written = Some(Instant::now());
        memory.pending.push(patch_status(owner, &status).await?);
        log.report_unknown_fields(&status);
        Ok(Reported { rest: None, deadline })
    }

    fn status(
        &self,
        owner: &Owner<'_>,
        desired: &Desired,
        plan: &Plan,
        acted: &Acted,
        memory: &Memory,
    ) -> CloneSetStatus {
        let failures = memory.failures;
        let known = plan.observed(owner.cloneset, desired);
        let collisions = plan
            .outlook
            .collision_count
            .saturating_add(i32::from(acted.name_collision));
        // A revision that could not be written is not named: users could not look it up.
        let revision_failed = acted.name_collision || failed_revision(acted);
        let observed = Observed {
            update_revision: known.update_revision.filter(|_| !revision_failed),
            current_revision: known.current_revision.filter(|_| !revision_failed),
            collision_count: (collisions > 0).then_some(collisions),
            scaling: outcome(plan, acted, failures, is_scaling),
            updating: match outcome(plan, acted, failures, is_updating) {
                ConditionUpdate::Clear => possible_update(plan),
                other => other,
            },
            rejection: rejection(plan, acted, failures),
            runaway: memory.runaway.as_ref(),
            with_kstatus: !self.kruise_conditions_only,
            ..known
        };
        let stored = owner.cloneset.status.clone().unwrap_or_default();
        let now = (owner.clock)();
        let mut status = compute(&stored, observed, now);
        let revision = status.update_revision.as_ref();
        let found = revision.and_then(|revision| memory.unknown_fields.get(revision));
        unknown_fields::set(&mut status, found.map(Vec::as_slice), now);
        status
    }
}

fn failed_revision(acted: &Acted) -> bool {
    let mut failed = acted.failed.iter();
    failed.any(|failure| failure.kind == ActionKind::WriteRevision)
}

/// Which actions a condition is about. The second argument is why the pod is to be deleted, if it is: a deletion for an
/// update is part of the update.
type Part = fn(ActionKind, Option<DeleteReason>) -> bool;

fn is_scaling(kind: ActionKind, reason: Option<DeleteReason>) -> bool {
    match kind {
        ActionKind::CreatePod
        | ActionKind::CreatePvc
        | ActionKind::ReleasePod
        | ActionKind::DeletePvc
        | ActionKind::HandOverPvc => true,
        ActionKind::DeletePod => reason != Some(DeleteReason::Update),
        ActionKind::TakeOutOfService => reason.is_some_and(|reason| reason != DeleteReason::Update),
        // Names that stay in the list of pods to delete harm nothing.
        ActionKind::PruneNames
        | ActionKind::WriteRevision
        | ActionKind::DryRunPod
        | ActionKind::PutInService
        | ActionKind::ChangeInPlace
        | ActionKind::DeleteRevision => false,
    }
}

fn is_updating(kind: ActionKind, reason: Option<DeleteReason>) -> bool {
    match kind {
        ActionKind::WriteRevision
        | ActionKind::DryRunPod
        | ActionKind::PutInService
        | ActionKind::ChangeInPlace => true,
        ActionKind::DeletePod => reason == Some(DeleteReason::Update),
        ActionKind::TakeOutOfService => reason.is_none_or(|reason| reason == DeleteReason::Update),
        ActionKind::CreatePod
        | ActionKind::CreatePvc
        | ActionKind::ReleasePod
        | ActionKind::PruneNames
        | ActionKind::DeletePvc
        | ActionKind::HandOverPvc
        | ActionKind::DeleteRevision => false,
    }
}

/// What the condition about some kinds of actions should say: the first failure of this reconcile, or that they succeeded.
/// It keeps what an earlier reconcile found when nothing of the kind was attempted although there is something to do, or
/// when the failures say nothing (a conflict, one missing answer).
fn outcome(plan: &Plan, acted: &Acted, failures: u32, is_mine: Part) -> ConditionUpdate {
    let mine: Vec<&Failure> = acted
        .failed
        .iter()
        .filter(|failure| is_mine(failure.kind, failure.delete_reason))
        .collect();
    if !mine.is_empty() {
        let message = mine.iter().find_map(|failure| failure.message(failures));
        return message.map_or(ConditionUpdate::Keep, ConditionUpdate::Set);
    }
    // While something backs off, a success does not show that what failed would succeed now.
    let is_success = !plan.waits.contains(&Wait::BackingOff) && succeeded(acted, is_mine);
    clear_if(is_success || !left_undone(plan, acted))
}

fn clear_if(nothing_fails: bool) -> ConditionUpdate {
    if nothing_fails {
        ConditionUpdate::Clear
    } else {
        ConditionUpdate::Keep
    }
}

/// Pods that cannot be updated until the user changes something count as a failure.
fn possible_update(plan: &Plan) -> ConditionUpdate {
    plan.impossible_update()
        .map_or(ConditionUpdate::Clear, ConditionUpdate::Set)
}

fn succeeded(acted: &Acted, is_mine: Part) -> bool {
    let mut deletions = acted.deleted.iter();
    let mut kinds = acted.done.iter().filter(|kind| **kind != ActionKind::DeletePod);
    deletions.any(|(_, why)| is_mine(ActionKind::DeletePod, Some(*why)))
        // Why a pod was taken out of service is not recorded of a success: it counts for both conditions.
        || kinds.any(|kind| *kind == ActionKind::TakeOutOfService || is_mine(*kind, None))
}

/// Was something not even attempted, so that this reconcile does not show how it would have ended?
fn left_undone(plan: &Plan, acted: &Acted) -> bool {
    let waits = plan.waits.iter().any(|wait| {
        matches!(
            wait,
            Wait::Stalled | Wait::Deleting(_) | Wait::BackingOff | Wait::RunawayCreation | Wait::ScalingFirst
        )
    });
    waits || acted.name_collision || failed_revision(acted)
}

/// Does the API server reject every pod of the template? A quota that is used up shows that it would accept one.
fn rejection(plan: &Plan, acted: &Acted, failures: u32) -> ConditionUpdate {
    let tries = |kind: ActionKind| {
        matches!(
            kind,
            ActionKind::CreatePod | ActionKind::CreatePvc | ActionKind::DryRunPod
        )
    };
    let mine = acted.failed.iter().filter(|failure| tries(failure.kind));
    let scope = |failure: &Failure| failure.error.disposition().backoff;
    // A revision has the labels of its template: if it is rejected, so is every pod.
    let rejected = acted.failed.iter().find(|failure| {
        (tries(failure.kind) || failure.kind == ActionKind::WriteRevision)
            && scope(failure) == BackoffScope::Object
    });
    if let Some(failure) = rejected {
        // Once may be a service account or a namespace that is still being created.
        let message = failure.message(failures).filter(|_| failures > 0);
        return message.map_or(ConditionUpdate::Keep, ConditionUpdate::Set);
    }
    let accepted = (acted.done.iter().any(|kind| tries(*kind)) && !plan.waits.contains(&Wait::BackingOff))
        || mine.clone().any(|failure| scope(failure) == BackoffScope::Quota);
    let nothing_to_try = mine.clone().next().is_none() && !left_undone(plan, acted);
    clear_if(accepted || nothing_to_try)
}
