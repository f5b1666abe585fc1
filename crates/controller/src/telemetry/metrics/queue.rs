//! The work queue, under the names and labels that client-go gives a queue.

use super::labels::{CONTROLLER, controller};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// What the queue counts while it works.
#[derive(Clone, Debug)]
pub struct QueueCounts {
    /// Keys added; one that waits already is not added again.
    pub adds: Counter,
    /// Keys added for later because something was left to do.
    pub retries: Counter,
    /// Seconds from being added to being taken.
    pub waited: Histogram,
    /// Seconds from being taken to being done.
    pub worked: Histogram,
}

impl Default for QueueCounts {
    fn default() -> Self {
        // controller-runtime's: from ten nanoseconds to a quarter of an hour.
        let seconds = || Histogram::new(exponential_buckets(10e-9, 10.0, 12));
        Self {
            adds: Counter::default(),
            retries: Counter::default(),
            waited: seconds(),
            worked: seconds(),
        }
    }
}

/// What is in the queue now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Keys that wait to be taken.
    pub waiting: usize,
    /// Keys that are worked on.
    pub running: usize,
    /// How long those have been worked on, together.
    pub unfinished: Duration,
    /// How long the one that was taken first has been worked on.
    pub longest: Duration,
}

fn labelled(registry: &mut Registry) -> &mut Registry {
    let labels = [("name", CONTROLLER), ("controller", CONTROLLER)];
    registry.sub_registry_with_labels(
        labels
            .into_iter()
            .map(|(name, value)| (name.into(), value.into())),
    )
}

impl QueueCounts {
    pub(super) fn register(&self, registry: &mut Registry) {
        let registry = labelled(registry);
        registry.register("workqueue_adds", "CloneSets queued", self.adds.clone());
        registry.register(
            "workqueue_retries",
            "CloneSets queued for later because something was left to do",
            self.retries.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time from being queued to being taken",
            self.waited.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "Time from being taken to being done",
            self.worked.clone(),
        );
    }
}

impl Load {
    pub(super) fn register(self, registry: &mut Registry) {
        registry.sub_registry_with_label(controller()).register(
            "controller_runtime_active_workers",
            "Reconciles under way",
            ConstGauge::new(self.running),
        );
        let registry = labelled(registry);
        registry.register(
            "workqueue_depth",
            "CloneSets that wait to be taken",
            ConstGauge::new(self.waiting),
        );
        registry.register(
            "workqueue_unfinished_work_seconds",
            "Time spent so far on the reconciles under way, together",
            ConstGauge::new(self.unfinished.as_secs_f64()),
        );
        registry.register(
            "workqueue_longest_running_processor_seconds",
            "Time spent so far on the longest reconcile under way",
            ConstGauge::new(self.longest.as_secs_f64()),
        );
    }
}
