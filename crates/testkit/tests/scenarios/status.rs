//! Area L: what status says.

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
        assert_eq!(world.conditions(), ["Ready=True Healthy"]);
    }
}

#[test]
fn scenario_228_a_status_that_says_nothing_new_is_not_written() {
    let mut world = World::of(&json!({"replicas": 2}));
    world.settle().unwrap();
    let version = |world: &World| world.cloneset().metadata.resource_version.clone();
    let before = version(&world);
    world.run_for(3600).unwrap();
    assert!(
        !world.pass().unwrap().changed,
        "an hour later nothing else is true"
    );
    assert_eq!(version(&world), before);
    // Another reason, another status, and a condition that comes and goes.
    let containers = json!([{"name": "main", "image": "registry.local/web:v2"}]);
    let edits = [
        json!({"updateStrategy": {"partition": 1}, "template": {"spec": {"containers": containers}}}),
        json!({"updateStrategy": {"partition": 0, "paused": true}}),
        json!({"volumeClaimTemplates": [{"spec": {}}]}),
        json!({"volumeClaimTemplates": null}),
    ];
    for edit in edits {
        let conditions = world.conditions();
        world.edit(&edit);
        let edited = version(&world);
        world.settle().unwrap();
        assert_ne!(world.conditions(), conditions, "{edit}");
        assert_ne!(version(&world), edited, "{edit}");
    }
}

#[test]
fn stalled_comes_with_the_field_and_goes_with_it() {
    let mut world = World::of(&json!({"replicas": 2}));
    world.settle().unwrap();
    world.edit(&json!({"replicas": 4, "volumeClaimTemplates": [{"spec": {}}]}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available", "none is created");
    let status = world.status();
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(
        world.conditions(),
        ["Stalled=True InvalidSpec", "Ready=False InvalidSpec"]
    );
    let message = status.conditions.unwrap().swap_remove(0).message;
    assert!(message.unwrap().contains("spec.volumeClaimTemplates"));
    world.edit(&json!({"volumeClaimTemplates": null}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v1 available");
    assert_eq!(world.conditions(), ["Ready=True Healthy"]);
}

/// Pods that were on their way when the mistake was made would stay out of service until somebody mends it.
#[test]
fn while_the_spec_is_stalled_new_pods_enter_service_and_what_has_begun_is_finished() {
    let mistake = json!({"volumeClaimTemplates": [{"spec": {}}]});
    let mut world = World::of(&json!({"replicas": 3}));
    world.pass().unwrap();
    world.edit(&mistake);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
    let details = json!({"gracePeriodSeconds": 5});
    let strategy =
        json!({"type": "InPlaceIfPossible", "maxUnavailable": 2, "inPlaceUpdateStrategy": details});
    let mut world = World::of(&json!({"replicas": 3, "updateStrategy": strategy}));
    world.settle().unwrap();
    world.image("v2");
    world.pass().unwrap();
    world.edit(&mistake);
    world.settle().unwrap();
    assert_eq!(
        world.inventory(),
        "1 v1 available, 2 v2 available",
        "no other pod is begun with"
    );
}

/// A set of three at rest, with a deadline of ten seconds.
fn with_deadline(strategy: &serde_json::Value) -> World {
    let mut world =
        World::of(&json!({"replicas": 3, "progressDeadlineSeconds": 10, "updateStrategy": strategy}));
    world.settle().unwrap();
    world
}

/// The Progressing condition.
fn progressing(world: &World) -> String {
    let conditions = world.conditions();
    let found = conditions
        .iter()
        .find_map(|told| told.strip_prefix("Progressing="));
    found.unwrap_or("absent").to_owned()
}

#[test]
fn scenario_221_an_update_that_runs_is_progressing_until_its_deadline() {
    let mut world = with_deadline(&json!({}));
    world.breaks("v2");
    world.image("v2");
    world.run_for(9).unwrap();
    assert_eq!(progressing(&world), "True CloneSetUpdated");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "False ProgressDeadlineExceeded");
    assert!(
        world
            .conditions()
            .contains(&"Stalled=True ProgressDeadlineExceeded".to_owned())
    );
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(
        progressing(&world),
        "True CloneSetAvailable",
        "taken back, it is available"
    );
    assert_eq!(
        world.conditions(),
        ["Progressing=True CloneSetAvailable", "Ready=True Healthy"]
    );
}

#[test]
fn scenario_222_at_rest_the_condition_says_why() {
    assert_eq!(progressing(&with_deadline(&json!({}))), "True CloneSetAvailable");
    let mut world = with_deadline(&json!({"paused": true}));
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True CloneSetPaused");
    let mut world = with_deadline(&json!({"partition": 2}));
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True ProgressPartitionAvailable");
}

/// Nobody has paused it: the pause and the partition belong to the rolling update, which type `OnDelete` does without.
#[test]
fn with_type_on_delete_the_deadline_runs_until_somebody_has_deleted_the_old_pods() {
    let mut world = with_deadline(&json!({"type": "OnDelete", "partition": 1}));
    world.image("v2");
    world.run_for(5).unwrap();
    assert_eq!(progressing(&world), "True CloneSetUpdated");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "False ProgressDeadlineExceeded");
    for pod in world.live_pods() {
        world.delete_by_hand(&pod);
    }
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True CloneSetAvailable");
}

#[test]
fn scenario_231_available_is_told_before_paused() {
    assert_eq!(
        progressing(&with_deadline(&json!({"paused": true}))),
        "True CloneSetAvailable"
    );
}

#[test]
fn scenario_224_fewer_replicas_may_satisfy_the_partition() {
    let mut world = with_deadline(&json!({"partition": 1}));
    world.breaks("v2");
    world.image("v2");
    world.run_for(5).unwrap();
    assert_eq!(progressing(&world), "True CloneSetUpdated");
    world.scale(1);
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True ProgressPartitionAvailable");
}

#[test]
fn scenario_225_a_pause_forgives_a_missed_deadline() {
    let mut world = with_deadline(&json!({}));
    world.breaks("v2");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "False ProgressDeadlineExceeded");
    world.edit(&json!({"updateStrategy": {"paused": true}}));
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True CloneSetPaused");
}

/// Kruise jumps to `ProgressDeadlineExceeded` at once; here the clock starts with the update (deviation 8).
#[test]
fn scenario_227_time_at_rest_does_not_count_towards_the_deadline() {
    let mut world = with_deadline(&json!({}));
    world.run_for(3_600).unwrap();
    world.image("v2");
    world.pass().unwrap();
    assert_eq!(progressing(&world), "True CloneSetUpdated");
    world.settle().unwrap();
    assert_eq!(progressing(&world), "True CloneSetAvailable");
}

#[test]
fn regression_47_the_expected_pods_are_what_the_spec_says_at_every_moment() {
    let mut world = World::of(&json!({"replicas": 5, "updateStrategy": {"partition": 2}}));
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    world.image("v1");
    for second in 0..20 {
        world.run_for(1).unwrap();
        let expected = world.status().expected_updated_replicas;
        assert_eq!(expected, 3, "in second {second} of going back");
    }
    world.partition("60%");
    world.pass().unwrap();
    assert_eq!(world.status().expected_updated_replicas, 2);
}
