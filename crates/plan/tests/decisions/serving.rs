//! Serving pods are not deleted for pods that are not proven, whatever asks for it: surplus, the user, an update.
//!
//! A pod is fresh here when it is Ready and has not been so for `minReadySeconds`.

use crate::scene::{Scene, deeds, template, waits};
use cloneset_plan::Features;
use serde_json::{Value, json};

/// What is done in this situation, "web-old" being the current revision and "web-new" that of the template.
fn done(spec: &Value, pods: &[&str]) -> Vec<String> {
    deeds(&scene(spec, pods).plan())
}

fn scene(spec: &Value, pods: &[&str]) -> Scene {
    pods.iter().fold(Scene::of(spec), |scene, words| scene.pod(words))
}

/// `count` pods of each of these kinds.
fn each<'a>(count: usize, kinds: &[&'a str]) -> Vec<&'a str> {
    kinds
        .iter()
        .flat_map(|kind| std::iter::repeat_n(*kind, count))
        .collect()
}

/// How release tools switch versions at once: all new pods beside all old ones, and none available before the tool says so.
fn blue_green(replicas: i32) -> Value {
    json!({
        "replicas": replicas, "minReadySeconds": i32::MAX - 1,
        "updateStrategy": {"maxSurge": "100%", "maxUnavailable": 0}
    })
}

#[test]
fn the_only_serving_pod_stays_until_another_one_is_available() {
    let spec =
        json!({"replicas": 1, "minReadySeconds": 60, "updateStrategy": {"maxSurge": 1, "maxUnavailable": 0}});
    assert_eq!(done(&spec, &["old fresh", "new unscheduled"]), [""; 0]);
    assert_eq!(done(&spec, &["old", "new fresh"]), [""; 0]);
    assert_eq!(done(&spec, &["old", "new"]), ["delete web-0 (uid-0) as surplus"]);
}

#[test]
fn two_releases_in_a_row_take_no_serving_pod() {
    let spec = json!({
        "replicas": 5, "minReadySeconds": 60, "updateStrategy": {"maxSurge": "100%", "maxUnavailable": 0}
    });
    for other in ["new unscheduled", "new broken", "new fresh"] {
        assert_eq!(done(&spec, &each(5, &["old fresh", other])), [""; 0], "{other}");
    }
}

#[test]
fn blue_green_keeps_both_versions_until_the_spec_changes() {
    for other in ["new broken", "new fresh"] {
        assert_eq!(
            done(&blue_green(5), &each(5, &["old fresh", other])),
            [""; 0],
            "{other}"
        );
    }
    // The tool has looked at the new pods: they count at once.
    let mut proven = blue_green(5);
    proven["minReadySeconds"] = json!(0);
    let gone = done(&proven, &each(5, &["old", "new"]));
    assert_eq!(gone.len(), 5);
    assert!(
        gone[0].starts_with("delete web-0 ") && gone[4].starts_with("delete web-4 "),
        "{gone:?}"
    );
}

#[test]
fn a_third_version_replaces_the_fresh_pods_of_the_second_and_no_available_one() {
    let spec = json!({
        "replicas": 2, "minReadySeconds": 60, "updateStrategy": {"maxSurge": 2, "maxUnavailable": 0}
    });
    let scene = scene(&spec, &["old", "old", "new fresh", "new fresh"])
        .cloneset(&json!({"spec": {"template": template("third")}}));
    assert_eq!(
        deeds(&scene.plan()).split_off(1),
        [
            "delete web-2 (uid-2) for update",
            "delete web-3 (uid-3) for update"
        ]
    );
}

#[test]
fn after_a_rollback_the_pods_of_the_abandoned_revision_go_first() {
    let mut spec = blue_green(5);
    spec["template"] = template("old");
    for (partition, min_ready_seconds) in [(json!("100%"), 0), (json!(0), 0), (json!("100%"), i32::MAX - 1)] {
        spec["updateStrategy"]["partition"] = partition;
        spec["minReadySeconds"] = json!(min_ready_seconds);
        let deleted: Vec<String> = done(&spec, &each(5, &["old", "new"]))
            .into_iter()
            .filter(|deed| deed.starts_with("delete"))
            .collect();
        let expected: Vec<String> = (5..10)
            .map(|place| format!("delete web-{place} (uid-{place}) as surplus"))
            .collect();
        // No pod has been Ready for 68 years.
        let expected = if min_ready_seconds == 0 {
            expected
        } else {
            Vec::new()
        };
        assert_eq!(deleted, expected, "{spec}");
    }
}

#[test]
fn scaling_in_during_blue_green_takes_no_serving_pod() {
    assert_eq!(
        done(&blue_green(4), &each(5, &["old fresh", "new fresh"])),
        [""; 0]
    );
    assert_eq!(
        done(&blue_green(4), &each(5, &["old fresh", "new broken"])),
        [
            "delete web-5 (uid-5) as surplus",
            "delete web-6 (uid-6) as surplus"
        ]
    );
}

#[test]
fn pods_that_the_user_names_go_one_by_one() {
    let spec = json!({"replicas": 5, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 1}});
    let plan = scene(&spec, &["new fresh marked"; 5]).plan();
    assert_eq!(deeds(&plan), ["delete web-0 (uid-0) as asked"]);
    let told = waits(&plan).join("\n");
    assert!(told.contains("4 serving pods wait to be deleted"), "{told}");
}

#[test]
fn surplus_pods_of_one_revision_go_at_once_whatever_min_ready_seconds_is() {
    let spec = json!({"replicas": 3, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    assert_eq!(done(&spec, &["new fresh"; 5]).len(), 2);
    let updating = done(&spec, &["old fresh"; 5]);
    assert_eq!(
        updating.len(),
        1,
        "the surge for the update may stay: {updating:?}"
    );
}

#[test]
fn an_update_waits_until_its_first_pod_is_available() {
    let spec = json!({"replicas": 3, "minReadySeconds": 60, "updateStrategy": {"maxUnavailable": 1}});
    assert_eq!(done(&spec, &["old fresh"; 3]), [""; 0]);
    assert_eq!(
        done(&spec, &["old", "old", "old fresh"]),
        ["delete web-2 (uid-2) for update"]
    );
}

#[test]
fn pods_that_a_hook_keeps_from_being_available_can_be_replaced() {
    let spec = json!({
        "replicas": 3, "updateStrategy": {"maxUnavailable": 1},
        "lifecycle": {"preNormal": {"labelsHandler": {"checked": "true"}}}
    });
    let held = json!({"metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingNormal"}}});
    let scene = (0..3).fold(Scene::of(&spec), |scene, _| scene.pod_with("old", &held));
    assert_eq!(deeds(&scene.plan()), ["delete web-0 (uid-0) for update"]);
}

#[test]
fn broken_surplus_goes_where_the_serving_pods_must_stay() {
    let spec = json!({"replicas": 4, "updateStrategy": {"maxSurge": 2, "maxUnavailable": 0}});
    let pods = [&["old"; 4] as &[&str], &["new broken"; 6]].concat();
    let gone = done(&spec, &pods);
    assert_eq!(
        gone.len(),
        4,
        "never more than replicas + maxSurge pods: {gone:?}"
    );
    assert!(gone.iter().all(|deed| deed.contains("as surplus")));
    assert!(
        ["web-0", "web-1", "web-2", "web-3"]
            .iter()
            .all(|old| !gone.iter().any(|deed| deed.contains(old)))
    );
}

#[test]
fn broken_pods_go_where_a_pod_that_the_user_named_must_stay() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}});
    let pods = ["old", "old marked", "new broken", "new broken"];
    assert_eq!(done(&spec, &pods), ["delete web-2 (uid-2) as surplus"]);
}

#[test]
fn scaling_out_does_not_multiply_a_version_that_does_not_work() {
    let spec = json!({"replicas": 10, "updateStrategy": {"maxUnavailable": 1}});
    let pods = [&["old"; 4] as &[&str], &["new broken"]].concat();
    let plan = scene(&spec, &pods).plan();
    assert_eq!(deeds(&plan), [""; 0]);
    assert!(
        waits(&plan)[0].starts_with("5 pods wait to be created: 1 updated pod is not available"),
        "{:?}",
        waits(&plan)
    );
    // It works after all.
    let pods = [&["old"; 4] as &[&str], &["new"]].concat();
    assert_eq!(done(&spec, &pods), ["create web-new"]);
    // What the partition leaves to the old version is made at once.
    let spec = json!({"replicas": 10, "updateStrategy": {"maxUnavailable": 1, "partition": 7}});
    let pods = [&["old"; 4] as &[&str], &["new broken"]].concat();
    assert_eq!(done(&spec, &pods), ["create web-old"; 3]);
    // With no other version there is nothing to fall back on.
    let spec = json!({"replicas": 10, "updateStrategy": {"maxUnavailable": 1}});
    assert_eq!(done(&spec, &["new broken"]).len(), 9);
}

#[test]
fn a_pod_that_is_released_is_not_surplus_as_well() {
    let spec = json!({"replicas": 3});
    assert_eq!(
        done(
            &spec,
            &["new broken", "new broken", "new broken", "new broken taken-out"]
        ),
        ["release web-3 (uid-3)"]
    );
}

#[test]
fn nothing_that_could_not_be_replaced_is_deleted_while_creation_is_stopped() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 3}});
    assert_eq!(
        deeds(&scene(&spec, &["new marked"; 3]).stop_creation().plan()),
        [""; 0]
    );
    assert_eq!(
        deeds(
            &scene(&spec, &["new", "new", "new marked", "new marked"])
                .stop_creation()
                .plan()
        ),
        ["delete web-2 (uid-2) as asked"]
    );
}

#[test]
fn a_pod_whose_deletion_is_denied_holds_up_no_other_one() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 1}});
    let named = scene(&spec, &["new marked", "new marked", "new", "new", "new"]).deny("web-0");
    assert_eq!(deeds(&named.plan()), ["delete web-1 (uid-1) as asked"]);
    let spec = json!({"replicas": 2});
    let surplus = scene(&spec, &["new", "new", "new"]).deny("web-0");
    assert_eq!(deeds(&surplus.plan()), ["delete web-1 (uid-1) as surplus"]);
    // No pod of the other version goes in its place: the surge would create it again.
    let spec = json!({"replicas": 1, "updateStrategy": {"maxSurge": 1, "maxUnavailable": 0}});
    let side = scene(&spec, &["old", "new"]).deny("web-0");
    assert_eq!(deeds(&side.plan()), [""; 0]);
}

#[test]
fn a_pod_that_serves_nothing_is_replaced_where_no_surge_pod_can_be_created() {
    let surge = json!({"maxSurge": 1, "maxUnavailable": 0});
    let spec = json!({"replicas": 3, "updateStrategy": surge});
    let quota = scene(&spec, &["old", "old broken", "old"]).hold_creation();
    assert_eq!(deeds(&quota.plan()), ["delete web-1 (uid-1) for update"]);
    let spec = json!({"replicas": 3, "updateStrategy": surge, "scaleStrategy": {"maxUnavailable": 1}});
    assert_eq!(
        done(&spec, &["old", "old broken", "old"]),
        ["delete web-1 (uid-1) for update"]
    );
}

#[test]
fn pausing_takes_no_old_pod() {
    let spec = json!({"replicas": 5, "updateStrategy": {"paused": true, "maxSurge": 2}});
    let pods = [&["old"; 5] as &[&str], &["new"; 2]].concat();
    assert_eq!(
        done(&spec, &pods),
        [
            "delete web-5 (uid-5) as surplus",
            "delete web-6 (uid-6) as surplus"
        ]
    );
}

#[test]
fn a_deletion_that_is_not_wanted_any_more_holds_up_nothing_else() {
    let spec = json!({
        "replicas": 4, "updateStrategy": {"maxUnavailable": 1},
        "lifecycle": {"preDelete": {"labelsHandler": {"held": "true"}}}
    });
    // A pod in PreparingDelete is wanted again; the broken old one is replaced in the same reconcile.
    assert_eq!(
        done(&spec, &["old", "old", "old broken", "old leaving"]),
        ["serve web-3", "delete web-2 (uid-2) for update"]
    );
}

#[test]
fn a_rollback_by_partition_keeps_the_floor_too() {
    let features = Features {
        partition_rollback: true,
        ..Features::default()
    };
    let spec = json!({
        "replicas": 3, "minReadySeconds": 60, "updateStrategy": {"maxUnavailable": 1, "partition": 3}
    });
    let fresh = scene(&spec, &["new fresh"; 3]).features(features);
    assert_eq!(deeds(&fresh.plan()), [""; 0]);
    let available = scene(&spec, &["new"; 3]).features(features);
    assert_eq!(deeds(&available.plan()).len(), 1);
}
