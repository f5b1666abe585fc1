//! Which claims there should be: those of pods to come, those that go with their pod, and those left over
//! (`behaviour.md` 3.2-3.5, with deviation 11 of `design.md` 6).
//!
//! Decides by owner and name only. A claim of somebody else is not in the snapshot; that its name is taken shows when
//! ours is created.

use crate::action::{Action, ClaimDeletion, ClaimHandOver};
use crate::context::Context;
use crate::instance_ids::instance_ids;
use crate::snapshot::Snapshot;
use cloneset_status::{Claim, Pod, Wait};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// How much longer than its grace period a pod may take to go before what comes in its place gets other claims.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);

/// The instance ids of one pass.
#[derive(Debug, Default)]
pub(crate) struct Ids<'a> {
    /// Of claims whose pod has gone; taken over first.
    pub(crate) free: BTreeSet<&'a str>,
    /// Not to be used.
    taken: HashSet<&'a str>,
    /// Of claims whose pod is going, with the time until which they are waited for.
    returning: BTreeMap<&'a str, Timestamp>,
}

impl<'a> Ids<'a> {
    pub(crate) fn of(context: &Context<'a>) -> Self {
        let snapshot = context.snapshot;
        let mut ids = Self::default();
        ids.taken.extend(snapshot.pods.iter().flat_map(|pod| ids_of(pod)));
        ids.taken.extend(snapshot.reserved_ids.iter().map(String::as_str));
        // A pod by a name that is asked to go would be deleted as soon as it is made.
        let asked_to_go = context.desired.pods_to_delete.iter();
        ids.taken
            .extend(asked_to_go.filter_map(|name| Some(name.rsplit_once('-')?.1)));
        let mut left: HashSet<&str> = HashSet::new();
        for claim in &snapshot.claims {
            let Some(id) = claim.instance_of(name(snapshot)) else {
                continue;
            };
            // A name that is about to be free is not free yet, or its pod would wait for the claim to go.
            let stays = !claim.is_terminating() && !snapshot.doomed_claims.contains(claim.uid());
            let is_for_the_next = context.desired.reuse_claims || snapshot.fresh_claims.contains(claim.uid());
            if stays && is_for_the_next {
                left.insert(id);
            } else {
                ids.taken.insert(id);
            }
        }
        for pod in snapshot.pods.iter().filter(|pod| pod.is_terminating()) {
            let until = pod.metadata.deletion_timestamp.as_ref();
            let until = until.and_then(|at| at.0.checked_add(PATIENCE).ok());
            if let (Some(id), Some(until)) = (pod.named_id().filter(|id| left.contains(id)), until)
                && until > context.now
            {
                ids.returning.insert(id, until);
            }
        }
        left.retain(|id| !ids.taken.contains(id));
        ids.free = left.into_iter().collect();
        ids
    }

    /// How many of `wanted` pods may be created now, and what the others wait for: as many as there are pods that
    /// leave their claims behind get these, once they are gone.
    pub(crate) fn now(&self, wanted: i32) -> (i32, Option<Wait>) {
        let count = |ids: usize| i32::try_from(ids).unwrap_or(i32::MAX);
        let held = wanted
            .saturating_sub(count(self.free.len()))
            .clamp(0, count(self.returning.len()));
        let wait = self.returning.values().min().filter(|_| held > 0);
        let wait = wait.map(|until| Wait::ClaimsInUse {
            pods: held,
            until: *until,
        });
        (wanted.saturating_sub(held), wait)
    }

    /// The ids for so many pods to come.
    pub(crate) fn take(mut self, count: usize, uid: &str) -> Vec<String> {
        self.taken.extend(&self.free);
        let free = self.free.into_iter().map(str::to_owned);
        free.chain(instance_ids(uid, |id| self.taken.contains(id)))
            .take(count)
            .collect()
    }
}

fn name(snapshot: &Snapshot) -> &str {
    snapshot.cloneset.metadata.name.as_deref().unwrap_or_default()
}

/// The ids that a pod takes: that of its label and, as anybody may edit a label, that of its name.
fn ids_of(pod: &Pod) -> impl Iterator<Item = &str> {
    let (labelled, named) = (pod.instance_id(), pod.named_id());
    labelled
        .into_iter()
        .chain(named.filter(|id| labelled != Some(id)))
}

/// What becomes of the claims there are, beside what `moving` and `released` do to pods. A claim that is given up with
/// its pod follows it; by itself a claim goes only when no pod that may run has its id. One that was made for a pod that
/// is still `missing` waits for it.
pub(crate) fn actions(
    context: &Context<'_>,
    missing: bool,
    moving: &[Action],
    released: &[Action],
) -> Vec<Action> {
    let snapshot = context.snapshot;
    if snapshot.claims.is_empty() {
        return Vec::new();
    }
    let deleted = moving.iter().filter_map(|action| match action {
        Action::DeletePod(deletion) => Some(deletion.uid.as_str()),
        _ => None,
    });
    let deleted: HashSet<&str> = deleted.collect();
    let given_up: HashSet<&str> = released.iter().filter_map(Action::pod_uid).collect();
    let pods: HashMap<&str, &Pod> = snapshot
        .pods
        .iter()
        .filter_map(|pod| Some((pod.named_id()?, pod.as_ref())))
        .collect();
    let fate = |claim: &Claim| {
        let pod = pods.get(claim.instance_of(name(snapshot))?).copied();
        match pod {
            Some(pod) if deleted.contains(pod.uid()) => Some(delete(claim, Some(pod))),
            Some(pod) if pod.is_active() && !given_up.contains(pod.uid()) => None,
            _ if snapshot.doomed_claims.contains(claim.uid()) => Some(delete(claim, None)),
            _ if context.desired.reuse_claims => None,
            None if missing && snapshot.fresh_claims.contains(claim.uid()) => None,
            Some(pod) => Some(hand_over(claim, pod)),
            None => Some(delete(claim, None)),
        }
    };
    let live = snapshot.claims.iter().filter(|claim| !claim.is_terminating());
    live.filter_map(|claim| fate(claim)).collect()
}

fn delete(claim: &Claim, with: Option<&Pod>) -> Action {
    Action::DeleteClaim(ClaimDeletion {
        name: claim.name().to_owned(),
        uid: claim.uid().to_owned(),
        resource_version: claim.metadata.resource_version.clone().unwrap_or_default(),
        with_pod: with.map(|pod| pod.uid().to_owned()),
    })
}

fn hand_over(claim: &Claim, pod: &Pod) -> Action {
    Action::HandOverClaim(ClaimHandOver {
        name: claim.name().to_owned(),
        uid: claim.uid().to_owned(),
        resource_version: claim.metadata.resource_version.clone().unwrap_or_default(),
        pod_name: pod.name().to_owned(),
        pod_uid: pod.uid().to_owned(),
    })
}
