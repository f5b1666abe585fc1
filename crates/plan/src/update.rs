//! Moving pods to another revision (`behaviour.md` 5, with deviations 4 and 5 of `design.md` 6).
//!
//! A re-create update deletes the old pod; its replacement is made by scaling, of the revision the partition
//! calls for. An in-place update begins here and is taken on by `lifecycle`. How many may go is `diff`'s to say.

use crate::action::{Action, DeleteReason};
use crate::claims::Ids;
use crate::context::Context;
use crate::desired::UpdateType;
use crate::diff::{Diff, Targets, diff};
use crate::floor::{Floor, UpdateLimit};
use crate::inplace::InPlace;
use crate::lifecycle::{Hold, hold_update, send_off};
use crate::manifest::{NewPod, RevisionTemplate};
use crate::member::Member;
use crate::order::sort_for_update;
use crate::scale::new_pods;
use cloneset_status::{LifecycleState, Pod, Wait};
use std::collections::HashSet;
use std::sync::Arc;

/// What the update does now and what it waits for.
pub(crate) struct Updating {
    pub(crate) actions: Vec<Action>,
    /// See [`crate::Plan::rehearsal`].
    pub(crate) rehearsal: Option<NewPod>,
    pub(crate) waits: Vec<Wait>,
}

/// Chooses the pods that make place for the other revision.
pub(crate) fn update(context: &Context<'_>, diff: &Diff, floor: &mut Floor) -> Updating {
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
    let target = target(context, &wanted);
    let mut in_place = InPlace::to(context, target);
    let (kept, free): (Vec<Member<'_>>, Vec<Member<'_>>) =
        wanted.candidates.into_iter().partition(|member| member.kept);
    if kept.iter().any(|member| member.pod.unreadable.is_none()) {
        updating.waits.push(Wait::BackingOff);
    }
    let (candidates, stuck) = movable(context, &mut in_place, free);
    updating.waits.extend(stuck);
    let (serving_on, candidates) =
        apart_from_serving_on(&mut in_place, ordered(context, candidates), wanted.count);
    // A pod to be released counts among the pods of the limit as long as it is there, so it counts here, too.
    let unavailable = |member: &&Member<'_>| !member.available;
    let at_target = |member: &&Member<'_>| member.fact.is_new == wanted.to_new;
    let count = |members: usize| i32::try_from(members).unwrap_or(i32::MAX);
    let limit = UpdateLimit {
        update_num: held.saturating_sub(count(serving_on.len())),
        update_max_unavailable: diff.update_max_unavailable,
        max_unavailable: context.desired.max_unavailable,
        unavailable_at_target: count(
            context
                .members
                .iter()
                .filter(unavailable)
                .filter(at_target)
                .count(),
        ),
    };
    let taken = take(limit, floor, &candidates);
    let taken_members = taken.iter().filter_map(|place| candidates.get(*place));
    updating.actions = serving_on
        .iter()
        .chain(taken_members)
        .filter_map(|member| begin(context, &mut in_place, member))
        .collect();
    if !updating.actions.is_empty() && !context.members.iter().any(|member| at_target(&member)) {
        updating.rehearsal = new_pods(context, Ids::of(context), std::iter::once(target))
            .into_iter()
            .next();
    }
    let all = serving_on.len() + candidates.len();
    let waiting = wanted
        .count
        .min(all)
        .saturating_sub(serving_on.len() + taken.len());
    if waiting > 0 {
        updating.waits.push(Wait::UpdateBudget { pods: count(waiting) });
    }
    updating
}

/// Parts the pods that are updated without leaving service from the others: they need no budget. Only the first `count`
/// pods in the order are looked at, so no pod is updated for which another one should be.
fn apart_from_serving_on<'a>(
    in_place: &mut InPlace<'_>,
    ordered: Vec<Member<'a>>,
    count: usize,
) -> (Vec<Member<'a>>, Vec<Member<'a>>) {
    let mut serving_on = Vec::new();
    let mut others = Vec::new();
    for (place, member) in ordered.into_iter().enumerate() {
        let is_free = place < count && serving_on.len() < MAX_WAVE_IN_PLACE;
        if is_free && in_place.changes_in_service(member.pod) {
            serving_on.push(member);
        } else {
            others.push(member);
        }
    }
    (serving_on, others)
}

/// Pods that one reconcile changes at most while they serve on; the next one follows at once.
const MAX_WAVE_IN_PLACE: usize = 500;

/// The surge for pods that have to leave service or be replaced. A pod that is updated without either needs no other one
/// beside it, and neither does one that type `InPlaceOnly` leaves as it is.
///
/// R=5, S=3, five old pods of which one gets a new image and four another annotation: 1.
pub(crate) fn surge(context: &Context<'_>, targets: &Targets) -> i32 {
    let in_place_only = context.desired.update_type == UpdateType::InPlaceOnly;
    if targets.max_surge == 0
        || !(in_place_only || context.desired.update_type == UpdateType::InPlaceIfPossible)
    {
        return targets.max_surge;
    }
    let diff = diff(targets, context.members.iter().map(|member| member.fact));
    if diff.update_num == 0 || diff.surge == 0 {
        return targets.max_surge;
    }
    let wanted = wanted(context, &diff);
    let mut in_place = InPlace::to(context, target(context, &wanted));
    let mut stays =
        |pod: &Pod| in_place.changes_in_service(pod) || in_place_only && in_place.obstacle(pod).is_some();
    let candidates = wanted.candidates.iter().map(|member| member.pod);
    let leaving = candidates.filter(|pod| !stays(pod)).count();
    // Pods that the user marked are covered by the same surge.
    let marked = context
        .members
        .iter()
        .filter(|member| member.fact.specified_delete);
    let covered = leaving.max(marked.count());
    targets.max_surge.min(i32::try_from(covered).unwrap_or(i32::MAX))
}

/// UIDs of the pods in `PreparingUpdate` that are still to be updated. While the update is paused all of them wait.
pub(crate) fn still_chosen<'a>(context: &Context<'a>, diff: &Diff) -> HashSet<&'a str> {
    let is_preparing = |member: &&Member<'_>| member.state == LifecycleState::PreparingUpdate;
    let uid = |member: &Member<'a>| member.pod.uid();
    if !context.members.iter().any(|member| is_preparing(&member))
        || context.desired.update_type == UpdateType::OnDelete
    {
        return HashSet::new();
    }
    if context.desired.paused || context.desired.is_blocked() {
        let is_new = diff.update_num < 0;
        let preparing = context.members.iter().filter(is_preparing);
        return preparing
            .filter(|member| member.fact.is_new == is_new)
            .map(uid)
            .collect();
    }
    let wanted = wanted(context, diff);
    let mut in_place = InPlace::to(context, target(context, &wanted));
    let preparing = wanted.candidates.iter().filter(is_preparing).copied();
    let (movable, _) = movable(context, &mut in_place, preparing.collect());
    let in_number = movable.iter().take(wanted.count).map(uid);
    // Those that scaling counts as updated have their place already.
    let counted = context
        .members
        .iter()
        .filter(|member| !member.fact.is_new && context.scales_as_new(member));
    in_number.chain(counted.map(uid)).collect()
}

/// The revision that pods change to.
fn target<'a>(context: &'a Context<'_>, wanted: &Wanted<'_>) -> &'a Arc<RevisionTemplate> {
    if wanted.to_new {
        &context.revisions.update
    } else {
        &context.revisions.current
    }
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
        .filter(|member| !member.leaves())
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

/// The pods that can be moved at all, and what is told of the others: with type `InPlaceOnly` a pod that cannot be
/// changed stays as it is, and the others go on without it.
fn movable<'a>(
    context: &Context<'a>,
    in_place: &mut InPlace<'_>,
    candidates: Vec<Member<'a>>,
) -> (Vec<Member<'a>>, Option<Wait>) {
    if context.desired.update_type != UpdateType::InPlaceOnly {
        return (candidates, None);
    }
    let (mut movable, mut stuck, mut first) = (Vec::new(), 0_i32, None);
    for member in candidates {
        match in_place.obstacle(member.pod) {
            None => movable.push(member),
            Some(obstacle) => {
                stuck = stuck.saturating_add(1);
                first.get_or_insert((member.pod.name().to_owned(), obstacle.0));
            }
        }
    }
    let wait = first.map(|(pod, obstacle)| Wait::NotInPlace {
        pods: stuck,
        pod,
        obstacle,
    });
    (movable, wait)
}

/// The first step of a pod's way to the other revision; `None` while a hook holds it.
fn begin(context: &Context<'_>, in_place: &mut InPlace<'_>, member: &Member<'_>) -> Option<Action> {
    let pod = member.pod;
    let recreate = || send_off(context, member, DeleteReason::Update);
    if context.desired.update_type == UpdateType::ReCreate || in_place.obstacle(pod).is_some() {
        return recreate();
    }
    // Hooks are for pods that leave service or restart.
    if let Some(change) = in_place.change_in_service(pod) {
        return Some(Action::ChangeInPlace(change));
    }
    match hold_update(context, pod) {
        Hold::Held => None,
        Hold::Begins(write) => Some(Action::TakeOutOfService(*write)),
        // The refresh takes it to Normal first.
        Hold::None if member.state == LifecycleState::Updated => None,
        Hold::None => in_place.begin(pod).map(Action::TakeOutOfService),
    }
}

/// The places of the candidates to update now.
///
/// While pods of abandoned revisions are left, no more pods of the current revision change than there have to: R = 5,
/// P = 2, 2 pods of the current revision, 3 of an abandoned one: these 3. Only where none of them may go, a pod of the
/// current revision that does not serve is updated instead.
fn take(limit: UpdateLimit, floor: &mut Floor, candidates: &[Member<'_>]) -> Vec<usize> {
    let facts = candidates.iter().map(|member| member.fact);
    if candidates.iter().any(Member::is_abandoned) {
        let wanted = usize::try_from(limit.update_num).unwrap_or(0);
        let taken = limit.take(floor, facts.clone().take(wanted));
        if !taken.is_empty() {
            return taken;
        }
    }
    limit.take(floor, facts)
}

fn has_begun(member: &Member<'_>) -> bool {
    member.state == LifecycleState::PreparingUpdate
}

/// In the order of `behaviour.md` 5.4; then, whatever the user's order says, those whose update has begun, those of
/// revisions that are neither the current one nor the target, and (deviation 4) those that are unavailable before the
/// rest: replacing them costs nothing.
fn ordered<'a>(context: &Context<'a>, mut candidates: Vec<Member<'a>>) -> Vec<Member<'a>> {
    sort_for_update(&mut candidates);
    context.desired.priority.sort(&mut candidates);
    let mut ordered = context.desired.scatter.spread(candidates, &context.members);
    // A stable sort: what is equal keeps the order it has.
    ordered.sort_by_cached_key(|member| (!has_begun(member), !member.is_abandoned(), member.fact.available));
    ordered
}
