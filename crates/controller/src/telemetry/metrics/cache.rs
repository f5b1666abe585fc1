//! What is counted of the cache: lists, events that cannot be read, and objects read live.

use super::labels::ResourceLabel;
use super::leaks::Leaks;
use crate::key::{Key, Kind};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Counters of the cache. Clones count into the same series.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics {
    relists: Family<ResourceLabel, Counter>,
    unreadable: Family<ResourceLabel, Counter>,
    live_reads: Family<ResourceLabel, Counter>,
    /// Pod writes that no watch showed in time, by CloneSet.
    pub leaks: Arc<Leaks>,
}

fn label(kind: Kind) -> ResourceLabel {
    ResourceLabel {
        resource: kind.resource(),
    }
}

impl CacheMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cloneset_relists",
            "Lists made because a watch could not be resumed",
            self.relists.clone(),
        );
        registry.register(
            "cloneset_unreadable",
            "Watch events that could not be read",
            self.unreadable.clone(),
        );
        registry.register(
            "cloneset_live_reads",
            "Single objects read live because the cache did not show our own write in time",
            self.live_reads.clone(),
        );
    }

    /// Counts a list that was made because a watch could not be resumed.
    pub fn count_relist(&self, kind: Kind) {
        self.relists.get_or_create(&label(kind)).inc();
    }

    /// Counts a watch event that could not be read.
    pub fn count_unreadable(&self, kind: Kind) {
        self.unreadable.get_or_create(&label(kind)).inc();
    }

    /// Counts an object of a CloneSet that is read live because no watch showed our write in time.
    pub fn count_live_read(&self, kind: Kind, cloneset: &Key) {
        self.live_reads.get_or_create(&label(kind)).inc();
        if kind == Kind::Pod {
            self.leaks.count(cloneset);
        }
    }
}
