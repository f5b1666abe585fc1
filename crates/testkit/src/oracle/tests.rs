//! Does the oracle object? Each promise is broken by a plan that was right until something changed, or by a hand.

use crate::World;
use crate::census::Census;
use crate::failure::Failure;
use cloneset_api::names::labels;
use cloneset_plan::{Action, ClaimDeletion, Plan};
use cloneset_status::Pod;
use serde_json::{Value, json};

/// A set whose template says v2, with these pods.
fn set(replicas: i32, strategy: &Value, pods: &str) -> World {
    let spec = json!({"replicas": replicas, "updateStrategy": strategy});
    World::of(&spec).template("v2").pods(pods)
}

fn act(world: &mut World, plan: &Plan) -> Result<(), Failure> {
    let seen = Census::of(&world.store, world.now);
    world.act(plan, seen).map(|_| ())
}

/// Carries out what was planned before the change.
fn after(mut world: World, change: impl FnOnce(&mut World, &Plan)) -> String {
    let plan = world.plan();
    assert!(!plan.actions.is_empty(), "{:?}", plan.waits);
    act(&mut world.clone(), &plan).unwrap();
    change(&mut world, &plan);
    act(&mut world, &plan).unwrap_err().rule
}

fn only(world: &World) -> Pod {
    world.live_pods().swap_remove(0)
}

#[test]
fn s1_a_pod_above_replicas_and_surge() {
    let told = after(set(3, &json!({}), "2 v2 available"), |world, _| world.scale(2));
    assert_eq!(told, "S1: a create makes 3 pods, replicas + maxSurge is 2");
}

#[test]
fn s2_an_available_pod_that_has_to_stay() {
    let world = set(3, &json!({"maxUnavailable": 1}), "3 v1 available");
    let told = after(world, |world, _| {
        world.edit(&json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}}));
    });
    assert!(told.starts_with("S2: losing sample-p"), "{told}");
    assert!(
        told.ends_with("leaves 2 available, replicas - maxUnavailable is 3"),
        "{told}"
    );
}

#[test]
fn s2_a_pod_that_is_not_named_any_more() {
    let mut world = set(
        3,
        &json!({"maxUnavailable": 1}),
        "1 v2 available marked, 2 v2 available",
    );
    let mut plan = world.plan();
    let marked = world.live_pods().swap_remove(0);
    world.unlabel(&marked, labels::SPECIFIED_DELETE);
    assert!(
        act(&mut world.clone(), &plan).is_ok(),
        "the API server refuses the write"
    );
    let version = world
        .live_pods()
        .swap_remove(0)
        .metadata
        .resource_version
        .unwrap();
    for action in &mut plan.actions {
        if let Action::DeletePod(deletion) = action {
            deletion.resource_version.clone_from(&version);
        }
    }
    let told = act(&mut world, &plan).unwrap_err().rule;
    assert_eq!(told, "S2: sample-p0 is deleted as named, but nobody named it");
}

#[test]
fn s2_in_place_a_pod_that_is_taken_out_of_service_counts_as_well() {
    let strategy = json!({"maxUnavailable": 1, "type": "InPlaceIfPossible"});
    let told = after(set(3, &strategy, "3 v1 available"), |world, _| {
        world.edit(&json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}}));
    });
    assert!(told.starts_with("S2: losing sample-p"), "{told}");
}

#[test]
fn s3_a_pod_moved_beyond_the_partition() {
    for type_ in ["ReCreate", "InPlaceIfPossible"] {
        let strategy = json!({"maxUnavailable": 1, "type": type_});
        let told = after(set(3, &strategy, "3 v1 available"), |world, _| world.partition(3));
        assert!(told.starts_with("S3: "), "{told}");
    }
    let told = after(set(3, &json!({}), "2 v1 available").current("v1"), |world, _| {
        world.partition(3);
    });
    assert_eq!(
        told,
        "S3: a create makes 1 pods of the new version, replicas - partition is 0"
    );
}

#[test]
fn s4_a_pod_of_somebody_else() {
    for type_ in ["ReCreate", "InPlaceIfPossible"] {
        let strategy = json!({"maxUnavailable": 1, "type": type_});
        let mut world = set(1, &strategy, "1 v1 available");
        let mut plan = world.plan();
        world.store.change_pod(only(&world).uid(), |pod| {
            let owners = pod.metadata.owner_references.iter_mut().flatten();
            owners.for_each(|owner| "another".clone_into(&mut owner.uid));
        });
        let version = only(&world).metadata.resource_version.clone().unwrap();
        for action in &mut plan.actions {
            match action {
                Action::DeletePod(deletion) => deletion.resource_version.clone_from(&version),
                Action::TakeOutOfService(write) => write.resource_version.clone_from(&version),
                other => panic!("{other:?}"),
            }
        }
        let told = act(&mut world, &plan).unwrap_err().rule;
        assert_eq!(told, "S4: sample-p0 is not ours");
    }
}

#[test]
fn s6_an_instance_id_twice() {
    let told = after(set(2, &json!({}), "1 v2 available"), |world, plan| {
        let [Action::CreatePod(new)] = plan.actions.as_slice() else {
            panic!("{:?}", plan.actions)
        };
        world.label(&only(world), labels::INSTANCE_ID, &new.id);
    });
    assert!(told.starts_with("S6: 2 pods have the instance id "), "{told}");
}

#[test]
fn s6_a_claim_in_use_or_of_somebody_else() {
    let claims = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]);
    let mut world = World::of(&json!({"replicas": 1, "volumeClaimTemplates": claims}));
    world.settle().unwrap();
    let deletion = |world: &World, at: usize| {
        let claim = world.every_claim().swap_remove(at);
        ClaimDeletion {
            name: claim.name().to_owned(),
            uid: claim.uid().to_owned(),
            resource_version: claim.metadata.resource_version.clone().unwrap(),
            with_pod: None,
        }
    };
    let used = deletion(&world, 0);
    let told = world.clone().delete_claim(&used).unwrap_err().rule;
    assert_eq!(
        told,
        format!("S6: {} is deleted while a pod runs on it", used.name)
    );
    world.take_claim_name("zebra");
    let foreign = deletion(&world, 1);
    let told = world.delete_claim(&foreign).unwrap_err().rule;
    assert_eq!(told, "S6: claim zebra is not ours");
}

#[test]
fn s11_a_status_that_goes_back_or_tells_what_is_not_so() {
    let mut world = World::of(&json!({"replicas": 3, "updateStrategy": {"partition": 1}}));
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    let (before, seen) = (world.status(), Census::of(&world.store, world.now));
    let judged = |change: &dyn Fn(&mut cloneset_api::CloneSetStatus)| {
        let mut after = before.clone();
        change(&mut after);
        let verdict = world.judge(|oracle| oracle.reported(&before, &after, seen));
        verdict.map_err(|failure| failure.rule)
    };
    judged(&|_| {}).unwrap();
    let told = judged(&|status| status.observed_generation = Some(1)).unwrap_err();
    assert_eq!(told, "S11: observedGeneration goes from Some(2) to Some(1)");
    let told = judged(&|status| status.updated_ready_replicas += 1).unwrap_err();
    assert!(told.starts_with("S11: status tells "), "{told}");
    let told = judged(&|status| status.current_revision.clone_from(&status.update_revision)).unwrap_err();
    assert!(told.starts_with("S11: the current revision moves to "), "{told}");
}

#[test]
fn throttled_creation_that_does_not_wait() {
    let mut world = set(4, &json!({}), "2 v2 available");
    world.edit(&json!({"scaleStrategy": {"maxUnavailable": 2}}));
    let told = after(world, |world, _| {
        world.edit(&json!({"scaleStrategy": {"maxUnavailable": 1}}));
    });
    assert_eq!(
        told,
        "scale: a create makes 2 pods that are not available, scaleStrategy.maxUnavailable is 1"
    );
}
