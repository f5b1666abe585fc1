//! Moving pods to another revision by re-creation, and putting new pods in service (`behaviour.md` 5, with
//! deviation 4 of `design.md` 6).
//!
//! A re-create update deletes the old pod; its replacement is made by scaling, of the revision the partition
//! calls for. How many may go is `diff`'s to say.

use crate::action::{Action, DeleteReason, InService};
use crate::context::{Context, Member};
use crate::desired::UpdateType;
use crate::diff::{Diff, UpdateLimit};
use crate::manifest::NewPod;
use crate::manifest::rfc3339;
use crate::order::sort_for_update;
use crate::scale::{delete, new_pods};
use cloneset_api::names::{annotations, labels, lifecycle, pod_conditions};
use cloneset_status::facts::short_revision;
use cloneset_status::{LifecycleState, Pod, Wait};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What the update does now and what it waits for.
pub(crate) struct Updating {
    pub(crate) actions: Vec<Action>,
    /// See [`crate::Plan::rehearsal`].
    pub(crate) rehearsal: Option<NewPod>,
    pub(crate) waits: Vec<Wait>,
}

/// Pods that enter service now, and what others wait for.
pub(crate) struct Entering {
    pub(crate) writes: Vec<InService>,
    pub(crate) waits: Vec<Wait>,
}

/// Chooses the pods that make place for the other revision.
pub(crate) fn update(context: &Context<'_>, diff: &Diff) -> Updating {
    let wanted = wanted(context, diff);
    let held = i32::try_from(wanted.count).unwrap_or(i32::MAX);
    let mut updating = Updating {
        actions: Vec::new(),
        rehearsal: None,
        waits: Vec::new(),
    };
    if wanted.count == 0 {
        return updating;
    }
    if context.desired.update_type == UpdateType::OnDelete {
        updating.waits.push(Wait::OnDelete { pods: held });
        return updating;
    }
    if context.desired.paused {
        updating.waits.push(Wait::Paused { pods: held });
        return updating;
    }
    let candidates = ordered(context, &wanted.candidates);
    let unavailable = |member: &&Member<'_>| !member.fact.available;
    let at_target = |member: &&Member<'_>| member.fact.is_new == wanted.to_new;
    let count = |members: usize| i32::try_from(members).unwrap_or(i32::MAX);
    let limit = UpdateLimit {
        update_num: held,
        update_max_unavailable: diff.update_max_unavailable,
        max_unavailable: context.desired.max_unavailable,
        unavailable: count(context.members.iter().filter(unavailable).count()),
        unavailable_at_target: count(
            context
                .members
                .iter()
                .filter(unavailable)
                .filter(at_target)
                .count(),
        ),
    };
    let taken: BTreeSet<usize> = limit
        .take(candidates.iter().map(|member| member.fact.available))
        .into_iter()
        .collect();
    updating.actions = candidates
        .iter()
        .enumerate()
        .filter(|(index, _)| taken.contains(index))
        .map(|(_, member)| delete(member.pod, !member.fact.available, DeleteReason::Update))
        .collect();
    if !updating.actions.is_empty() && !context.members.iter().any(|member| at_target(&member)) {
        let revisions = context.revisions;
        let target = if wanted.to_new {
            &revisions.update
        } else {
            &revisions.current
        };
        updating.rehearsal = new_pods(context, std::iter::once(target)).into_iter().next();
    }
    let waiting = wanted.count.saturating_sub(taken.len());
    if waiting > 0 {
        updating.waits.push(Wait::UpdateBudget { pods: count(waiting) });
    }
    updating
}

/// The pods that change revision: how many, which may, and in which direction.
struct Wanted<'a> {
    count: usize,
    candidates: Vec<Member<'a>>,
    to_new: bool,
}

/// Pods that are leaving anyway are no candidates, and no others go in their stead (as in oddity 13 of
/// `behaviour.md`): the pods that stay never fall below their side's share.
///
/// R=5, partition 3, 5 old of which one is specified to delete: two are to change, but of the 4 that stay only
/// 4 - 3 = 1 may go. A pod that is leaving but may not go yet holds nothing else up: R=2, U=0, S=1, of the
/// old ones one is leaving and serves, the other is broken, 1 new. The broken one goes, so that the other can.
fn wanted<'a>(context: &Context<'a>, diff: &Diff) -> Wanted<'a> {
    let to_new = diff.update_num > 0;
    let share = if to_new {
        context.desired.partition
    } else {
        context.desired.expected_updated()
    };
    let candidates: Vec<Member<'a>> = context
        .members
        .iter()
        .filter(|member| member.fact.is_new != to_new)
        .filter(|member| !member.fact.preparing_delete && !member.fact.specified_delete)
        .copied()
        .collect();
    let number = usize::try_from(diff.update_num.unsigned_abs()).unwrap_or(usize::MAX);
    let above_share = candidates
        .len()
        .saturating_sub(usize::try_from(share).unwrap_or(0));
    Wanted {
        count: number.min(above_share),
        candidates,
        to_new,
    }
}

/// In the order of `behaviour.md` 5.4; then, with deviation 4, those whose update has begun and all others that are
/// unavailable before the rest, whatever the user's order says: replacing them costs nothing.
fn ordered<'a>(context: &Context<'a>, candidates: &[Member<'a>]) -> Vec<Member<'a>> {
    let mut pods: Vec<&Pod> = candidates.iter().map(|member| member.pod).collect();
    sort_for_update(&mut pods);
    context.desired.priority.sort(&mut pods);
    let all: Vec<&Pod> = context.members.iter().map(|member| member.pod).collect();
    let pods = context.desired.scatter.spread(pods, &all);
    let place: BTreeMap<&str, usize> = pods
        .iter()
        .enumerate()
        .map(|(index, pod)| (pod.uid(), index))
        .collect();
    let mut ordered = candidates.to_vec();
    ordered.sort_by_key(|member| {
        let has_begun = member.pod.lifecycle_state() == LifecycleState::PreparingUpdate;
        let place = place.get(member.pod.uid()).copied();
        (!has_begun, member.fact.available, place)
    });
    ordered
}

/// Pods that must be put in service: their readiness gate is ours to open, also while paused and for `OnDelete`.
/// A new pod waits in `PreparingNormal` until it has a node; one write then does all.
pub(crate) fn put_in_service(context: &Context<'_>) -> Entering {
    let mut entering = Entering {
        writes: Vec::new(),
        waits: Vec::new(),
    };
    let mut unscheduled: i32 = 0;
    for member in context
        .members
        .iter()
        .filter(|member| !member.fact.specified_delete)
    {
        match in_service(member.pod, context.now) {
            Entry::InService => {}
            Entry::Waiting => unscheduled = unscheduled.saturating_add(1),
            Entry::Due(write) => entering.writes.push(write),
        }
    }
    if unscheduled > 0 {
        entering.waits.push(Wait::Unscheduled { pods: unscheduled });
    }
    entering
}

enum Entry {
    InService,
    Waiting,
    Due(InService),
}

fn in_service(pod: &Pod, now: Timestamp) -> Entry {
    let mut write = InService {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        gate: false,
        labels: lost_labels(pod),
        annotations: BTreeMap::new(),
        at: now,
    };
    let is_new = pod.lifecycle_state() == LifecycleState::PreparingNormal;
    let entry = match pod.lifecycle_state() {
        LifecycleState::PreparingNormal if !pod.has_node() => Entry::Waiting,
        LifecycleState::PreparingNormal | LifecycleState::Unset | LifecycleState::Normal => {
            write.gate =
                pod.has_in_place_gate() && !pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY);
            Entry::InService
        }
        LifecycleState::PreparingUpdate
        | LifecycleState::Updating
        | LifecycleState::Updated
        | LifecycleState::PreparingDelete
        | LifecycleState::Unknown => Entry::InService,
    };
    if is_new && pod.has_node() {
        write
            .labels
            .insert(labels::LIFECYCLE_STATE.to_owned(), lifecycle::NORMAL.to_owned());
        write
            .annotations
            .insert(annotations::LIFECYCLE_TIMESTAMP.to_owned(), rfc3339(now));
    }
    if write.gate || !write.labels.is_empty() {
        Entry::Due(write)
    } else {
        entry
    }
}

/// Labels that a pod of ours must carry and has lost: without the instance id no watch of ours shows it.
fn lost_labels(pod: &Pod) -> BTreeMap<String, String> {
    let mut lost = BTreeMap::new();
    if pod.instance_id().is_none()
        && let Some((_, id)) = pod.name().rsplit_once('-')
    {
        lost.insert(labels::INSTANCE_ID.to_owned(), id.to_owned());
    }
    if pod.label(labels::POD_TEMPLATE_HASH).is_none()
        && let Some(revision) = pod.label(labels::REVISION)
    {
        lost.insert(
            labels::POD_TEMPLATE_HASH.to_owned(),
            short_revision(revision).to_owned(),
        );
    }
    lost
}
