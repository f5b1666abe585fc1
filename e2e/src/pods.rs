//! Pods as somebody outside the controller sees them.
//!
//! Deliberately not built on the controller's own reading of pods: a mistake there must not hide itself here.

use cloneset_api::names::{KIND, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use kube::ResourceExt as _;
use std::collections::BTreeMap;

/// The UID of the CloneSet that controls a pod.
pub fn controller_uid(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.as_ref()?;
    let owner = owners
        .iter()
        .find(|owner| owner.controller == Some(true) && owner.kind == KIND)?;
    Some(&owner.uid)
}

/// Neither terminating nor finished.
pub fn is_live(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// A condition of a pod by its type.
pub fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// When a pod became ready, if it is.
pub fn ready_since(pod: &Pod) -> Option<Timestamp> {
    let ready = condition(pod, "Ready").filter(|ready| ready.status == "True")?;
    ready.last_transition_time.as_ref().map(|time| time.0)
}

/// Live, and ready for at least so long.
pub fn is_available(pod: &Pod, min_ready: SignedDuration, now: Timestamp) -> bool {
    is_live(pod) && ready_since(pod).is_some_and(|since| now.duration_since(since) >= min_ready)
}

/// The image of the first container, as the spec says it.
pub fn image(pod: &Pod) -> &str {
    let container = pod.spec.as_ref().and_then(|spec| spec.containers.first());
    container
        .and_then(|container| container.image.as_deref())
        .unwrap_or_default()
}

/// The revision label.
pub fn revision(pod: &Pod) -> &str {
    pod.labels().get(labels::REVISION).map_or("", String::as_str)
}

/// What must stay as it is when a pod is left alone. A restart or a new readiness is not a change made to the
/// pod, so the status is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// First image.
    pub image: String,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Being deleted?
    pub terminating: bool,
}

impl Identity {
    /// Of one pod.
    pub fn of(pod: &Pod) -> Self {
        Self {
            name: pod.name_any(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            image: image(pod).to_owned(),
            generation: pod.metadata.generation,
            labels: pod.labels().clone(),
            annotations: pod.annotations().clone(),
            terminating: pod.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Of several, in a fixed order.
    pub fn of_all(pods: &[Pod]) -> Vec<Self> {
        let mut all: Vec<_> = pods.iter().map(Self::of).collect();
        all.sort();
        all
    }
}

/// Names and images in a line, for messages.
pub fn outline(pods: &[Pod]) -> String {
    let one = |pod: &Pod| {
        let ready = if ready_since(pod).is_some() {
            "ready"
        } else {
            "not ready"
        };
        let going = if pod.metadata.deletion_timestamp.is_some() {
            ", terminating"
        } else {
            ""
        };
        format!("{} ({}, {ready}{going})", pod.name_any(), image(pod))
    };
    let mut all: Vec<_> = pods.iter().map(one).collect();
    all.sort();
    if all.is_empty() {
        "no pods".to_owned()
    } else {
        all.join(", ")
    }
}
