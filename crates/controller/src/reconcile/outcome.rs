//! How a reconcile ended.
//!
//! Names and their meaning for metrics; when the CloneSet is reconciled again is decided by the reconciler.

use crate::backoff::Backoff;
use crate::reconcile::act::Acted;
use crate::reconcile::backoffs::BackoffKey;
use crate::telemetry::metrics::reconciles::ReconcileResult;
use crate::write::error::Next;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a reconcile ended.
#[derive(Debug)]
pub enum Outcome {
    /// Everything that could be done is done.
    Done,
    /// The cache does not show our own writes yet.
    StaleCache(Duration),
    /// An object changed in between: reconcile again.
    Conflict,
    /// The API server asks to wait.
    Throttled(Duration),
    /// What failed earlier is not due yet; everything else is done.
    BackingOff(Duration),
    /// This replica stopped leading.
    NotLeading,
    /// The CloneSet is gone.
    Gone,
    /// The CloneSet violates the schema.
    Unreadable,
    /// Something was rejected, or the answer was not clear.
    Failed(BTreeMap<BackoffKey, Backoff>),
    /// A quota is used up, and nothing else is wrong.
    OverQuota(BTreeMap<BackoffKey, Backoff>),
    /// The reconcile panicked.
    Panicked,
}

impl Outcome {
    /// One word for metrics.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::StaleCache(_) => "cache_stale",
            Self::Conflict => "conflict",
            Self::Throttled(_) => "throttled",
            Self::BackingOff(_) => "backing_off",
            Self::NotLeading => "not_leading",
            Self::Gone => "gone",
            Self::Unreadable => "unreadable",
            Self::Failed(_) => "failed",
            Self::OverQuota(_) => "over_quota",
            Self::Panicked => "panicked",
        }
    }

    /// What controller-runtime would call it. An error is only what an operator should look at, as its alerts mean it. The
    /// regular resync does not count as being queued again; `has_timer` when time alone brings an earlier reconcile.
    pub(crate) fn result(&self, has_timer: bool) -> ReconcileResult {
        match self {
            Self::Done if has_timer => ReconcileResult::RequeueAfter,
            Self::Done | Self::Gone => ReconcileResult::Success,
            Self::StaleCache(_) | Self::Throttled(_) | Self::BackingOff(_) => ReconcileResult::RequeueAfter,
            Self::Conflict | Self::NotLeading => ReconcileResult::Requeue,
            Self::Failed(_) | Self::OverQuota(_) => ReconcileResult::Error,
            Self::Unreadable => ReconcileResult::TerminalError,
            Self::Panicked => ReconcileResult::Panic,
        }
    }

    /// What follows a failed write; `backoffs` is what backs off because of it and of the others.
    pub(crate) fn after(next: Next, backoffs: BTreeMap<BackoffKey, Backoff>) -> Self {
        match next {
            Next::Retry => Self::Conflict,
            Next::AwaitQuota => Self::OverQuota(backoffs),
            Next::BackOff => Self::Failed(backoffs),
            Next::Wait(delay) => Self::Throttled(delay),
            Next::StandDown => Self::NotLeading,
        }
    }

    /// How acting ended, by the gravest of its failures.
    pub(crate) fn of(acted: &Acted) -> Self {
        let nexts = acted
            .failed
            .iter()
            .map(|failure| failure.error.disposition().next);
        match nexts.max() {
            Some(next) => Self::after(next, acted.backoffs()),
            None if acted.name_collision => Self::Conflict,
            None => Self::Done,
        }
    }

    /// Of how acting ended and why the status could not be written, what decides when to reconcile again.
    pub(crate) fn or_graver(self, reporting: Self) -> Self {
        let is_graver = match (&self, &reporting) {
            (_, Self::NotLeading) | (Self::Done | Self::Conflict, _) => true,
            (Self::Failed(_) | Self::OverQuota(_), other) => matches!(other, Self::Throttled(_)),
            _ => false,
        };
        if is_graver { reporting } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Format, Metrics, Sample};

    const REFERENCE: &str = include_str!("../../../../docs/reference/signals.md");

    /// Generic alerts fire on errors: they must stay silent about what ends well by itself, and about nothing else.
    #[test]
    fn only_what_an_operator_should_look_at_is_an_error() {
        let metrics = Metrics::default();
        let second = Duration::from_secs(1);
        for (outcome, has_timer) in [
            (Outcome::Done, false),
            (Outcome::Done, true),
            (Outcome::Gone, false),
            (Outcome::StaleCache(second), false),
            (Outcome::BackingOff(second), true),
            (Outcome::Throttled(second), false),
            (Outcome::Conflict, false),
            (Outcome::NotLeading, false),
            (Outcome::Failed(BTreeMap::new()), false),
            (Outcome::OverQuota(BTreeMap::new()), false),
            (Outcome::Unreadable, false),
            (Outcome::Panicked, false),
        ] {
            metrics
                .reconciles
                .count(outcome.label(), outcome.result(has_timer), second);
            let word = format!("`{}`", outcome.label());
            for metric in ["cloneset_reconcile_total", "controller_runtime_reconcile_total"] {
                let mut rows = REFERENCE.lines();
                let row = rows.find(|row| row.starts_with(&format!("| `{metric}`")));
                assert!(row.is_some_and(|row| row.contains(&word)), "{word} of {metric}");
            }
        }
        let page = metrics.page(&Sample::default(), Format::Classic);
        for (series, value) in [
            ("reconcile_total{,result=\"success\"", 2),
            ("reconcile_total{,result=\"requeue_after\"", 4),
            ("reconcile_total{,result=\"requeue\"", 2),
            ("reconcile_total{,result=\"error\"", 4),
            ("reconcile_errors_total{", 4),
            ("terminal_reconcile_errors_total{", 1),
            ("reconcile_panics_total{", 1),
            ("reconcile_time_seconds_count{", 12),
            ("reconcile_time_seconds_sum{", 12),
        ] {
            let series = series.replace('{', "{controller=\"cloneset-controller\"");
            let prefix = format!("controller_runtime_{series}");
            let line = page
                .lines()
                .find(|line| line.starts_with(&prefix))
                .unwrap_or_default();
            let shown: f64 = line.rsplit(' ').next().unwrap().parse().unwrap_or(-1.0);
            assert!(
                (shown - f64::from(value)).abs() < 1e-9,
                "{prefix} is {line:?}, not {value}"
            );
        }
    }
}
