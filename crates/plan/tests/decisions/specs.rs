//! Specs that must not be acted on, or only with care.

use crate::scene::{NOW, Scene, deeds, waits};
use cloneset_plan::{Action, Desired};
use cloneset_status::Wait;
use serde_json::{Value, json};

/// Each would delete or create pods if it were acted on.
fn restless(spec: &Value) -> Scene {
    Scene::of(spec)
        .pods(3, "old")
        .pod("new marked broken")
        .pod("new starting")
}

#[test]
fn a_blocked_spec_only_lets_new_pods_enter_service_and_says_why() {
    for (field, change) in [
        (
            "spec.volumeClaimTemplates",
            json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}}, {"metadata": {"name": "data"}}]}),
        ),
        (
            "spec.volumeClaimTemplates",
            json!({"volumeClaimTemplates": [{"spec": {}}]}),
        ),
        ("spec.selector", json!({"selector": {"matchLabels": null}})),
        (
            "spec.template.metadata.labels",
            json!({"selector": {"matchLabels": {"app": "other"}}}),
        ),
    ] {
        let scene = restless(&change);
        let snapshot = scene.snapshot();
        let fields: Vec<&str> = Desired::parse(&snapshot.cloneset, 4)
            .problems
            .iter()
            .map(|problem| problem.field)
            .collect();
        assert_eq!(fields, [field]);
        let plan = scene.plan();
        assert_eq!(
            (deeds(&plan), plan.waits),
            (vec!["serve web-4".to_owned()], vec![Wait::Stalled]),
            "{field}"
        );
        assert_eq!(
            plan.outlook.counts.replicas, 5,
            "{field}: the pods are counted all the same"
        );
    }
}

#[test]
fn a_blocked_spec_names_no_revision_that_does_not_exist() {
    let plan = Scene::bare(&json!({"volumeClaimTemplates": [{"spec": {}}]})).plan();
    assert_eq!(
        (plan.outlook.update_revision, plan.outlook.current_revision),
        (None, None)
    );
}

#[test]
fn empty_fields_as_go_clients_write_them_ask_for_nothing() {
    let spec = json!({
        "replicas": 1, "scaleStrategy": {"podsToDelete": []}, "lifecycle": {"preDelete": {}},
        "updateStrategy": {"scatterStrategy": [], "priorityStrategy": {}, "inPlaceUpdateStrategy": {}},
        "progressDeadlineSeconds": 2_147_483_647
    });
    assert_eq!(
        deeds(&Scene::of(&spec).pod("old").plan()),
        ["delete web-0 (uid-0) for update"]
    );
}

#[test]
fn a_bad_value_counts_as_the_most_cautious_one() {
    for (strategy, reason) in [
        // Deviation 2: Kruise would take 0 and update every pod.
        (json!({"partition": "most"}), None),
        (json!({"partition": -1}), None),
        (
            json!({"maxUnavailable": "5"}),
            Some("3 pods wait to be updated until others are available (maxUnavailable)"),
        ),
        (
            json!({"maxUnavailable": 0, "maxSurge": "abc"}),
            Some("3 pods wait to be updated until others are available (maxUnavailable)"),
        ),
        (
            json!({"type": "Gently"}),
            Some("3 pods wait to be updated because updateStrategy.paused is set"),
        ),
    ] {
        let plan = Scene::of(&json!({"replicas": 3, "updateStrategy": strategy}))
            .pods(3, "old")
            .plan();
        assert_eq!(deeds(&plan), [""; 0], "{strategy}");
        assert_eq!(waits(&plan), reason.into_iter().collect::<Vec<_>>(), "{strategy}");
    }
    let plan = Scene::of(&json!({"replicas": -1})).pods(3, "new").plan();
    assert_eq!(deeds(&plan), [""; 0], "negative replicas: as many as exist");
}

#[test]
fn a_bad_value_has_one_problem_and_that_is_about_itself() {
    for (strategy, field) in [
        (
            json!({"type": "InPlaceOnly", "maxSurge": "0"}),
            "spec.updateStrategy.maxSurge",
        ),
        (
            json!({"type": "InPlaceOnly", "maxSurge": -1}),
            "spec.updateStrategy.maxSurge",
        ),
        (
            json!({"type": "InPlaceOnly", "maxSurge": 1}),
            "spec.updateStrategy.maxSurge",
        ),
        (
            json!({"maxUnavailable": "0", "maxSurge": 0}),
            "spec.updateStrategy.maxUnavailable",
        ),
        (
            json!({"partition": 2_147_483_648_i64}),
            "spec.updateStrategy.partition",
        ),
    ] {
        let scene = Scene::of(&json!({ "updateStrategy": strategy }));
        let desired = Desired::parse(&scene.snapshot().cloneset, 0);
        let fields: Vec<&str> = desired.problems.iter().map(|problem| problem.field).collect();
        assert_eq!(fields, [field], "{strategy}");
    }
}

#[test]
fn control_keys_in_a_template_do_not_hold_up_a_release() {
    let labels = json!({"app": "web", "apps.kruise.io/specified-delete": "true"});
    let scene = Scene::of(&json!({"replicas": 2, "template": {"metadata": {"labels": labels}}}));
    let made = scene
        .plan()
        .actions
        .into_iter()
        .filter_map(|action| match action {
            Action::CreatePod(pod) => Some(pod.manifest(&scene.snapshot().cloneset, NOW.parse().unwrap())),
            _ => None,
        });
    let marked = made.map(|pod| {
        pod["metadata"]["labels"]
            .get("apps.kruise.io/specified-delete")
            .is_some()
    });
    assert_eq!(marked.collect::<Vec<_>>(), [false, false]);
}

#[test]
fn a_cloneset_that_is_being_deleted_is_left_to_the_garbage_collector() {
    let scene = restless(&json!({"replicas": 9})).cloneset(&json!({
        "metadata": {"deletionTimestamp": "2026-01-01T11:59:00Z"}
    }));
    let mut plan = scene.plan();
    assert_eq!(deeds(&plan), [""; 0]);
    let waits = plan.waits.pop();
    assert!(matches!(waits, Some(Wait::Deleting(_))) && plan.waits.is_empty());
}
