//! Pending writes: after a write, the cache must show it before anything is decided again.
//!
//! A pending write holds a resourceVersion, not a counter, so nothing can leak (KEP-5647). Pending writes live in
//! memory only: a new process starts from a fresh list instead.

use crate::cache::index::Index;
use crate::key::Kind;
use std::time::Duration;
use tokio::time::Instant;

/// How long the cache may be stale before the object is read live.
pub const PENDING_DEADLINE: Duration = Duration::from_secs(5);

/// What the cache must show before the write is no longer pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The object at this resourceVersion or a later one.
    Version(u64),
    /// The object gone or terminating.
    Leaving,
}

/// A write of ours that the cache may not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingWrite {
    /// Kind of the object.
    pub kind: Kind,
    /// Its name, for the live read.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What the cache must show.
    pub expect: Expect,
    /// When to stop waiting and read the object live.
    pub deadline: Instant,
}

impl PendingWrite {
    /// A write made just now.
    pub fn new(kind: Kind, name: &str, uid: &str, expect: Expect) -> Self {
        let deadline = Instant::now() + PENDING_DEADLINE;
        Self {
            kind,
            name: name.to_owned(),
            uid: uid.to_owned(),
            expect,
            deadline,
        }
    }

    /// Does the cache show it?
    pub fn is_observed(&self, index: &Index) -> bool {
        match self.expect {
            // The object itself at that version, or everything of its kind up to it: then the object was cached and has
            // possibly vanished again since.
            Expect::Version(version) => {
                index
                    .known_version(self.kind, &self.uid)
                    .is_some_and(|known| known >= version)
                    || index.has_observed(self.kind, version)
            }
            Expect::Leaving => index.is_leaving(self.kind, &self.uid),
        }
    }
}
