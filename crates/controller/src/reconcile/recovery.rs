//! Which CloneSets back off because the API server could not take their writes.
//!
//! Each backs off for half a minute at most. The first write of any of them that succeeds ends the backoff of all, so after
//! an outage everything moves at once. Knows nothing of writes or errors.

use crate::key::Key;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Time between two ends of all backoffs: CloneSets that hang for a reason of their own must not be tried again whenever
/// another one succeeds.
const PAUSE: Duration = Duration::from_secs(30);

/// The CloneSets that wait for the API server.
#[derive(Debug, Default)]
pub struct Recovery(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    waiting: BTreeSet<Key>,
    /// Backoffs that are over, and not ended in the memory of their CloneSet yet.
    over: BTreeSet<Key>,
    last: Option<Instant>,
}

impl Recovery {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The API server could not take a write of this CloneSet.
    pub fn record_failure(&self, key: &Key) {
        let mut state = self.lock();
        state.over.remove(key);
        state.waiting.insert(key.clone());
    }

    /// The API server took a write of this CloneSet; returns those whose backoff is over.
    pub fn record_success(&self, key: &Key) -> BTreeSet<Key> {
        let mut state = self.lock();
        state.waiting.remove(key);
        if state.waiting.is_empty() || state.last.is_some_and(|last| last.elapsed() < PAUSE) {
            return BTreeSet::new();
        }
        state.last = Some(Instant::now());
        let over = std::mem::take(&mut state.waiting);
        state.over.extend(over.iter().cloned());
        over
    }

    /// Is the backoff of this CloneSet over since it was asked last?
    pub fn take_end(&self, key: &Key) -> bool {
        self.lock().over.remove(key)
    }

    /// The CloneSet is gone.
    pub fn forget(&self, key: &Key) {
        let mut state = self.lock();
        state.waiting.remove(key);
        state.over.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key {
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_success_ends_the_backoff_of_all_but_not_again_and_again() {
        let recovery = Recovery::default();
        recovery.record_failure(&key("a"));
        recovery.record_failure(&key("b"));
        assert_eq!(recovery.record_success(&key("a")), BTreeSet::from([key("b")]));
        assert!(recovery.take_end(&key("b")) && !recovery.take_end(&key("b")));
        recovery.record_failure(&key("b"));
        assert!(recovery.record_success(&key("a")).is_empty());
        tokio::time::advance(PAUSE).await;
        assert_eq!(recovery.record_success(&key("a")), BTreeSet::from([key("b")]));
    }
}
