//! The writes of claims: one for each action, with its preconditions, and what it leaves behind.
//!
//! A claim of somebody else is never written to. Order, and what to do about failures, are `act`'s business.

use crate::cache::index::Kind;
use crate::cache::owned::version_of;
use crate::cache::pending::{Expect, Mark};
use crate::run::Context;
use crate::write::perform::{Written, look, namespace, preconditions, uid};
use crate::write::writer::{self, Target, WriteError};
use cloneset_api::CloneSet;
use cloneset_plan::{ClaimDeletion, ClaimHandOver, NewClaim};
use cloneset_status::Claim;
use kube::api::Patch;
use serde_json::json;

fn target(cloneset: &CloneSet) -> Target {
    Target::of::<Claim>(namespace(cloneset), Kind::Claim.resource())
}

fn made(claim: &Claim) -> Written {
    let expect = Expect::Version(version_of(claim));
    Written::marked(Mark::new(Kind::Claim, claim.name(), claim.uid(), expect))
}

/// Creates a claim. One of that name that is ours, from a write whose answer was lost or from an earlier life, does as
/// well; with any other, the instance id is taken.
pub async fn create(context: &Context, cloneset: &CloneSet, claim: &NewClaim) -> Result<Written, WriteError> {
    let manifest = claim.manifest(cloneset);
    match writer::create::<Claim>(context, &target(cloneset), &manifest).await {
        Ok(stored) => Ok(made(&stored)),
        Err(WriteError::AlreadyExists) => match look::<Claim>(context, cloneset, &claim.name).await? {
            Some(found) if found.controlling_cloneset() == Some(uid(cloneset)) && !found.is_terminating() => {
                Ok(made(&found))
            }
            Some(_) => Ok(Written::taken(&claim.id)),
            None => Err(WriteError::Raced("the claim in the way has gone".to_owned())),
        },
        Err(error) => Err(error),
    }
}

/// Deletes a claim; while a pod uses it, it stays, terminating.
pub async fn delete(
    context: &Context,
    cloneset: &CloneSet,
    claim: &ClaimDeletion,
) -> Result<Written, WriteError> {
    let only_this = preconditions(&claim.uid, Some(&claim.resource_version));
    writer::delete(context, &target(cloneset), &claim.name, only_this).await?;
    Ok(Written::marked(Mark::new(
        Kind::Claim,
        &claim.name,
        &claim.uid,
        Expect::Leaving,
    )))
}

/// Puts a pod in our place as the owner that a claim goes with.
pub async fn hand_over(
    context: &Context,
    cloneset: &CloneSet,
    claim: &ClaimHandOver,
) -> Result<Written, WriteError> {
    // Without blockOwnerDeletion, which would need a right on every pod's finalizers.
    let patch = Patch::Strategic(json!({"metadata": {
        "uid": claim.uid,
        "resourceVersion": claim.resource_version,
        "ownerReferences": [
            {"$patch": "delete", "uid": uid(cloneset)},
            {"apiVersion": "v1", "kind": "Pod", "name": claim.pod_name, "uid": claim.pod_uid, "controller": true},
        ],
    }}));
    let stored: Claim = writer::patch(context, &target(cloneset), &claim.name, None, &patch).await?;
    Ok(made(&stored))
}
