//! Creating and deleting pods until there are as many of each revision as there should be (`behaviour.md` 4.4,
//! with deviation 10 of `design.md` 6).
//!
//! Comes before updating: a pass that scales leaves updates to the next one. Which numbers hold is `diff`'s to
//! say, which pod goes first `order`'s.

use crate::action::{Action, DeleteReason};
use crate::claims::Ids;
use crate::context::Context;
use crate::desired::UpdateType;
use crate::diff::{Diff, creation_limit};
use crate::failing::{Pause, Pauses};
use crate::floor::{Floor, Purpose};
use crate::lifecycle::send_off;
use crate::manifest::{NewPod, RevisionTemplate};
use crate::member::Member;
use crate::order::{Class, Crowd, Topology, first_for_scale_in};
use crate::snapshot::Creation;
use cloneset_status::Wait;
use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

/// Pods created in one pass at the most; the next pass follows at once.
const MAX_WAVE: i32 = 500;

/// What scaling does now and what it waits for.
pub(crate) struct Scaling {
    pub(crate) actions: Vec<Action>,
    pub(crate) waits: Vec<Wait>,
}

/// Decides what to create and what to delete.
///
/// Creation never takes availability and deletion is bounded by the pods that are there now, so both may happen
/// in one reconcile, and creation that is throttled holds nothing else back.
pub(crate) fn scale(context: &Context<'_>, diff: &Diff, floor: &mut Floor) -> Scaling {
    let mut scaling = Scaling {
        actions: Vec::new(),
        waits: Vec::new(),
    };
    create(context, diff, &mut scaling);
    if diff.up > diff.up_limit {
        scaling.waits.push(Wait::ScaleUpLimited {
            missing: diff.up,
            limit: diff.up_limit,
        });
    }
    if diff.up_limit > 0 && context.snapshot.creation == Creation::BackingOff {
        scaling.waits.push(Wait::BackingOff);
    }
    finish_deletions(context, &mut scaling);
    let specified = delete_specified(context, floor, &mut scaling);
    let chosen = surplus(context, diff);
    let surplus = delete_surplus(context, &chosen, floor, &mut scaling);
    let instead = delete_broken(context, &chosen, &[specified, surplus], &mut scaling);
    let blocked = specified
        .blocked
        .saturating_add(surplus.blocked.saturating_sub(instead).max(0));
    let denied = |member: &Member<'_>| {
        member.kept && member.pod.unreadable.is_none() && (member.leaves() || diff.down > 0)
    };
    if context.members.iter().any(denied) {
        scaling.waits.push(Wait::BackingOff);
    }
    if blocked > 0 {
        scaling.waits.push(Wait::DeletionBudget { pods: blocked });
    }
    scaling
}

/// What no hook holds in `PreparingDelete` any more goes: it left service, and used the budget, when it was chosen.
fn finish_deletions(context: &Context<'_>, scaling: &mut Scaling) {
    let preparing = context
        .members
        .iter()
        .filter(|member| member.fact.preparing_delete);
    let mut held: i32 = 0;
    for member in preparing.filter(|member| !member.kept) {
        let why = if member.fact.specified_delete {
            DeleteReason::Specified
        } else {
            DeleteReason::ScaleIn
        };
        match send_off(context, member, why) {
            Some(deletion) => scaling.actions.push(deletion),
            None => held = held.saturating_add(1),
        }
    }
    if held > 0 {
        scaling.waits.push(Wait::Hook {
            pods: held,
            hook: "preDelete",
        });
    }
}

/// What became of pods that are to go.
#[derive(Clone, Copy, Default)]
struct Going {
    /// Pods that go now.
    gone: i32,
    /// Pods that the floor keeps.
    blocked: i32,
}

impl Going {
    fn note(&mut self, goes: bool) {
        let count = if goes { &mut self.gone } else { &mut self.blocked };
        *count = count.saturating_add(1);
    }
}

/// Deletes the pods that the user named, as far as the floor allows. A pod whose deletion
/// was denied a moment ago takes nobody's place. While creation is stopped nothing comes in a pod's place, so only as
/// many go as are surplus.
fn delete_specified(context: &Context<'_>, floor: &mut Floor, scaling: &mut Scaling) -> Going {
    let mut irreplaceable = match context.snapshot.creation {
        Creation::Stopped => context.desired.replicas,
        Creation::Allowed | Creation::BackingOff => 0,
    };
    let staying = context
        .members
        .iter()
        .filter(|member| !member.fact.preparing_delete);
    let mut left = i32::try_from(staying.count()).unwrap_or(i32::MAX);
    irreplaceable = irreplaceable.min(left);
    let mut going = Going::default();
    let specified = context.members.iter().filter(|member| {
        member.fact.specified_delete && !member.fact.preparing_delete && !member.fact.released && !member.kept
    });
    for member in specified {
        if left <= irreplaceable {
            break;
        }
        let goes = floor.take(member.fact, Purpose::Removal);
        going.note(goes);
        if goes {
            left = left.saturating_sub(1);
            scaling
                .actions
                .extend(send_off(context, member, DeleteReason::Specified));
        }
    }
    going
}

/// Deletes the surplus pods, as far as the floor allows.
fn delete_surplus(
    context: &Context<'_>,
    chosen: &[Member<'_>],
    floor: &mut Floor,
    scaling: &mut Scaling,
) -> Going {
    let mut going = Going::default();
    for member in chosen {
        let goes = floor.take(member.fact, Purpose::Removal);
        going.note(goes);
        if goes {
            scaling
                .actions
                .extend(send_off(context, member, DeleteReason::ScaleIn));
        }
    }
    going
}

/// Deletes pods that serve nothing in the place of pods that must stay, as far as there are more than R + S pods; returns
/// how many. Up to R + S they stay, or the surge would create them again.
///
/// R = 4, S = 2, U = 0, 4 old available and 6 new broken: the 4 surplus pods are old ones and must stay, so 4 of the broken
/// ones go.
fn delete_broken(
    context: &Context<'_>,
    chosen: &[Member<'_>],
    going: &[Going],
    scaling: &mut Scaling,
) -> i32 {
    let sum = |of: fn(&Going) -> i32| going.iter().map(of).fold(0, i32::saturating_add);
    let staying = context
        .members
        .iter()
        .filter(|member| !member.fact.preparing_delete && !member.fact.released);
    let staying = i32::try_from(staying.count()).unwrap_or(i32::MAX);
    let most = context.desired.replicas.saturating_add(context.desired.max_surge);
    let beyond = staying
        .saturating_sub(sum(|going| going.gone))
        .saturating_sub(most);
    let count = usize::try_from(sum(|going| going.blocked).min(beyond)).unwrap_or(0);
    if count == 0 {
        return 0;
    }
    let chosen: HashSet<&str> = chosen.iter().map(|member| member.pod.uid()).collect();
    let broken = context
        .members
        .iter()
        .filter(|member| !member.fact.serves && !member.leaves() && !member.kept)
        .filter(|member| !chosen.contains(member.pod.uid()));
    let broken = first_to_go(context, broken.copied().collect(), &[], count).0;
    for member in &broken {
        scaling
            .actions
            .extend(send_off(context, member, DeleteReason::ScaleIn));
    }
    i32::try_from(broken.len()).unwrap_or(i32::MAX)
}

fn create(context: &Context<'_>, diff: &Diff, scaling: &mut Scaling) {
    let count = diff.up_limit.min(MAX_WAVE);
    if count <= 0 || context.snapshot.creation != Creation::Allowed {
        return;
    }
    let (count, unproven) = proven(context, diff, count);
    scaling.waits.extend(unproven);
    let pauses = Pauses::of(context);
    let mut now = |pods: i32, pause: Option<&Pause>| match pause {
        Some(pause) if pods > 0 => {
            scaling.waits.push(pause.wait(pods));
            0
        }
        _ => pods,
    };
    let old = now(diff.up_old.min(count), pauses.current.as_ref());
    let new = now(count.saturating_sub(diff.up_old).max(0), pauses.update.as_ref());
    let ids = Ids::of(context);
    let (count, wait) = ids.now(old.saturating_add(new));
    scaling.waits.extend(wait);
    let revisions = (0..count).map(|index| {
        if index < old {
            &context.revisions.current
        } else {
            &context.revisions.update
        }
    });
    let claims = &context.snapshot.claims;
    let known: HashSet<&str> = claims.iter().map(|claim| claim.name()).collect();
    let with_claims = |pod: NewPod| {
        let missing = pod
            .claims
            .iter()
            .filter(|claim| !known.contains(claim.name.as_str()));
        let mut actions: Vec<Action> = missing.cloned().map(Action::CreateClaim).collect();
        actions.push(Action::CreatePod(pod));
        actions
    };
    let pods = new_pods(context, ids, revisions).into_iter();
    scaling.actions.extend(pods.flat_map(with_claims));
}

/// How many of `count` pods may be created now, and what the others wait for: while there are old pods, only so many
/// pods of the update revision are created that have not proven themselves. With type `OnDelete` the user sets the pace.
fn proven(context: &Context<'_>, diff: &Diff, count: i32) -> (i32, Option<Wait>) {
    let old = context.members.iter().any(|member| !member.fact.is_new);
    let on_delete = context.desired.update_type == UpdateType::OnDelete;
    if !old || on_delete || context.revisions.current_is_update() {
        return (count, None);
    }
    let unproven = context
        .members
        .iter()
        .filter(|member| member.fact.is_new && !member.fact.available && !member.leaves());
    let unproven = i32::try_from(unproven.count()).unwrap_or(i32::MAX);
    let limit = creation_limit(context.desired.max_unavailable, diff.surge, unproven);
    let of_old = diff.up_old.min(count);
    let of_new = count.saturating_sub(of_old);
    let allowed = of_new.min(limit);
    let wait = (allowed < of_new).then_some(Wait::Unproven {
        missing: of_new.saturating_sub(allowed),
        unproven,
    });
    (of_old.saturating_add(allowed), wait)
}

/// Pods of these revisions, under the next free names.
pub(crate) fn new_pods<'a>(
    context: &Context<'_>,
    ids: Ids<'_>,
    revisions: impl Iterator<Item = &'a Arc<RevisionTemplate>>,
) -> Vec<NewPod> {
    let snapshot = context.snapshot;
    let uid = snapshot.cloneset.metadata.uid.as_deref().unwrap_or_default();
    let name = snapshot.cloneset.metadata.name.as_deref().unwrap_or_default();
    let revisions: Vec<&Arc<RevisionTemplate>> = revisions.collect();
    ids.take(revisions.len(), uid)
        .into_iter()
        .zip(revisions)
        .map(|(id, revision)| NewPod::new(name, id, revision, context.features.short_hash))
        .collect()
}

/// Chooses the surplus pods, as many as `diff.down`. Pods that are leaving already are not among them, and not in `down`;
/// in the place of a pod whose deletion was denied a moment ago another one of its side goes.
///
/// After a rollback (the update revision is the current one) pods of the abandoned revision go first, whatever share the
/// partition gives to old pods. While the update is paused pods of the update revision go first: pausing never takes an
/// old pod away.
///
/// With the gate `PreparingUpdateAsUpdate` pods that are held before their update are counted and chosen as new ones.
fn surplus<'a>(context: &Context<'a>, diff: &Diff) -> Vec<Member<'a>> {
    let down = usize::try_from(diff.down).unwrap_or(0);
    if down == 0 {
        return Vec::new();
    }
    let staying = context.members.iter().filter(|member| !member.leaves());
    let (mut new, mut old): (Vec<Member<'a>>, Vec<Member<'a>>) =
        staying.copied().partition(|member| context.scales_as_new(member));
    let from_old = if context.revisions.current_is_update() {
        down.min(old.len())
    } else if context.desired.paused {
        down.saturating_sub(new.len())
    } else {
        usize::try_from(diff.down_old).unwrap_or(0).min(down)
    };
    let from_new = down.saturating_sub(from_old);
    for group in [&mut old, &mut new] {
        group.retain(|member| !member.kept);
    }
    let (mut chosen, old) = first_to_go(context, old, &new, from_old);
    chosen.extend(first_to_go(context, new, &old, from_new).0);
    chosen
}

/// Those of a group to go first and those to stay, each in the order in which they stand in the group. The `others` stay,
/// so they count in how crowded a place is.
fn first_to_go<'a>(
    context: &Context<'a>,
    group: Vec<Member<'a>>,
    others: &[Member<'a>],
    count: usize,
) -> (Vec<Member<'a>>, Vec<Member<'a>>) {
    if count == 0 {
        return (Vec::new(), group);
    }
    if count >= group.len() {
        return (group, Vec::new());
    }
    let crowd = Crowd {
        topology: context.snapshot.nodes.as_ref().map(|nodes| Topology {
            keys: &context.desired.topology_keys,
            nodes,
        }),
        others: others.iter().filter_map(|member| member.pod.node()).collect(),
    };
    let chosen = first_for_scale_in(&group, count, &crowd, |member| Class {
        available: member.fact.available,
        wanted: !member.is_abandoned(),
    });
    let chosen: BTreeSet<usize> = chosen.into_iter().collect();
    let placed = group.into_iter().enumerate();
    let (chosen, staying): (Vec<_>, Vec<_>) = placed.partition(|(place, _)| chosen.contains(place));
    let members = |placed: Vec<(usize, Member<'a>)>| placed.into_iter().map(|(_, member)| member).collect();
    (members(chosen), members(staying))
}
