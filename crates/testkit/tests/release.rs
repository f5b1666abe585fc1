//! Whole releases, from the first pod to rest: the walks of the design and the deviations that show in them.
#![allow(clippy::unwrap_used, reason = "a failed test is the point of a panic")]

use cloneset_testkit::World;
use serde_json::json;

/// A settled set of `replicas` pods of v1.
fn settled(spec: &serde_json::Value) -> World {
    let mut world = World::of(spec);
    world.settle().unwrap();
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
        assert_eq!(status.conditions, None, "nothing says that anything failed");
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
