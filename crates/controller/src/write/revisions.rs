//! The writes of ControllerRevisions.
//!
//! A revision of another owner is never written to.

use crate::cache::decode::version_of;
use crate::cache::index::Sink as _;
use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use crate::write::error::WriteError;
use crate::write::owner::{Owner, preconditions};
use crate::write::writer::Target;
use crate::write::written::Written;
use cloneset_api::names::labels;
use cloneset_plan::normalise::canonical_text;
use cloneset_plan::{NewRevision, RevisionUpdate, RevisionWrite, owner_reference};
use cloneset_status::Revision;
use cloneset_status::facts::short_revision;
use kube::api::Patch;
use serde_json::json;

fn target(owner: &Owner<'_>) -> Target {
    Target::of::<Revision>(owner.namespace(), Kind::Revision.resource())
}

fn done(stored: &Revision) -> Written {
    let expect = Expect::Version(version_of(&stored.metadata));
    Written::Done(PendingWrite::new(
        Kind::Revision,
        stored.name(),
        stored.uid(),
        expect,
    ))
}

/// Creates or updates a revision; `NameTaken` when a revision with other content has the name.
pub async fn write(owner: &Owner<'_>, write: &RevisionWrite) -> Result<Written, WriteError> {
    match write {
        RevisionWrite::Create(new) => create(owner, new).await,
        RevisionWrite::Update(change) => update(owner, change).await,
    }
}

async fn create(owner: &Owner<'_>, new: &NewRevision) -> Result<Written, WriteError> {
    let manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": new.name,
            "namespace": owner.namespace(),
            "labels": new.labels,
            "annotations": new.annotations,
            "ownerReferences": [owner_reference(owner.cloneset)],
        },
        "data": new.data,
        "revision": new.number,
    });
    match owner.writer.create::<Revision>(&target(owner), &manifest).await {
        Ok(stored) => Ok(done(&stored)),
        Err(WriteError::AlreadyExists) => found(owner, new).await,
        Err(error) => Err(error),
    }
}

/// A revision of that name exists: ours with the same content, from a write whose answer was lost, or not.
async fn found(owner: &Owner<'_>, new: &NewRevision) -> Result<Written, WriteError> {
    let Some(found) = owner.read::<Revision>(&new.name).await? else {
        return Err(WriteError::Conflict(
            "the revision of that name is gone again".to_owned(),
        ));
    };
    let wanted = new.data.pointer("/spec/template").map(canonical_text);
    let is_same = found.template().as_ref().map(canonical_text) == wanted;
    if !is_same || found.controlling_cloneset() != Some(owner.uid()) {
        return Ok(Written::NameTaken);
    }
    let mut labels = found.metadata.labels.iter().flatten();
    if labels.any(|(key, _)| key == labels::REVISION_HASH) {
        return Ok(done(&found));
    }
    // No watch shows it without its label.
    let label = json!({"metadata": {"uid": found.metadata.uid,
                                    "labels": {labels::REVISION_HASH: short_revision(found.name())}}});
    let stored: Revision = owner
        .writer
        .patch(&target(owner), found.name(), None, &Patch::Merge(label))
        .await?;
    owner.index.refresh(stored.clone());
    Ok(done(&stored))
}

/// Changes what is recorded on a revision beside its data: its place in the history and annotations.
async fn update(owner: &Owner<'_>, update: &RevisionUpdate) -> Result<Written, WriteError> {
    let mut patch = json!({"metadata": {"uid": update.uid, "annotations": update.annotations}});
    if let (Some(fields), Some(number)) = (patch.as_object_mut(), update.number) {
        fields.insert("revision".to_owned(), json!(number));
    }
    let stored: Revision = owner
        .writer
        .patch(&target(owner), &update.name, None, &Patch::Merge(patch))
        .await?;
    Ok(done(&stored))
}

/// Deletes a revision that nothing uses.
pub(super) async fn delete(owner: &Owner<'_>, name: &str, uid: &str) -> Result<Written, WriteError> {
    owner
        .writer
        .delete(&target(owner), name, preconditions(uid, None))
        .await?;
    Ok(Written::deleted(Kind::Revision, name, uid))
}
