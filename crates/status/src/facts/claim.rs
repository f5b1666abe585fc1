//! A volume claim as we see it: whose it is, and of which instance.
//!
//! Holds no size and no class: what a claim should look like is its template's to say, and it is never changed.

use super::controlling_cloneset;
use super::parse::without_managed_fields;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

/// A PersistentVolumeClaim, reduced to what deciding needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Claim {
    /// Identity, labels, owners. Managed fields are skipped.
    #[serde(deserialize_with = "without_managed_fields")]
    pub metadata: ObjectMeta,
    /// Why only the metadata could be read, if so.
    #[serde(skip)]
    pub unreadable: Option<Box<str>>,
}

impl Claim {
    /// The claim's name; empty only in broken input.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The claim's UID; empty only in broken input.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Has it been asked to go away?
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The id of the instance it belongs to: what its name says, because a pod mounts it by its name and anybody may
    /// edit its label. `None` for a name that no instance of this CloneSet has.
    pub fn instance_of(&self, cloneset: &str) -> Option<&str> {
        let (rest, id) = self.name().rsplit_once('-')?;
        rest.strip_suffix(cloneset)?.ends_with('-').then_some(id)
    }

    /// UID of the CloneSet that controls it, if one does.
    pub fn controlling_cloneset(&self) -> Option<&str> {
        controlling_cloneset(&self.metadata)
    }
}
