//! Creating and deleting pods until there are as many of each revision as there should be (`behaviour.md` 4.4,
//! with deviation 10 of `design.md` 6).
//!
//! Comes before updating: a pass that scales leaves updates to the next one. Which numbers hold is `diff`'s to
//! say, which pod goes first `order`'s.

use crate::action::{Action, DeleteReason, PodDeletion};
use crate::claims::Ids;
use crate::context::{Context, Member};
use crate::diff::Diff;
use crate::lifecycle::{regret, send_off};
use crate::manifest::{NewPod, RevisionTemplate};
use crate::order::{Topology, first_for_scale_in};
use crate::snapshot::Creation;
use cloneset_status::{Pod, Wait};
use jiff::SignedDuration;
use std::collections::HashSet;
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
/// in one pass, and creation that is throttled holds nothing else back.
pub(crate) fn scale(context: &Context<'_>, diff: &Diff) -> Scaling {
    let regretted = regret(context);
    if !regretted.is_empty() {
        // The numbers hold without them.
        return Scaling {
            actions: regretted,
            waits: Vec::new(),
        };
    }
    let (actions, wait) = match storm(context) {
        Some(storm) => (Vec::new(), Some(storm).filter(|_| diff.up_limit > 0)),
        None => create(context, diff),
    };
    let mut scaling = Scaling {
        actions,
        waits: wait.into_iter().collect(),
    };
    if diff.up > diff.up_limit {
        scaling.waits.push(Wait::ScaleUpLimited {
            missing: diff.up,
            limit: diff.up_limit,
        });
    }
    if diff.up_limit > 0 && context.snapshot.creation == Creation::BackingOff {
        scaling.waits.push(Wait::BackingOff);
    }
    let mut budget = Budget::of(context, diff);
    // What no hook holds in PreparingDelete any more goes, whatever the budget.
    let preparing = context
        .members
        .iter()
        .filter(|member| member.fact.preparing_delete);
    let mut held: i32 = 0;
    for member in preparing.filter(|member| !member.kept) {
        match send_off(context, member, DeleteReason::Specified) {
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

    let specified = context
        .members
        .iter()
        .filter(|m| m.fact.specified_delete && !m.fact.preparing_delete);
    scaling.actions.extend(
        specified
            .filter(|member| budget.allows(member.fact.available))
            .filter_map(|member| send_off(context, member, DeleteReason::Specified)),
    );
    let surplus = surplus(context, diff);
    let leaves = |member: &Member<'_>| member.fact.preparing_delete || member.fact.specified_delete;
    let leaving = context.members.iter().filter(|member| leaves(member));
    let keeps = leaving.chain(&surplus).any(|member| member.kept);
    scaling.actions.extend(
        surplus
            .into_iter()
            .filter(|member| budget.allows(member.fact.available))
            .filter_map(|member| send_off(context, &member, DeleteReason::ScaleIn)),
    );
    if keeps {
        scaling.waits.push(Wait::BackingOff);
    }
    if budget.held_back > 0 {
        scaling.waits.push(Wait::DeletionBudget {
            pods: budget.held_back,
        });
    }
    scaling
}

/// Available pods that may still be deleted. Pods that are not available are free: deleting them takes nothing
/// away. R=3, U=1, 4 pods available: 2 may go (one is surplus, one may be missing).
struct Budget {
    available_pods: i32,
    held_back: i32,
}

impl Budget {
    /// `diff` does not count pods to be deleted as unavailable, as they are on their way out; but those among them
    /// that do not serve cannot stand in for the pods that do. R=5, U=2, 3 old available, 5 new of which none is
    /// available and one is to be deleted: not 2 + (8 - 5) - 4 = 1 old pod may go but 0, because 3 must serve.
    fn of(context: &Context<'_>, diff: &Diff) -> Self {
        let serves_not = |member: &&Member<'_>| {
            let fact = member.fact;
            fact.specified_delete && !fact.preparing_delete && !fact.available
        };
        let serving_not = context.members.iter().filter(serves_not).count();
        let taken = i32::try_from(serving_not).unwrap_or(i32::MAX);
        Self {
            available_pods: diff.ready_limit.saturating_sub(taken),
            held_back: 0,
        }
    }

    fn allows(&mut self, available: bool) -> bool {
        if !available {
            return true;
        }
        let allowed = self.available_pods > 0;
        if allowed {
            self.available_pods -= 1;
        } else {
            self.held_back += 1;
        }
        allowed
    }
}

fn create(context: &Context<'_>, diff: &Diff) -> (Vec<Action>, Option<Wait>) {
    let count = diff.up_limit.min(MAX_WAVE);
    if count <= 0 || context.snapshot.creation != Creation::Allowed {
        return (Vec::new(), None);
    }
    let ids = Ids::of(context);
    let (count, wait) = ids.now(count);
    let revisions = (0..count).map(|index| {
        if index < diff.up_old {
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
    (pods.flat_map(with_claims).collect(), wait)
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
    let templates = &context.desired.claim_templates;
    ids.take(revisions.len(), uid)
        .into_iter()
        .zip(revisions)
        .map(|(id, revision)| NewPod::new(name, id, revision, context.features.short_hash).with(templates))
        .collect()
}

/// How long a pod must have been there for its end not to count as a failed start.
const STORM_PACE: SignedDuration = SignedDuration::from_secs(10);

/// Pods that end as soon as they are made (refused by a node, an evicted disk) would be replaced as fast as the API
/// server takes them. Once twice as many have ended as there should be, and the newest of them was made a moment ago,
/// creation waits. R=3: after 8 ended pods, a wave of at most 3 every 10 seconds.
fn storm(context: &Context<'_>) -> Option<Wait> {
    let ended: Vec<&Arc<Pod>> = context
        .snapshot
        .pods
        .iter()
        .filter(|pod| pod.is_finished())
        .collect();
    let pods = i32::try_from(ended.len()).unwrap_or(i32::MAX);
    if pods < context.desired.replicas.saturating_mul(2).saturating_add(2) {
        return None;
    }
    let newest = ended
        .iter()
        .filter_map(|pod| pod.metadata.creation_timestamp.as_ref())
        .map(|time| time.0)
        .max()?;
    let until = newest.checked_add(STORM_PACE).ok()?;
    (until > context.now).then_some(Wait::PodsFail { pods, until })
}

/// The pods that are too many, first those to go first. Pods that are leaving already are not among them, and not
/// in `down`.
fn surplus<'a>(context: &Context<'a>, diff: &Diff) -> Vec<Member<'a>> {
    let down = usize::try_from(diff.down).unwrap_or(0);
    let (new, old): (Vec<Member<'a>>, Vec<Member<'a>>) = context
        .members
        .iter()
        .filter(|member| !member.fact.preparing_delete && !member.fact.specified_delete)
        .copied()
        .partition(|member| context.scales_as_new(member));
    let from_old = usize::try_from(diff.down_old).unwrap_or(0).min(down);
    let mut chosen = first_to_go(context, old, from_old);
    let rest = down.saturating_sub(chosen.len());
    chosen.extend(first_to_go(context, new, rest));
    chosen
}

/// Those to go first, in the order in which they stand in the group.
fn first_to_go<'a>(context: &Context<'a>, mut group: Vec<Member<'a>>, count: usize) -> Vec<Member<'a>> {
    if count == 0 {
        group.clear();
    }
    if count >= group.len() {
        return group;
    }
    let topology = context.snapshot.nodes.as_ref().map(|nodes| Topology {
        keys: &context.desired.topology_keys,
        nodes,
    });
    let mut chosen = first_for_scale_in(&group, count, topology, |member| member.fact.available);
    chosen.sort_unstable();
    let chosen = chosen.into_iter();
    chosen.filter_map(|place| group.get(place).copied()).collect()
}

/// A delete; `because_of_state` binds it to the state the choice was made on.
pub(crate) fn delete(pod: &Pod, because_of_state: bool, why: DeleteReason) -> Action {
    Action::DeletePod(PodDeletion {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        resource_version: pod.metadata.resource_version.clone().filter(|_| because_of_state),
        why,
    })
}
