//! What is counted of writes to the API server.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    verb: &'static str,
    resource: &'static str,
    result: &'static str,
}

/// Counters of writes. Clones count into the same series.
#[derive(Clone, Debug, Default)]
pub struct WriteMetrics {
    sent: Family<WriteLabels, Counter>,
}

impl WriteMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cloneset_writes",
            "Writes sent to the API server",
            self.sent.clone(),
        );
    }

    /// Counts a write. `verb` is create, dry_run, patch or delete; `resource` has its subresource; `result` is ok, or why
    /// the write failed.
    pub fn count(&self, verb: &'static str, resource: &'static str, result: &'static str) {
        let labels = WriteLabels {
            verb,
            resource,
            result,
        };
        self.sent.get_or_create(&labels).inc();
    }
}
