//! An active pod, classified once: what most steps of a reconcile ask of it.
//!
//! Holds no decision. `context` says why each question is asked of many pods before the next one.

use crate::desired::Desired;
use crate::diff::PodFact;
use crate::of_pod::OfPod;
use crate::revision::Revisions;
use crate::service::is_settled;
use crate::snapshot::{Creation, Snapshot};
use crate::templates::Templates;
use cloneset_api::names::labels;
use cloneset_status::facts::is_revision;
use cloneset_status::{LifecycleState, Pod};
use jiff::Timestamp;
use std::collections::BTreeMap;

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
    pub(crate) fn of(pod: &'a Pod) -> Self {
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

    pub(crate) fn read_state(&mut self) {
        self.state = self.pod.lifecycle_state();
        self.fact.preparing_delete = self.state == LifecycleState::PreparingDelete;
        self.fact.preparing_update = self.state == LifecycleState::PreparingUpdate;
        self.fact.in_service = matches!(
            self.state,
            LifecycleState::Unset | LifecycleState::Normal | LifecycleState::PreparingUpdate
        );
    }

    pub(crate) fn read_labels(
        &mut self,
        snapshot: &Snapshot,
        desired: &Desired,
        revisions: &Revisions,
        templates: &Templates<'_>,
    ) {
        let pod = self.pod;
        let revision = pod.label(labels::REVISION).unwrap_or_default();
        self.fact.is_new = revisions.is_update(revision);
        self.is_current = is_revision(revision, &revisions.current.name);
        self.fact.specified_delete =
            pod.is_marked_for_deletion() || desired.pods_to_delete.contains(pod.name());
        self.fact.released = is_taken_out(snapshot, desired, templates, pod);
        self.kept = pod.unreadable.is_some() || snapshot.kept_pods.contains(pod.name());
    }

    pub(crate) fn read_health(&mut self, desired: &Desired, now: Timestamp) {
        self.available = self.pod.is_available(desired.min_ready_seconds, now);
        self.fact.available = self.available && !self.fact.released;
        self.ready = self.available || self.pod.is_ready();
        self.fact.serves = self.ready && !self.fact.preparing_delete && !self.fact.released;
    }

    pub(crate) fn read_rest(&mut self) {
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

/// Did a user take the pod out by its labels?
fn is_taken_out(snapshot: &Snapshot, desired: &Desired, templates: &Templates<'_>, pod: &Pod) -> bool {
    let Some(selector) = &desired.selector else {
        return false;
    };
    // What could not be replaced is not given up.
    if snapshot.creation == Creation::Stopped {
        return false;
    }
    let none = BTreeMap::new();
    !selector.matches(pod.metadata.labels.as_ref().unwrap_or(&none))
        && made_with(templates, pod).is_some_and(|labels| selector.matches(&labels))
}

/// The labels that its revision gave a pod. A pod that never matched was not taken out: then it is the selector that
/// was changed, and to let go of every pod at once would be the end of the service.
fn made_with(templates: &Templates<'_>, pod: &Pod) -> Option<BTreeMap<String, String>> {
    let labels = templates.of(pod)?.pointer("/metadata/labels")?.as_object()?;
    let text = |(key, value): (&String, &serde_json::Value)| Some((key.clone(), value.as_str()?.to_owned()));
    Some(labels.iter().filter_map(text).collect())
}
