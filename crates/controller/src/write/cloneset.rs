//! The writes to the CloneSet itself: its status, and the one list in its spec that the controller shortens.

use crate::cache::decode::{OnlyMetadata, version_of};
use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use crate::write::error::WriteError;
use crate::write::owner::Owner;
use crate::write::writer::Target;
use crate::write::written::Written;
use cloneset_api::{CloneSet, CloneSetStatus};
use cloneset_plan::Pruning;
use kube::api::Patch;
use serde_json::{Value, json};

fn pending(owner: &Owner<'_>, stored: &OnlyMetadata) -> PendingWrite {
    let expect = Expect::Version(version_of(&stored.metadata.0));
    PendingWrite::new(Kind::CloneSet, owner.name(), owner.uid(), expect)
}

/// Writes the status.
pub async fn patch_status(owner: &Owner<'_>, status: &CloneSetStatus) -> Result<PendingWrite, WriteError> {
    let target = Target::of::<CloneSet>(owner.namespace(), "clonesets/status");
    let metadata = &owner.cloneset.metadata;
    let patch = Patch::Merge(json!({
        "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version},
        "status": status,
    }));
    let stored = owner
        .writer
        .patch(&target, owner.name(), Some("status"), &patch)
        .await?;
    Ok(pending(owner, &stored))
}

/// Removes names of deleted pods from `podsToDelete`, if it still is the list that was read. The only write to a spec.
pub(super) async fn prune_names(owner: &Owner<'_>, names: &Pruning) -> Result<Written, WriteError> {
    let target = Target::of::<CloneSet>(owner.namespace(), "clonesets");
    let list = "/spec/scaleStrategy/podsToDelete";
    let change = if names.keep.is_empty() {
        json!({"op": "remove", "path": list})
    } else {
        json!({"op": "replace", "path": list, "value": names.keep})
    };
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": owner.uid()},
        {"op": "test", "path": list, "value": names.read},
        change,
    ]);
    let patch = serde_json::from_value(patch).map_err(|error| WriteError::Malformed(error.to_string()))?;
    let stored = owner
        .writer
        .patch(&target, owner.name(), None, &Patch::Json::<Value>(patch))
        .await?;
    Ok(Written::Done(pending(owner, &stored)))
}
