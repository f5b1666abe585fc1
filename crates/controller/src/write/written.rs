//! What a write left behind.

use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use cloneset_status::Runaway;

/// What became of a write that did not fail.
#[derive(Debug)]
pub enum Written {
    /// The object is as it should be, or is being deleted.
    Done(PendingWrite),
    /// A pod was created.
    PodCreated {
        /// The write that the cache must show.
        pending: PendingWrite,
        /// Set if the API server stored the pod without what ties it to its CloneSet.
        altered: Option<Runaway>,
    },
    /// Nothing was written: another object has the name.
    NameTaken,
}

impl Written {
    /// An object was deleted, or is terminating.
    pub(super) fn deleted(kind: Kind, name: &str, uid: &str) -> Self {
        Self::Done(PendingWrite::new(kind, name, uid, Expect::Leaving))
    }
}
