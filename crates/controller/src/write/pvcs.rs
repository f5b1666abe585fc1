//! The writes of PVCs.
//!
//! A PVC of another owner is never written to. Order, and what to do about a failure, are the caller's to decide.

use crate::cache::decode::version_of;
use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use crate::write::error::WriteError;
use crate::write::owner::{Owner, preconditions};
use crate::write::writer::Target;
use crate::write::written::Written;
use cloneset_plan::{ClaimDeletion, ClaimHandOver, NewClaim};
use cloneset_status::Claim;
use kube::api::Patch;
use serde_json::json;

fn target(owner: &Owner<'_>) -> Target {
    Target::of::<Claim>(owner.namespace(), Kind::Pvc.resource())
}

fn done(stored: &Claim) -> Written {
    let expect = Expect::Version(version_of(&stored.metadata));
    Written::Done(PendingWrite::new(Kind::Pvc, stored.name(), stored.uid(), expect))
}

/// Creates a PVC. One of that name that the CloneSet controls, from a write whose answer was lost or from an earlier pod,
/// does as well; with any other, the name is taken.
pub(super) async fn create(owner: &Owner<'_>, pvc: &NewClaim) -> Result<Written, WriteError> {
    let manifest = pvc.manifest(owner.cloneset);
    match owner.writer.create::<Claim>(&target(owner), &manifest).await {
        Ok(stored) => Ok(done(&stored)),
        Err(WriteError::AlreadyExists) => match owner.read::<Claim>(&pvc.name).await? {
            Some(found) if found.controlling_cloneset() == Some(owner.uid()) && !found.is_terminating() => {
                Ok(done(&found))
            }
            Some(_) => Ok(Written::NameTaken),
            None => Err(WriteError::Conflict(
                "the PVC of that name is gone again".to_owned(),
            )),
        },
        Err(error) => Err(error),
    }
}

/// Deletes a PVC; while a pod uses it, it stays, terminating.
pub(super) async fn delete(owner: &Owner<'_>, pvc: &ClaimDeletion) -> Result<Written, WriteError> {
    let only_this = preconditions(&pvc.uid, Some(&pvc.resource_version));
    owner.writer.delete(&target(owner), &pvc.name, only_this).await?;
    Ok(Written::deleted(Kind::Pvc, &pvc.name, &pvc.uid))
}

/// Makes a pod the owner of a PVC instead of the CloneSet, so that both are deleted together.
pub(super) async fn hand_over(owner: &Owner<'_>, pvc: &ClaimHandOver) -> Result<Written, WriteError> {
    // Without blockOwnerDeletion, which would need a right on every pod's finalizers.
    let patch = Patch::Strategic(json!({"metadata": {
        "uid": pvc.uid,
        "resourceVersion": pvc.resource_version,
        "ownerReferences": [
            {"$patch": "delete", "uid": owner.uid()},
            {"apiVersion": "v1", "kind": "Pod", "name": pvc.pod_name, "uid": pvc.pod_uid, "controller": true},
        ],
    }}));
    let stored: Claim = owner
        .writer
        .patch(&target(owner), &pvc.name, None, &patch)
        .await?;
    Ok(done(&stored))
}
