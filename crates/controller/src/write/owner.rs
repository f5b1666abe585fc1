//! The CloneSet whose objects are written, with what its writes need.
//!
//! It names and reads; what is written is decided in the files of each kind.

use crate::cache::decode::Record;
use crate::cache::index::Index;
use crate::cache::list;
use crate::chain::Chain;
use crate::clock::Clock;
use crate::write::error::WriteError;
use crate::write::writer::ReconcileWriter;
use cloneset_api::CloneSet;
use kube::api::Preconditions;

/// Writes for one CloneSet.
pub struct Owner<'a> {
    /// Sends the writes.
    pub writer: ReconcileWriter<'a>,
    /// Learns at once of objects that no watch may show.
    pub index: &'a Index,
    /// Dates new objects.
    pub clock: &'a Clock,
    /// The CloneSet.
    pub cloneset: &'a CloneSet,
}

impl Owner<'_> {
    /// The namespace of the CloneSet and of everything that it owns.
    pub fn namespace(&self) -> Option<&str> {
        self.cloneset.metadata.namespace.as_deref()
    }

    /// The name of the CloneSet.
    pub fn name(&self) -> &str {
        self.cloneset.metadata.name.as_deref().unwrap_or_default()
    }

    /// The UID of the CloneSet.
    pub fn uid(&self) -> &str {
        self.cloneset.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Reads the object of that name live.
    pub(super) async fn read<R: Record>(&self, name: &str) -> Result<Option<R>, WriteError> {
        list::get(self.writer.client(), self.namespace().unwrap_or_default(), name)
            .await
            .map_err(|error| WriteError::Unclear(Chain(&error).to_string()))
    }
}

/// Preconditions that bind a delete to one object, and to one version of it if that is given.
pub(super) fn preconditions(uid: &str, resource_version: Option<&str>) -> Preconditions {
    Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: resource_version.map(str::to_owned),
    }
}
