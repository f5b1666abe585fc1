//! Area L: what status says. Conditions of progress are not built yet.

use cloneset_testkit::World;
use serde_json::json;

#[test]
fn the_counters_are_those_of_the_reference() {
    let spec =
        json!({"replicas": 6, "minReadySeconds": 30, "updateStrategy": {"partition": 2, "paused": true}});
    let pods = "2 v1 available, 1 v1 unavailable, 1 v2 available marked, 1 v2 fresh, 1 v2 unavailable, \
                1 v1 terminating, 1 v2 available failed";
    let mut world = World::of(&spec).template("v2").pods(pods);
    world.pass().unwrap();
    let status = world.status();
    let told = [
        status.replicas,
        status.ready_replicas,
        status.available_replicas,
        status.updated_replicas,
        status.updated_ready_replicas,
        status.updated_available_replicas,
        status.expected_updated_replicas,
    ];
    assert_eq!(
        told,
        [6, 4, 3, 3, 2, 1, 4],
        "terminating and failed pods are not counted"
    );
    assert_eq!(status.label_selector.as_deref(), Some("app=sample"));
    assert_eq!(status.observed_generation, Some(1));
}

#[test]
fn scenario_218_without_a_deadline_there_is_no_progressing_condition() {
    for deadline in [json!(null), json!(i32::MAX)] {
        let mut world = World::of(&json!({"replicas": 1, "progressDeadlineSeconds": deadline}));
        world.settle().unwrap();
        assert_eq!(world.inventory(), "1 v1 available");
        assert_eq!(world.status().conditions, None);
    }
}

#[test]
fn scenario_228_a_status_that_says_nothing_new_is_not_written() {
    let mut world = World::of(&json!({"replicas": 2}));
    world.settle().unwrap();
    let before = world.cloneset().metadata.resource_version.clone();
    assert!(!world.pass().unwrap().changed);
    assert_eq!(world.cloneset().metadata.resource_version, before);
}

#[test]
fn stalled_comes_with_the_field_and_goes_with_it() {
    let mut world = World::of(&json!({"replicas": 2}));
    world.settle().unwrap();
    world.edit(&json!({"replicas": 4, "updateStrategy": {"type": "InPlaceOnly"}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available", "no pod is changed");
    let status = world.status();
    assert_eq!(status.observed_generation, Some(2));
    let [stalled]: [_; 1] = status.conditions.unwrap().try_into().unwrap();
    assert_eq!(
        (stalled.type_.as_str(), stalled.reason.as_deref()),
        ("Stalled", Some("NotYetSupported"))
    );
    assert!(stalled.message.unwrap().contains("spec.updateStrategy.type"));
    world.edit(&json!({"updateStrategy": {"type": "ReCreate"}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v1 available");
    assert_eq!(world.status().conditions, Some(vec![]));
}
