//! The third step of a reconcile: do what the plan says.
//!
//! The revision first; then everything else, side by side and bounded, creations in batches of 1, 2, 4, …. One pod's
//! failure never stops the others, with two exceptions: a batch with a failure is the last one of creations, and nothing
//! more is sent once the API server throttles or does not answer. How a write is made is decided in `write`; nothing
//! about pods is decided here.

use crate::backoff::Backoff;
use crate::cache::pending::{Expect, PendingWrite};
use crate::key::Kind;
use crate::queue::Queue;
use crate::reconcile::backoffs::BackoffKey;
use crate::reconcile::failure::Failure;
use crate::reconcile::memory::Memory;
use crate::write::dry_run::{NOT_SUPPORTED, dry_run};
use crate::write::error::WriteError;
use crate::write::owner::Owner;
use crate::write::perform::perform;
use crate::write::revisions;
use crate::write::written::Written;
use cloneset_plan::{Action, ActionKind, DeleteReason, NewPod, OutReason, Plan, RevisionWrite};
use cloneset_status::Runaway;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;
use tracing::debug;

/// Writes of one CloneSet under way at once; all CloneSets together share the writer's slots.
const SIDE_BY_SIDE: usize = 16;

/// What acting changed.
#[derive(Debug, Default)]
pub struct Acted {
    /// Pods created, with their revisions.
    pub created: Vec<(String, String)>,
    /// Pods deleted, and why.
    pub deleted: Vec<(String, DeleteReason)>,
    /// Pods changed in place, with the revisions they are updated to.
    pub changed: Vec<(String, String)>,
    /// Pods whose deletion hook `preDelete` holds from now on, and why they are to be deleted.
    pub held: Vec<(String, DeleteReason)>,
    /// PVCs deleted.
    pub pvcs_deleted: Vec<String>,
    /// Names removed from `podsToDelete` that are those of no pod.
    pub unknown_names: Vec<String>,
    /// Writes that failed.
    pub failed: Vec<Failure>,
    /// The kinds of actions of which one succeeded.
    pub done: BTreeSet<ActionKind>,
    /// A revision with other content has the name of the new revision.
    pub name_collision: bool,
    /// A pod was stored without what ties it to its CloneSet.
    pub altered: Option<Runaway>,
}

impl Acted {
    /// Records what is to be reported of an action that succeeded.
    fn record(&mut self, action: &Action) {
        self.done.insert(action.kind());
        match action {
            Action::DeletePod(pod) => self.deleted.push((pod.name.clone(), pod.why)),
            Action::ChangeInPlace(pod) => self.changed.push((pod.name.clone(), pod.revision.clone())),
            Action::TakeOutOfService(pod) => {
                if let OutReason::DeletionHook(why) = pod.why {
                    self.held.push((pod.name.clone(), why));
                }
            }
            Action::DeleteClaim(pvc) => self.pvcs_deleted.push(pvc.name.clone()),
            Action::PruneNames(names) => self.unknown_names.extend(names.unknown.iter().cloned()),
            _ => {}
        }
    }

    /// What backs off because of the failures, and how.
    pub fn backoffs(&self) -> BTreeMap<BackoffKey, Backoff> {
        self.failed.iter().filter_map(Failure::backoff).collect()
    }
}

/// Carries out a plan for the owner. No further write is sent once the queue is closed.
pub async fn act(owner: &Owner<'_>, queue: &Queue, memory: &mut Memory, plan: &Plan) -> Acted {
    let mut acting = Acting {
        owner,
        memory,
        acted: Acted::default(),
        stop: Stop {
            batch: AtomicBool::new(false),
            queue,
        },
        deletes_sent: BTreeMap::new(),
    };
    let has_revision = match &plan.revision {
        Some(write) => acting.write_revision(write).await,
        None => true,
    };
    let may_replace = has_revision
        && match &plan.rehearsal {
            Some(pod) => acting.dry_run(pod).await,
            None => true,
        };
    // Without its revision no pod may be created or replaced, but a new pod may be put into service all the same, and
    // what has begun is finished.
    let possible = plan.actions.iter().filter(|action| match action {
        action if action.begins_update() => may_replace,
        Action::PutInService(_)
        | Action::ChangeInPlace(_)
        | Action::PruneNames(_)
        | Action::HandOverClaim(_) => true,
        // The PVCs of a pod are deleted after the pod.
        Action::DeleteClaim(pvc) => pvc.with_pod.is_none(),
        Action::DeletePod(_)
        | Action::TakeOutOfService(_)
        | Action::CreateClaim(_)
        | Action::CreatePod(_)
        | Action::ReleasePod(_)
        | Action::DeleteRevision { .. } => has_revision,
    });
    let (creations, others): (Vec<&Action>, Vec<&Action>) =
        possible.partition(|action| matches!(action, Action::CreatePod(_) | Action::CreateClaim(_)));
    acting.carry_out(&others).await;
    acting.delete_pvcs(plan).await;
    acting.find_unknown_fields(&creations).await;
    acting.create(&creations).await;
    acting.acted
}

/// Whether nothing more is to be sent.
struct Stop<'a> {
    /// The API server throttled a write of this batch, or did not answer it.
    batch: AtomicBool,
    /// Closed when this process is shutting down.
    queue: &'a Queue,
}

impl Stop<'_> {
    fn batch(&self) {
        self.batch.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.batch.load(Ordering::Relaxed) || self.queue.is_closed()
    }

    /// Sends the write unless the batch was stopped or the process is shutting down. A throttled or unanswered write
    /// stops the rest of the batch.
    async fn send_unless_set(
        &self,
        write: impl Future<Output = Result<Written, WriteError>>,
    ) -> Result<Written, WriteError> {
        if self.is_set() {
            return Err(WriteError::Withheld);
        }
        let result = write.await;
        if result
            .as_ref()
            .is_err_and(|error| error.disposition().stops_batch)
        {
            self.batch();
        }
        result
    }
}

/// A plan being carried out.
struct Acting<'a> {
    owner: &'a Owner<'a>,
    memory: &'a mut Memory,
    acted: Acted,
    stop: Stop<'a>,
    /// UIDs of pods to which a delete was sent; true once the API server confirmed it.
    deletes_sent: BTreeMap<String, bool>,
}

impl Acting<'_> {
    /// Writes the revision; false when nothing that needs it may follow.
    async fn write_revision(&mut self, write: &RevisionWrite) -> bool {
        let name = match write {
            RevisionWrite::Create(new) => &new.name,
            RevisionWrite::Update(update) => &update.name,
        };
        match revisions::write(self.owner, write).await {
            Ok(Written::Done(pending) | Written::PodCreated { pending, .. }) => {
                self.acted.done.insert(ActionKind::WriteRevision);
                self.memory.pending.push(pending);
                true
            }
            Ok(Written::NameTaken) => {
                self.acted.name_collision = true;
                false
            }
            Err(error) => {
                let failure = Failure::of_revision(ActionKind::WriteRevision, name, error);
                self.acted.failed.push(failure);
                false
            }
        }
    }

    /// Asks once for each revision whether the API server would accept a pod of it; false when no pod may be replaced by
    /// one.
    async fn dry_run(&mut self, pod: &NewPod) -> bool {
        let revision = &pod.revision.name;
        if self.memory.dry_run_passed.contains(revision) {
            return true;
        }
        match self.ask(pod).await {
            Ok(Some(runaway)) => {
                self.acted.altered = Some(runaway);
                false
            }
            Ok(None) | Err(WriteError::AlreadyExists) => {
                self.acted.done.insert(ActionKind::DryRunPod);
                self.memory.dry_run_passed.insert(revision.clone());
                true
            }
            // The deletion itself makes room.
            Err(WriteError::OverQuota(_)) => true,
            Err(WriteError::Rejected(message)) if message.contains(NOT_SUPPORTED) => true,
            Err(error) => {
                let failure = Failure::of_revision(ActionKind::DryRunPod, revision, error);
                self.acted.failed.push(failure);
                false
            }
        }
    }

    /// Sends a dry run, and remembers the unknown fields that it found.
    async fn ask(&mut self, pod: &NewPod) -> Result<Option<Runaway>, WriteError> {
        let dry_run = dry_run(self.owner, pod).await;
        if let Some(unknown) = dry_run.unknown_fields {
            let revision = pod.revision.name.clone();
            self.memory.unknown_fields.insert(revision, unknown);
        }
        dry_run.answer
    }

    /// Finds the unknown fields of the revisions of new pods, once for each revision. The pods are created whatever the
    /// answer is; only a throttled dry run, or the end of this leadership, stops the batch.
    async fn find_unknown_fields(&mut self, creations: &[&Action]) {
        if self.stop.batch.load(Ordering::Relaxed) {
            return;
        }
        for action in creations {
            let Action::CreatePod(pod) = action else { continue };
            let revision = &pod.revision.name;
            if self.memory.unknown_fields.contains_key(revision) {
                continue;
            }
            match self.ask(pod).await {
                Ok(None) => drop(self.memory.dry_run_passed.insert(revision.clone())),
                Err(error @ (WriteError::NotLeading | WriteError::Throttled { .. })) => {
                    self.stop.batch();
                    let failure = Failure::of_revision(ActionKind::DryRunPod, revision, error);
                    self.acted.failed.push(failure);
                    return;
                }
                // The creation itself shows what is wrong with the pod.
                Ok(Some(_)) | Err(_) => {
                    self.memory.unknown_fields.entry(revision.clone()).or_default();
                }
            }
        }
    }

    /// Creates pods in growing batches, each pod after its PVCs. A PVC that cannot be created stops its own pod only, and
    /// counts as a failure of the batch.
    async fn create(&mut self, creations: &[&Action]) {
        let (pods, pvcs): (Vec<&Action>, Vec<&Action>) = creations
            .iter()
            .partition(|action| matches!(action, Action::CreatePod(_)));
        let mut rest = pods.as_slice();
        let mut batch_size = 1;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_size.min(rest.len()));
            let ids: BTreeSet<Option<&str>> = batch.iter().map(|pod| instance(pod)).collect();
            let needed: Vec<&Action> = pvcs
                .iter()
                .filter(|pvc| ids.contains(&instance(pvc)))
                .copied()
                .collect();
            let have_pvcs = needed.is_empty() || self.carry_out(&needed).await;
            let ready: Vec<&Action> = batch.iter().filter(|pod| !self.lacks_pvc(pod)).copied().collect();
            if !self.carry_out(&ready).await || !have_pvcs {
                break;
            }
            rest = later;
            batch_size = batch_size.saturating_mul(2);
        }
    }

    fn lacks_pvc(&self, pod: &Action) -> bool {
        let Action::CreatePod(pod) = pod else { return false };
        let is_its = |name: &String| pod.claims.iter().any(|pvc| pvc.name == *name);
        let mut failed = self.acted.failed.iter();
        failed.any(|failure| {
            failure.kind == ActionKind::CreatePvc && failure.target.as_ref().is_some_and(is_its)
        })
    }

    /// Deletes the PVCs of pods that were deleted just now. What cannot be done at once is remembered for the next
    /// reconciles.
    async fn delete_pvcs(&mut self, plan: &Plan) {
        let mut confirmed: Vec<&Action> = Vec::new();
        for action in &plan.actions {
            if let Action::DeleteClaim(pvc) = action
                && let Some(pod) = &pvc.with_pod
                && let Some(is_confirmed) = self.deletes_sent.get(pod)
            {
                self.memory.pvcs_to_delete.insert(pvc.uid.clone(), pod.clone());
                confirmed.extend(is_confirmed.then_some(action));
            }
        }
        self.carry_out(&confirmed).await;
    }

    /// Carries out actions side by side; false when one of them failed.
    async fn carry_out(&mut self, actions: &[&Action]) -> bool {
        let (owner, stop) = (self.owner, &self.stop);
        let writes: Vec<BoxFuture<'_, (&Action, Result<Written, WriteError>)>> = actions
            .iter()
            .map(|&action| {
                async move { (action, stop.send_unless_set(perform(owner, action)).await) }.boxed()
            })
            .collect();
        let mut results = futures::stream::iter(writes).buffer_unordered(SIDE_BY_SIDE);
        let mut all_done = true;
        while let Some((action, result)) = results.next().await {
            if let (Action::DeletePod(pod), Ok(_) | Err(WriteError::Unclear(_))) = (action, &result) {
                self.deletes_sent.insert(pod.uid.clone(), result.is_ok());
            }
            all_done &= record(self.memory, &mut self.acted, action, result);
        }
        all_done
    }
}

/// Records what became of an action; false when it failed, or when further pods must not be created.
fn record(
    memory: &mut Memory,
    acted: &mut Acted,
    action: &Action,
    result: Result<Written, WriteError>,
) -> bool {
    // The pod no longer belongs to the CloneSet, or soon will not, but its name is still taken.
    let leaving = match action {
        Action::DeletePod(pod) => Some(&pod.name),
        Action::ReleasePod(pod) => Some(&pod.name),
        _ => None,
    };
    if let Some((_, id)) = leaving.and_then(|name| name.rsplit_once('-')) {
        memory.reserve(id);
    }
    match result {
        Ok(Written::Done(pending)) => {
            match action {
                Action::ReleasePod(_) => memory.record_release(),
                Action::CreateClaim(_) => drop(memory.pvcs_awaiting_pod.insert(pending.uid.clone())),
                _ => {}
            }
            memory.pending.push(pending);
            acted.record(action);
            true
        }
        Ok(Written::PodCreated { pending, altered }) => {
            memory.unobserved_pods.insert(pending.uid.clone());
            memory.pending.push(pending);
            if let Action::CreatePod(pod) = action {
                acted.created.push((pod.name.clone(), pod.revision.name.clone()));
            }
            acted.record(action);
            // Every further pod would be altered too.
            let is_intact = altered.is_none();
            acted.altered = acted.altered.take().or(altered);
            is_intact
        }
        Ok(Written::NameTaken) => {
            // The next reconcile, at once, takes another instance id.
            if let Some(id) = instance(action) {
                memory.reserve(id);
            }
            acted.failed.push(Failure::of(action, WriteError::AlreadyExists));
            false
        }
        Err(error) => {
            debug!(?action, %error, "a write did not succeed");
            memory.pending.extend(doubt(action, &error));
            acted.failed.push(Failure::of(action, error));
            false
        }
    }
}

/// What the cache may be wrong about, so that the pod is read live before anything else is decided. A delete without a
/// clear answer may have been carried out, and another pod would be deleted as well; a pod that is gone although the
/// cache has it would be tried again without end, if the event that shows it was lost.
fn doubt(action: &Action, error: &WriteError) -> Option<PendingWrite> {
    let (name, uid) = match (action, error) {
        (Action::DeletePod(pod), WriteError::Unclear(_) | WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::PutInService(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::TakeOutOfService(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::ChangeInPlace(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::ReleasePod(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        _ => return None,
    };
    let pending = PendingWrite::new(Kind::Pod, name, uid, Expect::Leaving);
    Some(PendingWrite {
        deadline: Instant::now(),
        ..pending
    })
}

/// The instance id of what it creates.
fn instance(action: &Action) -> Option<&str> {
    match action {
        Action::CreatePod(pod) => Some(&pod.id),
        Action::CreateClaim(pvc) => Some(&pvc.id),
        _ => None,
    }
}
