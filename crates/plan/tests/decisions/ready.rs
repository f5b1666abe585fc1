//! When everything is done, and what is said of pods that do not start.

use crate::scene::{Scene, now, waits};
use cloneset_api::CloneSetStatus;
use cloneset_plan::{Desired, Features};
use cloneset_status::{Wait, compute};
use serde_json::json;

/// Status and reason of the condition `Ready` in the reconcile that makes this plan.
fn ready(scene: &Scene) -> (String, String) {
    let snapshot = scene.snapshot();
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    let plan = scene.plan();
    let status = compute(
        &CloneSetStatus::default(),
        plan.observed(&snapshot.cloneset, &desired),
        now(),
    );
    let mut conditions = status.conditions.unwrap().into_iter();
    let ready = conditions.find(|condition| condition.type_ == "Ready").unwrap();
    (ready.status, ready.reason.unwrap())
}

/// Helm, Flux and `kubectl wait` would go on before the first pod has moved: the counters are of before that.
#[test]
fn what_is_left_to_do_keeps_it_from_being_ready() {
    let hook = json!({"preDelete": {"labelsHandler": {"example.com/drain": "true"}}});
    let held = json!({"metadata": {"labels": {"example.com/drain": "true"}}});
    let rollback = Features {
        partition_rollback: true,
        ..Features::default()
    };
    let back = |strategy| {
        let scene = Scene::of(&json!({"replicas": 3, "updateStrategy": strategy}));
        scene.pods(3, "new").features(rollback)
    };
    let in_place = json!({"type": "InPlaceIfPossible", "partition": 2});
    let surging = json!({"partition": 2, "maxUnavailable": 0, "maxSurge": 1});
    let taken_out = json!({"metadata": {"labels": {"app": "another"}}});
    for (what, scene) in [
        (
            "a deletion that a hook holds from now on",
            Scene::of(&json!({"replicas": 3, "lifecycle": hook}))
                .pods(2, "new")
                .pod_with("new marked", &held),
        ),
        ("a rollback by partition in place", back(in_place)),
        (
            "a rollback that waits until pods can be created",
            back(surging).hold_creation(),
        ),
        (
            "the release of a pod",
            Scene::of(&json!({"replicas": 3}))
                .pods(2, "new")
                .pod_with("new", &taken_out),
        ),
        (
            "a deletion",
            Scene::of(&json!({"replicas": 3}))
                .pods(2, "new")
                .pod("new marked"),
        ),
    ] {
        assert_eq!(ready(&scene), ("False".into(), "Progressing".into()), "{what}");
    }
}

#[test]
fn what_is_put_in_order_around_pods_leaves_it_ready() {
    let relabelled = json!({"metadata": {"labels": {"pod-template-hash": null}}});
    let paused = json!({"replicas": 3, "updateStrategy": {"paused": true}});
    for (scene, reason) in [
        (Scene::of(&json!({"replicas": 3})).pods(3, "new"), "Healthy"),
        (
            Scene::of(&json!({"replicas": 3}))
                .pods(2, "new")
                .pod_with("new", &relabelled),
            "Healthy",
        ),
        (Scene::of(&paused).pods(3, "old"), "Paused"),
    ] {
        assert_eq!(ready(&scene), ("True".into(), reason.into()));
    }
}

#[test]
fn a_pod_of_the_update_revision_stands_for_those_that_cannot_start() {
    let failing = |reason: &str| {
        json!({"status": {"phase": "Pending", "conditions": [],
               "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": reason}}}]}})
    };
    let spec = json!({"replicas": 4, "updateStrategy": {"paused": true}});
    let scene = Scene::of(&spec)
        .pods(2, "new")
        .pod_with("old broken", &failing("ErrImagePull"))
        .pod_with("new broken", &failing("InvalidImageName"))
        .pod_with("new broken leaving", &failing("ErrImagePull"));
    assert_eq!(
        waits(&scene.plan())[0],
        "2 pods cannot start, one of them web-3: container main: InvalidImageName; correct the image name"
    );
    assert_eq!(ready(&scene), ("False".into(), "PodsNotStarting".into()));
}

/// What a node rejected explains why pods are missing, and nothing when none is.
#[test]
fn a_pod_that_a_node_rejected_is_named_while_pods_are_missing() {
    let rejected = json!({"metadata": {"creationTimestamp": "2026-01-01T11:59:50Z"},
                          "status": {"reason": "OutOfcpu", "message": "too little", "conditions": []}});
    let names_it = |pods: usize| {
        let scene = Scene::of(&json!({"replicas": 3}))
            .pods(pods, "new")
            .pod_with("new failed", &rejected);
        let waits = scene.plan().waits;
        waits
            .iter()
            .any(|wait| matches!(wait, Wait::NotStarting(found) if found.failure.reason == "OutOfcpu"))
    };
    assert_eq!((names_it(2), names_it(3)), (true, false));
}
