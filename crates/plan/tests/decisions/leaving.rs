//! Pods that are being deleted, are to be released, whose deletion was denied or that cannot be read: no serving pod is
//! deleted because of them, and a plan waits for what really holds them.

use crate::scene::{Scene, deeds, waits};
use cloneset_plan::Action;
use cloneset_status::Wait;
use serde_json::{Value, json};

/// Pods of one revision that are Ready and not available for an hour yet.
fn fresh(strategy: &Value, pods: &[&str]) -> Scene {
    let spec = json!({"replicas": 3, "minReadySeconds": 3600, "updateStrategy": strategy});
    pods.iter()
        .fold(Scene::of(&spec), |scene, words| scene.pod(words))
}

#[test]
fn a_pod_to_be_released_does_not_count_as_serving() {
    let strategy = json!({"maxUnavailable": 0, "maxSurge": 1});
    let three = ["new fresh marked", "new fresh", "new fresh"];
    let plan = fresh(&strategy, &three).pod("new fresh taken-out").plan();
    let done = deeds(&plan);
    assert!(done.contains(&"release web-3 (uid-3)".to_owned()), "{done:?}");
    assert!(!done.iter().any(|deed| deed.starts_with("delete")), "{done:?}");
    let plan = fresh(&strategy, &three).pod("new fresh").plan();
    assert_eq!(
        deeds(&plan),
        ["delete web-0 (uid-0) as asked"],
        "a fourth pod that serves is counted"
    );
}

#[test]
fn a_pod_in_preparing_delete_does_not_count_as_serving() {
    let hook = json!({"lifecycle": {"preDelete": {"labelsHandler": {"held": "true"}}}});
    let held = json!({"metadata": {"labels": {"held": "true"}}});
    let leaving = |words: &str| {
        let mut spec =
            json!({"replicas": 3, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 1}});
        spec["lifecycle"] = hook["lifecycle"].clone();
        let scene = Scene::of(&spec).pod_with(words, &held);
        deeds(&scene.pod("new fresh marked").pod("new fresh").plan())
    };
    let deletes = |done: &[String]| done.iter().any(|deed| deed.starts_with("delete"));
    assert!(!deletes(&leaving("new fresh marked leaving")));
    assert!(deletes(&leaving("new fresh")), "a pod that stays is counted");
}

#[test]
fn a_pod_to_be_released_is_not_a_surplus_pod() {
    let plan = fresh(
        &json!({"maxUnavailable": 1}),
        &["new broken taken-out", "new", "new", "new", "new"],
    )
    .plan();
    let done = deeds(&plan);
    let deleted: Vec<&String> = done.iter().filter(|deed| deed.starts_with("delete")).collect();
    assert_eq!(deleted.len(), 1, "{done:?}");
    assert!(done.contains(&"release web-0 (uid-0)".to_owned()), "{done:?}");
}

#[test]
fn a_pod_whose_deletion_was_denied_does_not_wait_for_a_hook() {
    let scene = Scene::of(&json!({"replicas": 1}))
        .pod("new marked leaving")
        .pod("new");
    let plan = scene.deny("web-0").plan();
    assert_eq!(deeds(&plan), [""; 0]);
    assert!(plan.waits.contains(&Wait::BackingOff), "{:?}", waits(&plan));
    assert!(
        !plan.waits.iter().any(|wait| matches!(wait, Wait::Hook { .. })),
        "{:?}",
        waits(&plan)
    );
}

#[test]
fn another_pod_is_updated_in_the_place_of_one_whose_deletion_was_denied() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}});
    let plan = Scene::of(&spec).pods(3, "old").deny("web-0").plan();
    assert_eq!(deeds(&plan), ["delete web-1 (uid-1) for update"]);
    assert!(plan.waits.contains(&Wait::BackingOff), "{:?}", waits(&plan));
}

#[test]
fn a_hook_turns_ready_false_only_on_a_pod_with_our_gate() {
    let scene = Scene::of(&json!({
        "replicas": 0,
        "lifecycle": {"preDelete": {"labelsHandler": {"app": "web"}, "markPodNotReady": true}}
    }));
    let written = |change: &Value| {
        let plan = scene.clone().pod_with("new", change).plan();
        let [Action::TakeOutOfService(write)] = plan.actions.as_slice() else {
            panic!("{:?}", plan.actions)
        };
        (write.gate, write.unready)
    };
    assert_eq!(written(&json!({})), (Some("PreparingDelete"), true));
    assert_eq!(written(&json!({"spec": {"readinessGates": null}})), (None, false));
}

/// It is one of the pods that the limit of the update counts as long as it is there. R = 3, U = 1 and a surge pod: 2 pods of
/// the update revision may be tried at a time, and the pod to be released is one of them.
#[test]
fn a_pod_to_be_released_counts_among_the_pods_that_are_tried() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1, "maxSurge": 1}});
    let plan = Scene::of(&spec)
        .pods(3, "old broken")
        .pod("new broken taken-out")
        .plan();
    let updates = deeds(&plan);
    let updates = updates.iter().filter(|deed| deed.ends_with("for update"));
    assert_eq!(updates.count(), 1, "{:?}", deeds(&plan));
}

#[test]
fn a_pod_that_cannot_be_read_counts_and_is_left_alone() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 2}});
    let plan = Scene::of(&spec)
        .pods(3, "old")
        .unreadable("web-0", "the error")
        .plan();
    assert_eq!(deeds(&plan), ["delete web-1 (uid-1) for update"]);
    let expected = "1 pod is left alone because the controller cannot read all of it: pod web-0: the error; correct the pod \
                    or delete it";
    assert!(waits(&plan).contains(&expected.to_owned()), "{:?}", waits(&plan));

    let surplus = Scene::of(&json!({"replicas": 1}))
        .pods(2, "new")
        .unreadable("web-0", "the error")
        .plan();
    assert!(
        !deeds(&surplus).iter().any(|deed| deed.contains("web-0")),
        "{:?}",
        deeds(&surplus)
    );
}
