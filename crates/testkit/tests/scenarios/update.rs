//! Areas G and H: how many pods one pass updates, and which.

use cloneset_plan::Features;
use cloneset_status::Wait;
use cloneset_testkit::World;
use serde_json::{Value, json};

/// The gate that lets a raised partition bring pods back.
fn rollback() -> Features {
    Features {
        partition_rollback: true,
        ..Features::default()
    }
}

/// What the first pass does about pods of v1 and v2 when the template says v2.
fn first_pass(replicas: i32, strategy: &Value, pods: &str) -> String {
    let spec = json!({"replicas": replicas, "updateStrategy": strategy});
    World::of(&spec)
        .template("v2")
        .pods(pods)
        .pass()
        .unwrap()
        .to_string()
}

#[test]
fn scenario_122_one_of_three_at_20_percent() {
    let strategy = json!({"maxUnavailable": "20%"});
    assert_eq!(
        first_pass(3, &strategy, "3 v1 available"),
        "delete 1 v1 for update"
    );
}

/// Deviation 4: Kruise's walk stops at the first healthy pod that does not fit and updates none.
#[test]
fn scenario_123_a_broken_old_pod_is_replaced_although_no_healthy_one_may_be_missing() {
    let strategy = json!({"maxUnavailable": 1});
    let spec = json!({"replicas": 3, "updateStrategy": strategy});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("1 v1 available, 1 v1 unavailable, 1 v1 available");
    world.take_extremes();
    assert_eq!(world.pass().unwrap().to_string(), "delete 1 v1 for update");
    assert_eq!(world.inventory(), "2 v1 available");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
    assert_eq!(
        world.take_extremes().fewest_available,
        2,
        "the promise was kept throughout"
    );
}

/// Deviation 4: Kruise updates 1, as its walk ends at the healthy pod between the broken ones.
#[test]
fn scenario_125_both_broken_pods_are_replaced() {
    let strategy = json!({"maxUnavailable": 2});
    let pods = "1 v1 unavailable, 5 v1 available, 1 v1 unavailable, 3 v1 available";
    assert_eq!(first_pass(10, &strategy, pods), "delete 2 v1 for update");
}

#[test]
fn scenario_126_the_target_is_reached() {
    let spec = json!({"replicas": 3, "updateStrategy": {"partition": 2, "maxUnavailable": 3}});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("2 v1 available, 1 v2 available")
        .with(rollback());
    let pass = world.pass().unwrap();
    assert_eq!((pass.to_string().as_str(), pass.plan.waits), ("nothing", vec![]));
}

#[test]
fn scenarios_128_129_131_132_unproven_new_pods_are_as_many_as_may_be() {
    let strategy = json!({"maxUnavailable": 2});
    assert_eq!(
        first_pass(5, &strategy, "5 v1 unavailable"),
        "delete 2 v1 for update"
    );
    assert_eq!(
        first_pass(5, &strategy, "3 v1 unavailable, 2 v2 unavailable"),
        "nothing"
    );
    let surging = json!({"maxUnavailable": 2, "maxSurge": 1});
    let two = "delete 2 v1 for update";
    assert_eq!(first_pass(5, &surging, "5 v1 unavailable, 1 v2 unavailable"), two);
    assert_eq!(
        first_pass(5, &surging, "4 v1 unavailable, 1 v2 unavailable, 1 v2 available"),
        two
    );
}

#[test]
fn scenario_134_a_raised_partition_rolls_back_within_the_limit() {
    let spec = json!({"replicas": 8, "updateStrategy": {"partition": 7, "maxUnavailable": 3}});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("3 v1 available, 5 v2 unavailable")
        .with(rollback());
    let pass = world.pass().unwrap();
    assert_eq!(pass.to_string(), "delete 3 v2 for update");
    assert_eq!(pass.plan.waits, [Wait::UpdateBudget { pods: 1 }]);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "7 v1 available, 1 v2 unavailable");
}

#[test]
fn scenario_135_no_more_than_the_new_pods_that_are_missing() {
    let strategy = json!({"maxUnavailable": 2, "maxSurge": 1});
    assert_eq!(
        first_pass(4, &strategy, "2 v1 available, 3 v2 available"),
        "delete 1 v1 for update"
    );
    let spec = json!({"replicas": 4, "updateStrategy": strategy});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("4 v1 available, 2 v2 available");
    assert_eq!(
        world.pass().unwrap().to_string(),
        "delete 1 v1 as surplus",
        "scaling comes first"
    );
    assert_eq!(world.pass().unwrap().to_string(), "delete 2 v1 for update");
}

#[test]
fn scenario_144_the_same_pods_in_another_order_are_updated_in_the_same_order() {
    let names = |pods: &str| -> Vec<String> {
        let spec = json!({"replicas": 4, "updateStrategy": {"maxUnavailable": 1}});
        let mut world = World::of(&spec).template("v2").pods(pods);
        let before = world.live_pods();
        world.pass().unwrap();
        let left = world.live_pods();
        let gone = before
            .iter()
            .filter(|pod| left.iter().all(|other| other.uid() != pod.uid()));
        gone.map(|pod| pod.name().to_owned()).collect()
    };
    assert_eq!(
        names("4 v1 available"),
        ["sample-p0"],
        "equal in every respect: by name"
    );
    assert_eq!(names("3 v1 available, 1 v1 pending"), ["sample-p3"]);
    assert_eq!(
        names("2 v1 available, 1 v1 unavailable, 1 v1 pending"),
        ["sample-p3"],
        "no node before not ready"
    );
}

#[test]
fn scenario_206_a_pod_that_never_got_a_node_is_updated_at_once() {
    let strategy = json!({"maxUnavailable": 1});
    assert_eq!(first_pass(1, &strategy, "1 v1 pending"), "delete 1 v1 for update");
    // Nor does hook preNormal keep it, which is not complete.
    let hook = json!({"preNormal": {"labelsHandler": {"example.com/checked": "true"}}});
    let mut world = World::of(&json!({"replicas": 1, "updateStrategy": strategy, "lifecycle": hook}));
    world.settle().unwrap();
    let pod = world.live_pods().swap_remove(0);
    assert_eq!(
        pod.label("lifecycle.apps.kruise.io/state"),
        Some("PreparingNormal")
    );
    world.image("v2");
    let pass = world.pass().unwrap();
    assert_eq!(pass.to_string(), "record v2, delete 1 v1 for update");
}

/// Also regression 8: with a surge pod there is room for one update more.
#[test]
fn regression_8_a_surge_pod_adds_to_what_may_be_updated() {
    let strategy = json!({"maxUnavailable": 1, "maxSurge": 1});
    assert_eq!(
        first_pass(5, &strategy, "5 v1 available, 1 v2 available"),
        "delete 2 v1 for update"
    );
}

#[test]
fn regression_10_a_raised_partition_brings_pods_back() {
    for (strategy, fewest, most) in [
        (json!({"partition": 4, "maxUnavailable": 1}), 4, 5),
        (json!({"partition": 4, "maxUnavailable": 0, "maxSurge": 1}), 5, 6),
    ] {
        let spec = json!({"replicas": 5, "updateStrategy": strategy});
        let mut world = World::of(&spec)
            .template("v2")
            .pods("2 v1 available, 3 v2 available")
            .with(rollback());
        world.take_extremes();
        world.settle().unwrap();
        assert_eq!(world.inventory(), "4 v1 available, 1 v2 available", "{strategy}");
        let extremes = world.take_extremes();
        assert_eq!((extremes.fewest_available, extremes.most_pods), (fewest, most));
        world.partition(1);
        world.settle().unwrap();
        assert_eq!(
            world.inventory(),
            "1 v1 available, 4 v2 available",
            "and forward again"
        );
    }
}

#[test]
fn a_partition_raised_with_the_gate_off_moves_nothing_and_says_so() {
    let spec = json!({"replicas": 5, "updateStrategy": {"partition": 4, "maxUnavailable": 1}});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("2 v1 available, 3 v2 available");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available, 3 v2 available");
    assert_eq!(world.plan().waits, [Wait::PartitionRaised { pods: 2 }]);
    let conditions = world.status().conditions.unwrap();
    let ready = conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    assert!(
        ready
            .message
            .as_ref()
            .unwrap()
            .contains("2 pods keep the update revision")
    );
}

#[test]
fn regression_12_unproven_new_pods_are_limited_however_many_old_ones_are_broken() {
    let strategy = json!({"maxUnavailable": 1});
    assert_eq!(
        first_pass(9, &strategy, "8 v1 unavailable, 1 v1 available"),
        "delete 1 v1 for update"
    );
    assert_eq!(
        first_pass(9, &strategy, "8 v1 unavailable, 1 v2 unavailable"),
        "nothing"
    );
}

/// Deviation 9: Kruise's surge decays to 22 and nothing is created.
#[test]
fn regression_16_the_surge_does_not_decay() {
    let strategy = json!({"maxUnavailable": 0, "maxSurge": 50});
    assert_eq!(
        first_pass(
            198,
            &strategy,
            "162 v2 available, 14 v2 unavailable, 44 v1 available"
        ),
        "create 22 v2"
    );
}

#[test]
fn regression_18_a_surge_that_is_raised_is_used_at_once() {
    let spec = json!({"replicas": 4, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 0, "maxSurge": "50%"}});
    let mut world = World::of(&spec).template("v2").pods("4 v1 available, 2 v2 fresh");
    assert_eq!(world.pass().unwrap().to_string(), "nothing");
    world.edit(&json!({"updateStrategy": {"maxSurge": "100%"}}));
    assert_eq!(world.pass().unwrap().to_string(), "create 2 v2");
}

#[test]
fn regression_34_paused_makes_no_pod_of_a_new_template() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxSurge": 2, "paused": true}});
    let mut world = World::of(&spec).template("v2").pods("3 v1 available");
    assert_eq!(world.pass().unwrap().to_string(), "nothing");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
}

/// The order of a whole release: pods without the key, then by the number at the end of the label's value.
#[test]
fn scenario_140_over_a_release_the_pods_go_in_the_users_order() {
    let strategy =
        json!({"maxUnavailable": 1, "priorityStrategy": {"orderPriority": [{"orderedKey": "shard"}]}});
    let spec = json!({"replicas": 4, "updateStrategy": strategy});
    let mut world = World::of(&spec).template("v2").pods("4 v1 available");
    for (pod, shard) in [
        ("sample-p0", "db-2"),
        ("sample-p1", "db-10"),
        ("sample-p3", "db-1"),
    ] {
        let pod = world
            .live_pods()
            .into_iter()
            .find(|found| found.name() == pod)
            .unwrap();
        world.label(&pod, "shard", shard);
    }
    let mut order = Vec::new();
    let mut left: Vec<String> = world
        .pods_of("v1")
        .iter()
        .map(|pod| pod.name().to_owned())
        .collect();
    while !left.is_empty() {
        world.run_for(1).unwrap();
        let now: Vec<String> = world
            .pods_of("v1")
            .iter()
            .map(|pod| pod.name().to_owned())
            .collect();
        order.extend(left.iter().filter(|name| !now.contains(name)).cloned());
        left = now;
    }
    assert_eq!(order, ["sample-p2", "sample-p1", "sample-p0", "sample-p3"]);
}
