//! Area C, without claims: creating pods, refusals, ids, and entering service.

use cloneset_api::names::labels;
use cloneset_plan::{Action, Plan};
use cloneset_status::Wait;
use cloneset_testkit::{Fate, World};
use serde_json::json;

fn lifecycle(world: &World) -> Vec<String> {
    let state = |pod: cloneset_status::Pod| pod.label(labels::LIFECYCLE_STATE).unwrap_or_default().to_owned();
    world.live_pods().into_iter().map(state).collect()
}

fn ids(plan: &Plan) -> Vec<String> {
    let created = |action: &Action| match action {
        Action::CreatePod(new) => Some(new.id.clone()),
        _ => None,
    };
    plan.actions.iter().filter_map(created).collect()
}

#[test]
fn scenario_48_from_0_to_5() {
    let mut world = World::of(&json!({"replicas": 0}));
    world.settle().unwrap();
    world.scale(5);
    assert_eq!(world.pass().unwrap().to_string(), "create 5 v1");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
}

/// Deviation 7: Kruise never clears the condition.
#[test]
fn scenario_53_a_quota_stops_creation_with_a_condition_that_goes_when_there_is_room() {
    let mut world = World::of(&json!({"replicas": 5}));
    world.quota(Some(2));
    assert_eq!(world.pass().unwrap().to_string(), "record v1, create 2 v1");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    assert_eq!(
        world.conditions(),
        [
            "FailedScale=True FailedScale",
            "Reconciling=True FailedScale",
            "Ready=False FailedScale"
        ]
    );
    world.quota(None);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
    assert_eq!(world.conditions(), ["Ready=True Healthy"]);
}

#[test]
fn scenario_54_and_regression_51_a_quota_without_room_for_surge_does_not_stop_the_release() {
    let spec = json!({"replicas": 5, "updateStrategy": {"maxSurge": 1, "maxUnavailable": 1}});
    let mut world = World::of(&spec);
    world.settle().unwrap();
    world.quota(Some(5));
    world.image("v2");
    assert_eq!(world.pass().unwrap().to_string(), "record v2");
    assert_eq!(
        world.conditions(),
        [
            "FailedScale=True FailedScale",
            "Reconciling=True FailedScale",
            "Ready=False FailedScale"
        ]
    );
    let held = world.pass().unwrap();
    assert_eq!(held.to_string(), "delete 1 v1 for update");
    assert!(
        held.plan.waits.contains(&Wait::BackingOff),
        "{:?}",
        held.plan.waits
    );
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v2 available");
    assert_eq!(world.conditions(), ["Ready=True Healthy"]);
}

#[test]
fn scenarios_65_66_and_regression_50_a_pod_enters_service_with_its_node_and_not_before() {
    let mut world = World::of(&json!({"replicas": 2}));
    world.fates([Fate::UNSCHEDULABLE, Fate::BROKEN]);
    world.settle().unwrap();
    let mut states = lifecycle(&world);
    states.sort_unstable();
    assert_eq!(states, ["Normal", "PreparingNormal"]);
    let waits = world.plan().waits;
    assert!(
        matches!(waits.as_slice(), [Wait::Unscheduled { .. }]),
        "{waits:?}"
    );
    assert_eq!(world.inventory(), "2 v1 unavailable");
}

/// Deviation 11: Kruise gets AlreadyExists for ever.
#[test]
fn an_id_taken_by_somebody_elses_pod_is_passed_over() {
    let mut world = World::of(&json!({"replicas": 2}));
    let [taken, free]: [String; 2] = ids(&world.plan()).try_into().unwrap();
    world.take_name(&format!("sample-{taken}"));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    let used: Vec<String> = world
        .live_pods()
        .iter()
        .map(|pod| pod.instance_id().unwrap().to_owned())
        .collect();
    assert!(used.contains(&free) && !used.contains(&taken), "{used:?}");
}

/// Deviation 11 again: a finished pod keeps its name, and its replacement takes another.
#[test]
fn regression_29_a_failed_pod_is_replaced_and_stays() {
    let mut world = World::of(&json!({"replicas": 3}));
    world.settle().unwrap();
    let failed = world.live_pods()[0].clone();
    world.fail(&failed);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
    let snapshot = world.snapshot();
    assert_eq!(snapshot.pods.len(), 4);
    assert!(
        snapshot.pods.iter().any(|pod| pod.uid() == failed.uid()),
        "it is not ours to remove"
    );
}

#[test]
fn pods_deleted_by_hand_come_back_on_the_side_they_are_missing_from() {
    let spec = json!({"replicas": 5, "updateStrategy": {"partition": 3}});
    let mut world = World::of(&spec)
        .template("v2")
        .pods("3 v1 available, 2 v2 available");
    let victims = [world.pods_of("v1")[0].clone(), world.pods_of("v2")[0].clone()];
    for victim in &victims {
        world.delete_by_hand(victim);
    }
    assert_eq!(world.pass().unwrap().to_string(), "create 1 v1, create 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
}
