//! Until when this replica may write, and which term of its leadership this is.
//!
//! The writer checks it before every write. How the Lease is won and kept is `lease.rs`'s to know, not this file's.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// The right to write, with its deadline.
#[derive(Debug)]
pub struct Leadership {
    /// `None` while not leading; far in the future without election.
    until: Mutex<Option<Instant>>,
    /// How often this process has become the leader.
    term: watch::Sender<u64>,
}

impl Default for Leadership {
    fn default() -> Self {
        Self {
            until: Mutex::default(),
            term: watch::Sender::new(0),
        }
    }
}

impl Leadership {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time left in which a write may be sent; `None` when it may not.
    pub fn time_left(&self) -> Option<Duration> {
        let until = (*self.lock())?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Leads until `until`; true when a term begins: this replica did not lead, or its right to write had lapsed, so that
    /// events may have queued nothing.
    pub fn extend(&self, until: Instant) -> bool {
        let mut stored = self.lock();
        let begins = stored.is_none_or(|old| old <= Instant::now());
        *stored = Some(until);
        if begins {
            self.term.send_modify(|term| *term += 1);
        }
        begins
    }

    /// How often this process has become the leader.
    pub fn term(&self) -> u64 {
        *self.term.borrow()
    }

    /// The terms as they begin.
    pub fn terms(&self) -> watch::Receiver<u64> {
        self.term.subscribe()
    }

    /// Stops leading; returns whether it led before.
    pub fn end(&self) -> bool {
        self.lock().take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_right_to_write_ends_at_the_deadline_by_itself() {
        let leadership = Leadership::default();
        assert_eq!(leadership.time_left(), None);
        assert!(leadership.extend(Instant::now() + Duration::from_secs(10)));
        assert_eq!(leadership.time_left(), Some(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(leadership.time_left(), None);
        assert!(
            leadership.extend(Instant::now() + Duration::from_secs(10)),
            "work was passed over meanwhile, so a term begins"
        );
        assert!(!leadership.extend(Instant::now() + Duration::from_secs(10)));
        assert!(leadership.end(), "the end is reported once");
        assert!(!leadership.end());
    }
}
