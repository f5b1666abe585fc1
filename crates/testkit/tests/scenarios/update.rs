//! Areas G and H: how many pods one pass updates, and which.

use cloneset_plan::Features;
use cloneset_status::Wait;
use cloneset_testkit::World;
use serde_json::{Value, json};

const ROLLBACK: Features = Features {
    partition_rollback: true,
    short_hash: false,
    kruise_conditions_only: false,
};

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
        .with(ROLLBACK);
    let pass = world.pass().unwrap();
    assert_eq!((pass.to_string().as_str(), pass.plan.waits), ("nothing", vec![]));
}

#[test]
fn scenarios_128_to_132_unproven_new_pods_are_as_many_as_may_be() {
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
        .with(ROLLBACK);
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
}
