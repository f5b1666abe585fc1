//! Whole releases, from the first pod to rest: the walks of the design and the deviations that show in them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

use cloneset_status::Wait;
use cloneset_testkit::World;
use serde_json::json;

/// A settled set of `replicas` pods of v1.
fn settled(spec: &serde_json::Value) -> World {
    let mut world = World::of(spec);
    world.settle().unwrap();
    world.take_extremes();
    world
}

#[test]
fn the_seed_walk() {
    let mut world = settled(&json!({"replicas": 5, "updateStrategy": {"partition": 3}}));
    assert_eq!(world.inventory(), "5 v1 available");
    assert_eq!(world.current_version(), "v1");
    for (partition, inventory) in [
        (3, "3 v1 available, 2 v2 available"),
        (1, "1 v1 available, 4 v2 available"),
        (0, "5 v2 available"),
    ] {
        world.image("v2");
        world.partition(partition);
        world.settle().unwrap();
        assert_eq!(world.inventory(), inventory);
        let status = world.status();
        let updated = 5 - partition;
        assert_eq!(
            [status.replicas, status.ready_replicas, status.available_replicas],
            [5, 5, 5]
        );
        assert_eq!(
            [
                status.updated_replicas,
                status.updated_ready_replicas,
                status.updated_available_replicas,
                status.expected_updated_replicas
            ],
            [updated; 4]
        );
        assert_eq!(status.observed_generation, world.cloneset().metadata.generation);
        let reason = if partition == 0 {
            "Healthy"
        } else {
            "PartitionReached"
        };
        assert_eq!(world.conditions(), [format!("Ready=True {reason}")]);
        let moved = status.current_revision == status.update_revision;
        assert_eq!(
            moved,
            partition == 0,
            "the current revision moves with the last pod"
        );
    }
    for replicas in [7, 5] {
        world.scale(replicas);
        world.settle().unwrap();
        assert_eq!(world.inventory(), format!("{replicas} v2 available"));
    }
}

#[test]
fn surge_without_unavailability_never_dips() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 2}});
    let mut world = settled(&spec);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
    let extremes = world.take_extremes();
    assert_eq!((extremes.fewest_available, extremes.most_pods), (5, 7));
}

#[test]
fn pausing_in_the_midst_removes_the_surge_and_resuming_ends_the_release() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 2}});
    let mut world = settled(&spec);
    world.image("v2");
    assert_eq!(world.pass().unwrap().to_string(), "record v2, create 2 v2");
    world.edit(&json!({"updateStrategy": {"paused": true}}));
    assert_eq!(world.pass().unwrap().to_string(), "delete 2 v2 as surplus");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available", "pausing takes no old pod");
    assert_eq!(world.plan().waits, [Wait::Paused { pods: 5 }]);
    world.edit(&json!({"updateStrategy": {"paused": false}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
}

#[test]
fn a_partition_in_percent_follows_the_replicas() {
    let mut world = settled(&json!({"replicas": 10, "updateStrategy": {"partition": "100%"}}));
    world.image("v2");
    for (partition, replicas, inventory) in [
        ("100%", 10, "10 v1 available"),
        ("99.9%", 10, "9 v1 available, 1 v2 available"),
        ("50%", 10, "5 v1 available, 5 v2 available"),
        ("33%", 10, "4 v1 available, 6 v2 available"),
        ("33%", 20, "7 v1 available, 13 v2 available"),
        ("0%", 20, "20 v2 available"),
    ] {
        world.scale(replicas);
        world.partition(partition);
        world.settle().unwrap();
        assert_eq!(world.inventory(), inventory, "{partition} of {replicas}");
    }
    assert_eq!(world.current_version(), "v2");
}

#[test]
fn min_ready_seconds_sets_the_pace() {
    let spec = json!({"replicas": 3, "minReadySeconds": 30, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = settled(&spec);
    let start = world.seconds();
    world.image("v2");
    world.run_for(30 * 3).unwrap();
    assert_eq!(world.pods_of("v1").len(), 0, "the last one is being replaced");
    assert!(
        world.inventory().contains("unavailable"),
        "{} after {}",
        world.inventory(),
        world.seconds() - start
    );
    world.run_for(60).unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
    assert_eq!(world.take_extremes().fewest_available, 2);
}

#[test]
fn a_version_that_never_works_stops_at_max_unavailable_and_is_rolled_back() {
    let mut world = settled(&json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 2}}));
    world.breaks("v2");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 unavailable");
    assert_eq!(world.plan().waits, [Wait::UpdateBudget { pods: 3 }]);
    assert_eq!(world.current_version(), "v1");
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
}

#[test]
fn a_pod_that_waits_for_its_confirmation_holds_the_release() {
    let feature = "www.example.com/feature-1";
    let mut world = World::of(&json!({
        "replicas": 2,
        "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1},
        "template": {"spec": {"readinessGates": [{"conditionType": feature}]}}
    }));
    let confirm_all = |world: &mut World| {
        for pod in world.live_pods() {
            world.confirm(&pod, feature);
        }
        world.settle().unwrap();
    };
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 unavailable");
    confirm_all(&mut world);
    world.image("v2");
    for inventory in [
        "2 v1 available, 1 v2 unavailable",
        "1 v1 available, 1 v2 available, 1 v2 unavailable",
    ] {
        world.settle().unwrap();
        assert_eq!(world.inventory(), inventory);
        confirm_all(&mut world);
    }
    assert_eq!(world.inventory(), "2 v2 available");
}

/// Deviation 4: Kruise never gets past the broken pods when the order puts a healthy one first.
#[test]
fn a_broken_old_version_is_always_replaced() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 1}});
    for (pods, fewest) in [("5 v1 unavailable", 0), ("3 v1 available, 2 v1 unavailable", 3)] {
        let mut world = World::of(&spec).template("v2").pods(pods);
        world.take_extremes();
        world.settle().unwrap();
        assert_eq!(world.inventory(), "5 v2 available", "{pods}");
        assert_eq!(
            world.take_extremes().fewest_available,
            fewest,
            "{pods}: nothing that served was taken"
        );
    }
}

/// Deviation 6: Kruise takes the canary for the current version once all surviving pods happen to be new.
#[test]
fn scaling_to_0_under_a_partition_does_not_promote_the_canary() {
    let mut world = settled(&json!({"replicas": 5, "updateStrategy": {"partition": 3}}));
    world.image("v2");
    world.settle().unwrap();
    world.scale(0);
    world.settle().unwrap();
    assert_eq!(
        (world.inventory().as_str(), world.current_version().as_str()),
        ("", "v1")
    );
    world.scale(5);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
}

/// Deviation 9: Kruise's surge decays to 22 here, so it creates nothing and stays at 220 pods.
#[test]
fn the_surge_lasts_as_long_as_old_pods_are_left_to_replace() {
    let spec = json!({"replicas": 198, "updateStrategy": {"maxSurge": 50, "maxUnavailable": 0}});
    let pods = "44 v1 available, 162 v2 available, 14 v2 unavailable";
    let mut world = World::of(&spec).template("v2").pods(pods);
    assert_eq!(world.pass().unwrap().to_string(), "create 22 v2");
    assert_eq!(world.live_pods().len(), 242);
}

#[test]
fn what_people_and_nodes_do_in_the_midst_is_made_good() {
    let spec = json!({"replicas": 6, "updateStrategy": {"partition": 2, "maxUnavailable": 1, "maxSurge": 1}});
    let mut world = settled(&spec);
    world.image("v2");
    world.run_for(4).unwrap();
    let pods = world.live_pods();
    let [crashed, deleted, vanished, marked] = [0, 1, 2, 3].map(|index: usize| pods[index].clone());
    world.crash(&crashed, Some(7));
    world.delete_by_hand(&deleted);
    world.run_for(1).unwrap();
    world.vanish(&vanished);
    world.mark(&marked);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available, 4 v2 available");
}
