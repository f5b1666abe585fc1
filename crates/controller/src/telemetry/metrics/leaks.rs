//! Kruise's `cloneset_scale_expectation_leakage`: the one metric that names CloneSets.
//!
//! A CloneSet has a series only once a pod write of ours did not show up in time, and no longer than it exists, so
//! there are few. It has no type in OpenMetrics, where the name of a counter must end in `_total`; that is also how
//! Kruise's own page says it.

use crate::key::Key;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Pod writes that a watch did not show in time, by CloneSet.
#[derive(Debug, Default)]
pub struct Leaks {
    by_key: Mutex<BTreeMap<Key, u64>>,
}

impl Leaks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, u64>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one.
    pub fn count(&self, key: &Key) {
        *self.lock().entry(key.clone()).or_default() += 1;
    }

    /// Drops the series of CloneSets that are gone.
    pub fn retain(&self, exists: impl Fn(&Key) -> bool) {
        self.lock().retain(|key, _| exists(key));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "cloneset_scale_expectation_leakage",
            "Pod writes that no watch showed in time",
            Snapshot(self.lock().clone()),
        );
    }
}

#[derive(Debug)]
struct Snapshot(BTreeMap<Key, u64>);

impl EncodeMetric for Snapshot {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (Key { namespace, name }, count) in &self.0 {
            let labels = [("namespace", namespace.as_str()), ("name", name.as_str())];
            // Encoded as a gauge is, which leaves the metric's name alone.
            encoder.encode_family(&labels)?.encode_gauge(count)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Unknown
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
