//! Reconciles: how they ended and how long they took.
//!
//! Once under controller-runtime's names, for dashboards that know only those, and once under ours, which are more
//! detailed. Which outcome has which result is decided by the caller.

use super::labels::controller;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Bounds of the buckets: controller-runtime's, so that panels made for it fit.
const SECONDS: [f64; 40] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25,
    1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0,
    50.0, 60.0,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// How a reconcile ended, as controller-runtime would call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// Nothing is left to do.
    Success,
    /// It is repeated at once.
    Requeue,
    /// It is repeated later.
    RequeueAfter,
    /// Something failed that an operator should look at.
    Error,
    /// As `Error`, and retrying cannot fix it.
    TerminalError,
    /// It panicked.
    Panic,
}

impl ReconcileResult {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Requeue => "requeue",
            Self::RequeueAfter => "requeue_after",
            Self::Error | Self::TerminalError | Self::Panic => "error",
        }
    }
}

/// Counters of reconciles.
#[derive(Debug)]
pub struct Reconciles {
    outcomes: Family<OutcomeLabel, Counter>,
    results: Family<ResultLabel, Counter>,
    errors: Counter,
    terminal_errors: Counter,
    panics: Counter,
    seconds: Histogram,
    /// The most reconciles at the same time.
    pub at_most: Gauge,
}

impl Reconciles {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let reconciles = Self {
            outcomes: Family::default(),
            results: Family::default(),
            errors: Counter::default(),
            terminal_errors: Counter::default(),
            panics: Counter::default(),
            seconds: Histogram::new(SECONDS),
            at_most: Gauge::default(),
        };
        // A series that begins at 0 shows its first increase.
        for result in ["success", "requeue", "requeue_after", "error"] {
            drop(reconciles.results.get_or_create(&ResultLabel { result }));
        }
        registry.register(
            "cloneset_reconcile",
            "Reconciles of a CloneSet, by how they ended",
            reconciles.outcomes.clone(),
        );
        reconciles.register(registry.sub_registry_with_label(controller()));
        reconciles
    }

    /// Under controller-runtime's names.
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles of a CloneSet, by result",
            self.results.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            self.errors.clone(),
        );
        registry.register(
            "controller_runtime_terminal_reconcile_errors",
            "Reconciles that failed with an error that retrying cannot fix",
            self.terminal_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_panics",
            "Reconciles that panicked",
            self.panics.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time a reconcile took",
            self.seconds.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "The most reconciles at the same time",
            self.at_most.clone(),
        );
    }

    /// Counts a reconcile that took this long.
    pub fn count(&self, outcome: &'static str, result: ReconcileResult, took: Duration) {
        self.outcomes.get_or_create(&OutcomeLabel { outcome }).inc();
        let label = ResultLabel {
            result: result.label(),
        };
        self.results.get_or_create(&label).inc();
        match result {
            ReconcileResult::Error => _ = self.errors.inc(),
            ReconcileResult::TerminalError => {
                self.errors.inc();
                self.terminal_errors.inc();
            }
            ReconcileResult::Panic => {
                self.errors.inc();
                self.panics.inc();
            }
            ReconcileResult::Success | ReconcileResult::Requeue | ReconcileResult::RequeueAfter => {}
        }
        self.seconds.observe(took.as_secs_f64());
    }
}
