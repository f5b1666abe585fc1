//! What is counted, and the page that shows it.
//!
//! Names and labels that dashboards of other operators know are used as they are (controller-runtime, workqueue,
//! rest_client, process, Kruise's own); ours begin with `cloneset_` and repeat none of them. No label carries the name
//! of a pod: the number of series must not grow with the cluster. Nothing is decided by what is counted here.

mod classic;
mod leaks;
mod passes;
mod process;
mod queue;
mod requests;

pub use leaks::Leaks;
pub use passes::Passes;
pub use process::Process;
pub use queue::{Load, QueueCounts};
pub use requests::Requests;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode, encode_registry};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{counter::Counter, family::Family, info::Info};
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::OnceLock;

/// What Kruise calls this controller in labels, and so do dashboards.
const CONTROLLER: &str = "cloneset-controller";
/// The commit this was built from, where the build was told.
const COMMIT: Option<&str> = option_env!("CLONESET_COMMIT");

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
    /// The Lease whose holder leads; none without an election.
    pub lease: OnceLock<String>,
    /// Passes, by how they ended.
    pub passes: Passes,
    /// The work queue.
    pub queue: QueueCounts,
    /// Requests to the API server.
    pub requests: Requests,
    /// Pod writes that a watch did not show in time, by CloneSet.
    pub leaks: Leaks,
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
}

/// What is not counted but looked at when somebody asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sample {
    /// May this replica write?
    pub leads: bool,
    /// What is in the work queue.
    pub load: Load,
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
    /// The better one of those that an Accept header lists; the older one if it lists none.
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
            passes: Passes::new(&mut registry),
            queue: QueueCounts::default(),
            requests: Requests::new(&mut registry),
            leaks: Leaks::default(),
            writes: Family::default(),
            waits: Family::default(),
            relists: Family::default(),
            unreadable: Family::default(),
            live_reads: Family::default(),
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
        registry.register(
            "cloneset_writes",
            "Writes sent to the API server",
            self.writes.clone(),
        );
        registry.register(
            "cloneset_waits",
            "Decisions to wait, by what holds them back",
            self.waits.clone(),
        );
        registry.register(
            "cloneset_relists",
            "Lists made because a watch could not go on",
            self.relists.clone(),
        );
        registry.register(
            "cloneset_unreadable",
            "Watch events that could not be read",
            self.unreadable.clone(),
        );
        registry.register(
            "cloneset_live_reads",
            "Reads of single objects because a view stayed behind our own write",
            self.live_reads.clone(),
        );
        registry.register(
            "cloneset_events_dropped",
            "Events dropped for want of room",
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

    /// The page, with what was looked at just now.
    pub fn page(&self, sample: &Sample, format: Format) -> String {
        let mut now = Registry::default();
        self.register_leader(sample.leads, &mut now);
        self.leaks.register(&mut now);
        sample.load.register(&mut now);
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

    /// Looked at and not kept up to date: a replica that was stopped for a while must not go on saying that it leads.
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
