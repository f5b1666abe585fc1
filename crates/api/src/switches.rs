//! The feature gates by name, and the gates and flags of Kruise's manager that the controller does not have, each with
//! what to make of it.
//!
//! Words only: the controller parses, the chart repeats them (`cargo xtask gen`), `docs/reference/compatibility.md`
//! lists them. Nothing here is switched.

/// A name, and a sentence about it for whoever set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Switch {
    /// As it is written.
    pub name: &'static str,
    /// Begins in lower case, ends without a full stop.
    pub meaning: &'static str,
}

/// A constructor that reads like a table.
const fn row(name: &'static str, meaning: &'static str) -> Switch {
    Switch { name, meaning }
}

const NO_DAEMON: &str = "there is no daemon on nodes, and nothing here needs one";
const NO_PULL_JOB: &str = "images are not pulled before the update that needs them";
const NO_WEBHOOK: &str = "there is no webhook";
const NO_BUDGET: &str =
    "no PodUnavailableBudget is asked; updateStrategy.maxUnavailable limits what this controller does";
const NO_DEFAULTS: &str = "templates are never filled in";
const OTHER_KIND: &str = "it is about another kind than CloneSet, which is all that is handled here";
const OWN_PACE: &str = "remove it: what fails is tried again at a pace of its own, up to 5 minutes apart";
const OWN_RATE: &str =
    "remove it: at most 32 writes are under way at once, and the API server's Retry-After is honoured";
const NO_PROFILER: &str = "remove it: there is no profiler; /metrics tells memory and processor time";

/// Gates that change something; all are off unless somebody asks, but for `StatusConditions`.
pub const GATES: &[Switch] = &[
    row(
        "CloneSetPartitionRollback",
        "raising the partition moves pods back to the current revision",
    ),
    row("CloneSetShortHash", "pods carry the short form of their revision"),
    row(
        "InPlaceWorkloadVerticalScaling",
        "cpu and memory of containers are changed in place",
    ),
    row(
        "PreparingUpdateAsUpdate",
        "while scaling, a pod that hook inPlaceUpdate holds before its update counts as updated",
    ),
    row(
        "RecreatePodWhenChangeVCTInCloneSetGate",
        "a pod whose claims are made from other templates is re-created",
    ),
    row(
        "StatusConditions",
        "status carries Ready and Reconciling; on unless turned off, and not one of Kruise's",
    ),
];

/// Gates of Kruise that change nothing here: setting one is a warning, so that a values file can be moved over.
pub const KRUISE_GATES: &[Switch] = &[
    row(
        "CloneSetEventHandlerOptimization",
        "changes of a pod that come together are looked at once in any case",
    ),
    row("DaemonWatchingPod", NO_DAEMON),
    row("DefaultHostNetworkHostPortsInPodTemplates", NO_DEFAULTS),
    row(
        "DeletionProtectionForCRDCascadingGate",
        "with delete protection the CRD is guarded as its own label says, also with Cascading",
    ),
    row("EnableExternalCerts", NO_WEBHOOK),
    row("EnhancedLivenessProbe", OTHER_KIND),
    row(
        "ForceDeleteTimeoutExpectationGate",
        "nothing waits for an event that never comes: a view that stays behind is put right by a live read",
    ),
    row("ImagePullJobGate", NO_PULL_JOB),
    row(
        "InPlaceUpdateEnvFromMetadata",
        "metadata that a container reads as an environment variable changes in place if that container gets a new image \
         as well; otherwise the pod is re-created",
    ),
    row("KruiseDaemon", NO_DAEMON),
    row(
        "KruisePodReadinessGate",
        "the readiness gate KruisePodReady is not used; markPodNotReady works through InPlaceUpdateReady",
    ),
    row("PodIndexLabel", OTHER_KIND),
    row("PodProbeMarkerGate", OTHER_KIND),
    row("PodUnavailableBudgetDeleteGate", NO_BUDGET),
    row("PodUnavailableBudgetUpdateGate", NO_BUDGET),
    row("PodWebhook", NO_WEBHOOK),
    row("PreDownloadImageForDaemonSetUpdate", OTHER_KIND),
    row("PreDownloadImageForInPlaceUpdate", NO_PULL_JOB),
    row("ResourceDistributionGate", OTHER_KIND),
    row(
        "ResourcesDeletionProtection",
        "delete protection comes with the chart (deleteProtection.enabled) and needs no gate",
    ),
    row("SidecarSetPatchPodMetadataDefaultsAllowed", OTHER_KIND),
    row("SidecarTerminator", OTHER_KIND),
    row("StatefulSetAutoDeletePVC", OTHER_KIND),
    row("StatefulSetAutoResizePVCGate", OTHER_KIND),
    row("StatefulSetStartOrdinal", OTHER_KIND),
    row("TemplateNoDefaults", NO_DEFAULTS),
    row("WorkloadSpread", OTHER_KIND),
];

/// Flags of Kruise's manager that the controller does not have, without their dashes, and what to do instead.
pub const KRUISE_FLAGS: &[Switch] = &[
    row(
        "allow-privileged",
        "remove it: the API server judges what a pod may do",
    ),
    row(
        "controller-cache-sync-timeout",
        "remove it: until the caches are in step the controller is not ready and says so at /readyz",
    ),
    row(
        "disable-no-deepcopy",
        "remove it: nothing is copied that need not be",
    ),
    row("enable-pprof", NO_PROFILER),
    row(
        "expectation-timeout",
        "remove it: a view that is behind an own write for 5 seconds is put right by a live read",
    ),
    row(
        "leader-election-resource-lock",
        "remove it: the lock is always a Lease",
    ),
    row("logging-format", "use --log-format, which is text or json"),
    row("logtostderr", "remove it: the log always goes to standard error"),
    row("pprof-addr", NO_PROFILER),
    row("rate-limiter-base-delay", OWN_PACE),
    row("rate-limiter-bucket-size", OWN_PACE),
    row("rate-limiter-max-delay", OWN_PACE),
    row("rate-limiter-qps", OWN_PACE),
    row("rest-config-burst", OWN_RATE),
    row("rest-config-qps", OWN_RATE),
    row(
        "sync-period",
        "remove it: every CloneSet is looked at every 10 minutes, and whenever something changes",
    ),
    row("v", "use --log-level, which is error, warn, info, debug or trace"),
    row("webhook-initialize-timeout", "remove it: there is no webhook"),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The chart looks names up by line and the reference by row: one of each, in order, without a surprise in them.
    #[test]
    fn every_name_stands_once_and_in_order() {
        for table in [GATES, KRUISE_GATES, KRUISE_FLAGS] {
            let names: Vec<&str> = table.iter().map(|switch| switch.name).collect();
            assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        }
        let both = |gate: &Switch| KRUISE_GATES.iter().any(|other| other.name == gate.name);
        assert!(!GATES.iter().any(both));
    }

    #[test]
    fn every_meaning_is_half_a_sentence() {
        for Switch { name, meaning } in [GATES, KRUISE_GATES, KRUISE_FLAGS].concat() {
            let starts_small = meaning.chars().next().is_some_and(|first| !first.is_uppercase());
            assert!(starts_small, "{name}: {meaning}");
            assert!(
                !meaning.ends_with('.') && !meaning.contains(['{', '|', '\n']),
                "{name}: {meaning}"
            );
        }
    }
}
