//! The objects of one kind by the CloneSet that controls them: one part of the index.
//!
//! A plain structure: it neither locks nor queues. Every change returns the UIDs of the owners concerned.

use crate::cache::listed::Versions;
use crate::key::{Key, Kind};
use cloneset_status::{Claim, Pod, Revision};
use kube::Resource;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The resourceVersion as a number; 0 when it is none (older or foreign API servers).
pub fn version_of(object: &impl Resource) -> u64 {
    object
        .meta()
        .resource_version
        .as_deref()
        .and_then(|version| version.parse().ok())
        .unwrap_or(0)
}

/// Objects of one kind by the UID of their controlling CloneSet.
#[derive(Debug)]
pub struct Owned<K> {
    pub(crate) by_owner: HashMap<String, BTreeMap<String, Arc<K>>>,
    pub(crate) owner_of: HashMap<String, String>,
    /// Objects that left the watch without an event that shows them deleted, by owner and UID. Only a live read shows
    /// whether they are gone or have lost the label that the watch selects.
    pub(crate) unwatched: HashMap<String, BTreeMap<String, Arc<K>>>,
    /// The highest resourceVersion observed, from lists, events and bookmarks; `None` before the first list.
    pub(crate) observed: Option<u64>,
}

impl<K> Default for Owned<K> {
    fn default() -> Self {
        Self {
            by_owner: HashMap::new(),
            owner_of: HashMap::new(),
            unwatched: HashMap::new(),
            observed: None,
        }
    }
}

/// An object that belongs to a CloneSet.
pub trait Dependent: Resource<DynamicType = ()> + Send + Sync + 'static {
    /// Which kind it is.
    const KIND: Kind;
    /// Must an object that left the watch be looked for? A user may have removed the label that the watch selects.
    const MAY_LOSE_LABEL: bool;
    /// UID of the CloneSet that controls it.
    fn owner(&self) -> Option<&str>;
}

impl Dependent for Pod {
    const KIND: Kind = Kind::Pod;
    const MAY_LOSE_LABEL: bool = true;
    fn owner(&self) -> Option<&str> {
        self.controlling_cloneset()
    }
}

impl Dependent for Revision {
    const KIND: Kind = Kind::Revision;
    const MAY_LOSE_LABEL: bool = false;
    fn owner(&self) -> Option<&str> {
        self.controlling_cloneset()
    }
}

/// A PVC that lost its label is not looked for: its pod uses it all the same, and the controller never deletes it.
impl Dependent for Claim {
    const KIND: Kind = Kind::Pvc;
    const MAY_LOSE_LABEL: bool = false;
    fn owner(&self) -> Option<&str> {
        self.controlling_cloneset()
    }
}

/// The UID; empty only in broken input.
pub(crate) fn uid_of(object: &impl Resource) -> String {
    object.meta().uid.clone().unwrap_or_default()
}

impl<K: Dependent> Owned<K> {
    /// Adds or updates an object and returns the owners concerned. A version older than the known one is ignored.
    pub(crate) fn apply(&mut self, object: K) -> BTreeSet<String> {
        let uid = uid_of(&object);
        let known = self
            .owner_of
            .get(&uid)
            .and_then(|owner| self.by_owner.get(owner)?.get(&uid));
        if known.is_some_and(|known| version_of(known.as_ref()) >= version_of(&object)) {
            return BTreeSet::new();
        }
        let mut changed: BTreeSet<String> = self.remove(&uid).into_iter().collect();
        changed.extend(self.forget_unwatched(&uid));
        if let Some(owner) = object.owner().map(str::to_owned) {
            self.owner_of.insert(uid.clone(), owner.clone());
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
        let was_deleted = last.is_some_and(|last| last.meta().deletion_timestamp.is_some());
        if let Some(known) = known.filter(|_| K::MAY_LOSE_LABEL && !was_deleted) {
            self.unwatched
                .entry(owner.clone())
                .or_default()
                .insert(uid.to_owned(), known);
        }
        Some(owner)
    }

    pub(crate) fn forget_unwatched(&mut self, uid: &str) -> Option<String> {
        let owner = self
            .unwatched
            .iter()
            .find(|(_, unwatched)| unwatched.contains_key(uid))?
            .0
            .clone();
        if let Some(unwatched) = self.unwatched.get_mut(&owner) {
            unwatched.remove(uid);
            if unwatched.is_empty() {
                self.unwatched.remove(&owner);
            }
        }
        Some(owner)
    }

    /// Replaces everything by a complete list; what is not in it has left.
    pub(crate) fn replace(&mut self, objects: Vec<K>) -> BTreeSet<String> {
        let listed: BTreeSet<String> = objects.iter().map(uid_of).collect();
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
                let meta = object.meta();
                let key = Key {
                    namespace: meta.namespace.clone().unwrap_or_default(),
                    name: meta.name.clone().unwrap_or_default(),
                };
                (uid.clone(), (key, version_of(object.as_ref())))
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
