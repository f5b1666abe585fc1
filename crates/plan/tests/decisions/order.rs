//! Which pods go first: the user's order on updates, topology on scale-in, and pods that are asked for by name.

use crate::scene::{Scene, deeds, waits};
use cloneset_plan::Features;
use serde_json::{Value, json};

const ZONE: &str = "topology.kubernetes.io/zone";

/// One pod at a time is updated; so the first deed tells who is first.
fn first(strategy: &Value, pods: &[(&str, Value)]) -> String {
    let mut spec = json!({"replicas": pods.len(), "updateStrategy": {"maxUnavailable": 1}});
    for (key, value) in strategy.as_object().unwrap() {
        spec["updateStrategy"][key] = value.clone();
    }
    let scene = pods.iter().fold(Scene::of(&spec), |scene, (words, labels)| {
        scene.pod_with(words, &json!({"metadata": {"labels": labels}}))
    });
    deeds(&scene.plan()).join("; ")
}

#[test]
fn weights_keys_and_scatter_say_which_pod_is_updated_first() {
    let pods = [
        ("old", json!({})),
        ("old", json!({"tier": "gold", "shard": "db-2"})),
        ("old", json!({"tier": "gold", "shard": "db-10"})),
        ("old", json!({"tier": "lead"})),
    ];
    let weights = json!([
        {"weight": 20, "matchSelector": {"matchLabels": {"tier": "gold"}}},
        {"weight": 30, "matchSelector": {"matchLabels": {"tier": "lead"}}},
        {"weight": 15, "matchSelector": {"matchExpressions": [{"key": "shard", "operator": "In", "values": ["db-10"]}]}}
    ]);
    let first = |strategy: Value| first(&strategy, &pods);
    assert_eq!(first(json!({})), "delete web-0 (uid-0) for update");
    assert_eq!(
        first(json!({"priorityStrategy": {"weightPriority": weights}})),
        "delete web-2 (uid-2) for update"
    );
    assert_eq!(
        first(json!({"priorityStrategy": {"orderPriority": [{"orderedKey": "shard"}]}})),
        "delete web-0 (uid-0) for update",
        "pods without the key come first"
    );
    assert_eq!(
        first(json!({"scatterStrategy": [{"key": "tier", "value": "gold"}]})),
        "delete web-1 (uid-1) for update"
    );
}

/// Deviation 4: whatever the user's order says, a pod that is broken already costs nothing.
#[test]
fn regressions_13_14_broken_pods_come_before_the_users_order() {
    let broken_and_healthy = [("old", json!({"first": "yes"})), ("old broken", json!({}))];
    let preferring = |key: &str| {
        json!({"priorityStrategy": {"weightPriority": [
            {"weight": 100, "matchSelector": {"matchLabels": {key: "yes"}}}
        ]}})
    };
    for strategy in [preferring("nobody"), preferring("first"), json!({})] {
        assert_eq!(
            first(&strategy, &broken_and_healthy),
            "delete web-1 (uid-1) for update",
            "{strategy}"
        );
    }
    // Also where the pod that serves may be updated: maxUnavailable leaves room for it.
    let mut strategy = preferring("first");
    strategy["maxUnavailable"] = json!(2);
    strategy["partition"] = json!(2);
    let [serving, broken] = broken_and_healthy;
    let pods = [serving, broken, ("old", json!({}))];
    assert_eq!(first(&strategy, &pods), "delete web-1 (uid-1) for update");
}

/// Its update has begun, so it is finished before others begin, also before others that are broken.
#[test]
fn scenario_143_a_pod_that_is_preparing_comes_first() {
    let preparing = json!({"lifecycle.apps.kruise.io/state": "PreparingUpdate"});
    let pods = [
        ("old", json!({"first": "yes"})),
        ("old broken", json!({"first": "yes"})),
        ("old", preparing),
    ];
    let strategy = json!({
        "maxUnavailable": 2,
        "priorityStrategy": {"weightPriority": [{"weight": 9, "matchSelector": {"matchLabels": {"first": "yes"}}}]}
    });
    assert_eq!(
        first(&strategy, &pods),
        "delete web-2 (uid-2) for update; delete web-1 (uid-1) for update"
    );
}

fn deletions(scene: &Scene) -> Vec<String> {
    let deeds = deeds(&scene.plan());
    deeds
        .into_iter()
        .filter(|deed| deed.starts_with("delete"))
        .collect()
}

#[test]
fn on_scale_in_the_fuller_part_of_the_topology_gives_first() {
    let spread = json!({
        "replicas": 2,
        "template": {"spec": {"topologySpreadConstraints": [{"topologyKey": ZONE, "maxSkew": 1}]}}
    });
    let three = || {
        Scene::of(&spread)
            .revision("web-new", 3, "new")
            .pods(3, "new")
            .cloneset(&json!({"spec": {"updateStrategy": {"paused": true}}}))
    };
    let by_zone = three()
        .node("node-0", ZONE, "a")
        .node("node-1", ZONE, "b")
        .node("node-2", ZONE, "b");
    assert_eq!(deletions(&by_zone), ["delete web-1 (uid-1) as surplus"]);
    assert_eq!(
        deletions(&three()),
        ["delete web-0 (uid-0) as surplus"],
        "nodes that may not be read: by node alone"
    );
}

/// The new pod counts as well: without it each zone would hold one pod, and the youngest old one would go.
#[test]
fn on_scale_in_pods_of_the_other_revision_count_in_how_full_a_zone_is() {
    let spec = json!({
        "replicas": 3, "updateStrategy": {"partition": 2, "maxSurge": 1, "maxUnavailable": 0},
        "template": {"spec": {"topologySpreadConstraints": [{"topologyKey": ZONE, "maxSkew": 1}]}}
    });
    let ready = |hour: &str| {
        json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": format!("2026-01-01T{hour}:00:00Z")}
        ]}})
    };
    let scene = Scene::of(&spec)
        .revision_of(
            "web-third",
            3,
            &json!({
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "main", "image": "new"}],
                    "topologySpreadConstraints": [{"topologyKey": ZONE, "maxSkew": 1}]
                }
            }),
        )
        .pod_with("old", &ready("05"))
        .pod_with("old", &ready("06"))
        .pod_with("old", &ready("07"))
        .pod("third");
    let zoned = [("node-0", "a"), ("node-1", "b"), ("node-2", "c"), ("node-3", "a")]
        .into_iter()
        .fold(scene, |scene, (node, zone)| scene.node(node, ZONE, zone));
    assert_eq!(deletions(&zoned), ["delete web-0 (uid-0) as surplus"]);
}

/// Revision old is the current one, new was abandoned half-way, third is the template's.
fn three_versions(spec: &Value) -> Scene {
    Scene::of(spec).revision("web-third", 3, "third").cloneset(
        &json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "third"}]}}}}),
    )
}

#[test]
fn pods_of_an_abandoned_revision_are_updated_before_those_of_the_current_one() {
    let updated = |maximum: i32, pods: &[&str]| {
        let spec = json!({"replicas": 5, "updateStrategy": {"partition": 2, "maxUnavailable": maximum}});
        let scene = pods
            .iter()
            .fold(three_versions(&spec), |scene, words| scene.pod(words));
        let deeds = deletions(&scene);
        let names = deeds
            .iter()
            .map(|deed| deed.split(' ').nth(1).unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    let all = ["old", "old", "new", "new", "new"];
    assert_eq!(updated(5, &all), ["web-2", "web-3", "web-4"]);
    assert_eq!(
        updated(3, &["old starting", "old", "new", "new", "new"]),
        ["web-2", "web-3"],
        "a pod of the current revision that starts is not updated instead"
    );
    assert_eq!(
        updated(1, &["old broken", "old", "new", "new", "new"]),
        ["web-0"],
        "unless nothing else can be"
    );
    assert_eq!(updated(1, &["old", "old", "new", "new", "new broken"]), ["web-4"]);
}

#[test]
fn on_scale_in_pods_of_an_abandoned_revision_go_before_those_of_the_current_one() {
    let spec = json!({"replicas": 3, "updateStrategy": {"partition": 2, "maxUnavailable": 3}});
    let cheap = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-9"}}});
    let scene = three_versions(&spec)
        .pod_with("old", &cheap)
        .pods(2, "new")
        .pod("old")
        .pod("third");
    assert_eq!(
        deeds(&scene.plan()),
        [
            "delete web-1 (uid-1) as surplus",
            "delete web-2 (uid-2) as surplus"
        ]
    );
    let scene = three_versions(&spec)
        .pod("old broken")
        .pod("old")
        .pod("new")
        .pod("third");
    assert_eq!(
        deeds(&scene.plan()),
        ["delete web-0 (uid-0) as surplus"],
        "a pod that does not serve goes first"
    );
}

#[test]
fn scaling_out_makes_pods_of_the_current_and_the_update_revision_only() {
    let spec = json!({"replicas": 7, "updateStrategy": {"partition": 4, "paused": true}});
    let scene = three_versions(&spec).pods(2, "old").pod("new").pods(2, "third");
    assert_eq!(deeds(&scene.plan()), ["create web-old", "create web-third"]);
}

fn as_update() -> Features {
    Features {
        preparing_update_as_update: true,
        ..Features::default()
    }
}

/// A pod that is held before its update and not to be updated any more goes before the last new one, and stays where
/// old pods are missing.
#[test]
fn on_scale_in_a_held_pod_goes_only_as_far_as_old_pods_are_above_the_partition() {
    let held = json!({"metadata": {"labels": {"held": "true", "lifecycle.apps.kruise.io/state": "PreparingUpdate"}}});
    let scene = |partition: i32, old: usize, new: usize| {
        Scene::of(&json!({
            "replicas": 5,
            "updateStrategy": {"type": "InPlaceIfPossible", "partition": partition, "maxUnavailable": 5},
            "lifecycle": {"inPlaceUpdate": {"labelsHandler": {"held": "true"}}}
        }))
        .features(as_update())
        .pods(old, "old")
        .pod_with("old", &held)
        .pods(new, "new broken")
    };
    assert_eq!(deeds(&scene(4, 4, 1).plan()), ["delete web-4 (uid-4) as surplus"]);
    assert_eq!(
        deeds(&scene(4, 3, 2).plan()),
        ["serve web-3", "delete web-4 (uid-4) as surplus"],
        "the held one, web-3, stays and is not updated any more"
    );
}

/// The held pod serves, and with the gate it is one of the pods of the update revision.
#[test]
fn on_scale_in_while_paused_a_broken_new_pod_goes_before_a_held_pod() {
    let held = json!({"metadata": {"labels": {"held": "true", "lifecycle.apps.kruise.io/state": "PreparingUpdate"}}});
    let scene = Scene::of(&json!({
        "replicas": 2,
        "updateStrategy": {"type": "InPlaceIfPossible", "paused": true, "maxUnavailable": 2},
        "lifecycle": {"inPlaceUpdate": {"labelsHandler": {"held": "true"}}}
    }));
    let plan = scene
        .features(as_update())
        .pod("old")
        .pod_with("old", &held)
        .pod("new broken")
        .plan();
    assert_eq!(deeds(&plan), ["delete web-2 (uid-2) as surplus"]);
}

/// R=1, U=0: nothing may be missing, and with the gate the held pod counts as new, so no surge pod is wanted.
#[test]
fn a_pod_out_of_service_whose_update_has_begun_goes_on_although_nothing_may_be_unavailable() {
    let begun = json!({"metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingUpdate"}}});
    let scene = Scene::of(&json!({
        "replicas": 1,
        "updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 0, "maxSurge": 1},
        "lifecycle": {"inPlaceUpdate": {"labelsHandler": {"held": "true"}}}
    }));
    let plan = scene.features(as_update()).pod_with("old broken", &begun).plan();
    assert_eq!(deeds(&plan), ["take out web-0 (InPlaceUpdate)"]);
}

fn naming(names: &[&str], replicas: i32) -> Scene {
    Scene::of(&json!({
        "replicas": replicas, "scaleStrategy": {"podsToDelete": names}, "updateStrategy": {"maxUnavailable": 1}
    }))
}

#[test]
fn a_pod_that_is_named_goes_like_one_that_is_labelled() {
    assert_eq!(
        deeds(&naming(&["web-1"], 3).pods(3, "new").plan()),
        ["delete web-1 (uid-1) as asked"]
    );
    let two = naming(&["web-1"], 3).pod("new marked").pods(2, "new").plan();
    assert_eq!(deeds(&two), ["delete web-0 (uid-0) as asked"]);
    assert_eq!(
        waits(&two),
        ["1 serving pod waits to be deleted until others are available (maxUnavailable)"]
    );
}

#[test]
fn scenario_17_a_name_is_dropped_once_its_pod_is_gone_and_only_then() {
    let names = ["web-0", "web-1", "web-2", "web-9"];
    let scene = naming(&names, 1)
        .pod("new")
        .pod("new terminating")
        .pod("new failed")
        .pods(1, "new broken");
    assert_eq!(
        deeds(&scene.plan()),
        [
            "delete web-0 (uid-0) as asked",
            r#"keep ["web-0", "web-1"] of ["web-0", "web-1", "web-2", "web-9"]"#
        ]
    );
    let left = naming(&["web-9"], 1).pod("new").plan();
    assert_eq!(deeds(&left), [r#"keep [] of ["web-9"]"#]);
}

#[test]
fn a_list_is_left_alone_where_its_author_has_to_act() {
    let twice = naming(&["web-9", "web-9"], 1).pod("new").plan();
    assert_eq!(deeds(&twice), [""; 0]);
    let stopped = naming(&["web-9"], 1).pod("new").stop_creation().plan();
    assert_eq!(deeds(&stopped), [""; 0]);
}

/// Another leader picks the same names, and the list may not be pruned yet.
#[test]
fn no_pod_is_made_by_a_name_that_is_asked_to_go() {
    let names = |plan: &cloneset_plan::Plan| -> Vec<String> {
        plan.actions
            .iter()
            .filter_map(|action| match action {
                cloneset_plan::Action::CreatePod(new) => Some(new.name.clone()),
                _ => None,
            })
            .collect()
    };
    let first = names(&naming(&[], 1).plan());
    let named = names(&naming(&[&first[0]], 1).plan());
    assert_eq!(named.len(), 1);
    assert_ne!(named, first);
}

#[test]
fn a_pod_on_its_way_out_is_replaced_at_once_where_label_or_flag_say_so() {
    let scene = || {
        Scene::of(&json!({"replicas": 2}))
            .pods(1, "new")
            .pod("new marked leaving")
    };
    let created = |scene: &Scene| {
        deeds(&scene.plan())
            .iter()
            .filter(|deed| deed.starts_with("create"))
            .count()
    };
    assert_eq!(created(&scene()), 0);
    let labels = json!({"apps.kruise.io/cloneset-scaling-exclude-preparing-delete": "true"});
    assert_eq!(
        created(&scene().cloneset(&json!({"metadata": {"labels": labels}}))),
        1
    );
    let flag = Features {
        exclude_preparing_delete: true,
        ..Features::default()
    };
    assert_eq!(created(&scene().features(flag)), 1);
}

#[test]
fn a_partition_raised_in_vain_says_so() {
    let raised = json!({"replicas": 5, "updateStrategy": {"partition": 4, "maxUnavailable": 2}});
    let scene = Scene::of(&raised).pod("old").pods(4, "new");
    let plan = scene.plan();
    assert_eq!(deeds(&plan), [""; 0]);
    assert_eq!(
        waits(&plan),
        [
            "3 pods keep the update revision although the partition was raised: only with the feature gate \
             CloneSetPartitionRollback do pods go back by it; without, put the old template back"
        ]
    );
    let rollback = Features {
        partition_rollback: true,
        ..Features::default()
    };
    let plan = scene.features(rollback).plan();
    assert_eq!(
        deeds(&plan),
        [
            "delete web-1 (uid-1) for update",
            "delete web-2 (uid-2) for update"
        ]
    );
    let reached = Scene::of(&raised).pods(4, "old").pod("new").plan();
    assert_eq!(waits(&reached), [""; 0]);
}
