//! Queues the CloneSets that an event concerns, but only while this replica may act on its cache.
//!
//! This file knows when to queue, and nothing of what a reconcile does. While a replica does not lead, or its cache is
//! older than its term, events queue nothing: catching up queues every CloneSet.

use crate::key::Key;
use crate::leader::leadership::Leadership;
use crate::queue::Queue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Whether the cache has been found to be at least as new as this replica's term.
#[derive(Debug)]
pub struct CaughtUp {
    leadership: Arc<Leadership>,
    term: AtomicU64,
}

impl CaughtUp {
    /// Not caught up with any term yet.
    pub fn new(leadership: Arc<Leadership>) -> Self {
        Self {
            leadership,
            term: AtomicU64::new(0),
        }
    }

    /// May this replica act: does it lead, and is its cache as new as its term?
    pub fn is_current(&self) -> bool {
        self.leadership.time_left().is_some() && self.term.load(Ordering::Acquire) == self.leadership.term()
    }

    /// Records that the cache is at least as new as this term.
    pub(super) fn record(&self, term: u64) {
        self.term.store(term, Ordering::Release);
    }
}

/// Queues CloneSets while this replica may act.
#[derive(Clone, Debug)]
pub struct Wake {
    queue: Arc<Queue>,
    caught_up: Arc<CaughtUp>,
}

impl Wake {
    /// Queues into `queue` while `caught_up` holds.
    pub fn new(queue: Arc<Queue>, caught_up: Arc<CaughtUp>) -> Self {
        Self { queue, caught_up }
    }

    /// Queues these CloneSets, or none of them while this replica may not act.
    pub fn wake(&self, keys: Vec<Key>) {
        if !self.caught_up.is_current() {
            return;
        }
        for key in keys {
            self.queue.add(key);
        }
    }
}
