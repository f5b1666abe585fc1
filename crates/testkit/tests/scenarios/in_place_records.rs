//! In-place updates of pods on which another program wrote: their record is gone or forged, or they lack our gate.

use crate::in_place::{grace, lives, world, world_with};
use cloneset_api::names::annotations;
use cloneset_status::{Pod, Wait};
use cloneset_testkit::World;
use serde_json::json;

/// What the first container of each pod is to run, and what it runs.
fn images(world: &World) -> Vec<(String, String)> {
    let images = |pod: &Pod| {
        let tag = |image: &str| image.rsplit(':').next().unwrap().to_owned();
        let (spec, status) = (&pod.spec.containers[0], &pod.status.container_statuses[0]);
        (tag(&spec.image), tag(&status.image))
    };
    world.live_pods().iter().map(images).collect()
}

/// Case R03, at every second of an update and with every pod.
#[test]
fn a_pod_whose_annotations_are_stripped_ends_at_the_new_version_and_the_floor_holds() {
    for old_kubelets in [false, true] {
        for seconds in 0..25 {
            let mut world = world_with(old_kubelets, 3, &grace(5));
            world.image("v2");
            world.run_for(seconds).unwrap();
            for pod in world.live_pods() {
                world.strip_annotations(&pod);
            }
            world.settle().unwrap();
            let told = format!("after {seconds} s, {old_kubelets}: {:?}", world.plan().waits);
            assert_eq!(world.inventory(), "3 v2 available", "{told}");
            assert_eq!(
                images(&world),
                vec![("v2".to_owned(), "v2".to_owned()); 3],
                "{told}"
            );
            assert!(world.take_extremes().fewest_available >= 2, "{told}");
            assert!(world.live_pods().iter().all(|pod| pod.restarts() == 1), "{told}");
        }
    }
}

/// Between the change and the restart the old container still runs.
#[test]
fn a_stripped_pod_does_not_serve_before_its_container_has_restarted() {
    for old_kubelets in [false, true] {
        let mut world = world_with(old_kubelets, 2, &json!({}));
        world.image("v2");
        assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
        assert_eq!(world.pass().unwrap().to_string(), "change 1 v2");
        let pod = world.pods_of("v2").swap_remove(0);
        world.strip_annotations(&pod);
        let pass = world.pass().unwrap();
        assert_eq!(pass.to_string(), "nothing");
        assert!(
            pass.plan
                .waits
                .iter()
                .any(|wait| matches!(wait, Wait::Restarting { pods: 1, .. })),
            "{:?}",
            pass.plan.waits
        );
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v2 available");
    }
}

#[test]
fn annotations_of_an_update_that_somebody_writes_on_a_serving_pod_change_nothing() {
    let mut world = world(2, &json!({}));
    let before = lives(&world);
    let revision = world.status().update_revision.unwrap();
    for pod in world.live_pods() {
        let state = json!({"revision": revision, "updateTimestamp": "2020-01-01T00:00:00Z"});
        let grace = json!({"revision": revision, "containerImages": {"main": "registry.local/web:v9"}});
        world.annotate(&pod, annotations::IN_PLACE_STATE, &state.to_string());
        world.annotate(&pod, annotations::IN_PLACE_GRACE, &grace.to_string());
    }
    world.settle().unwrap();
    assert_eq!(lives(&world), before);
    assert_eq!(world.inventory(), "2 v1 available");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(images(&world), vec![("v2".to_owned(), "v2".to_owned()); 2]);
}

/// Case R13.
#[test]
fn a_serving_pod_without_our_gate_gets_a_successor_that_has_it() {
    let mut world = world(3, &json!({}));
    let ungated = world.live_pods().swap_remove(0);
    world.without_gates(&ungated);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
    let before = lives(&world);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
    assert!(world.live_pods().iter().all(Pod::has_in_place_gate));
    let kept = lives(&world)
        .iter()
        .filter(|life| before.iter().any(|old| old.0 == life.0))
        .count();
    assert_eq!(kept, 2, "the others are changed in place");
}

/// Case R55: nobody opens another controller's gate again after an update in place, so it must stay open.
#[test]
fn the_gate_of_another_controller_stays_open_over_an_update_in_place() {
    let gates = json!([{"conditionType": "lb.example.io/ready"}]);
    let mut world = World::of(&json!({
        "replicas": 2, "updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 1},
        "template": {"spec": {"readinessGates": gates}}
    }));
    world.settle().unwrap();
    for pod in world.live_pods() {
        world.confirm(&pod, "lb.example.io/ready");
    }
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v2 available");
}
