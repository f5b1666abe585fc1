//! Area D: how many pods are created and deleted, pass by pass; and 120 of area F.

use cloneset_plan::Desired;
use cloneset_status::Wait;
use cloneset_testkit::World;
use serde_json::{Value, json};

/// A set whose template says v2, with these pods.
fn set(spec: &Value, pods: &str) -> World {
    World::of(spec).template("v2").pods(pods)
}

fn pass(world: &mut World) -> String {
    world.pass().unwrap().to_string()
}

#[test]
fn scenario_71_a_marked_pod_is_deleted_within_max_unavailable_and_then_replaced() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "4 v2 available, 1 v2 available marked");
    assert_eq!(pass(&mut world), "delete 1 v2 as asked");
    assert_eq!(pass(&mut world), "create 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
}

#[test]
fn scenario_72_the_second_marked_pod_waits_until_the_first_is_replaced() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "3 v2 available, 2 v2 available marked");
    world.take_extremes();
    assert_eq!(pass(&mut world), "delete 1 v2 as asked");
    let second = world.pass().unwrap();
    assert_eq!(second.to_string(), "create 1 v2");
    assert!(second.plan.waits.contains(&Wait::DeletionBudget { pods: 1 }));
    assert_eq!(pass(&mut world), "nothing", "the replacement is not available");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
    assert_eq!(world.take_extremes().fewest_available, 4);
}

#[test]
fn scenario_74_with_surge_the_replacement_comes_first() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut world = set(&spec, "4 v2 available, 1 v2 available marked");
    world.take_extremes();
    assert_eq!(pass(&mut world), "create 1 v2");
    assert_eq!(pass(&mut world), "nothing");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
    let extremes = world.take_extremes();
    assert_eq!((extremes.fewest_available, extremes.most_pods), (5, 6));
}

#[test]
fn scenario_75_a_partition_of_3_moves_2_pods_one_at_a_time() {
    let spec = json!({"replicas": 5, "updateStrategy": {"partition": 3, "maxUnavailable": 1}});
    let mut world = set(&spec, "5 v1 available");
    world.take_extremes();
    assert_eq!(pass(&mut world), "delete 1 v1 for update");
    assert_eq!(pass(&mut world), "create 1 v2");
    assert_eq!(pass(&mut world), "nothing");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
    let extremes = world.take_extremes();
    assert_eq!((extremes.fewest_available, extremes.most_pods), (4, 5));
}

#[test]
fn scenario_80_the_surge_is_no_larger_than_what_is_replaced() {
    let strategy = json!({"partition": "99%", "maxUnavailable": 3, "maxSurge": 2});
    let mut world = set(
        &json!({"replicas": 5, "updateStrategy": strategy}),
        "5 v1 available",
    );
    assert_eq!(pass(&mut world), "create 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v1 available, 1 v2 available");
    assert_eq!(world.take_extremes().most_pods, 6);
}

/// Vectors 33 to 35 tell the rest.
#[test]
fn scenario_81_with_surge_max_unavailable_is_rounded_down() {
    for (percent, unavailable) in [("40%", 2), ("30%", 1)] {
        let strategy = json!({"partition": "99%", "maxUnavailable": percent, "maxSurge": "30%"});
        let world = World::of(&json!({"replicas": 5, "updateStrategy": strategy}));
        let desired = Desired::parse(world.cloneset(), 5);
        assert_eq!((desired.max_unavailable, desired.max_surge), (unavailable, 2));
        let mut world = set(
            &json!({"replicas": 5, "updateStrategy": strategy}),
            "5 v1 available",
        );
        assert_eq!(
            pass(&mut world),
            "create 1 v2",
            "of the surge no more than what moves"
        );
    }
}

#[test]
fn scenario_83_the_partition_counts_also_when_current_and_update_are_one_revision() {
    let spec = |unavailable: i32| json!({"replicas": 5, "updateStrategy": {"partition": 1, "maxUnavailable": unavailable}});
    let mut world = set(&spec(1), "3 v1 available, 2 v2 available").current("v2");
    let first = world.pass().unwrap();
    assert_eq!(first.to_string(), "delete 1 v1 for update");
    assert_eq!(first.plan.waits, [Wait::UpdateBudget { pods: 1 }]);

    let mut world = set(&spec(2), "3 v1 available, 1 v2 available").current("v2");
    assert_eq!(pass(&mut world), "create 1 v2");
    assert_eq!(pass(&mut world), "delete 1 v1 for update", "scaling comes first");
}

#[test]
fn scenario_84_surplus_comes_from_the_old_pods() {
    let spec = json!({"replicas": 5, "updateStrategy": {"partition": 1, "maxUnavailable": 1}});
    let mut world = set(&spec, "3 v1 available, 3 v2 available");
    let first = world.pass().unwrap();
    assert_eq!(first.to_string(), "delete 1 v1 as surplus");
    assert_eq!(first.plan.waits, [Wait::ScalingFirst]);
}

#[test]
fn scenario_86_creation_is_throttled_by_pods_that_are_not_available() {
    let spec = json!({"replicas": 6, "scaleStrategy": {"maxUnavailable": 2}});
    let mut world = set(&spec, "2 v2 available, 1 v2 unavailable");
    assert_eq!(pass(&mut world), "create 1 v2");
    let mut world = set(&spec, "1 v2 available, 2 v2 unavailable");
    let held = world.pass().unwrap();
    assert_eq!(held.to_string(), "nothing");
    assert_eq!(held.plan.waits, [Wait::ScaleUpLimited { missing: 3, limit: 0 }]);
}

#[test]
fn scenario_87_paused_means_no_surge() {
    let strategy = json!({"maxSurge": 3, "maxUnavailable": 0, "paused": true});
    let mut world = set(
        &json!({"replicas": 5, "updateStrategy": strategy}),
        "3 v1 available",
    );
    assert_eq!(pass(&mut world), "create 1 v2", "one unproven pod at a time");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
}

#[test]
fn scenario_89_on_delete_scales_in_old_pods_first() {
    let spec = |replicas: i32| json!({"replicas": replicas, "updateStrategy": {"type": "OnDelete"}});
    let pods = "3 v1 available, 5 v2 available";
    assert_eq!(pass(&mut set(&spec(6), pods)), "delete 2 v1 as surplus");
    assert_eq!(
        pass(&mut set(&spec(4), pods)),
        "delete 3 v1 as surplus, delete 1 v2 as surplus"
    );
}

#[test]
fn scenarios_8_90_on_delete_creates_the_new_version() {
    let spec = json!({"replicas": 5, "updateStrategy": {"type": "OnDelete"}});
    let mut world = set(&spec, "3 v1 available");
    assert_eq!(pass(&mut world), "create 2 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
    for pod in world.pods_of("v1") {
        world.delete_by_hand(&pod);
    }
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
}

#[test]
fn scenario_92_on_delete_with_few_pods_a_marked_pod_goes_only_once_it_does_not_serve() {
    let spec = json!({"replicas": 3, "updateStrategy": {"type": "OnDelete"}});
    let mut world = set(&spec, "2 v2 available, 1 v2 available marked");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v2 available, 1 v2 available marked");
    assert_eq!(world.plan().waits, [Wait::DeletionBudget { pods: 1 }]);
    let marked = world
        .live_pods()
        .into_iter()
        .find(cloneset_status::Pod::is_marked_for_deletion)
        .unwrap();
    world.crash(&marked, None);
    assert_eq!(pass(&mut world), "delete 1 v2 as asked");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
}

/// Deviation 10: Kruise deletes nothing, because ready pods that are not available use up its budget.
#[test]
fn scenario_93_surplus_that_is_not_yet_available_is_scaled_in() {
    let spec = json!({"replicas": 3, "minReadySeconds": 9999, "updateStrategy": {"maxUnavailable": "20%"}});
    assert_eq!(pass(&mut set(&spec, "5 v2 fresh")), "delete 2 v2 as surplus");
}

/// Deviation 10: Kruise does nothing while any planned deletion is pending; here only the stuck pod waits.
#[test]
fn scenario_96_a_pending_deletion_does_not_forbid_scale_in() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut world = set(&spec, "1 v2 available marked, 2 v2 available, 3 v2 unavailable");
    let first = world.pass().unwrap();
    assert_eq!(
        first.to_string(),
        "delete 2 v2 as surplus",
        "no more than 3 + 1 pods are left"
    );
    assert_eq!(
        first.plan.waits,
        [Wait::DeletionBudget { pods: 1 }],
        "the marked pod is one of the 3 that serve"
    );
}

#[test]
fn scenario_120_old_pods_go_first_and_broken_new_ones_where_they_have_to_stay() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "3 v1 available, 2 v2 unavailable");
    let first = world.pass().unwrap();
    assert_eq!(
        first.to_string(),
        "delete 1 v1 as surplus, delete 1 v2 as surplus",
        "2 must stay available, and no more than 3 pods are wanted"
    );
}
