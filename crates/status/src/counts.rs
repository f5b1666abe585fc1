//! The counters of `status` (`behaviour.md` 7.1), from the pods of one CloneSet.

use crate::facts::Pod;
use jiff::Timestamp;

/// How many pods there are of each kind. Only active pods are ever counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Pods that exist.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// Pods that are available.
    pub available: i32,
    /// Pods of the update revision.
    pub updated: i32,
    /// Pods of the update revision that are ready.
    pub updated_ready: i32,
    /// Pods of the update revision that are available.
    pub updated_available: i32,
}

impl Counts {
    /// Counts the active ones among `pods`. `is_updated` says which pods have the update revision.
    pub fn of<'a>(
        pods: impl IntoIterator<Item = &'a Pod>,
        is_updated: impl Fn(&Pod) -> bool,
        min_ready_seconds: i32,
        now: Timestamp,
    ) -> Self {
        let mut counts = Self::default();
        for pod in pods.into_iter().filter(|pod| pod.is_active()) {
            let (ready, available) = (pod.is_ready(), pod.is_available(min_ready_seconds, now));
            counts.replicas += 1;
            counts.ready += i32::from(ready);
            counts.available += i32::from(available);
            if is_updated(pod) {
                counts.updated += 1;
                counts.updated_ready += i32::from(ready);
                counts.updated_available += i32::from(available);
            }
        }
        counts
    }
}
