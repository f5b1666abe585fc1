//! What the steps of one pass share: the inputs, and each active pod classified once.
//!
//! Holds no decision.

use crate::desired::{Desired, Features};
use crate::diff::PodFact;
use crate::revision::Revisions;
use crate::snapshot::Snapshot;
use cloneset_status::{LifecycleState, Pod};
use jiff::Timestamp;

/// An active pod and how the formulas see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) fact: PodFact,
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
        let classify = |pod: &'a Pod| Member {
            pod,
            fact: PodFact {
                is_new: revisions.is_new(pod),
                preparing_delete: pod.lifecycle_state() == LifecycleState::PreparingDelete,
                specified_delete: pod.is_marked_for_deletion() || desired.pods_to_delete.contains(pod.name()),
                available: pod.is_available(desired.min_ready_seconds, now),
            },
        };
        let members = snapshot.active_pods().map(classify).collect();
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
    /// from the moment the pod was chosen for it (`behaviour.md` 4.3).
    pub(crate) fn scales_as_new(&self, member: &Member<'_>) -> bool {
        member.fact.is_new
            || (self.features.preparing_update_as_update
                && member.pod.lifecycle_state() == LifecycleState::PreparingUpdate)
    }

    /// The pods as scaling counts them.
    pub(crate) fn scaling_facts(&self) -> impl Iterator<Item = PodFact> {
        self.members.iter().map(|member| PodFact {
            is_new: self.scales_as_new(member),
            ..member.fact
        })
    }
}
