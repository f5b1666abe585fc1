//! What the orders compare of a pod, read once.
//!
//! Which of it counts before what is `order`'s to say.

use cloneset_api::names::annotations;
use cloneset_api::names::pod_conditions::READY;
use cloneset_status::Pod;
use jiff::Timestamp;
use std::cmp::Reverse;

/// What every order starts with: unassigned first, then by phase.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    has_node: bool,
    phase: u8,
}

impl Standing {
    pub(super) fn of(pod: &Pod) -> Self {
        let phase = match pod.status.phase.as_deref() {
            Some("Unknown") => 1,
            Some("Running") => 2,
            _ => 0,
        };
        Self {
            has_node: pod.has_node(),
            phase,
        }
    }
}

/// What every order ends with: first the one that became ready last, restarted most, was made last.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age<'a> {
    ready_since: Option<Reverse<Timestamp>>,
    restarts: Reverse<i32>,
    created: Option<Reverse<Timestamp>>,
    name: &'a str,
}

impl<'a> Age<'a> {
    pub(super) fn of(pod: &'a Pod) -> Self {
        Self {
            ready_since: pod.ready_since().map(Reverse),
            restarts: Reverse(pod.restarts()),
            created: pod
                .metadata
                .creation_timestamp
                .as_ref()
                .map(|time| Reverse(time.0)),
            name: pod.name(),
        }
    }
}

/// A pod as the order of deletion sees it, read once however often it is compared.
pub(super) struct Seen<'a> {
    pub(super) standing: Standing,
    pub(super) ready: bool,
    pub(super) wanted: bool,
    pub(super) cost: i32,
    pub(super) age: Age<'a>,
    pub(super) node: Option<&'a str>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(pod: &'a Pod, wanted: bool) -> Self {
        Self {
            standing: Standing::of(pod),
            ready: pod.condition_is_true(READY),
            wanted,
            cost: deletion_cost(pod),
            age: Age::of(pod),
            node: pod.node(),
        }
    }
}

/// The deletion cost; anything but a canonical int32 counts as 0, as in Kubernetes.
fn deletion_cost(pod: &Pod) -> i32 {
    let text = pod.annotation(annotations::DELETION_COST).unwrap_or("0");
    let canonical = matches!(text.as_bytes(), [b'0'] | [b'-' | b'1'..=b'9', ..]);
    if canonical { text.parse().unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deletion_cost_counts_only_when_it_is_a_canonical_int32() {
        for (text, cost) in [
            ("5", 5),
            ("-7", -7),
            ("0", 0),
            ("2147483647", i32::MAX),
            ("+5", 0),
            ("008", 0),
            ("2147483648", 0),
            ("", 0),
            ("many", 0),
            (" 5", 0),
        ] {
            let annotated: Pod = serde_json::from_value(json!({
                "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": text}}
            }))
            .unwrap();
            assert_eq!(deletion_cost(&annotated), cost, "{text:?}");
        }
    }
}
