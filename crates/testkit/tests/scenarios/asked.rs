//! Areas E and F, and the regressions about scaling: pods that are asked to go, pods that are on their way out, surplus.

use cloneset_api::names::labels;
use cloneset_status::Wait;
use cloneset_testkit::World;
use serde_json::{Value, json};

fn set(spec: &Value, pods: &str) -> World {
    World::of(spec).template("v2").pods(pods)
}

fn pass(world: &mut World) -> String {
    world.pass().unwrap().to_string()
}

fn named(world: &World) -> Vec<String> {
    let scale = world.cloneset().spec.scale_strategy.clone();
    scale.and_then(|scale| scale.pods_to_delete).unwrap_or_default()
}

fn excluding(mut world: World) -> World {
    world.label_cloneset(labels::EXCLUDE_PREPARING_DELETE, "true");
    world
}

/// Also regression 22 with a name instead of a label.
#[test]
fn regression_22_with_surge_the_replacement_of_a_named_pod_comes_first() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut world = set(&spec, "5 v2 available");
    world.take_extremes();
    world.name_to_delete(&["sample-p1", "sample-p3"]);
    assert_eq!(pass(&mut world), "create 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
    assert_eq!(named(&world), [""; 0], "the names leave with their pods");
    let left: Vec<String> = world
        .live_pods()
        .iter()
        .map(|pod| pod.name().to_owned())
        .collect();
    assert!(!left.contains(&"sample-p1".to_owned()) && !left.contains(&"sample-p3".to_owned()));
    let extremes = world.take_extremes();
    assert_eq!((extremes.fewest_available, extremes.most_pods), (5, 6));
}

#[test]
fn a_name_leaves_the_list_when_its_pod_is_gone_not_when_it_is_deleted() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 2}});
    let mut world = set(&spec, "3 v2 available");
    world.name_to_delete(&["sample-p0", "sample-p2"]);
    assert_eq!(pass(&mut world), "delete 2 v2 as asked");
    assert_eq!(pass(&mut world), "create 2 v2");
    assert_eq!(named(&world), ["sample-p0", "sample-p2"]);
    world.run_for(2).unwrap();
    assert_eq!(named(&world), [""; 0]);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
}

/// Kruise's webhook refuses such a name in v1alpha1, its v1beta1 drops it. Without a webhook it is dropped.
#[test]
fn scenarios_15_17_a_name_that_no_pod_of_ours_has_is_dropped() {
    let mut world = set(&json!({"replicas": 2}), "2 v2 available");
    world.take_name("sample-stranger");
    world.name_to_delete(&["sample-ghost", "sample-stranger"]);
    assert_eq!(pass(&mut world), "drop 2 of podsToDelete");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v2 available");
}

#[test]
fn scenario_18_names_and_other_fields_change_at_once() {
    let claims = |size: &str| json!([{"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": size}}}}]);
    let mut world = World::of(&json!({"replicas": 3, "volumeClaimTemplates": claims("1Gi")}));
    world.settle().unwrap();
    let before = world.live_pods();
    let containers = json!([{"name": "main", "image": "registry.local/web:v2"}]);
    world.edit(&json!({
        "replicas": 4, "revisionHistoryLimit": 1, "volumeClaimTemplates": claims("2Gi"),
        "scaleStrategy": {"podsToDelete": [before[0].name()]},
        "updateStrategy": {"type": "InPlaceOnly", "maxUnavailable": 1},
        "template": {"spec": {"containers": containers}}
    }));
    world.settle().unwrap();
    assert_eq!(
        (world.inventory().as_str(), named(&world).len()),
        ("4 v2 available", 0)
    );
    let stays = |pod: &&cloneset_status::Pod| world.live_pods().iter().any(|other| other.uid() == pod.uid());
    let kept: Vec<&str> = before
        .iter()
        .filter(stays)
        .map(cloneset_status::Pod::name)
        .collect();
    assert_eq!(
        kept,
        [before[1].name(), before[2].name()],
        "the named pod goes, the others are updated in place"
    );
}

/// Also regression 25, first half.
#[test]
fn scenario_98_a_pod_on_its_way_out_keeps_its_place_until_it_is_gone() {
    let mut world = set(
        &json!({"replicas": 3}),
        "2 v2 available, 1 v2 available marked leaving",
    );
    assert_eq!(
        pass(&mut world),
        "delete 1 v2 as asked",
        "no hook holds it, and nothing is created beside it"
    );
    assert_eq!(pass(&mut world), "create 1 v2");
}

/// Also regression 25, second half.
#[test]
fn regression_25_excluded_it_is_replaced_at_once() {
    let mut world = excluding(set(
        &json!({"replicas": 3}),
        "2 v2 available, 1 v2 available marked leaving",
    ));
    assert_eq!(pass(&mut world), "create 1 v2, delete 1 v2 as asked");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
}

#[test]
fn scenario_101_what_is_too_many_once_nothing_leaves_is_the_pod_that_does_not_serve() {
    let mut world = excluding(set(&json!({"replicas": 3}), "3 v2 available, 1 v2 unavailable"));
    assert_eq!(pass(&mut world), "delete 1 v2 as surplus");
    assert_eq!(world.inventory(), "3 v2 available");
}

/// No hook is in the spec.
#[test]
fn scenario_108_without_a_hook_a_pod_that_was_held_is_deleted() {
    let mut world = set(
        &json!({"replicas": 2}),
        "2 v2 available, 1 v2 unavailable leaving",
    );
    assert_eq!(pass(&mut world), "delete 1 v2 as surplus");
}

/// Oddity 10, deviation 10: Kruise ends its pass where creation is throttled.
#[test]
fn throttled_creation_holds_no_deletion_back() {
    let spec = json!({
        "replicas": 6, "scaleStrategy": {"maxUnavailable": 1}, "updateStrategy": {"maxUnavailable": 2}
    });
    let mut world = set(
        &spec,
        "3 v2 available, 1 v2 unavailable, 1 v2 unavailable marked, 1 v2 unavailable marked leaving",
    );
    let first = world.pass().unwrap();
    assert_eq!(first.to_string(), "delete 2 v2 as asked");
    let second = world.pass().unwrap();
    assert_eq!(second.to_string(), "nothing");
    assert!(
        second
            .plan
            .waits
            .contains(&Wait::ScaleUpLimited { missing: 2, limit: 0 })
    );
}

#[test]
fn regression_4_going_back_deletes_the_pod_that_never_ran_and_no_other() {
    let strategy = json!({"maxSurge": "50%", "maxUnavailable": "10%"});
    let spec = json!({"replicas": 1, "updateStrategy": strategy});
    let mut world = World::of(&spec);
    world.settle().unwrap();
    let before = world.live_pods();
    world.fates([cloneset_testkit::Fate::UNSCHEDULABLE]);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v1 available, 1 v2 unavailable");
    world.image("v1");
    world.take_extremes();
    world.settle().unwrap();
    let after = world.live_pods();
    assert_eq!((after.len(), after[0].uid()), (1, before[0].uid()));
    assert_eq!(world.take_extremes().fewest_available, 1);
}

#[test]
fn regression_5_one_pod_with_surge_is_never_missing() {
    let strategy = json!({"maxSurge": "50%", "maxUnavailable": "10%"});
    let mut world = set(
        &json!({"replicas": 1, "updateStrategy": strategy}),
        "1 v1 available",
    );
    world.take_extremes();
    assert_eq!(pass(&mut world), "create 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
    let extremes = world.take_extremes();
    assert_eq!((extremes.fewest_available, extremes.most_pods), (1, 2));
}

#[test]
fn regression_9_a_partition_above_the_replicas_is_all_of_them() {
    let spec = json!({"replicas": 5, "updateStrategy": {"partition": 4, "maxUnavailable": 5}});
    let mut world = set(&spec, "4 v1 available, 1 v2 available");
    world.scale(2);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    world.scale(0);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "");
}

/// Deviation 10; Kruise says that this is how it should be.
#[test]
fn regression_19_surplus_that_waits_for_min_ready_seconds_goes() {
    let spec = json!({"replicas": 3, "minReadySeconds": 99_999});
    let mut world = set(&spec, "5 v2 fresh");
    assert_eq!(pass(&mut world), "delete 2 v2 as surplus");
    assert_eq!(world.inventory(), "3 v2 unavailable");
}

/// Somebody takes a pod out to look at it, and marks another one: of four, three must serve.
#[test]
fn a_pod_that_is_taken_out_no_longer_counts_as_one_that_serves() {
    let spec = json!({"replicas": 4, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "4 v2 available");
    let pods = world.live_pods();
    world.label(&pods[0], "app", "quarantine");
    world.mark(&pods[1]);
    assert_eq!(pass(&mut world), "release 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v2 available");
    // The same for an update.
    world.label(&pods[2], "app", "quarantine");
    world.image("v3");
    assert_eq!(pass(&mut world), "record v3, release 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v3 available");
}
