//! What the controller remembers of a CloneSet between reconciles.
//!
//! In memory only: losing it costs a read, never a pod.

use crate::cache::pending::PendingWrite;
use crate::key::Key;
use crate::reconcile::backoffs::Backoffs;
use crate::reconcile::steady::Steady;
use cloneset_status::{Claim, Pod, Runaway};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an instance id is not used again after its pod was deleted, or after another object was found to have the
/// name.
const RESERVED_FOR: Duration = Duration::from_mins(5);

/// How long a pod that vanished counts towards stopping creation.
const RUNAWAY_WINDOW: Duration = Duration::from_mins(10);

/// How long pods that could not start are remembered: events are kept for as long by default.
const FAILURE_REMEMBERED: Duration = Duration::from_hours(1);

/// Pods that a user may release by their labels in that time, however small the set; more is done by a program.
const MOST_RELEASED: usize = 10;

/// What is remembered of one CloneSet.
#[derive(Debug, Default)]
pub struct Memory {
    /// UID of the CloneSet this is about.
    pub uid: String,
    /// The generation that was observed last.
    pub generation: i64,
    /// Writes that the cache may not show yet.
    pub pending: Vec<PendingWrite>,
    /// Reconciles in a row that failed; one that neither fails nor finishes does not count.
    pub failures: u32,
    /// Reconciles in a row in which the API server could not take a write.
    pub server_failures: u32,
    /// Reconciles in a row that ended with a conflict.
    pub conflicts: u32,
    /// What failed, and when it is due again.
    pub backoffs: Backoffs,
    /// The term of leadership this is of.
    term: u64,
    /// When status was last written.
    pub status_written: Option<Instant>,
    /// Reasons to wait that were already reported.
    pub reported_waits: BTreeSet<&'static str>,
    /// What was last reported of a pod that cannot start.
    pub steady: Steady,
    /// Names of pods that were deleted because `podsToDelete` names them, for as long as it does.
    pub deleted_by_name: BTreeSet<String>,
    /// Names of pods that match the selector and have no owner, to be reported.
    pub orphans: Vec<String>,
    /// When pods of a revision were last found not to start for a reason.
    start_failures: BTreeMap<(String, String), Instant>,
    /// The term in which the pods that the selector matches were last listed.
    pub searched_in_term: u64,
    /// Revisions of which the API server would accept a pod, as a dry run has shown.
    pub dry_run_passed: BTreeSet<String>,
    /// Fields that the API server does not know, by the revision of a dry run.
    pub unknown_fields: BTreeMap<String, Vec<String>>,
    /// Why no pod is created until the spec changes.
    pub runaway: Option<Runaway>,
    /// UIDs of pods that were created and not observed yet.
    pub unobserved_pods: BTreeSet<String>,
    /// UIDs of PVCs to delete because their pod was deleted, with the UID of the pod.
    pub pvcs_to_delete: BTreeMap<String, String>,
    /// UIDs of PVCs that were created and whose pods were not.
    pub pvcs_awaiting_pod: BTreeSet<String>,
    /// When pods that were created turned out not to exist.
    vanished: Vec<Instant>,
    /// When pods were released because the selector no longer matches them.
    released: Vec<Instant>,
    /// Instance ids of the pods that existed last time.
    present: BTreeSet<String>,
    reserved_ids: BTreeMap<String, Instant>,
}

impl Memory {
    /// Of a CloneSet about which nothing is known yet.
    pub fn of(uid: String, term: u64) -> Self {
        Self {
            uid,
            term,
            ..Self::default()
        }
    }

    /// The term of leadership in which all of this was observed.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Keeps an instance id from being used for a while.
    pub fn reserve(&mut self, id: &str) {
        self.reserved_ids
            .insert(id.to_owned(), Instant::now() + RESERVED_FOR);
    }

    /// Records the observed generation. A spec change resets the backoff and the guard against runaway creation.
    pub fn observe_generation(&mut self, generation: i64) {
        if self.generation != generation && self.generation != 0 {
            self.runaway = None;
            self.vanished.clear();
            self.released.clear();
            self.failures = 0;
            self.backoffs = Backoffs::default();
        }
        self.generation = generation;
    }

    /// Is this about that CloneSet, and of that term? Another leader may have changed more in between.
    pub fn is_of(&self, uid: &str, term: u64) -> bool {
        self.uid == uid && self.term == term
    }

    /// Records that pods of the revision cannot start for this reason; true when that is new, or was last so an hour ago.
    pub fn is_new_failure(&mut self, revision: &str, reason: &str) -> bool {
        let now = Instant::now();
        self.start_failures
            .retain(|_, found| now.duration_since(*found) < FAILURE_REMEMBERED);
        let failure = (revision.to_owned(), reason.to_owned());
        self.start_failures.insert(failure, now).is_none()
    }

    /// Records that everything has succeeded.
    pub fn reset_backoff(&mut self) {
        self.failures = 0;
        self.server_failures = 0;
        self.backoffs = Backoffs::default();
    }

    /// Ends what backs off because the API server could not take it.
    pub fn end_backoff_of_server(&mut self) {
        self.server_failures = 0;
        self.backoffs.end_of_server();
    }

    /// Records that a pod was released, to be replaced: releasing without end is runaway creation too.
    pub fn record_release(&mut self) {
        self.released.push(Instant::now());
    }

    /// Compares the pods with those that were created and those that existed last time. The cache must show every pending
    /// write. With `keeps_ids` a pod's replacement gets its instance id, and with that its PVCs.
    pub fn compare_pods(&mut self, pods: &[Arc<Pod>], keeps_ids: bool) {
        let created = std::mem::take(&mut self.unobserved_pods);
        if !created.is_empty() {
            let uids: BTreeSet<&str> = pods.iter().map(|pod| pod.uid()).collect();
            let gone = created.iter().filter(|uid| !uids.contains(uid.as_str()));
            self.vanished.extend(gone.map(|_| Instant::now()));
        }
        let ids = pods.iter().filter_map(|pod| pod.named_id());
        let present: BTreeSet<String> = ids.map(str::to_owned).collect();
        let before = std::mem::replace(&mut self.present, present);
        if !keeps_ids {
            let until = Instant::now() + RESERVED_FOR;
            let gone = before.difference(&self.present);
            self.reserved_ids.extend(gone.map(|id| (id.clone(), until)));
        }
    }

    /// Forgets PVCs that are terminating, those whose pod turns out not to have been deleted, and those whose pod now exists.
    pub fn compare_pvcs(&mut self, pvcs: &[Arc<Claim>], pods: &[Arc<Pod>]) {
        if self.pvcs_awaiting_pod.is_empty() && self.pvcs_to_delete.is_empty() {
            return;
        }
        let names: HashSet<&str> = pods.iter().map(|pod| pod.name()).collect();
        // Template names and pod names may both contain dashes.
        let has_pod = |pvc: &Claim| {
            let name = pvc.name();
            let mut dashes = name.match_indices('-');
            dashes.any(|(at, _)| name.get(at + 1..).is_some_and(|pod| names.contains(pod)))
        };
        let left = pvcs.iter().filter(|pvc| !pvc.is_terminating());
        let left: HashMap<&str, &Claim> = left.map(|pvc| (pvc.uid(), pvc.as_ref())).collect();
        let active = pods.iter().filter(|pod| pod.is_active());
        let active: HashSet<&str> = active.map(|pod| pod.uid()).collect();
        self.pvcs_awaiting_pod
            .retain(|uid| left.get(uid.as_str()).is_some_and(|pvc| !has_pod(pvc)));
        self.pvcs_to_delete
            .retain(|pvc, pod| left.contains_key(pvc.as_str()) && !active.contains(pod.as_str()));
    }

    /// Stops creation when more pods have vanished than could be by chance: twice as many as there may be.
    pub fn guard_creation(&mut self, most_pods: i32) {
        let now = Instant::now();
        for times in [&mut self.vanished, &mut self.released] {
            times.retain(|at| now.duration_since(*at) < RUNAWAY_WINDOW);
        }
        if self.runaway.is_some() {
            return;
        }
        let limit = usize::try_from(most_pods).unwrap_or(0).saturating_mul(2).max(2);
        if self.vanished.len() > limit {
            self.runaway = Some(Runaway::vanishing(self.vanished.len()));
            self.vanished.clear();
        } else if self.released.len() > limit.max(MOST_RELEASED) {
            self.runaway = Some(Runaway::taken_out(self.released.len()));
            self.released.clear();
        }
    }

    /// The instance ids not to be used now.
    pub fn reserved_ids(&mut self) -> BTreeSet<String> {
        let now = Instant::now();
        self.reserved_ids.retain(|_, until| *until > now);
        self.reserved_ids.keys().cloned().collect()
    }
}

/// The memories, by CloneSet. One worker at a time works on a key, so a memory is taken out and put back.
#[derive(Debug, Default)]
pub struct Memories {
    by_key: Mutex<HashMap<Key, Memory>>,
}

impl Memories {
    /// Takes out what is remembered of this CloneSet.
    pub fn take(&self, key: &Key) -> Memory {
        self.by_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(key)
            .unwrap_or_default()
    }

    /// Puts it back.
    pub fn put(&self, key: Key, memory: Memory) {
        self.by_key
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, memory);
    }
}
