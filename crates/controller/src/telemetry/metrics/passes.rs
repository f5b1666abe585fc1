//! Passes over CloneSets: how they ended and how long they took.
//!
//! Once in controller-runtime's words, for dashboards that know only those, and once in ours, which tell more.

use super::CONTROLLER;
use crate::reconcile::reconciler::Outcome;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::borrow::Cow;
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

/// What is counted of passes.
#[derive(Debug)]
pub struct Passes {
    outcomes: Family<OutcomeLabel, Counter>,
    results: Family<ResultLabel, Counter>,
    errors: Counter,
    terminal_errors: Counter,
    panics: Counter,
    seconds: Histogram,
    /// Passes that may be made at the same time.
    pub at_most: Gauge,
}

impl Passes {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let passes = Self {
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
            drop(passes.results.get_or_create(&ResultLabel { result }));
        }
        registry.register(
            "cloneset_reconcile",
            "Passes over a CloneSet, by how they ended",
            passes.outcomes.clone(),
        );
        passes.register(registry.sub_registry_with_label(label()));
        passes
    }

    /// Under controller-runtime's names.
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "controller_runtime_reconcile",
            "Passes over a CloneSet, by what follows",
            self.results.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Passes that failed",
            self.errors.clone(),
        );
        registry.register(
            "controller_runtime_terminal_reconcile_errors",
            "Passes that failed for what trying again cannot mend",
            self.terminal_errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_panics",
            "Passes that panicked",
            self.panics.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Time a pass took",
            self.seconds.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Passes that may be made at the same time",
            self.at_most.clone(),
        );
    }

    /// Counts a pass that took this long; `has_timer` when time alone brings the next one.
    pub fn count(&self, outcome: &Outcome, has_timer: bool, took: Duration) {
        let outcome_label = OutcomeLabel {
            outcome: outcome.label(),
        };
        self.outcomes.get_or_create(&outcome_label).inc();
        let result = result(outcome, has_timer);
        self.results.get_or_create(&ResultLabel { result }).inc();
        if result == "error" {
            self.errors.inc();
        }
        match outcome {
            Outcome::Unreadable => _ = self.terminal_errors.inc(),
            Outcome::Panicked => _ = self.panics.inc(),
            _ => {}
        }
        self.seconds.observe(took.as_secs_f64());
    }
}

/// The label that every metric of controller-runtime carries.
pub(super) fn label() -> (Cow<'static, str>, Cow<'static, str>) {
    ("controller".into(), CONTROLLER.into())
}

/// What controller-runtime would call it: an error is only what somebody should look at, as its alerts mean it. That
/// everything is looked at again after a long while anyway does not count as being queued again.
fn result(outcome: &Outcome, has_timer: bool) -> &'static str {
    match outcome {
        Outcome::Done if has_timer => "requeue_after",
        Outcome::Done | Outcome::Gone => "success",
        Outcome::Behind(_) | Outcome::Throttled(_) | Outcome::Held(_) => "requeue_after",
        Outcome::Raced | Outcome::NotLeading => "requeue",
        Outcome::Failed(_) | Outcome::OverQuota(_) | Outcome::Unreadable | Outcome::Panicked => "error",
    }
}
