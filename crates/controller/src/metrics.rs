//! What is counted, and the page that shows it.
//!
//! No label carries a pod or CloneSet name: the number of series must not grow with the cluster.

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info};
use prometheus_client::registry::Registry;
use std::fmt;

/// Label of a pass.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// How it ended.
    pub outcome: &'static str,
}

/// Labels of a write.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct WriteLabels {
    /// create, patch, delete.
    pub verb: &'static str,
    /// Resource, with subresource.
    pub resource: &'static str,
    /// ok, or why not.
    pub result: &'static str,
}

/// Label of a watch.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ResourceLabel {
    /// Resource.
    pub resource: &'static str,
}

/// Label of something that is not done.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabel {
    /// What holds it back.
    pub reason: &'static str,
}

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    /// Passes, by how they ended.
    pub reconciles: Family<OutcomeLabel, Counter>,
    /// Writes sent, by what became of them.
    pub writes: Family<WriteLabels, Counter>,
    /// Decisions to wait, by what for.
    pub waits: Family<ReasonLabel, Counter>,
    /// Lists made because a watch could not go on.
    pub relists: Family<ResourceLabel, Counter>,
    /// Watch events that could not be read.
    pub unreadable: Family<ResourceLabel, Counter>,
    /// Reads of single objects because a view stayed behind.
    pub live_reads: Family<ResourceLabel, Counter>,
    /// Events dropped because too many were waiting.
    pub events_dropped: Counter,
    /// Passes that panicked.
    pub panics: Counter,
    /// Is this replica the leader?
    pub leader: Gauge,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let metrics = Self {
            reconciles: Family::default(),
            writes: Family::default(),
            waits: Family::default(),
            relists: Family::default(),
            unreadable: Family::default(),
            live_reads: Family::default(),
            events_dropped: Counter::default(),
            panics: Counter::default(),
            leader: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register(
            "cloneset_reconcile",
            "Passes over a CloneSet, by how they ended",
            metrics.reconciles.clone(),
        );
        registry.register(
            "cloneset_writes",
            "Writes sent to the API server",
            metrics.writes.clone(),
        );
        registry.register(
            "cloneset_waits",
            "Decisions to wait, by what holds them back",
            metrics.waits.clone(),
        );
        registry.register(
            "cloneset_relists",
            "Lists made because a watch could not go on",
            metrics.relists.clone(),
        );
        registry.register(
            "cloneset_unreadable",
            "Watch events that could not be read",
            metrics.unreadable.clone(),
        );
        registry.register(
            "cloneset_live_reads",
            "Reads of single objects because a view stayed behind our own write",
            metrics.live_reads.clone(),
        );
        registry.register(
            "cloneset_events_dropped",
            "Events dropped for want of room",
            metrics.events_dropped.clone(),
        );
        registry.register(
            "cloneset_reconcile_panics",
            "Passes that panicked",
            metrics.panics.clone(),
        );
        registry.register(
            "cloneset_leader",
            "1 while this replica is the leader",
            metrics.leader.clone(),
        );
        registry.register(
            "cloneset_build",
            "Version of this program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// The page, in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut page, &self.registry);
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_reference_and_every_one_there_exists() {
        let metrics = Metrics::default();
        let (outcome, reason, resource) = ("x", "x", "x");
        metrics.reconciles.get_or_create(&OutcomeLabel { outcome }).inc();
        metrics.waits.get_or_create(&ReasonLabel { reason }).inc();
        let (verb, result) = ("x", "x");
        metrics
            .writes
            .get_or_create(&WriteLabels {
                verb,
                resource,
                result,
            })
            .inc();
        for family in [&metrics.relists, &metrics.unreadable, &metrics.live_reads] {
            family.get_or_create(&ResourceLabel { resource }).inc();
        }
        let page = metrics.render();
        let shown: std::collections::BTreeSet<&str> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let reference = include_str!("../../../docs/reference/signals.md");
        let documented: std::collections::BTreeSet<&str> = reference
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .filter(|name| name.starts_with("cloneset_"))
            .collect();
        assert_eq!(documented, shown);
    }
}
