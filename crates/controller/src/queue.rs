//! The work queue: which CloneSets to reconcile, now or later.
//!
//! A key is never worked on twice at the same time; a key added while it is worked on is queued again afterwards.
//! The queue knows nothing of what the work is.

use crate::key::Key;
use crate::telemetry::metrics::queue::{Load, QueueCounts};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// A queue of keys.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    counts: QueueCounts,
    changed: Notify,
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Key>,
    /// What is in `ready`, and since when.
    queued: HashMap<Key, Instant>,
    /// Since when.
    running: HashMap<Key, Instant>,
    /// Added while running, and when.
    again: HashMap<Key, Instant>,
    later: BTreeSet<(Instant, Key)>,
    due: BTreeMap<Key, Instant>,
}

impl State {
    fn add(&mut self, key: Key, now: Instant, counts: &QueueCounts) {
        if self.queued.contains_key(&key) || self.again.contains_key(&key) {
            return;
        }
        counts.adds.inc();
        if self.running.contains_key(&key) {
            self.again.insert(key, now);
        } else {
            self.line_up(key, now);
        }
    }

    fn line_up(&mut self, key: Key, since: Instant) {
        self.queued.insert(key.clone(), since);
        self.ready.push_back(key);
    }

    fn take(&mut self, now: Instant, counts: &QueueCounts) -> Option<Key> {
        let key = self.ready.pop_front()?;
        if let Some(since) = self.queued.remove(&key) {
            counts.waited.observe((now - since).as_secs_f64());
        }
        self.running.insert(key.clone(), now);
        Some(key)
    }

    /// Moves what is due to `ready`; gives the time of what is due next.
    fn ripen(&mut self, now: Instant, counts: &QueueCounts) -> Option<Instant> {
        while let Some((at, _)) = self.later.first() {
            if *at > now {
                return Some(*at);
            }
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key, now, counts);
            }
        }
        None
    }
}

impl Queue {
    /// An empty queue that counts what it does.
    pub fn new(counts: QueueCounts) -> Self {
        Self {
            counts,
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a key to be worked on as soon as possible.
    pub fn add(&self, key: Key) {
        self.lock().add(key, Instant::now(), &self.counts);
        self.changed.notify_one();
    }

    /// Adds a key on which something was left to do.
    pub fn retry_after(&self, key: Key, delay: Duration) {
        self.counts.retries.inc();
        self.add_after(key, delay);
    }

    /// Adds a key to be worked on after `delay`, or earlier if it is due earlier already.
    pub fn add_after(&self, key: Key, delay: Duration) {
        let at = Instant::now() + delay;
        let mut state = self.lock();
        if let Some(earlier) = state.due.get(&key).copied() {
            if earlier <= at {
                return;
            }
            state.later.remove(&(earlier, key.clone()));
        }
        state.due.insert(key.clone(), at);
        state.later.insert((at, key));
        drop(state);
        self.changed.notify_one();
    }

    /// Gives out no more keys.
    pub fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Has it been closed?
    pub fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits until it is closed.
    pub async fn closed(&self) {
        // The sender lives as long as self, so this cannot fail.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Waits for the next key; `None` once closed. A key counts as running until [`Self::done`].
    pub async fn next(&self) -> Option<Key> {
        tokio::select! {
            biased;
            () = self.closed() => None,
            key = self.ready() => Some(key),
        }
    }

    async fn ready(&self) -> Key {
        loop {
            let next_due = {
                let mut state = self.lock();
                let now = Instant::now();
                let next_due = state.ripen(now, &self.counts);
                if let Some(key) = state.take(now, &self.counts) {
                    let more = !state.ready.is_empty();
                    drop(state);
                    if more || next_due.is_some() {
                        // One notification wakes one worker; pass the baton.
                        self.changed.notify_one();
                    }
                    return key;
                }
                next_due
            };
            let changed = self.changed.notified();
            match next_due {
                Some(at) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// Ends the work on a key.
    pub fn done(&self, key: &Key) {
        let mut state = self.lock();
        if let Some(since) = state.running.remove(key) {
            self.counts.worked.observe(since.elapsed().as_secs_f64());
        }
        if let Some(since) = state.again.remove(key) {
            state.line_up(key.clone(), since);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// What is in it now; what is due later does not wait yet.
    pub fn load(&self) -> Load {
        let state = self.lock();
        let times = state.running.values().map(Instant::elapsed);
        Load {
            waiting: state.queued.len() + state.again.len(),
            running: state.running.len(),
            unfinished: times.clone().sum(),
            longest: times.max().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key {
            namespace: "n".into(),
            name: name.into(),
        }
    }

    async fn is_empty(queue: &Queue) -> bool {
        tokio::time::timeout(Duration::from_millis(1), queue.next())
            .await
            .is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once_and_never_forgotten() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.add(key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.add(key("a"));
        assert!(is_empty(&queue).await, "it is being worked on");
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        assert!(is_empty(&queue).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_of_two_delays_wins() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.add_after(key("a"), Duration::from_mins(1));
        queue.add_after(key("a"), Duration::from_secs(5));
        queue.add_after(key("a"), Duration::from_secs(30));
        assert_eq!(queue.next().await, Some(key("a")));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(&key("a"));
        assert!(
            tokio::time::timeout(Duration::from_mins(5), queue.next())
                .await
                .is_err()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_queue_gives_out_nothing_even_if_something_is_ready() {
        let queue = Queue::default();
        queue.add(key("a"));
        queue.close();
        assert_eq!(queue.next().await, None);
    }

    /// The numbers of client-go's queue: a key added while it is worked on waits from then on.
    #[tokio::test(start_paused = true)]
    async fn adds_depth_and_times_are_counted_as_dashboards_expect() {
        let counts = QueueCounts::default();
        let queue = Queue::new(counts.clone());
        let second = Duration::from_secs(1);
        for name in ["a", "b", "a"] {
            queue.add(key(name));
        }
        assert_eq!((counts.adds.get(), queue.load().waiting), (2, 2), "each key once");
        tokio::time::advance(second).await;
        for name in ["a", "b"] {
            assert_eq!(queue.next().await, Some(key(name)));
            tokio::time::advance(second).await;
        }
        queue.add(key("a"));
        let load = Load {
            waiting: 1,
            running: 2,
            unfinished: 3 * second,
            longest: 2 * second,
        };
        assert_eq!((counts.adds.get(), queue.load()), (3, load));
        tokio::time::advance(second).await;
        queue.done(&key("b"));
        queue.done(&key("a"));
        queue.retry_after(key("b"), second);
        assert_eq!((counts.adds.get(), queue.load().waiting), (3, 1), "not due yet");
        assert_eq!(queue.next().await, Some(key("a")));
        queue.done(&key("a"));
        assert_eq!(queue.next().await, Some(key("b")));
        queue.done(&key("b"));
        assert_eq!(queue.load(), Load::default());
        assert_eq!((counts.adds.get(), counts.retries.get()), (4, 1));
        // a waited 1 s, b 2 s, a again 1 s while it was worked on; b again not beyond its delay. They took 3 s and 2 s.
        assert_eq!((counts.waited.count(), counts.worked.count()), (4, 4));
        assert!(
            (counts.waited.sum() - 4.0).abs() < 0.01,
            "{}",
            counts.waited.sum()
        );
        assert!(
            (counts.worked.sum() - 5.0).abs() < 0.01,
            "{}",
            counts.worked.sum()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn every_waiting_worker_gets_its_share() {
        let queue = std::sync::Arc::new(Queue::default());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = std::sync::Arc::clone(&queue);
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        for name in ["a", "b", "c"] {
            queue.add(key(name));
        }
        let mut got = BTreeSet::new();
        for worker in workers {
            got.insert(worker.await.unwrap());
        }
        assert_eq!(got.len(), 3);
    }
}
