//! Which pod goes first: the order of scale-in (`behaviour.md` 4.5) and the default order of updates (5.4).
//!
//! Orders only; how many go is decided by `diff`. Every order is total (names break ties), so the same snapshot
//! always gives the same plan.

mod crowd;
#[cfg(test)]
mod properties;
mod seen;

pub(crate) use crowd::{Crowd, Topology};

use crate::of_pod::OfPod;
use cloneset_api::names::pod_conditions::READY;
use seen::{Age, Seen, Standing};
use std::cmp::Reverse;

/// Sorts pods so that those to be updated first come first.
pub(crate) fn sort_for_update<'a>(pods: &mut [impl OfPod<'a>]) {
    pods.sort_by_cached_key(|item| {
        let pod = item.pod();
        (Standing::of(pod), pod.condition_is_true(READY), Age::of(pod))
    });
}

/// What the order of deletion has to be told of a pod.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Class {
    /// It is available, with `minReadySeconds`.
    pub(crate) available: bool,
    /// Its revision is the update revision or the current one. Among pods that serve alike, those of other revisions go
    /// first.
    pub(crate) wanted: bool,
}

/// The places of the `count` pods that are deleted first, in that order. Pods are kept spread as `crowd` says.
pub(crate) fn first_for_scale_in<'a, P: OfPod<'a>>(
    pods: &[P],
    count: usize,
    crowd: &Crowd<'_>,
    class_of: impl Fn(P) -> Class,
) -> Vec<usize> {
    let classes: Vec<Class> = pods.iter().map(|item| class_of(*item)).collect();
    let seen = pods.iter().zip(&classes);
    let seen: Vec<Seen<'_>> = seen
        .map(|(item, class)| Seen::of(item.pod(), class.wanted))
        .collect();
    let ranks = crowd::ranks(&seen, crowd);
    let mut keys: Vec<_> = (classes.iter().zip(&seen).zip(ranks).enumerate())
        .map(|(place, ((class, seen), rank))| {
            let Seen {
                standing,
                ready,
                wanted,
                cost,
                age,
                ..
            } = seen;
            let serves = (standing, class.available, ready);
            ((serves, wanted, cost, Reverse(rank), age), place)
        })
        .collect();
    // Only those that go have to be put in order.
    if count < keys.len() {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.sort_unstable();
    keys.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_status::Pod;
    use serde_json::{Value, json};

    /// A running, assigned, ready pod, changed by a merge of `change` into its JSON.
    fn pod(name: &str, change: Value) -> Pod {
        let mut value = json!({
            "metadata": {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"nodeName": format!("node-of-{name}")},
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:10Z"}
            ]}
        });
        merge(&mut value, change);
        serde_json::from_value(value).unwrap()
    }

    fn merge(into: &mut Value, change: Value) {
        match (into, change) {
            (Value::Object(into), Value::Object(change)) => {
                for (key, value) in change {
                    merge(into.entry(key).or_insert(Value::Null), value);
                }
            }
            (into, change) => *into = change,
        }
    }

    fn scale_in_order(pods: &[Pod], available: &[&str]) -> Vec<String> {
        let pods: Vec<&Pod> = pods.iter().collect();
        let class = |pod: &Pod| Class {
            available: available.contains(&pod.name()),
            wanted: !pod.name().contains("abandoned"),
        };
        let first = |count| first_for_scale_in(&pods, count, &Crowd::default(), class);
        let places = first(pods.len());
        for count in 0..pods.len() {
            assert_eq!(first(count), places[..count], "the first {count}");
        }
        places
            .into_iter()
            .map(|place| pods[place].name().to_owned())
            .collect()
    }

    #[test]
    fn scenarios_110_111_113_114_scale_in_takes_first_what_serves_least() {
        // Whatever its deletion cost.
        let not_ready = json!({
            "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "9"}},
            "status": {"conditions": [{"type": "Ready", "status": "False"}]}
        });
        let restarted = json!({"status": {"containerStatuses": [{"restartCount": 3}]}});
        let cost = |cost: &str| json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}});
        // Each pod is expected after the one before it; all share everything the next criterion does not name.
        let pods = [
            pod("z-no-node", json!({"spec": {"nodeName": ""}})),
            pod("y-pending", json!({"status": {"phase": "Pending"}})),
            pod("x-unknown", json!({"status": {"phase": "Unknown"}})),
            pod("w-not-ready", not_ready),
            pod("v-not-available", json!({})),
            pod("z-abandoned", cost("5")),
            pod("u-cheap", cost("-5")),
            pod(
                "t-recently-ready",
                json!({"status": {"conditions": [
                {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:20Z"}]}}),
            ),
            pod("s-restarted", restarted),
            pod(
                "r-young",
                json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:05Z"}}),
            ),
            pod("a-plain", json!({})),
            pod("b-same-but-for-the-name", json!({})),
            pod("a-dear", cost("7")),
        ];
        let expected: Vec<String> = pods.iter().map(|pod| pod.name().to_owned()).collect();
        let available: Vec<&str> = expected.iter().skip(5).map(String::as_str).collect();
        let mut shuffled = pods.to_vec();
        shuffled.reverse();
        assert_eq!(scale_in_order(&shuffled, &available), expected);
    }

    #[test]
    fn the_fuller_node_gives_first() {
        let on = |name: &str, node: &str| pod(name, json!({"spec": {"nodeName": node}}));
        let pods = [on("a1", "a"), on("b1", "b"), on("b2", "b"), on("c1", "c")];
        assert_eq!(
            scale_in_order(&pods, &["a1", "b1", "b2", "c1"])[..2],
            ["b1", "a1"]
        );
    }

    #[test]
    fn scenario_138_updates_go_by_phase_before_readiness() {
        let pending = |ready: &str| json!({"status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": ready}]}});
        let pods = [
            pod("0", pending("True")),
            pod("1", pending("False")),
            pod("3", json!({})),
            pod(
                "4",
                json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
            ),
        ];
        let mut sorted: Vec<&Pod> = pods.iter().collect();
        sort_for_update(&mut sorted);
        let names: Vec<&str> = sorted.iter().map(|pod| pod.name()).collect();
        assert_eq!(names, ["1", "0", "4", "3"]);
    }
}
