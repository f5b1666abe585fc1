//! The third step of a pass: do what the plan says.
//!
//! The revision first; then everything else, side by side and bounded, creations in batches of 1, 2, 4, …. One
//! pod's failure never stops the others, with two exceptions: a batch with a failure is the last of its kind, and
//! nothing more is sent once the API server asks to come back later or does not answer. How one write is made is
//! `perform`'s business; nothing about pods is decided here.

use crate::backoff::{self, Backoff};
use crate::cache::index::Kind;
use crate::cache::pending::{Expect, Mark};
use crate::reconcile::backoffs::{Task, Work};
use crate::reconcile::memory::Memory;
use crate::run::Context;
use crate::write::dry_run;
use crate::write::perform::{Written, create_revision, perform, update_revision};
use crate::write::writer::WriteError;
use cloneset_api::CloneSet;
use cloneset_plan::{Action, DeleteReason, NewPod, OutReason, Plan, RevisionWrite};
use cloneset_status::Runaway;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;
use tracing::debug;

/// Writes of one CloneSet under way at once; all CloneSets together share the client's slots.
const SIDE_BY_SIDE: usize = 16;

/// What acting changed.
#[derive(Debug, Default)]
pub struct Acted {
    /// Pods created, with their revisions.
    pub created: Vec<(String, String)>,
    /// Pods deleted, and why.
    pub deleted: Vec<(String, DeleteReason)>,
    /// Pods changed in place, with the revisions they are led to.
    pub changed: Vec<(String, String)>,
    /// Pods that hook `preDelete` holds from now on, and why they are to be deleted.
    pub held: Vec<(String, DeleteReason)>,
    /// PVCs deleted.
    pub claims_deleted: Vec<String>,
    /// Names taken off `podsToDelete` that are those of no pod.
    pub unknown_names: Vec<String>,
    /// Writes that did not succeed.
    pub failed: Vec<(Attempt, WriteError)>,
    /// The kinds of work of which something succeeded.
    pub done: BTreeSet<Work>,
    /// The name of the new revision is taken by other content.
    pub name_collision: bool,
    /// A pod that was stored otherwise than it was sent.
    pub altered: Option<Runaway>,
}

impl Acted {
    /// What else is to be reported of an action that succeeded.
    fn note(&mut self, action: &Action) {
        match action {
            Action::TakeOutOfService(pod) => {
                if let OutReason::DeletionHook(why) = pod.why {
                    self.held.push((pod.name.clone(), why));
                }
            }
            Action::DeleteClaim(claim) => self.claims_deleted.push(claim.name.clone()),
            Action::PruneNames(names) => self.unknown_names.extend(names.unknown.iter().cloned()),
            _ => {}
        }
    }

    /// What failed for another reason than a lost race, and how it backs off: with one object only, where it is the
    /// object that was refused.
    pub fn failed_tasks(&self) -> BTreeMap<Task, Backoff> {
        let mut tasks = BTreeMap::new();
        for (attempt, error) in &self.failed {
            let (task, backoff) = match error {
                WriteError::Raced(_)
                | WriteError::Gone(_)
                | WriteError::AlreadyExists
                | WriteError::Withheld => continue,
                WriteError::Refused(_) | WriteError::Malformed(_) => (attempt.task(), backoff::OBJECT),
                WriteError::OverQuota(_) => (attempt.work().into(), backoff::QUOTA),
                _ => (attempt.work().into(), backoff::OBJECT),
            };
            tasks.insert(task, backoff);
        }
        tasks
    }
}

/// What was attempted, for events and conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Writing a revision.
    Revision(String),
    /// Trying out a pod of a revision.
    Rehearsal(String),
    /// Creating a claim.
    CreateClaim(String),
    /// Creating a pod.
    Create(String),
    /// Deleting a pod.
    Delete(String, DeleteReason),
    /// Putting a pod in service.
    PutInService(String),
    /// Taking a pod out of service, or holding it.
    TakeOut(String, OutReason),
    /// Changing a pod in place.
    ChangeInPlace(String),
    /// Giving a pod up.
    Release(String),
    /// Taking the names of pods that are gone off the spec.
    Prune,
    /// Deleting a claim.
    DeleteClaim(String),
    /// Making a claim go with its pod.
    HandOverClaim(String),
    /// Deleting a revision that is not used.
    Trim(String),
}

impl Attempt {
    /// The kind of work it is.
    pub fn work(&self) -> Work {
        match self {
            Self::Revision(_) => Work::Revision,
            Self::Rehearsal(_) => Work::Rehearsal,
            Self::CreateClaim(_) | Self::Create(_) => Work::Create,
            Self::DeleteClaim(_) | Self::HandOverClaim(_) => Work::Claims,
            Self::Delete(..) => Work::Delete,
            Self::PutInService(_) => Work::PutInService,
            Self::TakeOut(..) => Work::TakeOut,
            Self::ChangeInPlace(_) => Work::ChangeInPlace,
            Self::Release(_) => Work::Release,
            Self::Prune => Work::Prune,
            Self::Trim(_) => Work::Trim,
        }
    }

    /// The work, and the object that is there already.
    fn task(&self) -> Task {
        let object = match self {
            Self::Delete(name, _)
            | Self::PutInService(name)
            | Self::TakeOut(name, _)
            | Self::ChangeInPlace(name)
            | Self::Release(name)
            | Self::DeleteClaim(name)
            | Self::HandOverClaim(name)
            | Self::Trim(name) => Some(name.clone()),
            Self::Revision(_) | Self::Rehearsal(_) | Self::CreateClaim(_) | Self::Create(_) | Self::Prune => {
                None
            }
        };
        Task {
            work: self.work(),
            object,
        }
    }
}

/// What an action is, for those that must not be tried now.
pub fn task_of(action: &Action) -> Task {
    attempt(action).task()
}

/// Carries out a plan for `cloneset`.
pub async fn act(context: &Context, cloneset: &CloneSet, memory: &mut Memory, plan: &Plan) -> Acted {
    let mut acting = Acting {
        context,
        cloneset,
        memory,
        acted: Acted::default(),
        stop: AtomicBool::new(false),
        parted: BTreeMap::new(),
    };
    let has_revision = match &plan.revision {
        Some(write) => acting.write_revision(write).await,
        None => true,
    };
    let may_replace = has_revision
        && match &plan.rehearsal {
            Some(pod) => acting.rehearse(pod).await,
            None => true,
        };
    // Without its revision nothing may be made or replaced, but a new pod may enter service all the same, and what has
    // begun is finished.
    let possible = plan.actions.iter().filter(|action| match action {
        action if action.begins_update() => may_replace,
        Action::PutInService(_)
        | Action::ChangeInPlace(_)
        | Action::PruneNames(_)
        | Action::HandOverClaim(_) => true,
        // Those of pods follow when their pods are deleted.
        Action::DeleteClaim(claim) => claim.with_pod.is_none(),
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
    acting.claims_follow(plan).await;
    acting.find_unknown_fields(&creations).await;
    acting.create(&creations).await;
    acting.acted
}

/// One carrying out of a plan.
struct Acting<'a> {
    context: &'a Context,
    cloneset: &'a CloneSet,
    memory: &'a mut Memory,
    acted: Acted,
    /// Nothing more is to be sent.
    stop: AtomicBool,
    /// UIDs of pods whose delete was sent, and whether it was surely carried out.
    parted: BTreeMap<String, bool>,
}

impl Acting<'_> {
    /// Writes the revision; false when nothing that needs it may follow.
    async fn write_revision(&mut self, write: &RevisionWrite) -> bool {
        let (name, result) = match write {
            RevisionWrite::Create(new) => {
                (&new.name, create_revision(self.context, self.cloneset, new).await)
            }
            RevisionWrite::Update(update) => (
                &update.name,
                update_revision(self.context, self.cloneset, update).await,
            ),
        };
        match result {
            Ok(Some(mark)) => {
                self.acted.done.insert(Work::Revision);
                self.memory.marks.push(mark);
                true
            }
            Ok(None) => {
                self.acted.name_collision = true;
                false
            }
            Err(error) => {
                self.acted.failed.push((Attempt::Revision(name.clone()), error));
                false
            }
        }
    }

    /// Asks once for each revision whether the API server would take a pod of it; false when no pod may be given up
    /// for one.
    async fn rehearse(&mut self, pod: &NewPod) -> bool {
        let revision = &pod.revision.name;
        if self.memory.rehearsed.contains(revision) {
            return true;
        }
        match dry_run::ask(self.context, self.cloneset, self.memory, pod).await {
            Ok(Some(runaway)) => {
                self.acted.altered = Some(runaway);
                false
            }
            Ok(None) | Err(WriteError::AlreadyExists) => {
                self.acted.done.insert(Work::Rehearsal);
                self.memory.rehearsed.insert(revision.clone());
                true
            }
            // The deletion itself makes room.
            Err(WriteError::OverQuota(_)) => true,
            Err(WriteError::Refused(message)) if message.contains(dry_run::NOT_SUPPORTED) => true,
            Err(error) => {
                self.acted
                    .failed
                    .push((Attempt::Rehearsal(revision.clone()), error));
                false
            }
        }
    }

    /// Has the unknown fields of the revisions found that pods are about to be created of.
    async fn find_unknown_fields(&mut self, creations: &[&Action]) {
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        let found = dry_run::find_unknown_fields(self.context, self.cloneset, self.memory, creations).await;
        if let Err((revision, error)) = found {
            self.stop.store(true, Ordering::Relaxed);
            self.acted.failed.push((Attempt::Rehearsal(revision), error));
        }
    }

    /// Creates pods in growing batches, each after its claims. A claim that cannot be had stops its own pod only, and is
    /// a failure of the batch.
    async fn create(&mut self, creations: &[&Action]) {
        let (pods, claims): (Vec<&Action>, Vec<&Action>) = creations
            .iter()
            .partition(|action| matches!(action, Action::CreatePod(_)));
        let mut rest = pods.as_slice();
        let mut batch_size = 1;
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(batch_size.min(rest.len()));
            let ids: BTreeSet<Option<&str>> = batch.iter().map(|pod| instance(pod)).collect();
            let needed: Vec<&Action> = claims
                .iter()
                .filter(|claim| ids.contains(&instance(claim)))
                .copied()
                .collect();
            let have_claims = needed.is_empty() || self.carry_out(&needed).await;
            let ready: Vec<&Action> = batch
                .iter()
                .filter(|pod| !self.lacks_claim(pod))
                .copied()
                .collect();
            if !self.carry_out(&ready).await || !have_claims {
                break;
            }
            rest = later;
            batch_size = batch_size.saturating_mul(2);
        }
    }

    fn lacks_claim(&self, pod: &Action) -> bool {
        let Action::CreatePod(pod) = pod else { return false };
        let is_its = |name: &String| pod.claims.iter().any(|claim| claim.name == *name);
        let failed = self.acted.failed.iter();
        failed
            .map(|(attempt, _)| attempt)
            .any(|attempt| matches!(attempt, Attempt::CreateClaim(name) if is_its(name)))
    }

    /// Deletes the claims of pods that were deleted just now. What cannot be done at once is remembered: the next
    /// passes see to it.
    async fn claims_follow(&mut self, plan: &Plan) {
        let mut follow: Vec<&Action> = Vec::new();
        for action in &plan.actions {
            if let Action::DeleteClaim(claim) = action
                && let Some(pod) = &claim.with_pod
                && let Some(surely) = self.parted.get(pod)
            {
                self.memory.doomed_claims.insert(claim.uid.clone(), pod.clone());
                follow.extend(surely.then_some(action));
            }
        }
        self.carry_out(&follow).await;
    }

    /// Carries out actions side by side; false when one of them failed.
    async fn carry_out(&mut self, actions: &[&Action]) -> bool {
        let (context, cloneset, stop) = (self.context, self.cloneset, &self.stop);
        let writes: Vec<BoxFuture<'_, (&Action, Result<Written, WriteError>)>> = actions
            .iter()
            .map(|&action| {
                async move {
                    let write = perform(context, cloneset, action);
                    (action, unless(context, stop, write).await)
                }
                .boxed()
            })
            .collect();
        let mut results = futures::stream::iter(writes).buffer_unordered(SIDE_BY_SIDE);
        let mut all_done = true;
        while let Some((action, result)) = results.next().await {
            let attempt = attempt(action);
            if let (Action::DeletePod(pod), Ok(_) | Err(WriteError::Unclear(_))) = (action, &result) {
                self.parted.insert(pod.uid.clone(), result.is_ok());
            }
            match result {
                Ok(Written {
                    mark,
                    created,
                    deleted,
                    changed,
                    altered,
                    taken_id: None,
                }) => {
                    self.acted.done.insert(attempt.work());
                    if matches!(action, Action::ReleasePod(_)) {
                        self.memory.has_released();
                    }
                    // Every further pod would be altered too.
                    all_done &= altered.is_none();
                    self.acted.altered = self.acted.altered.take().or(altered);
                    if let (Some(mark), Some(_)) = (&mark, &created) {
                        self.memory.born.insert(mark.uid.clone());
                    }
                    if let (Some(mark), Action::CreateClaim(_)) = (&mark, action) {
                        self.memory.fresh_claims.insert(mark.uid.clone());
                    }
                    self.memory.marks.extend(mark);
                    self.acted.created.extend(created);
                    self.acted.deleted.extend(deleted);
                    self.acted.changed.extend(changed);
                    self.acted.note(action);
                }
                Ok(Written {
                    taken_id: Some(id), ..
                }) => {
                    // The next pass, at once, takes another id.
                    self.memory.reserve(&id);
                    self.acted.failed.push((attempt, WriteError::AlreadyExists));
                    all_done = false;
                }
                Err(error) => {
                    debug!(?action, %error, "a write did not succeed");
                    self.memory.marks.extend(doubt(action, &error));
                    self.acted.failed.push((attempt, error));
                    all_done = false;
                }
            }
            // It is not ours any more, or soon will not be, but its name is still taken.
            let parts_from = match action {
                Action::DeletePod(deletion) => Some(&deletion.name),
                Action::ReleasePod(release) => Some(&release.name),
                Action::CreateClaim(_)
                | Action::DeleteClaim(_)
                | Action::HandOverClaim(_)
                | Action::CreatePod(_)
                | Action::PutInService(_)
                | Action::TakeOutOfService(_)
                | Action::ChangeInPlace(_)
                | Action::PruneNames(_)
                | Action::DeleteRevision { .. } => None,
            };
            if let Some((_, id)) = parts_from.and_then(|name| name.rsplit_once('-')) {
                self.memory.reserve(id);
            }
        }
        all_done
    }
}

/// Makes a write unless nothing more is to be sent (this process is ending, too), and says so to the others when that
/// is what comes of it.
async fn unless(
    context: &Context,
    stop: &AtomicBool,
    write: impl Future<Output = Result<Written, WriteError>>,
) -> Result<Written, WriteError> {
    if stop.load(Ordering::Relaxed) || context.queue.is_closed() {
        return Err(WriteError::Withheld);
    }
    let result = write.await;
    if let Err(WriteError::NotLeading | WriteError::Throttled { .. } | WriteError::Unclear(_)) = &result {
        stop.store(true, Ordering::Relaxed);
    }
    result
}

/// What the view may be wrong about, so that the pod is read live before anything else is decided: a delete without a
/// clear answer may have been carried out, and another pod would go as well; a pod that is gone although the view has
/// it would be tried again for ever, if the event that tells of it was lost.
fn doubt(action: &Action, error: &WriteError) -> Option<Mark> {
    let (name, uid) = match (action, error) {
        (Action::DeletePod(pod), WriteError::Unclear(_) | WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::PutInService(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::TakeOutOfService(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::ChangeInPlace(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        (Action::ReleasePod(pod), WriteError::Gone(_)) => (&pod.name, &pod.uid),
        _ => return None,
    };
    let mark = Mark::new(Kind::Pod, name, uid, Expect::Leaving);
    Some(Mark {
        deadline: Instant::now(),
        ..mark
    })
}

/// The instance id of what it creates.
fn instance(action: &Action) -> Option<&str> {
    match action {
        Action::CreatePod(pod) => Some(&pod.id),
        Action::CreateClaim(claim) => Some(&claim.id),
        _ => None,
    }
}

fn attempt(action: &Action) -> Attempt {
    match action {
        Action::CreateClaim(claim) => Attempt::CreateClaim(claim.name.clone()),
        Action::DeleteClaim(claim) => Attempt::DeleteClaim(claim.name.clone()),
        Action::HandOverClaim(claim) => Attempt::HandOverClaim(claim.name.clone()),
        Action::CreatePod(pod) => Attempt::Create(pod.name.clone()),
        Action::DeletePod(deletion) => Attempt::Delete(deletion.name.clone(), deletion.why),
        Action::PutInService(pod) => Attempt::PutInService(pod.name.clone()),
        Action::TakeOutOfService(pod) => Attempt::TakeOut(pod.name.clone(), pod.why),
        Action::ChangeInPlace(change) => Attempt::ChangeInPlace(change.name.clone()),
        Action::ReleasePod(pod) => Attempt::Release(pod.name.clone()),
        Action::PruneNames(_) => Attempt::Prune,
        Action::DeleteRevision { name, .. } => Attempt::Trim(name.clone()),
    }
}
