//! The writes that create, delete and release pods.
//!
//! Each write has its preconditions. Order, concurrency, and what to do about a failure are the caller's to decide.

use crate::cache::decode::version_of;
use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use crate::write::error::WriteError;
use crate::write::owner::{Owner, preconditions};
use crate::write::writer::Target;
use crate::write::written::Written;
use cloneset_api::names::labels;
use cloneset_plan::{NewPod, PodDeletion, Release};
use cloneset_status::{Pod, Runaway};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::Patch;
use serde_json::{Value, json};

/// Pods, or a subresource of pods, in the namespace of the CloneSet.
pub(super) fn target(owner: &Owner<'_>, resource: &'static str) -> Target {
    Target::of::<Pod>(owner.namespace(), resource)
}

/// The write is pending until the cache shows this pod.
pub(super) fn pending(stored: &Pod) -> PendingWrite {
    let expect = Expect::Version(version_of(&stored.metadata));
    PendingWrite::new(Kind::Pod, stored.name(), stored.uid(), expect)
}

/// Creates a pod.
pub(super) async fn create(owner: &Owner<'_>, pod: &NewPod) -> Result<Written, WriteError> {
    let manifest = pod.manifest(owner.cloneset, (owner.clock)());
    let stored: Result<Pod, WriteError> = owner.writer.create(&target(owner, "pods"), &manifest).await;
    match stored {
        Ok(stored) => {
            let altered = altered(owner, pod, &manifest, &stored);
            let pending = pending(&stored);
            if altered.is_some() {
                // No watch may show it; if the CloneSet controls it all the same, it has to count.
                owner.index.add_unwatched(stored);
            }
            Ok(Written::PodCreated { pending, altered })
        }
        Err(WriteError::AlreadyExists) => found(owner, pod).await,
        Err(error) => Err(error),
    }
}

/// A pod of that name exists: our own from a write whose answer was lost, or another owner's. Only a live read shows which.
async fn found(owner: &Owner<'_>, pod: &NewPod) -> Result<Written, WriteError> {
    match owner.read::<Pod>(&pod.name).await? {
        Some(found) if found.controlling_cloneset() == Some(owner.uid()) && found.is_active() => {
            // It may have lost the label that the watch selects: then it must be read live, not waited for.
            let pending = pending(&found);
            owner.index.add_unwatched(found);
            Ok(Written::Done(pending))
        }
        Some(_) => Ok(Written::NameTaken),
        None => Err(WriteError::Conflict(
            "the pod of that name is gone again".to_owned(),
        )),
    }
}

/// Whether the API server stored a pod without the owner reference or the labels that tie it to its CloneSet: then no
/// number of pods would ever be enough. An admission webhook may change anything else.
pub(super) fn altered(owner: &Owner<'_>, pod: &NewPod, sent: &Value, stored: &Pod) -> Option<Runaway> {
    if stored.controlling_cloneset() == Some(owner.uid()) {
        let what = altered_label(&owner.cloneset.spec.selector, sent, stored)?;
        Some(Runaway::altered(&pod.name, &what))
    } else {
        Some(Runaway::altered(&pod.name, "without our owner reference"))
    }
}

/// The first label that was changed among those that the controller selects pods by.
fn altered_label(selector: &LabelSelector, sent: &Value, stored: &Pod) -> Option<String> {
    let sent = sent.pointer("/metadata/labels")?.as_object()?;
    let equals = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let rules = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|rule| rule.key.as_str());
    let ours = [labels::INSTANCE_ID, labels::REVISION].into_iter();
    let key = ours
        .chain(equals)
        .chain(rules)
        .find(|&key| stored.label(key) != sent.get(key).and_then(Value::as_str))?;
    Some(match stored.label(key) {
        Some(value) => format!("with another value of label {key} ({value})"),
        None => format!("without label {key}"),
    })
}

/// Deletes exactly the pod that was chosen, if it still is as it was.
pub(super) async fn delete(owner: &Owner<'_>, deletion: &PodDeletion) -> Result<Written, WriteError> {
    let only_this = preconditions(&deletion.uid, Some(&deletion.resource_version));
    owner
        .writer
        .delete(&target(owner, "pods"), &deletion.name, only_this)
        .await?;
    Ok(Written::deleted(Kind::Pod, &deletion.name, &deletion.uid))
}

/// Removes the owner reference of the CloneSet from a pod, and no other.
pub(super) async fn release(owner: &Owner<'_>, pod: &Release) -> Result<Written, WriteError> {
    let patch = Patch::Strategic(json!({"metadata": {
        "uid": pod.uid,
        "resourceVersion": pod.resource_version,
        "ownerReferences": [{"$patch": "delete", "uid": owner.uid()}],
    }}));
    let stored: Pod = owner
        .writer
        .patch(&target(owner, "pods"), &pod.name, None, &patch)
        .await?;
    Ok(Written::Done(pending(&stored)))
}
