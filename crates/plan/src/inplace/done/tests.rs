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
    is_done(pod, state, None, false, Timestamp::UNIX_EPOCH)
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
    assert!(is_done(
        &enough,
        &state,
        Some(&template),
        true,
        Timestamp::UNIX_EPOCH
    ));
    let old = given(json!({"limits": {"cpu": "500m"}, "requests": {"memory": "1Gi"}}));
    assert!(!is_done(
        &old,
        &state,
        Some(&template),
        true,
        Timestamp::UNIX_EPOCH
    ));
    assert!(!is_done(
        &given(Value::Null),
        &state,
        Some(&template),
        true,
        Timestamp::UNIX_EPOCH
    ));
    assert!(
        is_done(&old, &state, Some(&template), false, Timestamp::UNIX_EPOCH),
        "without the gate nobody asks"
    );
}

/// A kubelet says which change it has seen as it begins to carry it out, so the instance it shows then may still be
/// that of the change before.
#[test]
fn while_an_overtaken_image_may_still_start_only_the_name_tells_or_time() {
    let at = |seconds: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
    let changed = |last: Value| -> UpdateState {
        let record = json!([{"timestamp": "1970-01-01T00:00:00Z", "containers": ["c1"]}]);
        let last = json!({"c1": last});
        serde_json::from_value(
            json!({"revision": "r", "lastContainerStatuses": last, "containerBatchesRecord": record}),
        )
        .unwrap()
    };
    // From v0 by way of v1 to v2, and to v2 by way of v1 and back.
    let on = changed(json!({"imageID": "id0", "containerID": "a", "image": "web:v0", "inDoubt": true}));
    let back = changed(json!({"imageID": "id0", "containerID": "a", "image": "web:v2", "inDoubt": true}));
    let new = changed(json!({"imageID": "", "inDoubt": true}));
    for observed in [None, Some(3)] {
        let of = |image, id, container| pod(3, observed, &json!([status("c1", image, id, container)]));
        let done = |pod: &Pod, state, seconds| is_done(pod, state, None, false, at(seconds));
        for state in [&on, &back, &new] {
            assert!(!done(&of("web:v1", "id1", "b"), state, 59), "what is overtaken");
            assert!(
                done(&of("web:v1", "id1", "b"), state, 60),
                "the runtime's name of both"
            );
            assert!(done(&of("web:v2", "id2", "b"), state, 1));
        }
        assert!(
            !done(&of("web:v0", "id0", "a"), &on, 600),
            "it has to be replaced"
        );
        assert!(
            done(&of("web:v2", "id2", ""), &on, 1),
            "a node that tells no instances"
        );
        assert!(!done(&of("web:v0", "id0", ""), &on, 600));
        assert!(done(&of("web:v2", "id0", "a"), &back, 60), "it does not");
        assert_eq!(done(&of("web:v2", "id0", "a"), &back, 1), observed.is_some());
    }
}
