//! The kinds of objects in the index, and what a list of one of them shows.
//!
//! Words only: nothing is kept here.

use super::Key;
use std::collections::BTreeMap;

/// The kinds of objects we keep. Versions are compared only within one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// CloneSets.
    CloneSet,
    /// Pods.
    Pod,
    /// ControllerRevisions.
    Revision,
    /// PersistentVolumeClaims.
    Claim,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::CloneSet, Self::Pod, Self::Revision, Self::Claim];

    /// The resource's name, for metrics and logs.
    pub fn resource(self) -> &'static str {
        match self {
            Self::CloneSet => "clonesets",
            Self::Pod => "pods",
            Self::Revision => "controllerrevisions",
            Self::Claim => "persistentvolumeclaims",
        }
    }
}

/// Objects of a kind by UID, each with its name and version.
pub type Versions = BTreeMap<String, (Key, u64)>;

/// What a list showed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The kind of its objects.
    pub kind: Kind,
    /// The version of the list.
    pub version: u64,
    /// Its objects.
    pub objects: Versions,
}

impl Listed {
    /// Nothing yet.
    pub fn of(kind: Kind) -> Self {
        Self {
            kind,
            version: 0,
            objects: Versions::new(),
        }
    }
}
