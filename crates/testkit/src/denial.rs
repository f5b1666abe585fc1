//! Writes that the API server denies, and how long the controller leaves them alone.
//!
//! An admission policy of an administrator may deny writes to single pods, a quota the creation of all. The
//! controller backs off and tries again. It decides nothing: a denied write is the test's doing (`deny`).

use crate::kubelet::later;
use crate::store::Store;
use crate::world::World;
use cloneset_plan::Action;
use cloneset_status::Pod;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Time between a denied write and the next attempt.
const RETRY_SECONDS: i64 = 30;

/// After a denied write: the next attempt comes after a while, as the controller backs off. An attempt that is denied
/// although nothing has changed since the last is not repeated until something does, so that a world with a quota can
/// come to rest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold {
    denied_at_version: u64,
    pub(crate) until: Option<Timestamp>,
}

impl Hold {
    /// The write was denied, once more if there was a hold before.
    pub(crate) fn after(before: Option<Self>, store: &Store, now: Timestamp) -> Self {
        let version = store.version();
        let in_vain = before.is_some_and(|hold| hold.denied_at_version == version);
        Self {
            denied_at_version: version,
            until: (!in_vain).then(|| later(now, RETRY_SECONDS)),
        }
    }

    pub(crate) fn holds(&self, store: &Store, now: Timestamp) -> bool {
        self.until
            .map_or(store.version() == self.denied_at_version, |until| now < until)
    }
}

/// A kind of write to a pod that can be denied by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Its deletion.
    Delete,
    /// Taking it out of service, or announcing that it will leave.
    TakeOut,
    /// Putting it into service.
    PutIn,
}

impl Verb {
    /// The write to a pod that an action is about, with the pod's name.
    fn of(action: &Action) -> Option<(Self, &str)> {
        match action {
            Action::DeletePod(deletion) => Some((Self::Delete, &deletion.name)),
            Action::TakeOutOfService(write) => Some((Self::TakeOut, &write.name)),
            Action::PutInService(write) => Some((Self::PutIn, &write.name)),
            _ => None,
        }
    }
}

/// What is denied, and what the controller knows of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Denials {
    denied: BTreeSet<(Verb, String)>,
    holds: BTreeMap<(Verb, String), Hold>,
}

impl Denials {
    /// When the first of them is tried again.
    pub(crate) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.holds.values().filter_map(|hold| hold.until);
        due.filter(|until| *until > now).min()
    }

    /// The controller that knew of them died.
    pub(crate) fn forget(&mut self) {
        self.holds.clear();
    }

    /// Is a pod's deletion denied?
    pub(crate) fn denies_deletion(&self, pod: &str) -> bool {
        self.denied.contains(&(Verb::Delete, pod.to_owned()))
    }
}

impl World {
    /// From now on the API server denies this write to the pod.
    pub fn deny(&mut self, verb: Verb, pod: &Pod) {
        self.tell(format!("from now on {verb:?} of {} is denied", pod.name()));
        self.denials.denied.insert((verb, pod.name().to_owned()));
    }

    /// Nothing is denied any more, and creation is not stopped.
    pub fn allow_everything(&mut self) {
        self.tell("from now on nothing is denied".to_owned());
        self.denials = Denials::default();
        self.stopped_at_generation = None;
        self.quota(None);
    }

    /// The controller has seen pods run away: it creates none until the spec changes.
    pub fn stop_creation(&mut self) {
        self.tell("creation stops until the spec changes".to_owned());
        self.stopped_at_generation = self.store.cloneset.metadata.generation;
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped_at_generation.is_some()
            && self.stopped_at_generation == self.store.cloneset.metadata.generation
    }

    /// Names of pods that the controller leaves alone, as a moment ago their deletion was denied.
    pub(crate) fn kept_pods(&self) -> BTreeSet<String> {
        let held = self.denials.holds.iter();
        let held = held.filter(|((verb, _), hold)| *verb != Verb::PutIn && hold.holds(&self.store, self.now));
        held.map(|((_, name), _)| name.clone()).collect()
    }

    /// Is this write denied? The controller remembers.
    pub(crate) fn denies(&mut self, action: &Action) -> bool {
        let Some((verb, name)) = Verb::of(action) else {
            return false;
        };
        if self.denials.denied.is_empty() {
            return false;
        }
        let key = (verb, name.to_owned());
        let is_denied = self.denials.denied.contains(&key);
        if is_denied {
            let hold = Hold::after(self.denials.holds.get(&key).copied(), &self.store, self.now);
            self.tell(format!("{verb:?} of {} is denied", key.1));
            self.denials.holds.insert(key, hold);
        } else {
            self.denials.holds.remove(&key);
        }
        is_denied
    }

    /// Does the controller not even try this write, because it backs off?
    pub(crate) fn backs_off_from(&self, action: &Action) -> bool {
        let Some((verb, name)) = Verb::of(action) else {
            return false;
        };
        let hold = self.denials.holds.get(&(verb, name.to_owned()));
        hold.is_some_and(|hold| hold.holds(&self.store, self.now))
    }
}
