//! Metrics, and the page that shows them.
//!
//! Names and labels that dashboards of other operators know are used as they are (controller-runtime, workqueue,
//! rest_client, process, Kruise's own); ours begin with `cloneset_` and repeat none of them. No label carries the name
//! of a pod: the number of series must not grow with the cluster. Nothing is decided by a metric.

pub mod cache;
mod classic;
pub mod labels;
pub mod leaks;
pub mod process;
pub mod queue;
pub mod reconciles;
pub mod requests;
pub mod writes;

use cache::{CacheMetrics, CacheSample};
use labels::ReasonLabel;
use process::Process;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{counter::Counter, family::Family, info::Info};
use prometheus_client::registry::Registry;
use queue::{Load, QueueCounts};
use reconciles::Reconciles;
use requests::Requests;
use std::fmt;
use std::sync::OnceLock;
use writes::WriteMetrics;

/// The commit this was built from, where the build was told.
const COMMIT: Option<&str> = option_env!("CLONESET_COMMIT");

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    /// The Lease whose holder leads; none without an election.
    pub lease: OnceLock<String>,
    /// Reconciles, by how they ended.
    pub reconciles: Reconciles,
    /// The work queue.
    pub queue: QueueCounts,
    /// Requests to the API server.
    pub requests: Requests,
    /// The cache.
    pub cache: CacheMetrics,
    /// Writes sent, by their results.
    pub writes: WriteMetrics,
    /// Decisions to wait, by what blocks them.
    pub waits: Family<ReasonLabel, Counter>,
    /// Events dropped because too many were waiting.
    pub events_dropped: Counter,
}

/// What is read only when the page is asked for.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// May this replica write?
    pub leads: bool,
    /// What is in the work queue.
    pub load: Load,
    /// What the cache holds.
    pub cache: CacheSample,
    /// What the kernel says of this process.
    pub process: Option<Process>,
}

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Classic,
}

impl Format {
    /// OpenMetrics if an Accept header lists it, else the older format.
    pub fn accepted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Classic
        }
    }

    /// As a Content-Type header says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
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
            lease: OnceLock::new(),
            reconciles: Reconciles::new(&mut registry),
            queue: QueueCounts::default(),
            requests: Requests::new(&mut registry),
            cache: CacheMetrics::default(),
            writes: WriteMetrics::default(),
            waits: Family::default(),
            events_dropped: Counter::default(),
            registry: Registry::default(),
        };
        metrics.queue.register(&mut registry);
        metrics.register(&mut registry);
        Self { registry, ..metrics }
    }
}

impl Metrics {
    fn register(&self, registry: &mut Registry) {
        self.writes.register(registry);
        registry.register(
            "cloneset_waits",
            "Decisions to wait, by what blocks them",
            self.waits.clone(),
        );
        self.cache.register(registry);
        registry.register(
            "cloneset_events_dropped",
            "Events dropped because too many were waiting",
            self.events_dropped.clone(),
        );
        let version = ("version", env!("CARGO_PKG_VERSION"));
        let commit = ("commit", COMMIT.unwrap_or("unknown"));
        registry.register(
            "cloneset_build",
            "Version of this program",
            Info::new([version, commit]),
        );
    }

    /// The page, with what was read just now.
    pub fn page(&self, sample: &Sample, format: Format) -> String {
        let mut now = Registry::default();
        self.register_leader(sample.leads, &mut now);
        self.cache.leaks.register(&mut now);
        sample.load.register(&mut now);
        sample.cache.register(&mut now);
        if let Some(process) = sample.process {
            process.register(&mut now);
        }
        let mut page = String::new();
        // Writing into a String cannot fail.
        let _ = encode_registry(&mut page, &self.registry).and_then(|()| encode(&mut page, &now));
        match format {
            Format::OpenMetrics => page,
            Format::Classic => classic::rewrite(&page),
        }
    }

    /// Read for every page and not stored: a replica that was stopped for a while must not go on reporting that it leads.
    fn register_leader(&self, leads: bool, registry: &mut Registry) {
        let leads = i64::from(leads);
        registry.register(
            "kruise_manager_is_leader",
            "1 while this replica may write",
            ConstGauge::new(leads),
        );
        if let Some(lease) = self.lease.get() {
            registry
                .sub_registry_with_label(("name".into(), lease.clone().into()))
                .register(
                    "leader_election_master_status",
                    "1 while this replica holds the Lease",
                    ConstGauge::new(leads),
                );
        }
    }
}

#[cfg(test)]
mod tests;
