//! What the steps of one pass share: the inputs, and each active pod classified once.
//!
//! Holds no decision. A record's labels and conditions are searched by text and lie scattered in memory, so in a large
//! set looking at a pod costs more than all that is decided about it: what most steps ask is asked here, and one
//! question of many pods before the next one, so that the processor fetches the texts of several pods at a time.

use crate::desired::{Desired, Features};
use crate::diff::PodFact;
use crate::floor::Floor;
use crate::lifecycle::{is_settled, regret};
use crate::of_pod::OfPod;
use crate::release::is_taken_out;
use crate::revision::Revisions;
use crate::snapshot::Snapshot;
use cloneset_api::names::labels;
use cloneset_status::facts::is_revision;
use cloneset_status::{LifecycleState, Pod};
use jiff::Timestamp;

/// Pods that are asked one question after the other: few enough for what was fetched to be still at hand.
const BLOCK: usize = 64;

/// An active pod and how the formulas see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) fact: PodFact,
    /// It has the current revision. A pod of the update revision may have it as well, where the two are equal.
    pub(crate) is_current: bool,
    /// Where it stands in its life.
    pub(crate) state: LifecycleState,
    /// It is available now. The formulas count on it unless it is released.
    pub(crate) available: bool,
    /// It is ready, however long.
    pub(crate) ready: bool,
    /// A hook holds its deletion, but the pod is wanted again: it goes back into service.
    pub(crate) regretted: bool,
    /// It must not be deleted or taken out of service now: that was rejected a moment ago, or the pod cannot be read.
    /// Others go on without it.
    pub(crate) kept: bool,
    /// It serves, and nothing is to be written on it because of what it is now.
    pub(crate) settled: bool,
    /// It has the old revision, and hook `inPlaceUpdate` holds an update for which the partition has room beside the pods
    /// that are updated already.
    pub(crate) held_for_update: bool,
}

impl<'a> Member<'a> {
    /// Nothing of it is read yet.
    fn of(pod: &'a Pod) -> Self {
        Self {
            pod,
            fact: PodFact {
                is_new: false,
                preparing_delete: false,
                specified_delete: false,
                preparing_update: false,
                released: false,
                serves: false,
                available: false,
                in_service: false,
            },
            is_current: false,
            state: LifecycleState::Unset,
            available: false,
            ready: false,
            regretted: false,
            kept: false,
            settled: false,
            held_for_update: false,
        }
    }

    fn read_state(&mut self) {
        self.state = self.pod.lifecycle_state();
        self.fact.preparing_delete = self.state == LifecycleState::PreparingDelete;
        self.fact.preparing_update = self.state == LifecycleState::PreparingUpdate;
        self.fact.in_service = matches!(
            self.state,
            LifecycleState::Unset | LifecycleState::Normal | LifecycleState::PreparingUpdate
        );
    }

    fn read_labels(&mut self, snapshot: &Snapshot, desired: &Desired, revisions: &Revisions) {
        let pod = self.pod;
        let revision = pod.label(labels::REVISION).unwrap_or_default();
        self.fact.is_new = revisions.is_update(revision);
        self.is_current = is_revision(revision, &revisions.current.name);
        self.fact.specified_delete =
            pod.is_marked_for_deletion() || desired.pods_to_delete.contains(pod.name());
        self.fact.released = is_taken_out(snapshot, desired, pod);
        self.kept = pod.unreadable.is_some() || snapshot.kept_pods.contains(pod.name());
    }

    fn read_health(&mut self, desired: &Desired, now: Timestamp) {
        self.available = self.pod.is_available(desired.min_ready_seconds, now);
        self.fact.available = self.available && !self.fact.released;
        self.ready = self.available || self.pod.is_ready();
        self.fact.serves = self.ready && !self.fact.preparing_delete && !self.fact.released;
    }

    fn read_rest(&mut self) {
        self.settled = self.pod.unreadable.is_none() && is_settled(self.pod, self.state);
    }

    /// Does it have a revision that is neither the current one nor the update revision?
    pub(crate) fn is_abandoned(&self) -> bool {
        !self.fact.is_new && !self.is_current
    }

    /// Is it leaving, or asked to leave? Then it is neither surplus nor a candidate for an update.
    pub(crate) fn leaves(&self) -> bool {
        self.fact.preparing_delete || self.fact.specified_delete || self.fact.released || self.regretted
    }
}

impl<'a> OfPod<'a> for Member<'a> {
    fn pod(self) -> &'a Pod {
        self.pod
    }
}

/// The inputs of one pass.
pub(crate) struct Context<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) desired: &'a Desired,
    pub(crate) features: Features,
    pub(crate) revisions: &'a Revisions,
    pub(crate) members: Vec<Member<'a>>,
    pub(crate) now: Timestamp,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        snapshot: &'a Snapshot,
        desired: &'a Desired,
        features: Features,
        revisions: &'a Revisions,
        now: Timestamp,
    ) -> Self {
        let mut members: Vec<Member<'a>> = snapshot.active_pods().map(Member::of).collect();
        for block in members.chunks_mut(BLOCK) {
            block.iter_mut().for_each(Member::read_state);
            for member in &mut *block {
                member.read_labels(snapshot, desired, revisions);
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
