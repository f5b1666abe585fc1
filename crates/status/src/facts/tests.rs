//! The predicates on pods, as tables.

use super::*;
use serde_json::json;

fn pod(value: Value) -> Pod {
    serde_json::from_value(value).unwrap()
}

fn running(state: &str, conditions: &Value) -> Pod {
    pod(json!({
        "metadata": {"name": "p", "labels": {"lifecycle.apps.kruise.io/state": state}, "managedFields": [{}]},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": conditions}
    }))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn only_a_running_ready_pod_that_is_not_gated_off_is_ready() {
    let ready = json!({"type": "Ready", "status": "True"});
    let gate = |status: &str| json!({"type": "InPlaceUpdateReady", "status": status});
    assert!(running("Normal", &json!([ready])).is_ready());
    assert!(running("Normal", &json!([ready, gate("True")])).is_ready());
    assert!(!running("Normal", &json!([ready, gate("False")])).is_ready());
    assert!(!running("Normal", &json!([gate("True")])).is_ready());
    let mut pending = running("Normal", &json!([ready]));
    pending.status.phase = Some("Pending".into());
    assert!(!pending.is_ready());
}

#[test]
fn only_pods_in_normal_service_are_available() {
    let ready = json!([{"type": "Ready", "status": "True"}]);
    for (state, expected) in [
        ("", true),
        ("Normal", true),
        ("PreparingNormal", false),
        ("PreparingUpdate", false),
        ("Updating", false),
        ("Updated", false),
        ("PreparingDelete", false),
        ("SomethingElse", false),
    ] {
        assert_eq!(running(state, &ready).is_available(0, at(0)), expected, "{state}");
    }
}

#[test]
fn a_pod_is_available_only_after_more_than_min_ready_seconds() {
    let since = running(
        "Normal",
        &json!([{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]),
    );
    assert!(!since.is_available(10, at(110)));
    assert!(since.is_available(10, at(111)));
    assert!(
        since.is_available(0, at(0)),
        "without minReadySeconds the time does not matter"
    );
    assert!(!since.is_available(i32::MAX, at(1_000_000)));
    let unknown = running(
        "Normal",
        &json!([{"type": "Ready", "status": "True", "lastTransitionTime": null}]),
    );
    assert!(!unknown.is_available(1, at(1_000_000)));
}

#[test]
fn revisions_match_by_full_name_or_short_form() {
    let labelled = |label: &str| pod(json!({"metadata": {"labels": {"controller-revision-hash": label}}}));
    assert!(labelled("web-abc").has_revision("web-abc"));
    assert!(labelled("abc").has_revision("web-abc"));
    assert!(labelled("web-abc").has_revision("abc"));
    assert!(!labelled("web-abd").has_revision("web-abc"));
    assert!(!pod(json!({"metadata": {}})).has_revision("web-abc"));
}

#[test]
fn only_a_controller_reference_of_our_group_and_kind_makes_a_pod_ours() {
    let owned = |api_version: &str, kind: &str, controller: bool| {
        pod(json!({"metadata": {"ownerReferences": [
            {"apiVersion": api_version, "kind": kind, "name": "web", "uid": "u", "controller": controller}
        ]}}))
    };
    assert_eq!(
        owned("apps.kruise.io/v1alpha1", "CloneSet", true).controlling_cloneset(),
        Some("u")
    );
    assert_eq!(
        owned("apps.kruise.io/v1beta1", "CloneSet", true).controlling_cloneset(),
        Some("u")
    );
    assert_eq!(
        owned("apps.kruise.io/v1alpha1", "CloneSet", false).controlling_cloneset(),
        None
    );
    assert_eq!(
        owned("apps.example.com/v1alpha1", "CloneSet", true).controlling_cloneset(),
        None
    );
    assert_eq!(owned("apps/v1", "ReplicaSet", true).controlling_cloneset(), None);
}

#[test]
fn lists_written_as_null_are_empty() {
    let parsed = pod(json!({
        "metadata": {}, "spec": {"readinessGates": null},
        "status": {"conditions": null, "containerStatuses": null}
    }));
    assert_eq!(parsed, Pod::default());
}

#[test]
fn long_messages_are_cut_in_the_middle_and_only_the_schedulers_is_kept_of_conditions() {
    let long = format!("{}ü{}: not found", "a".repeat(200), "b".repeat(5_000));
    let parsed = pod(json!({"metadata": {}, "status": {
        "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "ErrImagePull", "message": long}}}],
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": long},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": long},
            {"type": "PodScheduled", "status": "True", "reason": "Other", "message": null}]
    }}));
    let waiting = parsed.status.container_statuses[0]
        .state
        .waiting
        .as_deref()
        .unwrap();
    let kept = waiting.message.as_deref().unwrap();
    assert!(
        kept.len() < 500 && kept.ends_with(": not found") && kept.contains('…'),
        "{kept}"
    );
    let causes: Vec<bool> = parsed
        .status
        .conditions
        .iter()
        .map(|c| c.cause.is_some())
        .collect();
    assert_eq!(causes, [false, true, false]);
}
