//! What is counted of the cache: lists and objects read live; and what it holds when the page is asked for.

use super::labels::ResourceLabel;
use super::leaks::Leaks;
use crate::key::{Key, Kind};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// Counters of the cache. Clones count into the same series.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics {
    relists: Family<ResourceLabel, Counter>,
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
            "cloneset_live_reads",
            "Single objects read live because the cache did not show our own write in time",
            self.live_reads.clone(),
        );
    }

    /// Counts a list that was made because a watch could not be resumed.
    pub fn count_relist(&self, kind: Kind) {
        self.relists.get_or_create(&label(kind)).inc();
    }

    /// Counts an object of a CloneSet that is read live because no watch showed our write in time.
    pub fn count_live_read(&self, kind: Kind, cloneset: &Key) {
        self.live_reads.get_or_create(&label(kind)).inc();
        if kind == Kind::Pod {
            self.leaks.count(cloneset);
        }
    }
}

/// What the cache holds.
#[derive(Clone, Debug, Default)]
pub struct CacheSample {
    /// Has every kind been listed?
    pub is_synced: bool,
    /// Each kind.
    pub kinds: Vec<KindSample>,
}

/// What the cache holds of one kind.
#[derive(Clone, Copy, Debug)]
pub struct KindSample {
    /// The kind.
    pub kind: Kind,
    /// Objects.
    pub objects: usize,
    /// Objects of which only the metadata could be read.
    pub unreadable: usize,
    /// Time since the last event, bookmark or list; `None` before the first list.
    pub age: Option<Duration>,
}

impl CacheSample {
    pub(super) fn register(&self, registry: &mut Registry) {
        let (objects, unreadable) = (Family::<_, Gauge>::default(), Family::<_, Gauge>::default());
        let ages = Family::<_, Gauge<f64, AtomicU64>>::default();
        let number = |objects| i64::try_from(objects).unwrap_or(i64::MAX);
        for sample in &self.kinds {
            let label = label(sample.kind);
            objects.get_or_create(&label).set(number(sample.objects));
            unreadable.get_or_create(&label).set(number(sample.unreadable));
            if let Some(age) = sample.age {
                ages.get_or_create(&label).set(age.as_secs_f64());
            }
        }
        registry.register("cloneset_objects", "Objects in the cache", objects);
        registry.register(
            "cloneset_unreadable_objects",
            "Objects in the cache of which only the metadata could be read",
            unreadable,
        );
        registry.register(
            "cloneset_cache_age_seconds",
            "Time since the last event, bookmark or list",
            ages,
        );
        registry.register(
            "cloneset_synced",
            "1 once every kind has been listed",
            ConstGauge::new(i64::from(self.is_synced)),
        );
    }
}
