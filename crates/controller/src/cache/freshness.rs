//! How long ago the API server last sent something about each kind of objects.
//!
//! A watch that hangs looks like a cluster in which nothing happens. Only the bookmarks, which come about once a minute,
//! tell the two apart. Keeps times, and decides nothing.

use crate::key::Kind;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Bookmarks come about once a minute; a watch silent for longer than two of them is dead.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(150);

/// A leader whose cache has been too old for so long gives its Lease up.
const STEP_DOWN_AFTER: Duration = Duration::from_mins(2);

/// When each kind was last listed, or an event or bookmark of it came.
#[derive(Debug, Default)]
pub struct Freshness {
    heard: Mutex<BTreeMap<Kind, Instant>>,
}

/// A kind of objects of which nothing was heard for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The kind.
    pub kind: Kind,
    /// How long ago it was last heard of.
    pub age: Duration,
}

impl Freshness {
    /// Something about this kind came.
    pub fn record(&self, kind: Kind) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.insert(kind, Instant::now());
    }

    /// How long ago this kind was last heard of; `None` before its first list.
    pub fn age(&self, kind: Kind) -> Option<Duration> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(&kind).map(Instant::elapsed)
    }

    /// Has the cache been too old for so long that another replica should lead?
    pub fn is_lasting(&self) -> bool {
        self.stale()
            .is_some_and(|stale| stale.age > SILENCE_LIMIT + STEP_DOWN_AFTER)
    }

    /// The kind that is too old to act on, if one is: pods and CloneSets say what serves and what is wanted.
    pub fn stale(&self) -> Option<Stale> {
        [Kind::Pod, Kind::CloneSet].into_iter().find_map(|kind| {
            let age = self.age(kind)?;
            (age > SILENCE_LIMIT).then_some(Stale { kind, age })
        })
    }
}
