//! What to do next: facts and wishes in, actions and reasons out.
//!
//! [`plan`] is the only entry. This crate must stay pure: no client, no runtime, no clock, no environment, no
//! randomness; the same inputs always give the same plan. The controller does what a plan says, the plugin shows
//! it, the simulated world applies it.

pub mod action;
pub mod claim_template;
mod claims;
mod context;
pub mod desired;
pub mod diff;
mod failing;
pub mod floor;
pub mod hooks;
pub mod inplace;
pub mod instance_ids;
mod lifecycle;
pub mod manifest;
mod member;
mod metadata;
pub mod new_claim;
pub mod normalise;
mod of_pod;
mod order;
pub mod priority;
mod prune;
mod regret;
mod release;
pub mod revision;
mod revision_write;
mod rules;
mod scale;
pub mod scatter;
mod service;
pub mod snapshot;
mod template_rules;
mod templates;
mod update;

pub use action::{
    Action, ActionKind, ClaimDeletion, ClaimHandOver, DeleteReason, InPlaceChange, InService, OutOfService,
    OutReason, Outlook, Plan, PodDeletion, Pruning, Release,
};
pub use desired::{Desired, Features, UpdateType};
pub use manifest::NewPod;
pub use metadata::{MetadataChange, owner_reference};
pub use new_claim::NewClaim;
pub use revision_write::{NewRevision, RevisionUpdate, RevisionWrite};
pub use snapshot::{Creation, NodeLabels, Snapshot};

use cloneset_status::unready::{self, Candidate};
use cloneset_status::why::Deletion;
use cloneset_status::{Counted, Counts, Pod, Wait};
use context::Context;
use diff::{Diff, Targets};
use jiff::Timestamp;
use revision::Revisions;
use std::collections::HashSet;

/// Decides what to do for one CloneSet.
///
/// Scaling comes first: a pass that creates or deletes pods leaves updates to the next pass, which follows at
/// once. Everything not done carries the reason that holds it back.
pub fn plan(snapshot: &Snapshot, desired: &Desired, features: Features, now: Timestamp) -> Plan {
    let mut plan = decide(snapshot, desired, features, now);
    plan.outlook.unfinished = plan.is_unfinished();
    plan
}

fn decide(snapshot: &Snapshot, desired: &Desired, features: Features, now: Timestamp) -> Plan {
    let revisions = Revisions::resolve(snapshot);
    let context = Context::new(snapshot, desired, features, &revisions, now);
    let unconfirmed = unconfirmed(&context);
    let mut plan = Plan {
        outlook: outlook(&context, &unconfirmed),
        ..Plan::default()
    };
    await_availability(&context, &mut plan);
    plan.waits.extend(await_confirmation(&unconfirmed));
    if snapshot.cloneset.metadata.deletion_timestamp.is_some() {
        plan.waits.push(Wait::Deleting(deletion(snapshot)));
        return plan;
    }
    plan.waits.extend(explain_unready(&context));
    let mut targets = desired.targets(features, revisions.current_is_update());
    targets.max_surge = update::surge(&context, &targets);
    let diff = diff::diff(&targets, context.members.iter().map(|member| member.fact));
    if desired.is_blocked() {
        // Gates are ours to open all the same, and a pod that is out of service is not left there.
        let refreshed = lifecycle::refresh(&context, update::still_chosen(&context, &diff));
        plan.actions = refreshed.actions;
        plan.waits.extend(refreshed.waits);
        plan.waits.push(Wait::Stalled);
        return plan;
    }
    plan.revision.clone_from(&revisions.write);
    plan.waits.extend(raised_in_vain(&context));
    move_pods(&context, &targets, &diff, &mut plan);
    plan.actions.extend(failing::surplus(&context));
    plan.actions
        .extend(prune::prune(&context).map(Action::PruneNames));
    let stored_current = snapshot
        .cloneset
        .status
        .as_ref()
        .and_then(|status| status.current_revision.as_deref());
    let live = [
        revisions.update.name.as_str(),
        revisions.current.name.as_str(),
        stored_current.unwrap_or_default(),
    ];
    plan.actions
        .extend(revision::surplus(snapshot, live, desired.revision_history_limit));
    plan
}

/// What becomes of the pods and their claims: scaling, or else the update; releases; the next step of what has begun.
fn move_pods(context: &Context<'_>, targets: &Targets, diff: &Diff, plan: &mut Plan) {
    let scaling_diff = if context.features.preparing_update_as_update {
        diff::diff(targets, context.scaling_facts())
    } else {
        *diff
    };
    let mut floor = context.floor();
    let scaling = scale::scale(context, &scaling_diff, &mut floor);
    let mut moving = scaling.actions;
    plan.waits.extend(scaling.waits);
    if context.snapshot.creation == Creation::Stopped {
        plan.waits.push(Wait::RunawayCreation);
    } else if moving.is_empty() {
        let updating = update::update(context, diff, &mut floor);
        moving = updating.actions;
        plan.rehearsal = updating.rehearsal;
        plan.waits.extend(updating.waits);
    } else if diff.update_num != 0 {
        plan.waits.push(Wait::ScalingFirst);
    }
    let released: Vec<Action> = release::release(context)
        .into_iter()
        .map(Action::ReleasePod)
        .collect();
    drop_those_in(&mut moving, &released);
    let claims = claims::actions(context, scaling_diff.up > 0, &moving, &released);
    let mut refreshed = lifecycle::refresh(context, update::still_chosen(context, diff));
    // Two writes of one pod would only make each other lose a race; what is chosen now comes first.
    drop_those_in(&mut refreshed.actions, &released);
    drop_those_in(&mut refreshed.actions, &moving);
    plan.actions.extend(refreshed.actions);
    plan.actions.extend(released);
    plan.actions.extend(moving);
    plan.actions.extend(claims);
    plan.waits.extend(refreshed.waits);
}

/// Drops the actions on pods that `others` are about too.
fn drop_those_in(actions: &mut Vec<Action>, others: &[Action]) {
    if actions.is_empty() || others.is_empty() {
        return;
    }
    let pods: HashSet<&str> = others.iter().filter_map(Action::pod_uid).collect();
    actions.retain(|action| action.pod_uid().is_none_or(|uid| !pods.contains(uid)));
}

/// The facts that status needs.
fn outlook(context: &Context<'_>, unconfirmed: &[Option<&str>]) -> Outlook {
    let Context {
        desired, revisions, ..
    } = context;
    let counts = Counts::of(context.members.iter().map(|member| Counted {
        ready: member.ready,
        available: member.available,
        updated: member.fact.is_new,
    }));
    // A revision has served once every pod that is wanted has it and is available. Without pods nothing serves.
    let serves = counts.available == counts.replicas && counts.replicas == desired.replicas;
    let current = if desired.updates_all && serves && counts.replicas > 0 {
        let pods = context.members.iter().map(|member| member.pod);
        revisions.serving(counts.updated == counts.replicas, pods)
    } else {
        &revisions.current
    };
    // A revision that is yet to be written is not named while the spec does not allow writing it.
    let known = !desired.is_blocked() || revisions.write.is_none();
    Outlook {
        counts,
        update_revision: known.then(|| revisions.update.name.clone()),
        current_revision: known.then(|| current.name.clone()),
        collision_count: revisions.collision_count,
        awaiting_confirmation: !unconfirmed.is_empty() && unconfirmed.iter().all(Option::is_some),
        unfinished: false,
    }
}

/// Why pods that should serve do not, as their kubelets and the scheduler report it. A pod that a node has rejected
/// counts as long as others are missing.
fn explain_unready(context: &Context<'_>) -> Vec<Wait> {
    let members = context.members.iter();
    let stays = |fact: &diff::PodFact| !fact.preparing_delete && !fact.specified_delete;
    let unready = members
        .clone()
        .filter(|member| !member.ready && stays(&member.fact))
        .map(|member| Candidate {
            pod: member.pod,
            is_new: member.fact.is_new,
        });
    let available = members.filter(|member| member.available).count();
    let is_short = i32::try_from(available).unwrap_or(i32::MAX) < context.desired.replicas;
    let finished = context
        .snapshot
        .pods
        .iter()
        .filter(|pod| is_short && pod.is_finished());
    let rejected = finished.map(|pod| Candidate {
        pod,
        is_new: context.revisions.is_new(pod),
    });
    unready::waits(unready.chain(rejected), context.now)
}

/// What the end of a CloneSet that is being deleted waits for.
fn deletion(snapshot: &Snapshot) -> Deletion {
    let finalizers = |of: &Option<Vec<String>>| of.clone().unwrap_or_default();
    let has_any = |pod: &Pod| {
        pod.metadata
            .finalizers
            .as_ref()
            .is_some_and(|list| !list.is_empty())
    };
    let pods = snapshot.pods.iter();
    let held = pods.filter(|pod| pod.is_terminating() && has_any(pod));
    let first = held.min_by_key(|pod| pod.name());
    Deletion {
        pods: i32::try_from(snapshot.pods.len()).unwrap_or(i32::MAX),
        finalizers: finalizers(&snapshot.cloneset.metadata.finalizers),
        held_pod: first.map(|pod| (pod.name().to_owned(), finalizers(&pod.metadata.finalizers))),
    }
}

/// A partition that is raised moves nothing unless a feature gate says so. What it would move then is the answer to why
/// nothing happens.
fn raised_in_vain(context: &Context<'_>) -> Option<Wait> {
    if context.features.partition_rollback {
        return None;
    }
    let features = Features {
        partition_rollback: true,
        ..context.features
    };
    let targets = context
        .desired
        .targets(features, context.revisions.current_is_update());
    let pods = diff::diff(&targets, context.members.iter().map(|member| member.fact)).update_num;
    (pods < 0).then_some(Wait::PartitionRaised {
        pods: pods.saturating_neg(),
    })
}

/// For each pod of the update revision that is not available, the gate of somebody else that is all it waits for, if
/// that is so.
fn unconfirmed<'a>(context: &Context<'a>) -> Vec<Option<&'a str>> {
    let members = context.members.iter();
    members
        .filter(|member| member.fact.is_new && !member.fact.available)
        .map(|member| member.pod.unconfirmed_gate())
        .collect()
}

/// Readiness gates that others open hold a release as long as they like; only saying so helps.
fn await_confirmation(unconfirmed: &[Option<&str>]) -> Option<Wait> {
    let mut gates = unconfirmed.iter().flatten();
    let gate = (*gates.next()?).to_owned();
    let others = i32::try_from(gates.count()).unwrap_or(i32::MAX);
    Some(Wait::AwaitingConfirmation {
        pods: others.saturating_add(1),
        gate,
    })
}

/// Ready pods become available by the passing of time alone, which no event tells.
fn await_availability(context: &Context<'_>, plan: &mut Plan) {
    let waiting = context
        .members
        .iter()
        .filter(|member| !member.fact.available)
        .filter_map(|member| member.pod.available_from(context.desired.min_ready_seconds))
        .filter(|at| *at >= context.now);
    let (pods, until) = waiting.fold((0, None), |(pods, until): (i32, Option<Timestamp>), at| {
        (pods + 1, Some(until.map_or(at, |earlier| earlier.min(at))))
    });
    if let Some(until) = until {
        plan.waits.push(Wait::MinReadySeconds { pods, until });
    }
}
