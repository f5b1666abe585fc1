//! Is a pod in service, and the write that takes it out of service.
//!
//! Read from the pod alone: its lifecycle state, its readiness gate, and the records of an in-place update. Which pods leave
//! service, and when, is decided elsewhere.

use crate::action::{OutOfService, OutReason};
use crate::manifest::rfc3339;
use crate::metadata::MetadataChange;
use cloneset_api::names::{annotations, labels, pod_conditions};
use cloneset_status::facts::short_revision;
use cloneset_status::{LifecycleState, Pod};
use jiff::Timestamp;

/// Writes down that a pod enters a state.
pub(crate) fn enter(metadata: &mut MetadataChange, state: &str, now: Timestamp) {
    metadata.label(labels::LIFECYCLE_STATE, state);
    metadata.annotation(annotations::LIFECYCLE_TIMESTAMP, rfc3339(now));
}

/// A pod leaves service; with a `reason` its gate closes too, if it has one that is not closed already.
pub(crate) fn out_of_service(
    pod: &Pod,
    reason: Option<&'static str>,
    metadata: MetadataChange,
    why: OutReason,
    now: Timestamp,
) -> OutOfService {
    let is_closed = pod
        .condition(pod_conditions::IN_PLACE_UPDATE_READY)
        .is_some_and(|gate| gate.status == "False");
    let gate = reason.filter(|_| pod.has_in_place_gate() && !is_closed);
    OutOfService {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
        gate,
        unready: gate.is_some() && pod.condition_is_true(pod_conditions::READY),
        metadata,
        why,
        at: now,
    }
}

/// Is a pod in service, open and complete, with no update under way? Then it needs no step; of most pods that is so.
pub(crate) fn is_settled(pod: &Pod, state: LifecycleState) -> bool {
    matches!(state, LifecycleState::Unset | LifecycleState::Normal)
        && !has_closed_gate(pod)
        && !is_under_way(pod)
        && lost_labels(pod).is_empty()
}

/// Has it our readiness gate, and is that anything but True?
pub(crate) fn has_closed_gate(pod: &Pod) -> bool {
    !pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY) && pod.has_in_place_gate()
}

/// Labels that a pod of ours must carry and has lost: without the instance id no watch of ours shows it.
pub(crate) fn lost_labels(pod: &Pod) -> MetadataChange {
    let mut lost = MetadataChange::default();
    if pod.instance_id().is_none()
        && let Some(id) = pod.named_id()
    {
        lost.label(labels::INSTANCE_ID, id);
    }
    if pod.label(labels::POD_TEMPLATE_HASH).is_none()
        && let Some(revision) = pod.label(labels::REVISION)
    {
        lost.label(labels::POD_TEMPLATE_HASH, short_revision(revision));
    }
    lost
}

/// Is there an update under way that has not been seen through? Cheap for a pod in service: nothing is parsed.
///
/// A pod in service whose gate is open is not touched because of what another controller wrote on it.
pub(crate) fn is_under_way(pod: &Pod) -> bool {
    let state = pod.lifecycle_state();
    if state == LifecycleState::Updating {
        return true;
    }
    let gate = pod.condition(pod_conditions::IN_PLACE_UPDATE_READY);
    let gate = gate.map(|gate| gate.status.as_str());
    if gate == Some("True") {
        return false;
    }
    let in_service = matches!(state, LifecycleState::Unset | LifecycleState::Normal);
    // Closed for an update whose annotations another controller removed.
    let was_closed = in_service && gate == Some("False") && pod.has_in_place_gate();
    was_closed || has_spec(pod) || has_state(pod)
}

/// Does an annotation say that something is still to be changed?
pub(crate) fn has_spec(pod: &Pod) -> bool {
    [annotations::IN_PLACE_GRACE, annotations::LEGACY_IN_PLACE_GRACE]
        .iter()
        .any(|key| pod.annotation(key).is_some())
}

/// Does an annotation say how far an update is, or was?
pub(crate) fn has_state(pod: &Pod) -> bool {
    [annotations::IN_PLACE_STATE, annotations::LEGACY_IN_PLACE_STATE]
        .iter()
        .any(|key| pod.annotation(key).is_some())
}
