//! Reading our own writes: after a write the view must have come as far as it before anything is decided again.
//!
//! Marks hold resourceVersions, not counters, so nothing can leak (`design.md` 2.4, KEP-5647). They live in
//! memory only; a new process starts from a fresh list instead.

use crate::cache::index::{Index, Kind};
use std::time::Duration;
use tokio::time::Instant;

/// How long the view may stay behind before the object is read live.
pub const MARK_DEADLINE: Duration = Duration::from_secs(5);

/// What the view must show before the mark is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The object at this resourceVersion or a later one.
    Version(u64),
    /// The object gone or terminating.
    Leaving,
}

/// One write of ours that the view may not show yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Kind of the object.
    pub kind: Kind,
    /// Its name, for the live read.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What must be seen.
    pub expect: Expect,
    /// When to stop waiting and read the object itself.
    pub deadline: Instant,
}

impl Mark {
    /// A mark for a write made just now.
    pub fn new(kind: Kind, name: &str, uid: &str, expect: Expect) -> Self {
        let deadline = Instant::now() + MARK_DEADLINE;
        Self {
            kind,
            name: name.to_owned(),
            uid: uid.to_owned(),
            expect,
            deadline,
        }
    }

    /// Does the view show it?
    pub fn is_seen(&self, index: &Index) -> bool {
        match self.expect {
            // The object itself at that version, or everything of its kind up to it: then the object was taken in
            // and has possibly vanished again since.
            Expect::Version(version) => {
                index
                    .known_version(self.kind, &self.uid)
                    .is_some_and(|known| known >= version)
                    || index.has_seen(self.kind, version)
            }
            Expect::Leaving => index.is_leaving(self.kind, &self.uid),
        }
    }
}
