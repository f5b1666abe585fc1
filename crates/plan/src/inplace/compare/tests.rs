//! Stages of updates whose record on the pod is gone.

use super::super::state::Unreadable;
use super::super::steps::stage;
use super::*;
use crate::service::is_under_way;
use cloneset_api::names::annotations;
use serde_json::json;

/// When our gate was closed.
const CLOSED: &str = "2026-01-01T00:00:00Z";

/// A pod that claims revision `web-new` (image `web:v2`), is out of service, and has neither annotation.
fn pod(change: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web-0", "uid": "u", "resourceVersion": "7", "generation": 2,
            "labels": {"controller-revision-hash": "web-new", "lifecycle.apps.kruise.io/state": "Updating"}
        },
        "spec": {"readinessGates": [{"conditionType": "InPlaceUpdateReady"}],
                 "containers": [{"name": "main", "image": "web:v2"}]},
        "status": {
            "observedGeneration": 2,
            "conditions": [{"type": "InPlaceUpdateReady", "status": "False", "lastTransitionTime": CLOSED}],
            "containerStatuses": [{"name": "main", "image": "web:v2", "imageID": "b", "containerID": "2", "ready": true}]
        }
    });
    patch(&mut pod, change);
    serde_json::from_value(pod).unwrap()
}

fn patch(into: &mut Value, change: &Value) {
    let Some(fields) = change.as_object() else {
        *into = change.clone();
        return;
    };
    for (key, value) in fields {
        patch(&mut into[key.as_str()], value);
    }
}

fn at(pod: &Pod, grace_seconds: i32, now: &str) -> Result<Stage, Unreadable> {
    let template = json!({"metadata": {"annotations": {"team": "shop"}},
                          "spec": {"containers": [{"name": "main", "image": "web:v2"}]}});
    let around = Around {
        template: Some(&template),
        resize: false,
        grace_seconds,
        now: now.parse().unwrap(),
    };
    stage(pod, &around)
}

fn old_spec() -> Value {
    json!({"spec": {"containers": [{"name": "main", "image": "web:v1"}]}})
}

fn old_container() -> Value {
    json!({"status": {"containerStatuses": [
        {"name": "main", "image": "web:v1", "imageID": "a", "containerID": "1", "ready": true}]}})
}

fn images(stage: Result<Stage, Unreadable>) -> Vec<String> {
    let Ok(Stage::Due(change)) = stage else {
        panic!("{stage:?}")
    };
    change.images.into_values().collect()
}

#[test]
fn a_pod_that_does_not_run_what_it_claims_is_changed_when_its_grace_period_is_over() {
    let pod = pod(&old_spec());
    assert!(is_under_way(&pod));
    let until = "2026-01-01T00:00:21Z";
    assert_eq!(
        at(&pod, 20, "2026-01-01T00:00:05Z"),
        Ok(Stage::Draining(until.parse().unwrap()))
    );
    assert_eq!(images(at(&pod, 20, until)), ["web:v2"]);
    assert_eq!(images(at(&pod, 0, CLOSED)), ["web:v2"]);
}

#[test]
fn a_pod_whose_container_has_not_restarted_yet_stays_out_of_service() {
    let now = "2026-01-01T00:00:02Z";
    for kubelet in [json!({}), json!({"status": {"observedGeneration": null}})] {
        let mut change = old_container();
        patch(&mut change, &kubelet);
        let over = "2026-01-01T00:01:00Z".parse().unwrap();
        assert_eq!(
            at(&pod(&change), 0, now),
            Ok(Stage::Restarting(Some(over))),
            "{kubelet}"
        );
        assert_eq!(at(&pod(&kubelet), 0, now), Ok(Stage::Done), "{kubelet}");
    }
    let unseen = pod(&json!({"status": {"observedGeneration": 1}}));
    assert!(matches!(at(&unseen, 0, now), Ok(Stage::Restarting(_))));
}

/// A runtime may show another name of the image; then only time tells that the restart is over.
#[test]
fn an_image_under_another_name_is_taken_for_the_right_one_after_a_minute_when_it_is_ready() {
    let status = |ready: bool| {
        json!({"status": {"containerStatuses": [
            {"name": "main", "image": "sha256:b", "imageID": "b", "containerID": "2", "ready": ready}]}})
    };
    let (before, after) = ("2026-01-01T00:01:20Z", "2026-01-01T00:01:21Z");
    assert!(matches!(
        at(&pod(&status(true)), 20, before),
        Ok(Stage::Restarting(Some(_)))
    ));
    assert_eq!(at(&pod(&status(true)), 20, after), Ok(Stage::Done));
    assert_eq!(at(&pod(&status(false)), 20, after), Ok(Stage::Restarting(None)));
}

#[test]
fn a_record_of_another_revision_tells_nothing() {
    let state = r#"{"revision":"web-older","updateTimestamp":"2025-01-01T00:00:00Z"}"#;
    let mut change = old_spec();
    change["metadata"] = json!({"annotations": {annotations::IN_PLACE_STATE: state}});
    assert_eq!(images(at(&pod(&change), 0, CLOSED)), ["web:v2"]);
    // What it runs is right: the record goes, and then the containers tell.
    change["spec"] = json!({});
    let Ok(Stage::Due(write)) = at(&pod(&change), 0, CLOSED) else {
        panic!()
    };
    assert!(write.images.is_empty());
    assert_eq!(write.metadata.annotations[annotations::IN_PLACE_STATE], None);
    assert_eq!(write.metadata.annotations["team"].as_deref(), Some("shop"));
}

/// A webhook may give pods other images than their template's as they are created. Nothing says that an update of this
/// pod began.
#[test]
fn a_pod_at_rest_with_other_images_than_its_template_is_left_alone() {
    let mut change = old_spec();
    patch(&mut change, &old_container());
    for state in [
        "",
        "Normal",
        "PreparingNormal",
        "PreparingUpdate",
        "Updated",
        "PreparingDelete",
        "Foreign",
    ] {
        change["metadata"] = json!({"labels": {"lifecycle.apps.kruise.io/state": state}});
        change["status"]["conditions"] = json!([{"type": "InPlaceUpdateReady", "status": "True"}]);
        assert!(!is_under_way(&pod(&change)), "{state}");
        change["status"]["conditions"] = json!([]);
        assert!(!is_under_way(&pod(&change)), "{state}, gate not opened yet");
    }
}

/// A webhook that changes images in every write: the record of the update says when it is over, so it ends.
#[test]
fn an_image_that_a_webhook_rewrites_in_every_write_is_not_changed_twice() {
    let rewritten = json!({"spec": {"containers": [{"name": "main", "image": "mirror/web:v2"}]},
        "metadata": {"annotations": {annotations::IN_PLACE_STATE: r#"{"revision":"web-new","lastContainerStatuses":
            {"main":{"imageID":"a","containerID":"1","image":"mirror/web:v1"}}}"#}},
        "status": {"containerStatuses": [
            {"name": "main", "image": "mirror/web:v2", "imageID": "b", "containerID": "2", "ready": true}]}});
    assert_eq!(at(&pod(&rewritten), 0, CLOSED), Ok(Stage::Done));
}

/// The label of the state is gone too; the closed gate is left.
#[test]
fn a_pod_whose_gate_was_closed_for_an_update_is_compared_too() {
    for state in ["", "Normal"] {
        let mut change = old_spec();
        change["metadata"] = json!({"labels": {"lifecycle.apps.kruise.io/state": state}});
        let pod = pod(&change);
        assert!(is_under_way(&pod), "{state}");
        assert_eq!(images(at(&pod, 0, CLOSED)), ["web:v2"]);
    }
}

#[test]
fn no_container_restarts_while_its_pod_serves() {
    let grace = r#"{"revision":"web-new","containerImages":{"main":"web:v3"}}"#;
    let state = r#"{"revision":"web-new","updateTimestamp":"2026-01-01T00:00:00Z"}"#;
    let by_hand = json!({annotations::IN_PLACE_GRACE: grace, annotations::IN_PLACE_STATE: state});
    let open = json!([{"type": "InPlaceUpdateReady", "status": "True"}, {"type": "Ready", "status": "True"}]);
    // Annotations on a pod in service are nobody's update.
    let mut change = json!({"metadata": {"annotations": by_hand, "labels": {"lifecycle.apps.kruise.io/state": "Normal"}},
                            "status": {"conditions": open}});
    assert!(!is_under_way(&pod(&change)));
    // With the label it looks like one, and is told.
    change["metadata"]["labels"]["lifecycle.apps.kruise.io/state"] = json!("Updating");
    assert_eq!(at(&pod(&change), 0, CLOSED), Err(Unreadable::InService));
    // Without our gate nothing but the pod's own readiness keeps it out of the endpoints.
    change["spec"]["readinessGates"] = json!([]);
    assert_eq!(at(&pod(&change), 0, CLOSED), Err(Unreadable::InService));
    change["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    assert_eq!(images(at(&pod(&change), 0, CLOSED)), ["web:v3"]);
}
