//! Area J: when an update is complete.

use super::*;
use serde_json::json;

fn pod(generation: i64, observed: Option<i64>, statuses: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"generation": generation},
        "spec": {"containers": [{"name": "c1", "image": "web:v2"}, {"name": "c2", "image": "side"}]},
        "status": {"observedGeneration": observed, "containerStatuses": statuses}
    }))
    .unwrap()
}

fn status(name: &str, image: &str, image_id: &str, container_id: &str) -> Value {
    json!({"name": name, "image": image, "imageID": image_id, "containerID": container_id})
}

fn state(entries: &Value) -> UpdateState {
    serde_json::from_value(json!({"revision": "r", "lastContainerStatuses": entries})).unwrap()
}

fn done(pod: &Pod, state: &UpdateState) -> bool {
    is_done(pod, state, None, false)
}

#[test]
fn scenarios_177_179_180_by_the_image_as_kruise_does() {
    let one = state(&json!({"c1": {"imageID": "img01"}}));
    let of = |image, id| pod(2, None, &json!([status("c1", image, id, "a")]));
    assert!(done(&of("web:v1", "img02"), &one), "another image");
    assert!(!done(&of("web:v1", "img01"), &one));
    assert!(
        done(&of("web:v2", "img01"), &one),
        "the same image by its new name"
    );
    assert!(!done(&pod(2, None, &json!([])), &one), "no status");
    let two = state(&json!({"c1": {"imageID": "img01"}, "c2": {"imageID": "img01"}}));
    let half = pod(
        2,
        None,
        &json!([
            status("c1", "web:v2", "img02", "a"),
            status("c2", "old", "img01", "b")
        ]),
    );
    assert!(!done(&half, &two));
    let latest = pod(
        2,
        None,
        &json!([
            status("c1", "web:v2", "img02", "a"),
            status("c2", "side:latest", "img01", "b")
        ]),
    );
    assert!(done(&latest, &two), "without a tag, latest is meant");
}

#[test]
fn a_kubelet_that_tells_what_it_has_seen_is_believed() {
    let one = state(&json!({"c1": {"imageID": "img01", "containerID": "a"}}));
    let of =
        |observed, id, container| pod(2, Some(observed), &json!([status("c1", "web:v1", id, container)]));
    assert!(
        !done(&of(1, "img01", "b"), &one),
        "it crashed before the change was seen"
    );
    assert!(!done(&of(2, "img01", "a"), &one));
    assert!(!done(&of(2, "img02", ""), &one));
    assert!(done(&of(2, "img01", "b"), &one), "two names of one image");
    assert!(!done(&of(1, "img02", "b"), &state(&json!({}))), "not even seen");
    let by_kruise = state(&json!({"c1": {"imageID": "img01"}}));
    assert!(!done(&of(2, "img01", "b"), &by_kruise));
    assert!(done(&of(2, "img02", "b"), &by_kruise));
}

#[test]
fn resources_are_there_when_the_kubelet_says_so() {
    let template = json!({"spec": {"containers": [
        {"name": "c1", "resources": {"limits": {"cpu": "1", "example.com/gpu": "1"}, "requests": {"memory": "1Gi"}}},
        {"name": "c2"}]}});
    let mut state = state(&json!({}));
    state.update_resources = true;
    let given = |resources: Value| {
        let mut one = status("c1", "i", "i", "a");
        one["resources"] = resources;
        pod(2, Some(2), &json!([one, status("c2", "i", "i", "b")]))
    };
    let enough = given(json!({"limits": {"cpu": "1000m"}, "requests": {"memory": "1024Mi", "cpu": "1"}}));
    assert!(is_done(&enough, &state, Some(&template), true));
    let old = given(json!({"limits": {"cpu": "500m"}, "requests": {"memory": "1Gi"}}));
    assert!(!is_done(&old, &state, Some(&template), true));
    assert!(!is_done(&given(Value::Null), &state, Some(&template), true));
    assert!(
        is_done(&old, &state, Some(&template), false),
        "without the gate nobody asks"
    );
}
