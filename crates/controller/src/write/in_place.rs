//! The writes that change a pod without replacing it: taken out of service, changed, put into service.
//!
//! Gate, labels and annotations go in one patch of `pods/status`, which may carry all of them. Each patch names the
//! pod's UID, and its resourceVersion where the pod was chosen for its state.

use crate::write::error::WriteError;
use crate::write::owner::Owner;
use crate::write::pods::{pending, target};
use crate::write::written::Written;
use cloneset_api::names::{pod_conditions, pod_reasons};
use cloneset_plan::MetadataChange;
use cloneset_plan::manifest::rfc3339;
use cloneset_plan::{InPlaceChange, InService, OutOfService};
use cloneset_status::Pod;
use kube::api::Patch;
use serde_json::{Map, Value, json};

/// Sets the gate True, and labels and annotations, in one request.
pub(super) async fn put_in_service(owner: &Owner<'_>, pod: &InService) -> Result<Written, WriteError> {
    patch_status(owner, &pod.name, in_service_patch(pod)).await
}

/// Sets the gate and Ready False, and labels and annotations, in one request.
pub(super) async fn take_out_of_service(
    owner: &Owner<'_>,
    pod: &OutOfService,
) -> Result<Written, WriteError> {
    patch_status(owner, &pod.name, out_of_service_patch(pod)).await
}

/// Changes the pod; resources first, through their own subresource.
pub(super) async fn change(owner: &Owner<'_>, change: &InPlaceChange) -> Result<Written, WriteError> {
    let writer = &owner.writer;
    if !change.resources.is_empty() {
        let resize = Patch::Strategic(resize_patch(change));
        let target = target(owner, "pods/resize");
        let _: Pod = writer
            .patch(&target, &change.name, Some("resize"), &resize)
            .await?;
    }
    let patch = Patch::Strategic(change_patch(change));
    let stored: Pod = writer
        .patch(&target(owner, "pods"), &change.name, None, &patch)
        .await?;
    Ok(Written::Done(pending(&stored)))
}

async fn patch_status(owner: &Owner<'_>, name: &str, patch: Value) -> Result<Written, WriteError> {
    let target = target(owner, "pods/status");
    let patch = Patch::Strategic(patch);
    let stored: Pod = owner.writer.patch(&target, name, Some("status"), &patch).await?;
    Ok(Written::Done(pending(&stored)))
}

fn metadata(uid: &str, resource_version: Option<&str>, change: &MetadataChange) -> Map<String, Value> {
    let mut metadata = change.strategic();
    metadata.insert("uid".to_owned(), json!(uid));
    if let Some(version) = resource_version {
        metadata.insert("resourceVersion".to_owned(), json!(version));
    }
    metadata
}

fn in_service_patch(pod: &InService) -> Value {
    let metadata = metadata(&pod.uid, pod.resource_version.as_deref(), &pod.metadata);
    if !pod.gate {
        return json!({"metadata": metadata});
    }
    json!({
        "metadata": metadata,
        "status": {"conditions": [{
            "type": pod_conditions::IN_PLACE_UPDATE_READY,
            "status": "True",
            "reason": null,
            "message": null,
            "lastTransitionTime": rfc3339(pod.at),
        }]},
    })
}

fn out_of_service_patch(pod: &OutOfService) -> Value {
    let metadata = metadata(&pod.uid, Some(&pod.resource_version), &pod.metadata);
    let Some(reason) = pod.gate else {
        return json!({"metadata": metadata});
    };
    let at = rfc3339(pod.at);
    let mut conditions = vec![json!({
        "type": pod_conditions::IN_PLACE_UPDATE_READY,
        "status": "False",
        "reason": reason,
        "lastTransitionTime": at,
    })];
    if pod.unready {
        let gate = pod_conditions::IN_PLACE_UPDATE_READY;
        conditions.push(json!({
            "type": pod_conditions::READY,
            "status": "False",
            "reason": pod_reasons::READINESS_GATES_NOT_READY,
            // The kubelet's own message.
            "message": format!("the status of pod readiness gate {gate:?} is not \"True\", but False"),
            "lastTransitionTime": at,
        }));
    }
    json!({"metadata": metadata, "status": {"conditions": conditions}})
}

fn resize_patch(change: &InPlaceChange) -> Value {
    let container = |(name, resources)| json!({"name": name, "resources": resources});
    let containers: Vec<Value> = change.resources.iter().map(container).collect();
    json!({
        "metadata": {"uid": change.uid, "resourceVersion": change.resource_version},
        "spec": {"containers": containers},
    })
}

fn change_patch(change: &InPlaceChange) -> Value {
    // After a resize the kubelet writes the status at once; a conflict with that write would only repeat the resize.
    let version = change
        .resources
        .is_empty()
        .then_some(change.resource_version.as_str());
    let metadata = metadata(&change.uid, version, &change.metadata);
    if change.images.is_empty() {
        return json!({"metadata": metadata});
    }
    let container = |(name, image)| json!({"name": name, "image": image});
    let containers: Vec<Value> = change.images.iter().map(container).collect();
    json!({"metadata": metadata, "spec": {"containers": containers}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn regression_42_ready_turns_false_in_the_same_write_as_the_gate_and_never_true() {
        let pod = OutOfService {
            name: "web-0".to_owned(),
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            gate: Some(pod_reasons::START_IN_PLACE_UPDATE),
            unready: true,
            metadata: MetadataChange {
                labels: BTreeMap::from([("a".to_owned(), Some("b".to_owned())), ("c".to_owned(), None)]),
                ..MetadataChange::default()
            },
            why: cloneset_plan::OutReason::InPlaceUpdate,
            at: jiff::Timestamp::UNIX_EPOCH,
        };
        assert_eq!(
            out_of_service_patch(&pod),
            json!({
                "metadata": {"uid": "u", "resourceVersion": "7", "labels": {"a": "b", "c": null}},
                "status": {"conditions": [
                    {"type": "InPlaceUpdateReady", "status": "False", "reason": "StartInPlaceUpdate",
                     "lastTransitionTime": "1970-01-01T00:00:00Z"},
                    {"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady",
                     "message": "the status of pod readiness gate \"InPlaceUpdateReady\" is not \"True\", but False",
                     "lastTransitionTime": "1970-01-01T00:00:00Z"},
                ]}
            })
        );
        let held = OutOfService {
            gate: None,
            unready: false,
            ..pod
        };
        assert_eq!(out_of_service_patch(&held).get("status"), None);
        let served = InService {
            name: held.name,
            uid: held.uid,
            resource_version: None,
            gate: true,
            metadata: held.metadata,
            at: held.at,
        };
        let patch = in_service_patch(&served);
        let [only] = patch["status"]["conditions"].as_array().unwrap().as_slice() else {
            panic!("{patch}")
        };
        assert_eq!(
            only["type"], "InPlaceUpdateReady",
            "Ready=True is the kubelet's to say"
        );
    }

    #[test]
    fn a_change_goes_by_the_version_it_was_decided_on_and_after_a_resize_by_the_uid() {
        let mut change = InPlaceChange {
            name: "web-0".to_owned(),
            uid: "u".to_owned(),
            resource_version: "7".to_owned(),
            revision: "web-new".to_owned(),
            images: BTreeMap::from([("main".to_owned(), "web:v2".to_owned())]),
            resources: BTreeMap::new(),
            metadata: MetadataChange::default(),
            begins: false,
        };
        let containers = json!([{"name": "main", "image": "web:v2"}]);
        assert_eq!(
            change_patch(&change),
            json!({"metadata": {"uid": "u", "resourceVersion": "7"}, "spec": {"containers": containers}})
        );
        change
            .resources
            .insert("main".to_owned(), cloneset_status::facts::Resources::default());
        assert_eq!(
            change_patch(&change),
            json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}})
        );
        assert_eq!(resize_patch(&change)["metadata"]["resourceVersion"], "7");
    }
}
