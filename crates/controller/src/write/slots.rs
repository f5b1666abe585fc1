//! Write slots: how many writes are under way at once, shared fairly between namespaces.
//!
//! A namespace holds at most half of the slots that the other namespaces leave free. So the writes of one tenant, however
//! many of them hang, never keep the writes of another tenant waiting. Knows nothing of requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The slots.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    total: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    in_use: usize,
    by_namespace: BTreeMap<String, usize>,
    waiting: BTreeMap<String, VecDeque<oneshot::Sender<Slot>>>,
    /// The namespaces in `waiting`, in the order in which they get their next slot.
    turns: VecDeque<String>,
}

/// A slot; dropping it frees it.
#[derive(Debug)]
pub(super) struct Slot {
    shared: Arc<Shared>,
    namespace: String,
}

impl Slots {
    /// So many slots.
    pub(super) fn new(total: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                total,
                state: Mutex::default(),
            }),
        }
    }

    /// Waits for a slot for a write in this namespace.
    pub(super) async fn acquire(&self, namespace: &str) -> Slot {
        loop {
            let waiting = {
                let mut state = self.shared.lock();
                if !state.waiting.contains_key(namespace) && state.has_room(self.shared.total, namespace) {
                    state.take(namespace);
                    return self.slot(namespace);
                }
                state.line_up(namespace)
            };
            // The sender is dropped only together with the slots, which live as long as this call.
            if let Ok(slot) = waiting.await {
                return slot;
            }
        }
    }

    fn slot(&self, namespace: &str) -> Slot {
        Slot {
            shared: Arc::clone(&self.shared),
            namespace: namespace.to_owned(),
        }
    }
}

impl State {
    /// May the namespace have one more? Half of what the others leave, and one if there is any.
    fn has_room(&self, total: usize, namespace: &str) -> bool {
        let own = self.by_namespace.get(namespace).copied().unwrap_or(0);
        let left_by_others = total.saturating_sub(self.in_use.saturating_sub(own));
        self.in_use < total && own < (left_by_others / 2).max(1)
    }

    fn take(&mut self, namespace: &str) {
        self.in_use = self.in_use.saturating_add(1);
        let own = self.by_namespace.entry(namespace.to_owned()).or_default();
        *own = own.saturating_add(1);
    }

    fn free(&mut self, namespace: &str) {
        self.in_use = self.in_use.saturating_sub(1);
        if let Some(own) = self.by_namespace.get_mut(namespace) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_namespace.remove(namespace);
            }
        }
    }

    fn line_up(&mut self, namespace: &str) -> oneshot::Receiver<Slot> {
        let (sender, receiver) = oneshot::channel();
        if !self.waiting.contains_key(namespace) {
            self.turns.push_back(namespace.to_owned());
        }
        self.waiting
            .entry(namespace.to_owned())
            .or_default()
            .push_back(sender);
        receiver
    }

    /// Takes a slot for the next waiter of the first namespace in turn that has room.
    fn next(&mut self, total: usize) -> Option<(String, oneshot::Sender<Slot>)> {
        let turn = self
            .turns
            .iter()
            .position(|namespace| self.has_room(total, namespace))?;
        let namespace = self.turns.remove(turn)?;
        let waiters = self.waiting.get_mut(&namespace)?;
        let sender = waiters.pop_front()?;
        if waiters.is_empty() {
            self.waiting.remove(&namespace);
        } else {
            self.turns.push_back(namespace.clone());
        }
        self.take(&namespace);
        Some((namespace, sender))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.lock().free(&self.namespace);
        loop {
            let next = self.shared.lock().next(self.shared.total);
            let Some((namespace, sender)) = next else {
                return;
            };
            let slot = Slot {
                shared: Arc::clone(&self.shared),
                namespace,
            };
            // A waiter that has given up drops the slot, which offers it to the next one.
            drop(sender.send(slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn held(slots: &Slots, namespace: &str) -> Vec<Slot> {
        std::iter::from_fn(|| slots.acquire(namespace).now_or_never()).collect()
    }

    #[test]
    fn a_namespace_gets_half_of_what_the_others_leave() {
        let slots = Slots::new(16);
        let first = held(&slots, "a");
        assert_eq!(first.len(), 8);
        let second = held(&slots, "b");
        assert_eq!(second.len(), 4);
        drop(first);
        let more = held(&slots, "b");
        assert_eq!(second.len() + more.len(), 8);
    }

    #[tokio::test]
    async fn freed_slots_go_to_the_waiting_namespaces_in_turn() {
        let slots = Slots::new(2);
        let held = slots.acquire("a").await;
        let second = slots.acquire("a");
        let third = slots.acquire("a");
        let other = slots.acquire("b");
        let (mut second, mut third) = (Box::pin(second), Box::pin(third));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        let other = other.await;
        drop(held);
        let second = second.await;
        assert!(third.as_mut().now_or_never().is_none());
        drop((second, other));
        third.await;
    }

    #[test]
    fn a_waiter_that_gave_up_keeps_no_slot() {
        let slots = Slots::new(2);
        let held = slots.acquire("a").now_or_never().unwrap();
        assert!(slots.acquire("a").now_or_never().is_none());
        drop(held);
        assert!(slots.acquire("a").now_or_never().is_some());
    }
}
