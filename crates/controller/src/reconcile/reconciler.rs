//! One reconcile of one CloneSet: observe, plan, act, report.
//!
//! The driver only: each step is in its own file with its own error. When to reconcile again is decided here, from the
//! outcome and never by an error's text.

use crate::backoff;
use crate::cache::freshness::Freshness;
use crate::cache::refresh::LiveReadError;
use crate::chain::Chain;
use crate::clock::{Clock, Random};
use crate::key::{Key, Kind};
use crate::queue::Queue;
use crate::reconcile::act::{Acted, act};
use crate::reconcile::backoffs::BackoffKey;
use crate::reconcile::memory::{Memories, Memory};
use crate::reconcile::observe::{Observation, Observer};
use crate::reconcile::outcome::Outcome;
use crate::reconcile::recovery::Recovery;
use crate::reconcile::report::{ReportError, Reported, Reporter};
use crate::telemetry::metrics::Metrics;
use crate::write::owner::Owner;
use crate::write::writer::Writer;
use cloneset_plan::{Action, ActionKind, Creation, Desired, Features, Plan, Snapshot, plan};
use cloneset_status::Wait;
use futures::FutureExt as _;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// Every CloneSet is reconciled at least this often, in case an event was lost.
const RESYNC: Duration = Duration::from_mins(10);
/// Time after a conflict, unless the event that explains it comes earlier.
const AFTER_CONFLICT: Duration = Duration::from_millis(100);
/// Time for one reconcile: another write begins only before its end.
const TIME_LIMIT: Duration = Duration::from_secs(15);
/// Time between two reconciles of a CloneSet that waits for events.
const STALE_RETRY: Duration = Duration::from_secs(10);
/// Reconciles in a row that may end with a conflict before the CloneSet backs off.
const CONFLICTS: u32 = 3;

/// Which step failed.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error("observe")]
    Observe(#[from] LiveReadError),
    #[error("report")]
    Report(#[from] ReportError),
}

/// Reconciles CloneSets.
pub struct Reconciler {
    /// The first step.
    pub observer: Observer,
    /// How old the cache is.
    pub freshness: Arc<Freshness>,
    /// Bounds how many plans are made side by side.
    pub cpu: Semaphore,
    /// Sends the writes of the third step.
    pub writer: Writer,
    /// The last step.
    pub reporter: Reporter,
    /// Which CloneSets wait for the API server.
    pub recovery: Recovery,
    /// Where CloneSets are queued again.
    pub queue: Arc<Queue>,
    /// What is remembered between reconciles.
    pub memories: Memories,
    /// Counts reconciles.
    pub metrics: Arc<Metrics>,
    /// Switches of the second step.
    pub features: Features,
    /// The time.
    pub clock: Clock,
    /// Spreads retries.
    pub random: Random,
}

impl Reconciler {
    /// Reconciles a CloneSet, catches a panic, and queues it again.
    pub async fn reconcile(&self, key: Key) {
        let started = Instant::now();
        let mut memory = self.memories.take(&key);
        if self.recovery.take_end(&key) {
            memory.end_backoff_of_server();
        }
        let caught = AssertUnwindSafe(self.steps(&key, &mut memory))
            .catch_unwind()
            .await;
        let (outcome, timer) = match caught {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => (failed(&key, &error), None),
            Err(_) => {
                error!(%key, "a reconcile panicked; this CloneSet backs off, the others go on");
                (Outcome::Panicked, None)
            }
        };
        let result = outcome.result(timer.is_some());
        self.metrics
            .reconciles
            .count(outcome.label(), result, started.elapsed());
        // The cache may never show what was written: then it is read live.
        let overdue = memory.pending.iter().map(|write| write.deadline).min();
        let overdue = overdue.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timer = [timer, overdue].into_iter().flatten().min();
        if let Some(delay) = requeue_after(&outcome, timer, &mut memory, (self.random)()) {
            if delay < RESYNC {
                self.queue.retry_after(key.clone(), delay);
            } else {
                self.queue.add_after(key.clone(), delay);
            }
            self.memories.put(key, memory);
        } else {
            self.recovery.forget(&key);
        }
    }

    async fn steps(
        &self,
        key: &Key,
        memory: &mut Memory,
    ) -> Result<(Outcome, Option<Duration>), ReconcileError> {
        let deadline = Instant::now() + TIME_LIMIT;
        // observe (the cache; live reads only of what is overdue)
        let mut snapshot = match self.snapshot(key, memory, deadline).await? {
            Ok(snapshot) => snapshot,
            Err(outcome) => return Ok((outcome, None)),
        };
        // plan (pure)
        let planned = self.plan(&mut snapshot, memory).await;
        let Planned { desired, plan, .. } = &planned;
        if plan.needs_every_pod()
            && let Some(selector) = &desired.selector
            && self.observer.search(key, memory, &selector.to_string()).await?
        {
            return Ok((Outcome::Conflict, None));
        }
        // act (writes)
        let owner = Owner {
            writer: self.writer.for_reconcile(&key.namespace, memory.term(), deadline),
            index: &self.observer.index,
            clock: &self.clock,
            cloneset: &snapshot.cloneset,
        };
        let acted = act(&owner, &self.queue, memory, plan).await;
        log(key, plan, &acted);
        self.learn(key, memory, &acted);
        // report (one write at most)
        match self.reporter.report(&owner, desired, plan, &acted, memory).await {
            Ok(reported) => Ok(planned.end(&acted, &reported, (self.clock)())),
            // What acting met with counts all the same.
            Err(error) => {
                if error.0.disposition().is_of_server {
                    self.record_server_failure(key, memory);
                }
                Ok((Outcome::of(&acted).or_graver(failed(key, &error.into())), None))
            }
        }
    }

    /// The first step; an outcome where there is nothing to plan.
    async fn snapshot(
        &self,
        key: &Key,
        memory: &mut Memory,
        deadline: Instant,
    ) -> Result<Result<Snapshot, Outcome>, ReconcileError> {
        let observed = tokio::select! {
            observed = self.observer.observe(key, memory, deadline) => observed?,
            // The program ends: nothing would be written any more.
            () = self.queue.closed() => return Ok(Err(Outcome::NotLeading)),
        };
        Ok(match observed {
            Observation::Ready(snapshot) => Ok(*snapshot),
            Observation::Gone => Err(Outcome::Gone),
            Observation::StaleCache(until) => Err(Outcome::StaleCache(
                until.saturating_duration_since(Instant::now()),
            )),
            Observation::Unreadable(metadata, error) => {
                // The cache has logged it, once.
                self.reporter.report_unreadable(&metadata, &error);
                Err(Outcome::Unreadable)
            }
        })
    }

    /// The second step, and what of the plan must not be done now.
    async fn plan(&self, snapshot: &mut Snapshot, memory: &mut Memory) -> Planned {
        // The semaphore is never closed.
        let _permit = self.cpu.acquire().await.ok();
        let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
        memory.guard_creation(desired.replicas.saturating_add(desired.max_surge));
        if memory.runaway.is_some() {
            snapshot.creation = Creation::Stopped;
        }
        let mut plan = plan(snapshot, &desired, self.features, (self.clock)());
        memory.steady.apply(&mut plan.waits);
        let stale = self.freshness.stale();
        if let Some(stale) = stale {
            keep_what_is_safe(&mut plan, stale.kind);
        }
        let backing_off = remove_backing_off(&mut plan, memory);
        Planned {
            desired,
            plan,
            backing_off,
            is_stale: stale.is_some(),
        }
    }

    /// What the next reconcile has to know of this one.
    fn learn(&self, key: &Key, memory: &mut Memory, acted: &Acted) {
        if !acted.done.is_empty() {
            // Of many writes a few end with a conflict; only where all of them do, another client keeps winning.
            memory.conflicts = 0;
        }
        if let Some(runaway) = &acted.altered {
            memory.runaway = Some(runaway.clone());
        }
        self.judge_server(key, memory, acted);
    }

    /// Tells whether the API server takes writes now.
    fn judge_server(&self, key: &Key, memory: &mut Memory, acted: &Acted) {
        if acted
            .failed
            .iter()
            .any(|failure| failure.error.disposition().is_of_server)
        {
            self.record_server_failure(key, memory);
        } else if !acted.done.is_empty() {
            memory.server_failures = 0;
            for waiting in self.recovery.record_success(key) {
                self.queue.add(waiting);
            }
        }
    }

    fn record_server_failure(&self, key: &Key, memory: &mut Memory) {
        memory.server_failures = memory.server_failures.saturating_add(1);
        self.recovery.record_failure(key);
    }
}

/// A plan, without what must not be done now.
struct Planned {
    desired: Desired,
    plan: Plan,
    /// Time until the first of what failed is due again.
    backing_off: Option<Duration>,
    is_stale: bool,
}

impl Planned {
    /// How the reconcile ended once everything is reported, and when time alone brings the next one.
    fn end(&self, acted: &Acted, reported: &Reported, now: Timestamp) -> (Outcome, Option<Duration>) {
        let end = match Outcome::of(acted) {
            Outcome::Done => self.backing_off.map_or(Outcome::Done, Outcome::BackingOff),
            other => other,
        };
        // What was rejected backs off from now on, so that the updates it came before have their turn.
        let makes_way = self.plan.waits.contains(&Wait::ScalingFirst)
            && matches!(&end, Outcome::Failed(keys) | Outcome::OverQuota(keys) if !keys.is_empty());
        if makes_way {
            return (end, Some(Duration::ZERO));
        }
        let stale = self.is_stale.then_some(STALE_RETRY);
        let timer = [timer(&self.plan, reported, now), stale];
        (end, timer.into_iter().flatten().min())
    }
}

/// The outcome of a reconcile whose observing or reporting failed.
fn failed(key: &Key, error: &ReconcileError) -> Outcome {
    let outcome = match error {
        ReconcileError::Report(ReportError(error)) => {
            Outcome::after(error.disposition().next, BTreeMap::new())
        }
        ReconcileError::Observe(_) => Outcome::Failed(BTreeMap::new()),
    };
    if matches!(outcome, Outcome::Failed(_) | Outcome::OverQuota(_)) {
        warn!(%key, error = %Chain(error), "a reconcile failed");
    }
    outcome
}

/// When to reconcile again; `None` when the CloneSet is gone. A `timer` brings it forward, whatever the outcome: the final
/// status and the end of minReadySeconds do not wait for a backoff.
fn requeue_after(
    outcome: &Outcome,
    timer: Option<Duration>,
    memory: &mut Memory,
    random: u64,
) -> Option<Duration> {
    if !matches!(outcome, Outcome::Conflict) {
        memory.conflicts = 0;
    }
    let delay = match outcome {
        Outcome::Gone => return None,
        Outcome::Done => {
            memory.reset_backoff();
            RESYNC
        }
        Outcome::StaleCache(delay) | Outcome::BackingOff(delay) => *delay,
        Outcome::Throttled(delay) => {
            memory.failures = memory.failures.saturating_add(1);
            let delay = backoff::SERVER.delay(memory.server_failures, random).max(*delay);
            memory.backoffs.delay_everything(delay);
            delay
        }
        Outcome::Conflict => {
            memory.conflicts = memory.conflicts.saturating_add(1);
            match memory.conflicts.checked_sub(CONFLICTS) {
                None | Some(0) => AFTER_CONFLICT,
                // A conflict on every attempt is not a race: back off.
                Some(more) => {
                    memory.failures = memory.failures.max(more);
                    let delay = backoff::OBJECT.delay(more, random);
                    memory.backoffs.delay_everything(delay);
                    delay
                }
            }
        }
        // The next leader, or this one in its next term, reconciles everything.
        Outcome::NotLeading => RESYNC,
        Outcome::Failed(keys) | Outcome::OverQuota(keys) => {
            memory.failures = memory.failures.saturating_add(1);
            let due = memory.backoffs.record(keys, random);
            // Nothing was rejected: an object could not be read, or the status not be written.
            due.unwrap_or_else(|| backoff::SERVER.delay(memory.failures, random))
        }
        Outcome::Unreadable | Outcome::Panicked => {
            memory.failures = memory.failures.saturating_add(1);
            backoff::OBJECT.delay(memory.failures, random)
        }
    };
    Some(timer.map_or(delay, |timer| timer.min(delay)).min(RESYNC))
}

/// Removes from the plan what must not be done on a stale cache: pods may have become unavailable without an event. Pods
/// that are ready for it still enter service, as that makes nothing unavailable.
fn keep_what_is_safe(plan: &mut Plan, stale: Kind) {
    let before = plan.actions.len();
    plan.actions
        .retain(|action| action.kind() == ActionKind::PutInService);
    plan.rehearsal = None;
    if plan.actions.len() < before {
        plan.waits.push(Wait::StaleCache {
            resource: stale.resource(),
        });
    }
}

/// Removes from the plan what failed and is not due yet; returns the time until it is. (Creations, and pods that must not
/// be deleted, are left out while planning already, because updates may go on without them.)
fn remove_backing_off(plan: &mut Plan, memory: &mut Memory) -> Option<Duration> {
    let backing_off = memory.backoffs.backing_off()?;
    let everything = plan.revision.is_some() && backing_off.covers_kind(ActionKind::WriteRevision);
    let no_updates = backing_off.covers_kind(ActionKind::DryRunPod);
    let before = plan.actions.len();
    plan.actions.retain(|action| {
        let key = BackoffKey::object(action.kind(), action.target());
        let waits = backing_off.covers(&key) || (no_updates && action.begins_update());
        // The PVCs of a deleted pod are remembered only through this action; forgotten, the next pod would use them.
        let follows = matches!(action, Action::DeleteClaim(pvc) if pvc.with_pod.is_some());
        (!waits || follows) && (!everything || action.goes_on())
    });
    if everything {
        plan.revision = None;
        // Users could not look up a revision that is not written.
        let unwritten = plan.outlook.update_revision.take();
        plan.outlook
            .current_revision
            .take_if(|name| Some(&*name) == unwritten.as_ref());
    }
    if !plan.actions.iter().any(Action::begins_update) {
        plan.rehearsal = None;
    }
    if everything || plan.actions.len() < before {
        plan.waits.push(Wait::BackingOff);
    }
    let is_waiting = plan.waits.contains(&Wait::BackingOff);
    is_waiting.then(|| backing_off.until.saturating_duration_since(Instant::now()))
}

/// When time alone changes what is true or what should be written, whatever became of the writes.
fn timer(plan: &Plan, reported: &Reported, now: Timestamp) -> Option<Duration> {
    let recheck = [plan.recheck_at(), reported.deadline].into_iter().flatten().min();
    let recheck = recheck.map(|at| {
        // Available means ready for *more than* minReadySeconds, so a moment later than that.
        let wait = at.duration_since(now).max(jiff::SignedDuration::ZERO);
        Duration::try_from(wait).unwrap_or_default() + Duration::from_millis(10)
    });
    [recheck, reported.rest].into_iter().flatten().min()
}

fn log(key: &Key, plan: &Plan, acted: &Acted) {
    if !acted.done.is_empty() || !acted.failed.is_empty() {
        let waits: Vec<String> = plan.waits.iter().map(ToString::to_string).collect();
        info!(
            %key,
            created = acted.created.len(),
            deleted = acted.deleted.len(),
            failed = acted.failed.len(),
            waits = waits.join("; "),
            "acted"
        );
    } else {
        debug!(%key, waits = plan.waits.len(), "nothing to do");
    }
    if let Some(failure) = acted.failed.first() {
        let (action, target) = (failure.kind, failure.target.as_deref());
        info!(%key, ?action, target, error = %Chain(&failure.error), "a write did not succeed");
    }
}
