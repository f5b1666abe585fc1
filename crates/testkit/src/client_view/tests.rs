//! Does the client's judge object? Each promise is broken by a write made by hand.

use super::{judge, stuck};
use crate::World;
use cloneset_api::names::labels;
use cloneset_status::Pod;
use serde_json::{Value, json};
use std::sync::Arc;

/// A set whose template says v2.
fn set(spec: &Value, pods: &str) -> World {
    World::of(spec).template("v2").pods(pods)
}

fn stored(world: &World) -> Vec<Arc<Pod>> {
    world.store.pods().cloned().collect()
}

/// Makes a write by hand and gives the verdict on it.
fn verdict(world: &mut World, write: impl FnOnce(&mut World)) -> String {
    let before = stored(world);
    write(world);
    let judged = judge(&world.store.cloneset, &before, &stored(world), world.now);
    judged.err().unwrap_or_else(|| "fine".to_owned())
}

/// Deletes the first pod of a version.
fn delete(version: &str) -> impl FnOnce(&mut World) {
    move |world| {
        let pod = world.pods_of(version).swap_remove(0);
        world.delete_by_hand(&pod);
    }
}

fn label(version: &str, state: &str) -> impl FnOnce(&mut World) {
    move |world| {
        let pod = world.pods_of(version).swap_remove(0);
        world.label(&pod, labels::LIFECYCLE_STATE, state);
    }
}

fn no_surge() -> Value {
    json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}})
}

fn blue_green(replicas: i32) -> Value {
    let strategy = json!({"maxSurge": "100%", "maxUnavailable": 0});
    json!({"replicas": replicas, "minReadySeconds": i32::MAX - 1, "updateStrategy": strategy})
}

#[test]
fn a_write_that_leaves_fewer_serving_pods_than_promised_is_found() {
    let mut world = set(&no_surge(), "3 v2 available");
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
    let told = verdict(&mut world, delete("v2"));
    let floor = "1 of 2 pods serve, replicas - maxUnavailable is 2";
    assert!(
        told.starts_with("client, floor: without sample-p1 ") && told.ends_with(floor),
        "{told}"
    );
}

#[test]
fn a_write_that_takes_a_pod_where_too_few_serve_already_is_found() {
    let mut world = set(&no_surge(), "1 v2 available, 2 v2 unavailable");
    let told = verdict(&mut world, |world| {
        let serving = world.live_pods().swap_remove(0);
        world.delete_by_hand(&serving);
    });
    assert!(
        told.ends_with("0 of 1 pods serve, replicas - maxUnavailable is 2"),
        "{told}"
    );
}

#[test]
fn a_named_pod_is_no_exception_to_the_floor() {
    let spec = json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    let told = verdict(&mut set(&spec, "2 v2 available marked"), delete("v2"));
    assert!(told.starts_with("client, floor: "), "{told}");
}

#[test]
fn a_label_that_announces_the_end_of_a_pod_takes_it_away_and_its_delete_no_more() {
    for state in ["PreparingDelete", "PreparingUpdate"] {
        let mut world = set(&no_surge(), "3 v2 available");
        assert_eq!(verdict(&mut world, label("v2", state)), "fine");
        let told = verdict(&mut world, |world| {
            let second = world.live_pods().swap_remove(1);
            world.label(&second, labels::LIFECYCLE_STATE, state);
        });
        assert!(told.starts_with("client, floor: "), "{told}");
    }
    let mut drained = set(&no_surge(), "1 v2 available leaving, 2 v2 available");
    assert_eq!(verdict(&mut drained, delete("v2")), "fine");
}

#[test]
fn a_pod_without_the_labels_of_the_service_serves_no_client() {
    let mut world = set(&no_surge(), "3 v2 available");
    for pod in world.live_pods() {
        world.label(&pod, "app", "another");
    }
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
}

#[test]
fn an_available_pod_is_not_replaced_by_one_that_has_just_become_ready() {
    let spec = json!({
        "replicas": 2, "minReadySeconds": 60, "updateStrategy": {"maxSurge": 2, "maxUnavailable": 0}
    });
    let told = verdict(&mut set(&spec, "2 v1 available, 2 v2 fresh"), delete("v1"));
    assert_eq!(
        told,
        "client, stand-ins: 1 pods can stand in for sample-p0, which is available; replicas - maxUnavailable is 2"
    );
}

#[test]
fn in_a_blue_green_state_no_pod_of_the_stable_version_goes() {
    // Rows 2, 3 and 4: the new pods do not serve, or serve but have proven nothing.
    for new in ["5 v2 unavailable", "5 v2 pending"] {
        let told = verdict(
            &mut set(&blue_green(5), &format!("5 v1 fresh, {new}")),
            delete("v1"),
        );
        assert!(told.starts_with("client, floor: "), "{told}");
    }
    let mut world = set(&blue_green(5), "5 v1 fresh");
    world.now = world
        .now
        .checked_add(jiff::SignedDuration::from_secs(10))
        .unwrap();
    let mut world = world.pods("5 v2 fresh");
    let told = verdict(&mut world.clone(), delete("v1"));
    assert!(told.starts_with("client, stand-ins: 4 pods "), "{told}");
    // Row 5: back to v1, whose pods are older and serve for longer.
    world.image("v1");
    assert_eq!(verdict(&mut world.clone(), delete("v2")), "fine");
    // Row 6: one fewer, and one of each may go.
    world.scale(4);
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
    assert_eq!(verdict(&mut world, delete("v1")), "fine");
    assert!(verdict(&mut world, delete("v1")).starts_with("client, stand-ins: 3 pods "));
}

#[test]
fn surplus_and_named_pods_of_a_single_version_need_not_be_available() {
    let spec = json!({"replicas": 3, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
    let mut world = set(&spec, "5 v2 fresh");
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
    assert!(verdict(&mut world, delete("v2")).starts_with("client, floor: "));

    let spec = json!({"replicas": 5, "minReadySeconds": 3600, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "5 v2 fresh marked");
    assert_eq!(verdict(&mut world, delete("v2")), "fine");
    assert!(verdict(&mut world, delete("v2")).starts_with("client, floor: "));
}

#[test]
fn an_update_of_pods_that_are_not_available_yet_is_found() {
    let spec = json!({"replicas": 3, "minReadySeconds": 60, "updateStrategy": {"maxUnavailable": 1}});
    for write in [
        Box::new(delete("v1")) as Box<dyn FnOnce(&mut World)>,
        Box::new(label("v1", "PreparingUpdate")),
    ] {
        let told = verdict(&mut set(&spec, "3 v1 fresh"), write);
        let update = "client, update: 0 available pods are left when sample-p0 makes place, replicas - maxUnavailable is 2";
        assert_eq!(told, update);
    }
    // Fresh pods of an abandoned version can be updated at once beside enough available ones.
    let spec =
        json!({"replicas": 2, "minReadySeconds": 60, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 2}});
    assert_eq!(
        verdict(&mut set(&spec, "2 v0 available, 1 v1 fresh"), delete("v1")),
        "fine"
    );
}

#[test]
fn a_pod_of_the_wanted_version_that_goes_before_an_abandoned_one_is_found() {
    let told = verdict(
        &mut set(&no_surge(), "3 v2 available, 2 v1 available"),
        delete("v2"),
    );
    assert!(told.starts_with("client, abandoned: sample-p0 "), "{told}");
    assert_eq!(
        verdict(
            &mut set(&no_surge(), "3 v2 available, 2 v1 available"),
            delete("v1")
        ),
        "fine"
    );
}

#[test]
fn a_pod_of_the_old_version_that_goes_because_the_update_is_paused_is_found() {
    let spec = json!({"replicas": 5, "updateStrategy": {"paused": true, "maxSurge": 2, "maxUnavailable": 0}});
    let mut world = set(&spec, "5 v1 available");
    world.now = world
        .now
        .checked_add(jiff::SignedDuration::from_secs(10))
        .unwrap();
    let world = world.pods("2 v2 available");
    let told = verdict(&mut world.clone(), delete("v1"));
    assert!(told.starts_with("client, paused: sample-p0 "), "{told}");
    assert_eq!(verdict(&mut world.clone(), delete("v2")), "fine");
    let mut fewer = world;
    fewer.scale(4);
    assert_eq!(
        verdict(&mut fewer, delete("v1")),
        "fine",
        "5 old pods are surplus by themselves"
    );
}

#[test]
fn a_pod_that_no_time_makes_available_can_be_replaced_within_the_floor() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}});
    let mut world = set(&spec, "3 v1 available");
    for pod in world.live_pods() {
        world.label(&pod, labels::LIFECYCLE_STATE, "PreparingNormal");
    }
    assert_eq!(verdict(&mut world, delete("v1")), "fine");
    assert!(verdict(&mut world, delete("v1")).starts_with("client, floor: "));
}

#[test]
fn a_broken_surplus_pod_that_stays_is_found() {
    let world = set(&no_surge(), "3 v2 available, 1 v2 unavailable");
    let judged = |is_kept: bool| stuck(&world.store.cloneset, &stored(&world), |_| is_kept, world.now);
    let told = judged(false).unwrap_err();
    assert!(
        told.starts_with("client, way out: sample-p3 serves nobody and stays, "),
        "{told}"
    );
    judged(true).unwrap();
}
