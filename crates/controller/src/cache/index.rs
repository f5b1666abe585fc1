//! The index: every CloneSet, and its pods, PVCs and revisions by the UID of the CloneSet that controls them.
//!
//! Watches and live reads feed it; it never talks to the API server itself. Every change returns the CloneSets to
//! reconcile, also for objects that vanished while a watch was down.

use crate::cache::decode::{Known, Record, key_of, uid_of, version_of};
use crate::cache::listed::{Listed, Versions};
use crate::cache::owned::{Dependent, Owned};
use crate::key::{Key, Kind};
use cloneset_status::{Claim, Pod, Revision};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The index, shared by watches and workers.
#[derive(Debug, Default)]
pub struct Index {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    clonesets: HashMap<Key, Known>,
    key_of_uid: HashMap<String, Key>,
    clonesets_observed: Option<u64>,
    pods: Owned<Pod>,
    revisions: Owned<Revision>,
    pvcs: Owned<Claim>,
}

/// Selects the part of the index that holds a kind.
trait Shelf<K> {
    fn shelf(&mut self) -> &mut Owned<K>;
}

impl Shelf<Pod> for Inner {
    fn shelf(&mut self) -> &mut Owned<Pod> {
        &mut self.pods
    }
}

impl Shelf<Revision> for Inner {
    fn shelf(&mut self) -> &mut Owned<Revision> {
        &mut self.revisions
    }
}

impl Shelf<Claim> for Inner {
    fn shelf(&mut self) -> &mut Owned<Claim> {
        &mut self.pvcs
    }
}

impl Inner {
    fn keys(&self, owners: &BTreeSet<String>) -> Vec<Key> {
        owners
            .iter()
            .filter_map(|owner| self.key_of_uid.get(owner).cloned())
            .collect()
    }

    fn observed(&mut self, kind: Kind) -> &mut Option<u64> {
        match kind {
            Kind::CloneSet => &mut self.clonesets_observed,
            Kind::Pod => &mut self.pods.observed,
            Kind::Revision => &mut self.revisions.observed,
            Kind::Pvc => &mut self.pvcs.observed,
        }
    }

    fn known(&self, kind: Kind) -> Versions {
        match kind {
            Kind::CloneSet => self
                .clonesets
                .iter()
                .map(|(key, known)| (known.uid().to_owned(), (key.clone(), known.version())))
                .collect(),
            Kind::Pod => self.pods.versions(),
            Kind::Revision => self.revisions.versions(),
            Kind::Pvc => self.pvcs.versions(),
        }
    }

    fn raise(&mut self, kind: Kind, version: u64) {
        let observed = self.observed(kind);
        *observed = (*observed).max(Some(version));
    }

    fn insert(&mut self, key: Key, known: Known) -> bool {
        if let Some(old) = self.clonesets.get(&key) {
            // Versions also order a deleted CloneSet and a new one with the same name.
            if known.version() > 0 && old.version() >= known.version() {
                return false;
            }
            self.key_of_uid.remove(old.uid());
        }
        self.key_of_uid.insert(known.uid().to_owned(), key.clone());
        self.clonesets.insert(key, known);
        true
    }

    fn forget_unwatched(&mut self) {
        let key_of_uid = &self.key_of_uid;
        self.pods
            .forget_unwatched_without(|owner| key_of_uid.contains_key(owner));
    }

    fn forget(&mut self, key: &Key) {
        if let Some(old) = self.clonesets.remove(key) {
            self.key_of_uid.remove(old.uid());
            self.pods.forget_unwatched_of(old.uid());
        }
    }
}

/// A CloneSet and what it owns, at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The CloneSet.
    pub known: Known,
    /// Its pods.
    pub pods: Vec<Arc<Pod>>,
    /// Its pods that no watch shows and that may still run without their label; see [`Index::forget_unwatched`].
    pub unwatched: Vec<Arc<Pod>>,
    /// Its revisions.
    pub revisions: Vec<Arc<Revision>>,
    /// Its PVCs.
    pub pvcs: Vec<Arc<Claim>>,
}

impl Index {
    // A poisoned lock means a panic while holding it; the maps are consistent between statements.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has every kind been listed at least once?
    pub fn is_synced(&self) -> bool {
        let mut inner = self.lock();
        Kind::ALL.into_iter().all(|kind| inner.observed(kind).is_some())
    }

    /// Every CloneSet.
    pub fn keys(&self) -> Vec<Key> {
        self.lock().clonesets.keys().cloned().collect()
    }

    /// A CloneSet and what it owns; `None` when there is no such CloneSet.
    pub fn view(&self, key: &Key) -> Option<View> {
        let inner = self.lock();
        let known = inner.clonesets.get(key)?.clone();
        let (pods, revisions) = (inner.pods.of(known.uid()), inner.revisions.of(known.uid()));
        let pvcs = inner.pvcs.of(known.uid());
        let unwatched = inner.pods.unwatched_of(known.uid());
        Some(View {
            known,
            pods,
            unwatched,
            revisions,
            pvcs,
        })
    }

    /// Has this kind been observed up to `version`? Events of one kind arrive in order, so then everything up to it is
    /// in the index.
    pub fn has_observed(&self, kind: Kind, version: u64) -> bool {
        self.lock()
            .observed(kind)
            .is_some_and(|observed| observed >= version)
    }

    /// The version of an object in the index.
    pub fn known_version(&self, kind: Kind, uid: &str) -> Option<u64> {
        let inner = self.lock();
        match kind {
            Kind::CloneSet => inner
                .key_of_uid
                .get(uid)
                .and_then(|key| inner.clonesets.get(key))
                .map(Known::version),
            Kind::Pod => inner.pods.get(uid).map(|pod| version_of(pod.metadata())),
            Kind::Revision => inner
                .revisions
                .get(uid)
                .map(|revision| version_of(revision.metadata())),
            Kind::Pvc => inner.pvcs.get(uid).map(|pvc| version_of(pvc.metadata())),
        }
    }

    /// The objects that a list shows and the index does not show yet, or shows at an older version; none once the index
    /// has observed everything up to the version of the list.
    pub fn behind(&self, listed: &Listed) -> Vec<(String, Key)> {
        if self.has_observed(listed.kind, listed.version) {
            return Vec::new();
        }
        let known = self.lock().known(listed.kind);
        let newer = listed
            .objects
            .iter()
            .filter(|(uid, (_, version))| known.get(*uid).is_none_or(|(_, known)| known < version));
        let gone = known
            .iter()
            .filter(|(uid, (_, version))| *version <= listed.version && !listed.objects.contains_key(*uid));
        newer
            .chain(gone)
            .map(|(uid, (key, _))| (uid.clone(), key.clone()))
            .collect()
    }

    /// Is the object gone or terminating?
    pub fn is_leaving(&self, kind: Kind, uid: &str) -> bool {
        let inner = self.lock();
        match kind {
            Kind::CloneSet => !inner.key_of_uid.contains_key(uid),
            Kind::Pod => inner.pods.get(uid).is_none_or(|pod| pod.is_terminating()),
            Kind::Revision => inner
                .revisions
                .get(uid)
                .is_none_or(|r| r.metadata.deletion_timestamp.is_some()),
            Kind::Pvc => inner.pvcs.get(uid).is_none_or(|pvc| pvc.is_terminating()),
        }
    }

    /// Forgets an unwatched pod: a live read has shown that it is gone or that the CloneSet no longer controls it.
    pub fn forget_unwatched(&self, uid: &str) {
        self.lock().pods.forget_unwatched(uid);
    }

    /// Adds a pod that a list or a write has shown and no watch: it must be read live before anything is decided. False
    /// when the pod is known already.
    pub fn add_unwatched(&self, pod: Pod) -> bool {
        let mut inner = self.lock();
        let (uid, owner) = (uid_of(pod.metadata()), pod.owner().map(str::to_owned));
        match owner.filter(|_| !inner.pods.knows(&uid)) {
            Some(owner) => inner.pods.add_unwatched(owner, uid, Arc::new(pod)),
            None => false,
        }
    }

    /// How many objects of this kind there are, and of how many of them only the metadata could be read.
    pub fn count(&self, kind: Kind) -> (usize, usize) {
        let inner = self.lock();
        match kind {
            Kind::CloneSet => {
                let unreadable = inner.clonesets.values().filter(|known| known.error().is_some());
                (inner.clonesets.len(), unreadable.count())
            }
            Kind::Pod => inner.pods.count(),
            Kind::Revision => inner.revisions.count(),
            Kind::Pvc => inner.pvcs.count(),
        }
    }

    /// Records a bookmark.
    pub fn bookmark(&self, kind: Kind, version: u64) {
        self.lock().raise(kind, version);
    }

    /// Drops a CloneSet that a live read did not find, unless a new one has the same name by now.
    pub fn drop_cloneset(&self, key: &Key, uid: &str) {
        let mut inner = self.lock();
        if inner.clonesets.get(key).is_some_and(|known| known.uid() == uid) {
            inner.forget(key);
        }
    }

    /// Drops a dependent object that a live read did not find.
    pub fn drop_dependent(&self, kind: Kind, uid: &str) -> Vec<Key> {
        let mut inner = self.lock();
        let owner = match kind {
            Kind::CloneSet => None,
            Kind::Pod => inner
                .pods
                .remove(uid)
                .or_else(|| inner.pods.forget_unwatched(uid)),
            Kind::Revision => inner.revisions.remove(uid),
            Kind::Pvc => inner.pvcs.remove(uid),
        };
        inner.keys(&owner.into_iter().collect())
    }
}

/// What a watch feeds.
pub trait Sink<K>: Send + Sync {
    /// A complete list at a version.
    fn replace(&self, objects: Vec<K>, version: u64) -> Vec<Key>;
    /// An object was added or changed.
    fn apply(&self, object: K) -> Vec<Key>;
    /// An object left the watch.
    fn delete(&self, object: K) -> Vec<Key>;
    /// An object was read live: that says nothing about how far the watch has come.
    fn refresh(&self, object: K) -> Vec<Key>;
}

impl<K: Dependent> Sink<K> for Index
where
    Inner: Shelf<K>,
{
    fn replace(&self, objects: Vec<K>, version: u64) -> Vec<Key> {
        let mut inner = self.lock();
        let changed = inner.shelf().replace(objects);
        inner.raise(K::KIND, version);
        inner.forget_unwatched();
        inner.keys(&changed)
    }

    fn apply(&self, object: K) -> Vec<Key> {
        let mut inner = self.lock();
        let version = version_of(object.metadata());
        let changed = inner.shelf().apply(object);
        inner.raise(K::KIND, version);
        inner.keys(&changed)
    }

    fn delete(&self, object: K) -> Vec<Key> {
        let mut inner = self.lock();
        let changed = inner
            .shelf()
            .leave(&uid_of(object.metadata()), Some(&object))
            .into_iter()
            .collect();
        inner.raise(K::KIND, version_of(object.metadata()));
        inner.keys(&changed)
    }

    fn refresh(&self, object: K) -> Vec<Key> {
        let mut inner = self.lock();
        // Unknown, although the watch has come further: it was deleted in between, and no event would remove it again.
        let shelf = inner.shelf();
        if !shelf.knows(&uid_of(object.metadata())) && shelf.observed >= Some(version_of(object.metadata())) {
            return Vec::new();
        }
        let changed = inner.shelf().apply(object);
        inner.keys(&changed)
    }
}

impl Sink<Known> for Index {
    fn replace(&self, objects: Vec<Known>, version: u64) -> Vec<Key> {
        let mut inner = self.lock();
        let listed = objects.into_iter();
        let listed: BTreeMap<Key, Known> = listed.map(|known| (key_of(known.metadata()), known)).collect();
        let vanished: Vec<Key> = inner
            .clonesets
            .keys()
            .filter(|key| !listed.contains_key(*key))
            .cloned()
            .collect();
        let mut changed = Vec::new();
        for key in vanished {
            inner.forget(&key);
            changed.push(key);
        }
        for (key, known) in listed {
            if inner.insert(key.clone(), known) {
                changed.push(key);
            }
        }
        inner.raise(Kind::CloneSet, version);
        inner.forget_unwatched();
        changed
    }

    fn apply(&self, known: Known) -> Vec<Key> {
        let mut inner = self.lock();
        let key = key_of(known.metadata());
        inner.raise(Kind::CloneSet, known.version());
        if inner.insert(key.clone(), known) {
            vec![key]
        } else {
            Vec::new()
        }
    }

    fn delete(&self, known: Known) -> Vec<Key> {
        let mut inner = self.lock();
        let key = key_of(known.metadata());
        inner.raise(Kind::CloneSet, known.version());
        if inner
            .clonesets
            .get(&key)
            .is_some_and(|present| present.uid() == known.uid())
        {
            inner.forget(&key);
        }
        vec![key]
    }

    fn refresh(&self, known: Known) -> Vec<Key> {
        let mut inner = self.lock();
        let key = key_of(known.metadata());
        if inner.insert(key.clone(), known) {
            vec![key]
        } else {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests;
