//! What is written on a stored pod, read field by field.
//!
//! The judges must not repeat a mistake of the code they judge, so they use these and not the methods of
//! `cloneset_status::Pod`. No rule is applied here.

use cloneset_api::names::{labels, pod_conditions};
use cloneset_status::Pod;
use serde_json::Value;

pub(crate) fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The lifecycle state; empty without the label.
pub(crate) fn state(pod: &Pod) -> &str {
    label(pod, labels::LIFECYCLE_STATE).unwrap_or_default()
}

pub(crate) fn annotation<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn has_finalizer(pod: &Pod, finalizer: &str) -> bool {
    let finalizers = pod.metadata.finalizers.iter().flatten();
    finalizers.into_iter().any(|found| found == finalizer)
}

pub(crate) fn has_node(pod: &Pod) -> bool {
    pod.spec.node_name.as_ref().is_some_and(|node| !node.is_empty())
}

/// Is a condition of this type True?
pub(crate) fn is_true(pod: &Pod, type_: &str) -> bool {
    let mut conditions = pod.status.conditions.iter();
    conditions.any(|condition| condition.type_ == type_ && condition.status == "True")
}

/// Does the kubelet ask for our gate before it calls the pod Ready?
pub(crate) fn has_gate(pod: &Pod) -> bool {
    let mut gates = pod.spec.readiness_gates.iter();
    gates.any(|gate| gate.condition_type == pod_conditions::IN_PLACE_UPDATE_READY)
}

/// UID of the controller.
pub(crate) fn owner(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let mut controllers = owners.filter(|owner| owner.controller == Some(true));
    controllers.next().map(|owner| owner.uid.as_str())
}

/// Does the pod carry this revision, by its full name or by the hash at its end?
pub(crate) fn carries(pod: &Pod, revision: &str) -> bool {
    let Some(carried) = label(pod, labels::REVISION) else {
        return false;
    };
    let hash = revision.rsplit('-').next().unwrap_or_default();
    carried == revision || carried == hash
}

/// A template's container, with its place among them.
pub(crate) fn containers(template: &Value) -> impl Iterator<Item = &Value> {
    let spec = template.get("spec");
    let list = spec.and_then(|spec| spec.get("containers"));
    list.and_then(Value::as_array).into_iter().flatten()
}

pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or_default()
}
