//! The objects of one kind by the CloneSet that controls them: one part of the index.
//!
//! A plain structure: it neither locks nor queues. Every change returns the UIDs of the owners concerned.

use crate::cache::decode::{Record, key_of, uid_of, version_of};
use crate::cache::listed::Versions;
use cloneset_status::facts::controlling_cloneset;
use cloneset_status::{Claim, Pod, Revision};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Objects of one kind by the UID of their controlling CloneSet.
#[derive(Debug)]
pub struct Owned<K> {
    pub(crate) by_owner: HashMap<String, BTreeMap<String, Arc<K>>>,
    pub(crate) owner_of: HashMap<String, String>,
    /// UIDs of the objects of which only the metadata could be read.
    unreadable: BTreeSet<String>,
    /// Objects that left the watch without an event that shows them deleted, by owner and UID. Only a live read shows
    /// whether they are gone or have lost the label that the watch selects.
    unwatched: HashMap<String, BTreeMap<String, Arc<K>>>,
    owner_of_unwatched: HashMap<String, String>,
    /// The highest resourceVersion observed, from lists, events and bookmarks; `None` before the first list.
    pub(crate) observed: Option<u64>,
}

impl<K> Default for Owned<K> {
    fn default() -> Self {
        Self {
            by_owner: HashMap::new(),
            owner_of: HashMap::new(),
            unreadable: BTreeSet::new(),
            unwatched: HashMap::new(),
            owner_of_unwatched: HashMap::new(),
            observed: None,
        }
    }
}

/// An object that belongs to a CloneSet.
pub trait Dependent: Record {
    /// Must an object that left the watch be looked for? A user may have removed the label that the watch selects.
    const MAY_LOSE_LABEL: bool;
    /// UID of the CloneSet that controls it.
    fn owner(&self) -> Option<&str> {
        controlling_cloneset(self.metadata())
    }
}

impl Dependent for Pod {
    const MAY_LOSE_LABEL: bool = true;
}

impl Dependent for Revision {
    const MAY_LOSE_LABEL: bool = false;
}

/// A PVC that lost its label is not looked for: its pod uses it all the same, and the controller never deletes it.
impl Dependent for Claim {
    const MAY_LOSE_LABEL: bool = false;
}

impl<K: Dependent> Owned<K> {
    /// Adds or updates an object and returns the owners concerned. A version older than the known one is ignored.
    pub(crate) fn apply(&mut self, object: K) -> BTreeSet<String> {
        let uid = uid_of(object.metadata());
        let known = self
            .owner_of
            .get(&uid)
            .and_then(|owner| self.by_owner.get(owner)?.get(&uid));
        if known.is_some_and(|known| version_of(known.metadata()) >= version_of(object.metadata())) {
            return BTreeSet::new();
        }
        let mut changed: BTreeSet<String> = self.remove(&uid).into_iter().collect();
        changed.extend(self.forget_unwatched(&uid));
        if let Some(owner) = object.owner().map(str::to_owned) {
            self.owner_of.insert(uid.clone(), owner.clone());
            if object.error().is_some() {
                self.unreadable.insert(uid.clone());
            }
            self.by_owner
                .entry(owner.clone())
                .or_default()
                .insert(uid, Arc::new(object));
            changed.insert(owner);
        }
        changed
    }

    pub(crate) fn remove(&mut self, uid: &str) -> Option<String> {
        let owner = self.owner_of.remove(uid)?;
        self.unreadable.remove(uid);
        if let Some(objects) = self.by_owner.get_mut(&owner) {
            objects.remove(uid);
            if objects.is_empty() {
                self.by_owner.remove(&owner);
            }
        }
        Some(owner)
    }

    /// Removes an object that left the watch. `last` is the object as the watch showed it last, if it did.
    pub(crate) fn leave(&mut self, uid: &str, last: Option<&K>) -> Option<String> {
        let known = self.get(uid).cloned();
        let owner = self.remove(uid)?;
        let was_deleted = last.is_some_and(|last| last.metadata().deletion_timestamp.is_some());
        if let Some(known) = known.filter(|_| K::MAY_LOSE_LABEL && !was_deleted) {
            self.add_unwatched(owner.clone(), uid.to_owned(), known);
        }
        Some(owner)
    }

    /// The unwatched objects of an owner.
    pub(crate) fn unwatched_of(&self, owner: &str) -> Vec<Arc<K>> {
        self.unwatched
            .get(owner)
            .map(|objects| objects.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Adds an object that no watch shows; false when it was there already.
    pub(crate) fn add_unwatched(&mut self, owner: String, uid: String, object: Arc<K>) -> bool {
        self.owner_of_unwatched.insert(uid.clone(), owner.clone());
        let objects = self.unwatched.entry(owner).or_default();
        objects.insert(uid, object).is_none()
    }

    pub(crate) fn forget_unwatched(&mut self, uid: &str) -> Option<String> {
        let owner = self.owner_of_unwatched.remove(uid)?;
        if let Some(unwatched) = self.unwatched.get_mut(&owner) {
            unwatched.remove(uid);
            if unwatched.is_empty() {
                self.unwatched.remove(&owner);
            }
        }
        Some(owner)
    }

    /// Forgets the unwatched objects of an owner.
    pub(crate) fn forget_unwatched_of(&mut self, owner: &str) {
        for uid in self
            .unwatched
            .remove(owner)
            .into_iter()
            .flatten()
            .map(|(uid, _)| uid)
        {
            self.owner_of_unwatched.remove(&uid);
        }
    }

    /// Forgets the unwatched objects of owners that are gone: the garbage collector deletes them, and no reconcile
    /// looks for them.
    pub(crate) fn forget_unwatched_without(&mut self, owner_exists: impl Fn(&str) -> bool) {
        self.unwatched.retain(|owner, _| owner_exists(owner));
        let unwatched = &self.unwatched;
        self.owner_of_unwatched
            .retain(|_, owner| unwatched.contains_key(owner));
    }

    /// Replaces everything by a complete list; what is not in it has left.
    pub(crate) fn replace(&mut self, objects: Vec<K>) -> BTreeSet<String> {
        let listed: BTreeSet<String> = objects.iter().map(|object| uid_of(object.metadata())).collect();
        let vanished: Vec<String> = self
            .owner_of
            .keys()
            .filter(|uid| !listed.contains(*uid))
            .cloned()
            .collect();
        let mut changed: BTreeSet<String> = vanished.iter().filter_map(|uid| self.leave(uid, None)).collect();
        for object in objects {
            changed.extend(self.apply(object));
        }
        changed
    }

    /// How many objects there are, and of how many of them only the metadata could be read.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.owner_of.len(), self.unreadable.len())
    }

    pub(crate) fn of(&self, owner: &str) -> Vec<Arc<K>> {
        self.by_owner
            .get(owner)
            .map(|objects| objects.values().cloned().collect())
            .unwrap_or_default()
    }

    pub(crate) fn versions(&self) -> Versions {
        let objects = self.by_owner.values().flat_map(BTreeMap::iter);
        objects
            .map(|(uid, object)| {
                let metadata = object.metadata();
                (uid.clone(), (key_of(metadata), version_of(metadata)))
            })
            .collect()
    }

    pub(crate) fn knows(&self, uid: &str) -> bool {
        self.owner_of.contains_key(uid)
    }

    pub(crate) fn get(&self, uid: &str) -> Option<&Arc<K>> {
        self.by_owner.get(self.owner_of.get(uid)?)?.get(uid)
    }
}
