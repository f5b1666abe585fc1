//! What we remember of a CloneSet between passes. In memory only: losing it costs a read, never a pod.

use crate::cache::index::Key;
use crate::cache::pending::Mark;
use crate::reconcile::backoffs::Holds;
use crate::reconcile::steady::Steady;
use cloneset_status::{Claim, Pod, Runaway};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an instance id is not used again after its pod went, or after somebody else's object was found to
/// have the name.
const RESERVED_FOR: Duration = Duration::from_mins(5);

/// How long a pod that vanished counts towards stopping creation.
const RUNAWAY_WINDOW: Duration = Duration::from_mins(10);

/// How long pods that could not start are remembered: events are kept for as long by default.
const FAILURE_REMEMBERED: Duration = Duration::from_hours(1);

/// Pods that a person may take out by their labels in that time, however small the set; more is a machine's work.
const MOST_TAKEN_OUT: usize = 10;

/// What we remember of one CloneSet.
#[derive(Debug, Default)]
pub struct Memory {
    /// UID of the CloneSet this is about.
    pub uid: String,
    /// The generation last looked at.
    pub generation: i64,
    /// Writes the view may not show yet.
    pub marks: Vec<Mark>,
    /// Passes in a row that failed; what comes in between without failing or finishing does not count.
    pub failures: u32,
    /// Passes in a row that lost a race.
    pub races: u32,
    /// What failed, and when it is due again.
    pub holds: Holds,
    /// The term of leadership this is of.
    term: u64,
    /// When status was last written.
    pub status_written: Option<Instant>,
    /// Reasons to wait that were already told.
    pub told_waits: BTreeSet<&'static str>,
    /// What was last said of a pod that cannot start.
    pub steady: Steady,
    /// Names of pods that were deleted because `podsToDelete` names them, until it does no more.
    pub deleted_by_name: BTreeSet<String>,
    /// Names of pods that match the selector and have no owner, to be reported.
    pub orphans: Vec<String>,
    /// When pods of a revision were last found not to start for a reason.
    start_failures: BTreeMap<(String, String), Instant>,
    /// The term of leadership in which the pods that our selector matches were last listed.
    pub searched_in_term: u64,
    /// Revisions of which the API server would take a pod, as a rehearsal has shown.
    pub rehearsed: BTreeSet<String>,
    /// Fields that the API server does not know in the templates of the revisions that it was asked about.
    pub unknown_fields: BTreeMap<String, Vec<String>>,
    /// Why no pod is created until the spec changes.
    pub runaway: Option<Runaway>,
    /// UIDs of pods that were created and not seen yet.
    pub born: BTreeSet<String>,
    /// UIDs of claims that have to follow a pod that was deleted by us, with the pod's.
    pub doomed_claims: BTreeMap<String, String>,
    /// UIDs of claims that were created and whose pods were not.
    pub fresh_claims: BTreeSet<String>,
    /// When pods that were created turned out not to be there.
    vanished: Vec<Instant>,
    /// When pods were given up because their labels took them out.
    released: Vec<Instant>,
    /// Instance ids of the pods that were there.
    present: BTreeSet<String>,
    reserved_ids: BTreeMap<String, Instant>,
}

impl Memory {
    /// Of a CloneSet we know nothing about yet.
    pub fn of(uid: String, term: u64) -> Self {
        Self {
            uid,
            term,
            ..Self::default()
        }
    }

    /// Keeps an instance id from being used for a while.
    pub fn reserve(&mut self, id: &str) {
        self.reserved_ids
            .insert(id.to_owned(), Instant::now() + RESERVED_FOR);
    }

    /// Takes note of the generation that is looked at; another one than failed is tried at once, and another one than
    /// ran away is given a new chance.
    pub fn look_at(&mut self, generation: i64) {
        if self.generation != generation && self.generation != 0 {
            self.runaway = None;
            self.vanished.clear();
            self.released.clear();
            self.failures = 0;
            self.holds = Holds::default();
        }
        self.generation = generation;
    }

    /// Is this about that CloneSet, and of that term? Another leader may have learned more in between.
    pub fn is_of(&self, uid: &str, term: u64) -> bool {
        self.uid == uid && self.term == term
    }

    /// Pods of the revision cannot start for this reason: true when that is new, or was over for an hour.
    pub fn is_new_failure(&mut self, revision: &str, reason: &str) -> bool {
        let now = Instant::now();
        self.start_failures
            .retain(|_, found| now.duration_since(*found) < FAILURE_REMEMBERED);
        let failure = (revision.to_owned(), reason.to_owned());
        self.start_failures.insert(failure, now).is_none()
    }

    /// Everything has succeeded.
    pub fn settle(&mut self) {
        self.failures = 0;
        self.holds = Holds::default();
    }

    /// A pod was given up and is replaced: who makes us do so again and again is a runaway too.
    pub fn has_released(&mut self) {
        self.released.push(Instant::now());
    }

    /// Compares the pods there are with those that were created and those that were there: the view has come as far as
    /// every write of ours. With `keeps_ids` a pod's successor is to have its id, and with that its claims.
    pub fn take_stock(&mut self, pods: &[Arc<Pod>], keeps_ids: bool) {
        let born = std::mem::take(&mut self.born);
        if !born.is_empty() {
            let uids: BTreeSet<&str> = pods.iter().map(|pod| pod.uid()).collect();
            let gone = born.iter().filter(|uid| !uids.contains(uid.as_str()));
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

    /// Drops claims that are on their way out, those whose pod turns out not to have been deleted, and those whose pod
    /// has come.
    pub fn settle_claims(&mut self, claims: &[Arc<Claim>], pods: &[Arc<Pod>]) {
        if self.fresh_claims.is_empty() && self.doomed_claims.is_empty() {
            return;
        }
        let names: HashSet<&str> = pods.iter().map(|pod| pod.name()).collect();
        // Template names and pod names may both contain dashes.
        let has_pod = |claim: &Claim| {
            let name = claim.name();
            let mut dashes = name.match_indices('-');
            dashes.any(|(at, _)| name.get(at + 1..).is_some_and(|pod| names.contains(pod)))
        };
        let left = claims.iter().filter(|claim| !claim.is_terminating());
        let left: HashMap<&str, &Claim> = left.map(|claim| (claim.uid(), claim.as_ref())).collect();
        let active = pods.iter().filter(|pod| pod.is_active());
        let active: HashSet<&str> = active.map(|pod| pod.uid()).collect();
        self.fresh_claims
            .retain(|uid| left.get(uid.as_str()).is_some_and(|claim| !has_pod(claim)));
        self.doomed_claims
            .retain(|claim, pod| left.contains_key(claim.as_str()) && !active.contains(pod.as_str()));
    }

    /// Stops creation when more pods have vanished than could have been lost by chance: twice as many as there may be.
    pub fn judge_creation(&mut self, most_pods: i32) {
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
        } else if self.released.len() > limit.max(MOST_TAKEN_OUT) {
            self.runaway = Some(Runaway::taken_out(self.released.len()));
            self.released.clear();
        }
    }

    /// The ids not to be used now.
    pub fn reserved_ids(&mut self) -> BTreeSet<String> {
        let now = Instant::now();
        self.reserved_ids.retain(|_, until| *until > now);
        self.reserved_ids.keys().cloned().collect()
    }
}

/// The memories, by CloneSet. A key is worked on by one worker at a time, so a memory is taken out and put back.
#[derive(Debug, Default)]
pub struct Memories {
    by_key: Mutex<HashMap<Key, Memory>>,
}

impl Memories {
    /// Takes out what is remembered of this key.
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
