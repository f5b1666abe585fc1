//! One pass over one CloneSet: observe, decide, act, report.
//!
//! The driver only: each step is in its own file with its own error. What is done with the outcome (when to come
//! back) is decided here, and never by an error's text.

use crate::backoff::{self, Backoff};
use crate::cache::index::Key;
use crate::reconcile::act::{Acted, act, task_of};
use crate::reconcile::backoffs::{Task, Work};
use crate::reconcile::memory::Memory;
use crate::reconcile::observe::{ObserveError, Observed, observe, search};
use crate::reconcile::report::{ReportError, Reported, report};
use crate::run::Context;
use crate::write::writer::WriteError;
use cloneset_plan::{Action, Creation, Desired, Plan, plan};
use cloneset_status::Wait;
use futures::FutureExt as _;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// A pass comes at least this often, in case an event was never told.
const RESYNC: Duration = Duration::from_mins(10);
/// Time after a lost race, unless the event that won it comes earlier.
const AFTER_RACE: Duration = Duration::from_millis(100);

/// Lost races in a row that are taken for bad luck.
const RACES: u32 = 3;

/// How a pass ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything that could be done is done.
    Done,
    /// A view is behind our own writes.
    Behind(Duration),
    /// Somebody else was faster: look again.
    Raced,
    /// The API server asks to come back later.
    Throttled(Duration),
    /// What failed earlier is not due yet; everything else is done.
    Held(Duration),
    /// This replica stopped leading.
    NotLeading,
    /// The CloneSet is gone.
    Gone,
    /// The CloneSet breaks the schema.
    Unreadable,
    /// Something was refused or unclear.
    Failed(BTreeMap<Task, Backoff>),
    /// A quota is used up, and nothing else is wrong.
    OverQuota(BTreeMap<Task, Backoff>),
    /// The pass panicked.
    Panicked,
}

impl Outcome {
    /// One word for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Behind(_) => "cache_stale",
            Self::Raced => "raced",
            Self::Throttled(_) => "throttled",
            Self::Held(_) => "held",
            Self::NotLeading => "not_leading",
            Self::Gone => "gone",
            Self::Unreadable => "unreadable",
            Self::Failed(_) => "failed",
            Self::OverQuota(_) => "over_quota",
            Self::Panicked => "panicked",
        }
    }
}

/// Which step failed.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("observe")]
    Observe(#[from] ObserveError),
    #[error("report")]
    Report(#[from] ReportError),
}

/// Makes a pass, catches what it throws, and says when to come back.
pub async fn reconcile(context: &Context, key: Key) {
    let started = Instant::now();
    let mut memory = context.memories.take(&key);
    let caught = AssertUnwindSafe(pass(context, &key, &mut memory))
        .catch_unwind()
        .await;
    let (outcome, timer) = match caught {
        Ok(Ok(end)) => end,
        Ok(Err(error)) => (failed(&key, &error), None),
        Err(_) => {
            error!(%key, "a pass panicked; this CloneSet is backed off, the others go on");
            (Outcome::Panicked, None)
        }
    };
    context
        .metrics
        .passes
        .count(&outcome, timer.is_some(), started.elapsed());
    if let Some(delay) = come_back(context, &outcome, timer, &mut memory) {
        if delay < RESYNC {
            context.queue.retry_after(key.clone(), delay);
        } else {
            context.queue.add_after(key.clone(), delay);
        }
        context.memories.put(key, memory);
    }
}

fn failed(key: &Key, error: &PassError) -> Outcome {
    match error {
        PassError::Report(ReportError(WriteError::Raced(_) | WriteError::Gone(_))) => Outcome::Raced,
        PassError::Report(ReportError(WriteError::NotLeading)) => Outcome::NotLeading,
        PassError::Report(ReportError(WriteError::Throttled { after, .. })) => Outcome::Throttled(*after),
        PassError::Report(_) | PassError::Observe(_) => {
            warn!(%key, error = %chain(error), "a pass failed");
            Outcome::Failed(BTreeMap::new())
        }
    }
}

/// An error with its causes, each once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// When to come back; `None` when there is nothing to come back to. A `timer` brings it forward, whatever the
/// outcome: the final status and the end of minReadySeconds do not wait for a backoff.
fn come_back(
    context: &Context,
    outcome: &Outcome,
    timer: Option<Duration>,
    memory: &mut Memory,
) -> Option<Duration> {
    let random = context.random();
    if !matches!(outcome, Outcome::Raced) {
        memory.races = 0;
    }
    let delay = match outcome {
        Outcome::Gone => return None,
        Outcome::Done => {
            memory.settle();
            RESYNC
        }
        Outcome::Behind(delay) | Outcome::Held(delay) => *delay,
        Outcome::Throttled(delay) => {
            memory.failures = memory.failures.saturating_add(1);
            let delay = backoff::OBJECT.delay(memory.failures, random).max(*delay);
            memory.holds.hold_everything(delay);
            delay
        }
        Outcome::Raced => {
            memory.races = memory.races.saturating_add(1);
            match memory.races.checked_sub(RACES) {
                None | Some(0) => AFTER_RACE,
                // Whatever keeps winning is no race.
                Some(more) => {
                    memory.failures = memory.failures.max(more);
                    let delay = backoff::OBJECT.delay(more, random);
                    memory.holds.hold_everything(delay);
                    delay
                }
            }
        }
        // The next leader, or this one again, looks at everything.
        Outcome::NotLeading => RESYNC,
        Outcome::Failed(tasks) | Outcome::OverQuota(tasks) => {
            memory.failures = memory.failures.saturating_add(1);
            let due = memory.holds.have_failed(tasks, random);
            due.unwrap_or_else(|| backoff::OBJECT.delay(memory.failures, random))
        }
        Outcome::Unreadable | Outcome::Panicked => {
            memory.failures = memory.failures.saturating_add(1);
            backoff::OBJECT.delay(memory.failures, random)
        }
    };
    Some(timer.map_or(delay, |timer| timer.min(delay)).min(RESYNC))
}

/// Takes out of the plan what failed and is not due yet; gives the time until it is. (Creations, and pods that must
/// not go, are held back while planning already, because updates may go on without them.)
fn hold_back(plan: &mut Plan, memory: &mut Memory) -> Option<Duration> {
    let held = memory.holds.held()?;
    let everything = plan.revision.is_some() && held.covers(&Work::Revision.into());
    let before = plan.actions.len();
    plan.actions.retain(|action| {
        let is_held =
            held.covers(&task_of(action)) || (held.covers(&Work::Rehearsal.into()) && action.begins_update());
        // The claims of a pod that goes are only remembered by it; forgotten, the next pod would take them over.
        let follows = matches!(action, Action::DeleteClaim(claim) if claim.with_pod.is_some());
        (!is_held || follows) && (!everything || action.goes_on())
    });
    if everything {
        plan.revision = None;
        // Nobody could look up a revision that is not written.
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
    is_waiting.then(|| held.until.saturating_duration_since(Instant::now()))
}

async fn pass(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
) -> Result<(Outcome, Option<Duration>), PassError> {
    // observe (caches; live reads only of what is overdue)
    let mut snapshot = match observe(context, key, memory).await? {
        Observed::Ready(snapshot) => *snapshot,
        Observed::Gone => return Ok((Outcome::Gone, None)),
        Observed::Behind(until) => {
            let wait = until.saturating_duration_since(Instant::now());
            return Ok((Outcome::Behind(wait), None));
        }
        Observed::Unreadable(reason) => {
            warn!(%key, reason, "the CloneSet cannot be read; no pod of it is changed");
            return Ok((Outcome::Unreadable, None));
        }
    };
    // decide (pure)
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    memory.judge_creation(desired.replicas.saturating_add(desired.max_surge));
    if memory.runaway.is_some() {
        snapshot.creation = Creation::Stopped;
    }
    let mut plan = plan(&snapshot, &desired, context.features, context.now());
    memory.steady.apply(&mut plan.waits);
    let held = hold_back(&mut plan, memory);
    if plan.needs_every_pod()
        && let Some(selector) = &desired.selector
        && search(context, key, memory, &selector.to_string()).await?
    {
        return Ok((Outcome::Raced, None));
    }
    // act (writes)
    let acted = act(context, &snapshot.cloneset, memory, &plan).await;
    if !acted.done.is_empty() {
        // Of many writes a few lose a race; only where none gets through does somebody keep winning.
        memory.races = 0;
    }
    if let Some(runaway) = &acted.altered {
        memory.runaway = Some(runaway.clone());
    }
    log(key, &plan, &acted);
    let end = conclude(&acted);
    // report (one write at most)
    let reported = match report(context, &snapshot.cloneset, &desired, &plan, &acted, memory).await {
        Ok(reported) => reported,
        // What acting met with counts all the same.
        Err(error) => return Ok((graver(end, failed(key, &error.into())), None)),
    };
    let end = match end {
        Outcome::Done => held.map_or(Outcome::Done, Outcome::Held),
        other => other,
    };
    // What was refused is held from now on, so that the updates it came before have their turn.
    let makes_way = plan.waits.contains(&Wait::ScalingFirst)
        && matches!(&end, Outcome::Failed(tasks) | Outcome::OverQuota(tasks) if !tasks.is_empty());
    let timer = timer(&plan, &reported, context.now());
    Ok((end, if makes_way { Some(Duration::ZERO) } else { timer }))
}

/// Of what acting met with and why status could not be written, what decides when to come back.
fn graver(acting: Outcome, reporting: Outcome) -> Outcome {
    let is_worse = match (&acting, &reporting) {
        (_, Outcome::NotLeading) | (Outcome::Done | Outcome::Raced, _) => true,
        (Outcome::Failed(_) | Outcome::OverQuota(_), other) => matches!(other, Outcome::Throttled(_)),
        _ => false,
    };
    if is_worse { reporting } else { acting }
}

/// How the pass ended, by the gravest of its failures.
fn conclude(acted: &Acted) -> Outcome {
    let worst = acted
        .failed
        .iter()
        .map(|(_, error)| error)
        .max_by_key(|error| severity(error));
    match worst {
        Some(WriteError::NotLeading) => Outcome::NotLeading,
        // It never comes back: the CloneSet goes with it.
        Some(WriteError::NamespaceTerminating) => Outcome::Throttled(RESYNC),
        Some(WriteError::Throttled { after, .. }) => Outcome::Throttled(*after),
        Some(WriteError::OverQuota(_)) => Outcome::OverQuota(acted.failed_tasks()),
        Some(
            WriteError::Refused(_)
            | WriteError::NotAllowed(_)
            | WriteError::Unclear(_)
            | WriteError::Malformed(_),
        ) => Outcome::Failed(acted.failed_tasks()),
        Some(
            WriteError::Raced(_) | WriteError::Gone(_) | WriteError::AlreadyExists | WriteError::Withheld,
        ) => Outcome::Raced,
        None if acted.name_collision => Outcome::Raced,
        None => Outcome::Done,
    }
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

/// Which failure decides when to come back.
fn severity(error: &WriteError) -> u8 {
    match error {
        WriteError::Raced(_) | WriteError::Gone(_) | WriteError::AlreadyExists | WriteError::Withheld => 0,
        WriteError::OverQuota(_) => 1,
        WriteError::Unclear(_) => 2,
        WriteError::Refused(_) | WriteError::NotAllowed(_) | WriteError::Malformed(_) => 3,
        WriteError::Throttled { .. } | WriteError::NamespaceTerminating => 4,
        WriteError::NotLeading => 5,
    }
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
    if let Some((attempt, error)) = acted.failed.first() {
        info!(%key, ?attempt, error = %chain(error), "a write did not succeed");
    }
}
