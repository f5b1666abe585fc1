//! Every order is a strict weak order whatever the pods look like (F81, F82 of the failure list): sorting any
//! permutation of the same pods gives one and the same sequence.

use super::{Class, Crowd, Topology, first_for_scale_in, sort_for_update};
use crate::priority::Priority;
use crate::scatter::Scatter;
use crate::snapshot::NodeLabels;
use cloneset_api::{PriorityStrategy, ScatterTerm};
use cloneset_status::Pod;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

const ZONE: &str = "topology.kubernetes.io/zone";

fn one_of(values: &[Value]) -> impl Strategy<Value = Value> + use<> {
    prop::sample::select(values.to_vec())
}

/// A pod in which any field may be missing, empty or junk; few values, so that many are equal.
fn pod() -> impl Strategy<Value = Value> {
    let time = || {
        one_of(&[
            json!(null),
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-02T00:00:00Z"),
        ])
    };
    (
        one_of(&[json!(null), json!(""), json!("a"), json!("b"), json!("c")]),
        one_of(&[json!(null), json!("Pending"), json!("Running"), json!("Unknown"), json!("Odd")]),
        one_of(&[json!("True"), json!("False"), json!("Unknown")]),
        (time(), time(), 0..3_i32),
        one_of(&[json!(null), json!("-5"), json!("7"), json!("007"), json!("many"), json!("99999999999")]),
        one_of(&[json!(null), json!("x-2"), json!("x-10"), json!("x"), json!("18446744073709551616")]),
    )
        .prop_map(|(node, phase, ready, (since, created, restarts), cost, label)| {
            json!({
                "metadata": {
                    "creationTimestamp": created, "labels": label.as_str().map(|value| json!({"key": value})),
                    "annotations": cost.as_str().map(|cost| json!({"controller.kubernetes.io/pod-deletion-cost": cost}))
                },
                "spec": {"nodeName": node},
                "status": {
                    "phase": phase, "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": since}],
                    "containerStatuses": [{"restartCount": restarts}]
                }
            })
        })
}

/// Pods with names by their place, and a permutation of them.
fn pods() -> impl Strategy<Value = (Vec<Pod>, Vec<Pod>)> {
    vec(pod(), 0..12)
        .prop_map(|pods| {
            let named = pods.into_iter().enumerate().map(|(place, mut pod)| {
                let name = json!(format!("pod-{place:02}"));
                pod["metadata"]["name"] = name.clone();
                pod["metadata"]["uid"] = name;
                serde_json::from_value(pod).unwrap()
            });
            named.collect::<Vec<Pod>>()
        })
        .prop_flat_map(|pods| (Just(pods.clone()), Just(pods).prop_shuffle()))
}

fn nodes() -> NodeLabels {
    let labels = |zone: &str| Arc::new(BTreeMap::from([(ZONE.to_owned(), zone.to_owned())]));
    // Node c is not known, and no node has the second key.
    BTreeMap::from([("a".to_owned(), labels("x")), ("b".to_owned(), labels("y"))])
}

fn order(pods: &[Pod], sort: impl Fn(&mut Vec<&Pod>)) -> Vec<String> {
    let mut sorted: Vec<&Pod> = pods.iter().collect();
    sort(&mut sorted);
    let once: Vec<String> = sorted.iter().map(|pod| pod.name().to_owned()).collect();
    sort(&mut sorted);
    let twice: Vec<&str> = sorted.iter().map(|pod| pod.name()).collect();
    assert_eq!(once, twice, "scenario 116: no pod is before itself");
    once
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn scenario_116_scale_in_takes_the_same_pods_in_whatever_order_they_come((pods, shuffled) in pods()) {
        let (keys, nodes) = ([ZONE.to_owned(), "no/such".to_owned()], nodes());
        for topology in [None, Some(Topology { keys: &keys, nodes: &nodes })] {
            let crowd = Crowd { topology, others: vec!["a", "c"] };
            let class = |pod: &Pod| Class { available: pod.name() > "pod-05", wanted: pod.name() > "pod-03" };
            let sort = |pods: &mut Vec<&Pod>| {
                let all = pods.len();
                let places = first_for_scale_in(pods, all, &crowd, class);
                *pods = places.into_iter().map(|place| pods[place]).collect();
            };
            prop_assert_eq!(order(&pods, sort), order(&shuffled, sort));
        }
    }

    #[test]
    fn updates_take_the_same_pods_in_whatever_order_they_come((pods, shuffled) in pods(), weights in any::<bool>()) {
        let strategy: PriorityStrategy = serde_json::from_value(if weights {
            json!({"weightPriority": [
                {"weight": 100, "matchSelector": {"matchExpressions": [{"key": "key", "operator": "DoesNotExist"}]}},
                {"weight": 101, "matchSelector": {"matchLabels": {"key": "x"}}},
                {"weight": 1, "matchSelector": {}}
            ]})
        } else {
            json!({"orderPriority": [{"orderedKey": "absent"}, {"orderedKey": ""}, {"orderedKey": "key"}]})
        }).unwrap();
        let priority = Priority::of(Some(&strategy));
        let sort = |pods: &mut Vec<&Pod>| {
            sort_for_update(pods);
            priority.sort(pods);
        };
        let sorted = order(&pods, sort);
        prop_assert_eq!(&sorted, &order(&shuffled, sort));

        let term = ScatterTerm { key: "key".to_owned(), value: "x-2".to_owned() };
        let mut candidates: Vec<&Pod> = shuffled.iter().collect();
        sort(&mut candidates);
        let all: Vec<&Pod> = shuffled.iter().collect();
        let spread = Scatter::of(Some(&[term])).spread(candidates, &all);
        let mut names: Vec<String> = spread.iter().map(|pod| pod.name().to_owned()).collect();
        names.sort_unstable();
        prop_assert_eq!(names, pods.iter().map(|pod| pod.name().to_owned()).collect::<Vec<_>>());
    }
}
