//! Names of what the controller handles: the key of a CloneSet, and the kinds of objects in the cache.
//!
//! Names only: this file holds no state and imports nothing of the controller.

use std::fmt;

/// Namespace and name of an object; of a CloneSet wherever work is queued.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The kinds of objects in the cache. Versions are compared only within one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// CloneSets.
    CloneSet,
    /// Pods.
    Pod,
    /// ControllerRevisions.
    Revision,
    /// PersistentVolumeClaims.
    Pvc,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::CloneSet, Self::Pod, Self::Revision, Self::Pvc];

    /// The resource's name, for metrics and logs.
    pub fn resource(self) -> &'static str {
        match self {
            Self::CloneSet => "clonesets",
            Self::Pod => "pods",
            Self::Revision => "controllerrevisions",
            Self::Pvc => "persistentvolumeclaims",
        }
    }
}
