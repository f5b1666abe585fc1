//! The pods of a world, counted as the API reference defines the counters. Versions are told apart by image and
//! availability is worked out here, so that the oracle judges by other means than the code under test.

use crate::limits::Limits;
use crate::reading::{is_true, label, state};
use crate::store::Store;
use crate::words::version_of;
use cloneset_api::names::{labels, lifecycle, pod_conditions};
use cloneset_status::{Counts, Pod};
use jiff::{SignedDuration, Timestamp};
use std::collections::BTreeMap;

/// How many pods there are of each kind; only pods that are neither finished nor terminating count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// The counters of status.
    pub(crate) counts: Counts,
    /// Pods of the template's version that nobody asked to delete.
    pub(crate) new_kept: i32,
    /// Pods of other versions that nobody asked to delete.
    pub(crate) old_kept: i32,
    /// Pods of the template's version that are not available.
    pub(crate) new_unproven: i32,
    /// Pods of other versions that are not available.
    pub(crate) old_unproven: i32,
    /// Pods that are not available and that nobody asked to delete.
    pub(crate) awaited: i32,
    /// Do all pods have one version?
    pub(crate) is_uniform: bool,
}

impl Census {
    pub(crate) fn of(store: &Store, now: Timestamp) -> Self {
        let limits = Limits::of(&store.cloneset.spec);
        let template = template_image(store);
        let live = || store.pods().filter(|pod| is_live(pod));
        let mut census = Self {
            is_uniform: live()
                .next()
                .is_some_and(|first| live().all(|pod| store.image(pod) == store.image(first))),
            ..Self::default()
        };
        for pod in store.pods().filter(|pod| is_live(pod)) {
            let is_new = store.image(pod) == template;
            let ready = is_ready(pod);
            let available = is_available(pod, limits.min_ready_seconds, now);
            let counts = &mut census.counts;
            counts.replicas += 1;
            counts.ready += i32::from(ready);
            counts.available += i32::from(available);
            counts.updated += i32::from(is_new);
            counts.updated_ready += i32::from(is_new && ready);
            counts.updated_available += i32::from(is_new && available);
            let leaves = state(pod) == lifecycle::PREPARING_DELETE;
            let kept = !is_named(store, pod) && !leaves;
            census.new_kept += i32::from(is_new && kept);
            census.old_kept += i32::from(!is_new && kept);
            census.new_unproven += i32::from(is_new && !available);
            census.old_unproven += i32::from(!is_new && !available);
            census.awaited += i32::from(!available && !is_named(store, pod));
        }
        census
    }
}

/// Image of the template's first container.
pub(crate) fn template_image(store: &Store) -> &str {
    image_of(&store.cloneset.spec.template.0)
}

/// Image of a template's first container; or, where templates differ in nothing but metadata, what an annotation
/// `version` says instead.
pub(crate) fn image_of(template: &serde_json::Value) -> &str {
    // Asked for at every step, and `Value::pointer` takes its path apart each time.
    let version = || template.get("metadata")?.get("annotations")?.get("version");
    let image = || template.get("spec")?.get("containers")?.get(0)?.get("image");
    version()
        .or_else(image)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

/// Did somebody ask for this very pod to go, by label or by name?
pub(crate) fn is_named(store: &Store, pod: &Pod) -> bool {
    let scale = store.cloneset.spec.scale_strategy.as_ref();
    let names = scale.and_then(|scale| scale.pods_to_delete.as_ref());
    let by_name = names.is_some_and(|names| names.iter().any(|name| name == pod.name()));
    by_name || label(pod, labels::SPECIFIED_DELETE).is_some()
}

pub(crate) fn is_live(pod: &Pod) -> bool {
    let finished = matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
    pod.metadata.deletion_timestamp.is_none() && !finished
}

fn is_ready(pod: &Pod) -> bool {
    let gated = pod
        .status
        .conditions
        .iter()
        .any(|found| found.type_ == pod_conditions::IN_PLACE_UPDATE_READY);
    pod.status.phase.as_deref() == Some("Running")
        && is_true(pod, pod_conditions::READY)
        && (!gated || is_true(pod, pod_conditions::IN_PLACE_UPDATE_READY))
}

pub(crate) fn is_available(pod: &Pod, min_ready_seconds: i32, now: Timestamp) -> bool {
    let in_service = matches!(state(pod), "" | lifecycle::NORMAL);
    let ready = pod
        .status
        .conditions
        .iter()
        .find(|found| found.type_ == pod_conditions::READY);
    let since = ready.and_then(|found| found.last_transition_time.as_ref());
    let proven = since.is_some_and(|since| {
        now.duration_since(since.0) > SignedDuration::from_secs(min_ready_seconds.into())
    });
    in_service && is_ready(pod) && (min_ready_seconds == 0 || proven)
}

/// The live pods in words, by version: `"3 v1 available, 1 v2 unavailable"`.
pub(crate) fn inventory(store: &Store, now: Timestamp) -> String {
    let min_ready_seconds = Limits::of(&store.cloneset.spec).min_ready_seconds;
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for pod in store.pods().filter(|pod| is_live(pod)) {
        let available = is_available(pod, min_ready_seconds, now);
        let state = if available { "available" } else { "unavailable" };
        let marked = if is_named(store, pod) { " marked" } else { "" };
        *kinds
            .entry(format!("{} {state}{marked}", version_of(store.image(pod))))
            .or_default() += 1;
    }
    kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect::<Vec<_>>()
        .join(", ")
}
