//! Which pod stands for all, what is said of pods that run, and that the text stays while pods come and go.

use super::*;
use serde_json::{Value, json};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn time(second: i64) -> String {
    at(second).to_string()
}

fn pod(name: &str, created: i64, status: Value) -> Pod {
    let mut status = status;
    if status["phase"].is_null() {
        status["phase"] = json!("Running");
    }
    serde_json::from_value(json!({
        "metadata": {"name": name, "creationTimestamp": time(created),
                     "labels": {"controller-revision-hash": "web-1"}},
        "spec": {"nodeName": "n1", "readinessGates": [{"conditionType": "InPlaceUpdateReady"}]}, "status": status
    }))
    .unwrap()
}

fn failing(name: &str, created: i64, reason: &str) -> Pod {
    pod(
        name,
        created,
        json!({"containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason}}}]}),
    )
}

/// A pod whose container has run since then without being ready.
fn unready_since(name: &str, started: i64) -> Pod {
    pod(
        name,
        0,
        json!({"containerStatuses": [{"name": "main", "started": true, "state": {"running": {"startedAt": time(started)}}}],
               "conditions": [{"type": "ContainersReady", "status": "False", "lastTransitionTime": time(0)}]}),
    )
}

fn told(pods: &[(&Pod, bool)], now: i64) -> Vec<String> {
    let candidates = pods.iter().map(|&(pod, is_new)| Candidate { pod, is_new });
    let waits = waits(candidates, at(now));
    waits.iter().map(ToString::to_string).collect()
}

#[test]
fn the_oldest_pod_of_the_update_revision_stands_for_all_whatever_their_order() {
    let old = failing("web-a", 1, "ErrImagePull");
    let new = failing("web-c", 2, "InvalidImageName");
    let newer = failing("web-b", 3, "ErrImagePull");
    let expected =
        ["3 pods cannot start, one of them web-c: container main: InvalidImageName; correct the image name"];
    assert_eq!(told(&[(&old, false), (&new, true), (&newer, true)], 9), expected);
    assert_eq!(told(&[(&newer, true), (&new, true), (&old, false)], 9), expected);
    assert!(told(&[(&old, false)], 9)[0].starts_with("1 pod cannot start: web-a: "));
}

#[test]
fn a_container_that_runs_is_given_time_for_its_probes() {
    let pod = unready_since("web-a", 100);
    assert_eq!(told(&[(&pod, true)], 104), ["1 new pod waits to become ready"]);
    let waits = waits(
        [Candidate {
            pod: &pod,
            is_new: true,
        }]
        .into_iter(),
        at(104),
    );
    assert_eq!(waits[0].until(), Some(at(105)));
    assert_eq!(
        told(&[(&pod, true)], 105),
        [
            "1 pod is not ready: web-a: container main runs but does not pass its readiness probe; run: kubectl describe pod \
          web-a"
        ]
    );
    let mut slow = pod.clone();
    slow.status.container_statuses[0].started = Some(false);
    assert!(told(&[(&slow, true)], 105)[0].contains("does not pass its startup probe"));
}

#[test]
fn a_pod_that_was_ready_and_is_no_more_is_named_at_once() {
    let mut pod = unready_since("web-a", 100);
    pod.status.conditions[0].last_transition_time =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(500)));
    assert!(told(&[(&pod, true)], 500)[0].contains("does not pass its readiness probe"));
}

#[test]
fn a_container_that_is_not_created_for_a_minute_is_named() {
    let pod = pod(
        "web-a",
        0,
        json!({"phase": "Pending",
               "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}],
               "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": time(100)}]}),
    );
    assert_eq!(told(&[(&pod, true)], 159), ["1 new pod waits to become ready"]);
    assert!(told(&[(&pod, true)], 160)[0].contains("container main is still being created"));
}

#[test]
fn a_pod_on_a_node_that_is_not_ready_is_told_from_one_whose_gate_was_just_opened() {
    let with_gate = |gate_opened: i64| {
        let condition = |type_: &str, status: &str, since: i64| json!({"type": type_, "status": status, "lastTransitionTime": time(since)});
        let pod = pod(
            "web-a",
            0,
            json!({"containerStatuses": [{"name": "main", "ready": true}], "conditions": [
                condition("ContainersReady", "True", 100), condition("InPlaceUpdateReady", "True", gate_opened),
                condition("Ready", "False", 200)]}),
        );
        told(&[(&pod, true)], 300)
    };
    assert_eq!(
        with_gate(110),
        [
            "1 pod is not ready: web-a: its containers are ready, but node n1 is not; run: kubectl describe node n1"
        ]
    );
    assert_eq!(with_gate(200), Vec::<String>::new());
}

#[test]
fn a_pod_that_a_node_rejected_stands_for_others_only_if_there_are_none_and_not_for_long() {
    let rejected = pod("web-a", 0, json!({"phase": "Failed", "reason": "NodeAffinity"}));
    let failing = failing("web-b", 5, "InvalidImageName");
    assert!(told(&[(&rejected, true)], 10)[0].starts_with("1 pod cannot start: web-a: NodeAffinity"));
    assert!(
        told(&[(&rejected, true), (&failing, false)], 10)[0]
            .starts_with("2 pods cannot start, one of them web-b")
    );
    assert_eq!(told(&[(&rejected, true)], 600), Vec::<String>::new());
}
