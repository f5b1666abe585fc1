//! What the steps of one pass share: the inputs, and each active pod classified once.
//!
//! Holds no decision. A record's labels and conditions are searched by text and lie scattered in memory, so in a large
//! set looking at a pod costs more than all that is decided about it: what most steps ask is asked here, and one
//! question of many pods before the next one, so that the processor fetches the texts of several pods at a time.

use crate::desired::{Desired, Features};
use crate::diff::PodFact;
use crate::floor::Floor;
use crate::member::Member;
use crate::regret::regret;
use crate::revision::Revisions;
use crate::snapshot::Snapshot;
use crate::templates::Templates;
use cloneset_api::names::labels;
use cloneset_status::LifecycleState;
use jiff::Timestamp;

/// Pods that are asked one question after the other: few enough for what was fetched to be still at hand.
const BLOCK: usize = 64;

/// The inputs of one pass.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) desired: &'a Desired,
    pub(crate) features: Features,
    pub(crate) revisions: &'a Revisions,
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) now: Timestamp,
    pub(crate) templates: Templates<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        desired: &'a Desired,
        features: Features,
        revisions: &'a Revisions,
        now: Timestamp,
    ) -> Self {
        let templates = Templates::new(&snapshot.revisions);
        let mut members: Vec<Member<'a>> = snapshot.active_pods().map(Member::of).collect();
        for block in members.chunks_mut(BLOCK) {
            block.iter_mut().for_each(Member::read_state);
            for member in &mut *block {
                member.read_labels(snapshot, desired, revisions, &templates);
            }
            for member in &mut *block {
                member.read_health(desired, now);
            }
            block.iter_mut().for_each(Member::read_rest);
        }
        regret(desired, revisions.current_is_update(), &mut members);
        hold_for_update(&mut members, desired);
        Self {
            snapshot,
            desired,
            features,
            revisions,
            members,
            now,
            templates,
        }
    }

    /// Does scaling take the pod for one of the update revision? With the gate `PreparingUpdateAsUpdate` it does so
    /// from the moment the pod was chosen for it, as long as the partition has room for it: beyond that it would take
    /// the place of a pod that is updated.
    pub(crate) fn scales_as_new(&self, member: &Member<'_>) -> bool {
        member.fact.is_new || (self.features.preparing_update_as_update && member.held_for_update)
    }

    /// The serving floor before anything of this reconcile is decided.
    pub(crate) fn floor(&self) -> Floor {
        let mut staying = self.members.iter().filter(|member| !member.fact.released);
        let revision = |member: &Member<'a>| member.pod.label(labels::REVISION);
        let one_revision = match staying.next() {
            None => true,
            Some(first) if first.fact.is_new => staying.all(|member| member.fact.is_new),
            Some(first) if first.is_current => staying.all(|member| member.is_current && !member.fact.is_new),
            Some(first) => staying.all(|member| revision(member) == revision(first)),
        };
        Floor::of(
            self.desired.replicas,
            self.desired.max_unavailable,
            one_revision,
            self.members.iter().map(|member| member.fact),
        )
    }

    /// The pods as scaling counts them.
    pub(crate) fn scaling_facts(&self) -> impl Iterator<Item = PodFact> {
        self.members.iter().map(|member| PodFact {
            is_new: self.scales_as_new(member),
            ..member.fact
        })
    }
}

/// Finds the pods that the gate `PreparingUpdateAsUpdate` counts as updated while scaling.
fn hold_for_update(members: &mut [Member<'_>], desired: &Desired) {
    let stays = |member: &Member<'_>| !member.fact.preparing_delete && !member.fact.specified_delete;
    let updated = members
        .iter()
        .filter(|member| member.fact.is_new && stays(member));
    let room = usize::try_from(desired.expected_updated()).unwrap_or(0);
    let room = room.saturating_sub(updated.count());
    let held = members.iter_mut().filter(|member| {
        member.state == LifecycleState::PreparingUpdate && !member.fact.is_new && stays(member)
    });
    held.take(room).for_each(|member| member.held_for_update = true);
}
