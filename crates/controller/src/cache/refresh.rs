//! Reads single objects live and records in the index what that shows: its present state, or that it is gone.
//!
//! Only for objects that no watch showed in time. What a failed read means is the caller's to decide.

use crate::cache::decode::{Known, Record};
use crate::cache::index::{Index, Sink as _};
use crate::cache::list;
use crate::key::{Key, Kind};
use crate::live::ReadError;
use cloneset_status::{Claim, Pod, Revision};
use kube::Client;

/// A live read that failed.
#[derive(Debug, thiserror::Error)]
#[error("reading {resource} {name} live")]
pub struct LiveReadError {
    resource: &'static str,
    name: String,
    source: ReadError,
}

impl LiveReadError {
    /// Adds what was read to the reason.
    pub fn of(kind: Kind, name: &str) -> impl FnOnce(ReadError) -> Self {
        let (resource, name) = (kind.resource(), name.to_owned());
        move |source| Self {
            resource,
            name,
            source,
        }
    }
}

/// Reads the object with this name and UID, and updates the index.
pub async fn refresh(
    client: &Client,
    index: &Index,
    kind: Kind,
    object: &Key,
    uid: &str,
) -> Result<(), LiveReadError> {
    match kind {
        Kind::Pod => match get::<Pod>(client, kind, object).await? {
            Some(pod) if pod.uid() == uid => _ = index.refresh(pod),
            _ => _ = index.drop_dependent(kind, uid),
        },
        Kind::Revision => match get::<Revision>(client, kind, object).await? {
            Some(revision) if revision.uid() == uid => _ = index.refresh(revision),
            _ => _ = index.drop_dependent(kind, uid),
        },
        Kind::Pvc => match get::<Claim>(client, kind, object).await? {
            Some(pvc) if pvc.uid() == uid => _ = index.refresh(pvc),
            _ => _ = index.drop_dependent(kind, uid),
        },
        Kind::CloneSet => match get::<Known>(client, kind, object).await? {
            Some(cloneset) => _ = index.refresh(cloneset),
            None => index.drop_cloneset(object, uid),
        },
    }
    Ok(())
}

async fn get<R: Record>(client: &Client, kind: Kind, object: &Key) -> Result<Option<R>, LiveReadError> {
    list::get(client, &object.namespace, &object.name)
        .await
        .map_err(LiveReadError::of(kind, &object.name))
}
