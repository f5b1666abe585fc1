//! One run: a generated cluster, and a controller that has reconciled all of it and is quiet.
//!
//! It starts both and waits, always with a deadline. It measures nothing.

use super::controller::Controller;
use super::objects::Objects;
use super::population::Population;
use super::server;
use super::state::State;
use super::table::mib;
use super::usage::Usage;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Time for the controller to become ready, to reconcile every CloneSet, and to become quiet: for each of them.
const LIMIT: Duration = Duration::from_mins(5);
/// How long the controller must be quiet.
const QUIET_FOR: Duration = Duration::from_secs(5);
/// Share of one processor that a quiet controller may use, for its lease and its watches.
const QUIET_CPU: f64 = 0.05;
const INTERVAL: Duration = Duration::from_millis(100);

/// The result of waiting: the error says what happened instead.
type Wait = std::result::Result<(), String>;

/// A cluster and its quiet controller. Dropping it ends both.
pub(super) struct Run {
    pub(super) controller: Controller,
    pub(super) state: Arc<State>,
    /// From the start until /readyz reported success.
    pub(super) ready_after: Duration,
    _server: Runtime,
}

impl Run {
    /// Starts both and waits until the controller is quiet. The inner error says what happened instead.
    pub(super) fn start(
        program: &Path,
        population: Population,
        folder: &Path,
    ) -> Result<std::result::Result<Self, String>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("cannot start the API server")?;
        let objects = Objects::new(population)?;
        let (address, state) = runtime.block_on(server::serve(objects))?;
        let started = Instant::now();
        let mut run = Self {
            controller: Controller::start(program, address, folder)?,
            state,
            ready_after: Duration::ZERO,
            _server: runtime,
        };
        if let Err(reason) = run.get_ready(started)? {
            return Ok(Err(reason));
        }
        if let Err(reason) = run.reconcile_all(population)? {
            return Ok(Err(reason));
        }
        Ok(run.get_quiet()?.map(|()| run))
    }

    fn get_ready(&mut self, started: Instant) -> Result<Wait> {
        let waited = self.wait("is not ready", |run| Ok(run.controller.is_ready()))?;
        self.ready_after = started.elapsed();
        Ok(waited)
    }

    fn reconcile_all(&mut self, population: Population) -> Result<Wait> {
        let clonesets = u64::try_from(population.clonesets).unwrap_or(u64::MAX);
        self.wait("has not reconciled every CloneSet", |run| {
            Ok(run
                .controller
                .reconciles()
                .is_some_and(|count| count >= clonesets))
        })
    }

    /// Waits until the controller has had nothing to do for a while.
    pub(super) fn get_quiet(&mut self) -> Result<Wait> {
        let mut since = (Instant::now(), self.controller.usage()?.cpu, self.writes());
        self.wait("does not lead, or is not quiet", |run| {
            let (begin, cpu, writes) = since;
            let elapsed = begin.elapsed();
            if elapsed < QUIET_FOR {
                return Ok(false);
            }
            let now = (Instant::now(), run.controller.usage()?.cpu, run.writes());
            since = now;
            let is_quiet = now.1 - cpu < QUIET_CPU * elapsed.as_secs_f64() && now.2 == writes;
            Ok(is_quiet && run.controller.leads())
        })
    }

    /// Writes other than of the lease.
    pub(super) fn writes(&self) -> u64 {
        let traffic = self.state.traffic();
        traffic.statuses + traffic.others.values().sum::<u64>()
    }

    /// What to report of a controller that did not get there in time, with the memory it has taken until then.
    fn overdue(&self, otherwise: &str) -> Result<String> {
        let Usage { resident, peak, cpu } = self.controller.usage()?;
        Ok(format!(
            "the controller {otherwise} after {} minutes; resident {} MiB, peak {} MiB, CPU {cpu:.2} s until then; \
             last line of its log: {}",
            LIMIT.as_secs() / 60,
            mib(resident),
            mib(peak),
            self.controller.last_log_line()
        ))
    }

    /// Waits until `holds`.
    fn wait(&mut self, otherwise: &str, mut holds: impl FnMut(&mut Self) -> Result<bool>) -> Result<Wait> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.controller.ended()? {
                let log = self.controller.last_log_line();
                return Ok(Err(format!(
                    "the controller ended with {status}; last line of its log: {log}"
                )));
            }
            if holds(self)? {
                return Ok(Ok(()));
            }
            if Instant::now() >= deadline {
                return Ok(Err(self.overdue(otherwise)?));
            }
            std::thread::sleep(INTERVAL);
        }
    }
}
