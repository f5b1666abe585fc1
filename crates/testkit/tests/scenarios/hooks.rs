//! Areas E and K: lifecycle hooks hold pods, and whoever acts on them lets them go.

use cloneset_api::names::{labels, pod_conditions};
use cloneset_status::{Pod, Wait};
use cloneset_testkit::{Fate, World};
use serde_json::{Value, json};

pub(crate) const HELD: &str = "example.com/held";

/// A hook by one label.
pub(crate) fn hook(name: &str) -> Value {
    json!({"lifecycle": {name: {"labelsHandler": {HELD: "true"}}}})
}

/// A settled world whose pods carry the hook's label from their template.
pub(crate) fn world(replicas: i32, strategy: &Value, hook: &Value) -> World {
    let template_labels = json!({"app": "sample", HELD: "true"});
    let mut spec = json!({
        "replicas": replicas,
        "updateStrategy": strategy,
        "template": {"metadata": {"labels": template_labels}}
    });
    spec.as_object_mut()
        .unwrap()
        .extend(hook.as_object().unwrap().clone());
    let mut world = World::of(&spec);
    world.settle().unwrap();
    world.take_extremes();
    world
}

pub(crate) fn in_place() -> Value {
    json!({"type": "InPlaceIfPossible", "maxUnavailable": 1})
}

pub(crate) fn states(world: &World) -> Vec<String> {
    let state = |pod: &Pod| pod.label(labels::LIFECYCLE_STATE).unwrap_or_default().to_owned();
    let mut states: Vec<String> = world.live_pods().iter().map(state).collect();
    states.sort();
    states
}

fn only(world: &World) -> Pod {
    let [pod] = world.live_pods().try_into().unwrap();
    pod
}

/// The waits for hooks.
fn held(world: &World) -> Vec<Wait> {
    let waits = world.plan().waits;
    waits
        .into_iter()
        .filter(|wait| matches!(wait, Wait::Hook { .. }))
        .collect()
}

#[test]
fn scenarios_200_201_203_a_hook_holds_an_update_before_and_after() {
    let mut world = world(1, &in_place(), &hook("inPlaceUpdate"));
    let before = only(&world);
    world.image("v2");
    assert_eq!(
        world.pass().unwrap().to_string(),
        "record v2, hold update of 1 v1"
    );
    world.settle().unwrap();
    let pod = only(&world);
    assert_eq!(pod.label(labels::LIFECYCLE_STATE), Some("PreparingUpdate"));
    assert_eq!(
        pod.label(labels::REVISION),
        before.label(labels::REVISION),
        "nothing else changed"
    );
    assert_eq!(pod.spec.containers, before.spec.containers);
    assert_eq!(world.inventory(), "1 v1 unavailable");
    assert_eq!(
        held(&world),
        [Wait::Hook {
            pods: 1,
            hook: "inPlaceUpdate"
        }]
    );

    world.unlabel(&pod, HELD);
    assert_eq!(world.pass().unwrap().to_string(), "take out 1 v1");
    assert_eq!(world.pass().unwrap().to_string(), "change 1 v2");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Updated"]);
    assert!(
        only(&world).condition_is_true(pod_conditions::READY),
        "it serves, and does not count yet"
    );
    assert_eq!(world.inventory(), "1 v2 unavailable");

    world.label(&only(&world), HELD, "true");
    assert_eq!(world.pass().unwrap().to_string(), "serve 1 v2");
    world.settle().unwrap();
    assert_eq!(
        (states(&world), world.inventory().as_str()),
        (vec!["Normal".to_owned()], "1 v2 available")
    );
}

/// In Kruise through a gate of its own (deviation 13), here through ours.
#[test]
fn mark_pod_not_ready_takes_a_held_pod_out_of_service() {
    let mut hook = hook("inPlaceUpdate");
    hook["lifecycle"]["inPlaceUpdate"]["markPodNotReady"] = json!(true);
    let mut world = world(1, &in_place(), &hook);
    world.image("v2");
    world.pass().unwrap();
    let pod = only(&world);
    assert!(!pod.condition_is_true(pod_conditions::READY));
    assert!(!pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY));
    world.unlabel(&pod, HELD);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Updated"]);
    assert!(
        only(&world).condition_is_true(pod_conditions::READY),
        "in Updated it serves again"
    );

    // Regression 39, and the entry that Kruise never removes: rolled back while held.
    world.label(&only(&world), HELD, "true");
    world.settle().unwrap();
    world.image("v1");
    world.pass().unwrap();
    assert_eq!(states(&world), ["PreparingUpdate"]);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
}

#[test]
fn scenario_204_a_new_pod_that_no_hook_holds_is_updated_at_once() {
    let spec =
        json!({"replicas": 1, "updateStrategy": in_place(), "lifecycle": hook("inPlaceUpdate")["lifecycle"]});
    let mut world = World::of(&spec);
    world.fates([Fate::UNSCHEDULABLE]);
    world.settle().unwrap();
    assert_eq!(states(&world), ["PreparingNormal"]);
    world.image("v2");
    assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
    assert_eq!(states(&world), ["Updating"]);
}

#[test]
fn scenario_207_and_regression_39_a_rollback_lets_held_pods_be() {
    for (lifecycle, expected) in [
        (hook("inPlaceUpdate"), "Normal"),
        (json!({"lifecycle": null}), "Normal"),
    ] {
        let mut world = world(1, &in_place(), &hook("inPlaceUpdate"));
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(states(&world), ["PreparingUpdate"]);
        world.edit(&lifecycle);
        world.image("v1");
        world.settle().unwrap();
        assert_eq!(states(&world), [expected]);
        assert_eq!(world.inventory(), "1 v1 available");
    }
    // Not all of the hook is there: it has to be put back first.
    let two = json!({"lifecycle": {"inPlaceUpdate": {"labelsHandler": {HELD: "true", "example.com/other": "yes"}}}});
    let mut world = world(1, &in_place(), &two);
    world.image("v2");
    world.settle().unwrap();
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Updated"]);
    world.label(&only(&world), "example.com/other", "yes");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal"]);
}

#[test]
fn scenario_209_a_held_pod_stays_while_paused_and_goes_back_when_the_partition_is_raised() {
    let held_pods = |change: &Value| {
        let mut world = world(2, &in_place(), &hook("inPlaceUpdate"));
        world.image("v2");
        world.settle().unwrap();
        world.edit(&json!({ "updateStrategy": change }));
        world.settle().unwrap();
        world
    };
    let paused = held_pods(&json!({"paused": true}));
    assert_eq!(states(&paused), ["Normal", "PreparingUpdate"]);
    assert_eq!(paused.inventory(), "1 v1 available, 1 v1 unavailable");
    assert_eq!(held(&paused).len(), 1, "{:?}", paused.plan().waits);
    let raised = held_pods(&json!({"partition": 2}));
    assert_eq!(states(&raised), ["Normal", "Normal"]);
    assert_eq!(raised.inventory(), "2 v1 available");
}

#[test]
fn removing_the_hook_from_the_spec_lets_every_pod_go() {
    let mut world = world(3, &in_place(), &hook("inPlaceUpdate"));
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(
        states(&world),
        ["Normal", "Normal", "PreparingUpdate"],
        "a stuck hook blocks its pod only"
    );
    world.edit(&json!({"lifecycle": null}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
}

#[test]
fn a_new_target_in_updated_puts_the_hook_back_and_asks_again() {
    let mut world = world(1, &in_place(), &hook("inPlaceUpdate"));
    world.image("v2");
    world.settle().unwrap();
    world.unlabel(&only(&world), HELD);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Updated"]);
    world.image("v3");
    assert_eq!(
        world.pass().unwrap().to_string(),
        "record v3, hold update of 1 v2"
    );
    assert_eq!(only(&world).label(HELD), Some("true"));
    world.unlabel(&only(&world), HELD);
    world.settle().unwrap();
    world.label(&only(&world), HELD, "true");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v3 available");
}

/// Oddity 24: in Kruise a livelock.
#[test]
fn rolling_back_by_the_partition_with_a_hook_comes_to_rest() {
    let rollback = cloneset_plan::Features {
        partition_rollback: true,
        ..cloneset_plan::Features::default()
    };
    let mut strategy = in_place();
    strategy["partition"] = json!(1);
    let mut world = world(2, &strategy, &json!({})).with(rollback);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v1 available, 1 v2 available");
    world.edit(&hook("inPlaceUpdate"));
    world.partition(2);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "PreparingUpdate"]);
    let pod = world.pods_of("v2").swap_remove(0);
    world.unlabel(&pod, HELD);
    world.settle().unwrap();
    world.label(&pod, HELD, "true");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
}

#[test]
fn regression_41_and_scenario_210_all_labels_must_be_there_to_count_again() {
    let both = json!({"lifecycle": {"inPlaceUpdate": {"labelsHandler": {HELD: "true", "example.com/other": "yes"}}}});
    let mut world = world(1, &in_place(), &both);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(states(&world), ["PreparingUpdate"], "one label is enough to hold");
    world.unlabel(&only(&world), HELD);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Updated"]);
    world.label(&only(&world), HELD, "true");
    world.settle().unwrap();
    assert_eq!(
        states(&world),
        ["Updated"],
        "one label is not enough to count again"
    );
    world.label(&only(&world), "example.com/other", "yes");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal"]);
}

#[test]
fn scenario_210_one_finalizer_of_two_holds_and_an_empty_hook_does_not() {
    let finalizers = ["example.com/a", "example.com/b"];
    let two = json!({"lifecycle": {"inPlaceUpdate":
        {"finalizersHandler": finalizers, "labelsHandler": {"example.com/other": "yes"}}}});
    let mut held = world(1, &in_place(), &two);
    held.finalizer(&only(&held), finalizers[0], true);
    held.label(&only(&held), "example.com/other", "wrong");
    held.image("v2");
    held.settle().unwrap();
    assert_eq!(states(&held), ["PreparingUpdate"], "one of two holds");
    held.finalizer(&only(&held), finalizers[0], false);
    held.settle().unwrap();
    held.finalizer(&only(&held), finalizers[0], true);
    held.settle().unwrap();
    assert_eq!(states(&held), ["Updated"], "one of two is not all");
    held.finalizer(&only(&held), finalizers[1], true);
    held.settle().unwrap();
    assert_eq!(states(&held), ["Updated"], "the label is still wrong");
    held.label(&only(&held), "example.com/other", "yes");
    held.settle().unwrap();
    assert_eq!(states(&held), ["Normal"]);

    for none in [
        json!({"lifecycle": {"inPlaceUpdate": {}}}),
        json!({"lifecycle": {}}),
    ] {
        let mut free = world(1, &in_place(), &none);
        free.image("v2");
        free.settle().unwrap();
        assert_eq!(
            (states(&free), free.inventory().as_str()),
            (vec!["Normal".to_owned()], "1 v2 available")
        );
    }
}

#[test]
fn pre_normal_keeps_a_ready_pod_from_counting() {
    let mut spec = json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 1}});
    spec["lifecycle"] = json!({"preNormal": {"finalizersHandler": ["example.com/checked"]}});
    let mut world = World::of(&spec);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 unavailable");
    assert!(
        world
            .live_pods()
            .iter()
            .all(|pod| pod.condition_is_true(pod_conditions::READY))
    );
    assert_eq!(
        held(&world),
        [Wait::Hook {
            pods: 2,
            hook: "preNormal"
        }]
    );
    for pod in world.live_pods() {
        world.finalizer(&pod, "example.com/checked", true);
    }
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
}

#[test]
fn scenario_98_and_108_a_pod_that_a_hook_holds_is_deleted_when_it_lets_go() {
    for by_spec in [false, true] {
        let mut world = world(3, &json!({"maxUnavailable": 1}), &hook("preDelete"));
        let victim = world.live_pods().swap_remove(1);
        world.mark(&victim);
        assert_eq!(world.pass().unwrap().to_string(), "hold deletion of 1 v1");
        world.settle().unwrap();
        assert_eq!(
            states(&world),
            ["Normal", "Normal", "PreparingDelete"],
            "nothing is created until it is gone"
        );
        assert_eq!(
            held(&world),
            [Wait::Hook {
                pods: 1,
                hook: "preDelete"
            }]
        );
        if by_spec {
            world.edit(&json!({"lifecycle": null}));
        } else {
            world.unlabel(&victim, HELD);
        }
        world.settle().unwrap();
        assert_eq!(states(&world), ["Normal"; 3]);
        assert!(world.live_pods().iter().all(|pod| pod.uid() != victim.uid()));
    }
}

#[test]
fn regression_25_with_exclude_its_replacement_comes_at_once() {
    let mut world = world(3, &json!({"maxUnavailable": 1}), &hook("preDelete"));
    world.label_cloneset(labels::EXCLUDE_PREPARING_DELETE, "true");
    let victim = world.live_pods().swap_remove(1);
    world.mark(&victim);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "Normal", "Normal", "PreparingDelete"]);
}

#[test]
fn scenario_102_a_pod_held_by_scale_in_comes_back_when_it_is_wanted_again() {
    let mut world = world(3, &json!({"maxUnavailable": 1}), &hook("preDelete"));
    let before: Vec<String> = world.live_pods().iter().map(|pod| pod.uid().to_owned()).collect();
    world.scale(2);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "Normal", "PreparingDelete"]);
    world.scale(3);
    assert_eq!(world.pass().unwrap().to_string(), "serve 1 v1", "none is created");
    assert_eq!(states(&world), ["Normal", "Normal", "PreparingNormal"]);
    assert_eq!(world.pass().unwrap().to_string(), "serve 1 v1");
    assert_eq!(states(&world), ["Normal"; 3]);
    world.settle().unwrap();
    let after: Vec<String> = world.live_pods().iter().map(|pod| pod.uid().to_owned()).collect();
    assert_eq!(before, after);
}

#[test]
fn what_was_drained_for_deletion_has_to_go() {
    let mut marking = hook("preDelete");
    marking["lifecycle"]["preDelete"]["markPodNotReady"] = json!(true);
    let mut world = world(3, &json!({"maxUnavailable": 1}), &marking);
    world.scale(2);
    world.settle().unwrap();
    let leaves = |pod: &Pod| pod.label(labels::LIFECYCLE_STATE) == Some("PreparingDelete");
    let leaving = world.live_pods().into_iter().find(leaves).unwrap();
    assert!(!leaving.condition_is_true(pod_conditions::READY));
    world.scale(3);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "Normal", "PreparingDelete"]);
    world.unlabel(&leaving, HELD);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal"; 3]);
    assert!(world.live_pods().iter().all(|pod| pod.uid() != leaving.uid()));
}

#[test]
fn a_re_create_update_waits_for_the_hook_too_and_is_not_regretted() {
    let mut world = world(2, &json!({"maxUnavailable": 1}), &hook("preDelete"));
    world.image("v2");
    for _ in 0..3 {
        world.settle().unwrap();
        let leaves = |pod: &Pod| pod.label(labels::LIFECYCLE_STATE) == Some("PreparingDelete");
        for pod in world.live_pods().into_iter().filter(leaves) {
            world.unlabel(&pod, HELD);
        }
    }
    assert_eq!(world.inventory(), "2 v2 available");
}

/// Gate `PreparingUpdateAsUpdate` (`behaviour.md` 4.3): the pod that is missing is one of the version that stays behind.
#[test]
fn with_its_gate_scaling_out_beside_a_held_pod_keeps_the_partition() {
    for (gate, new_pods) in [(false, 1), (true, 0)] {
        let features = cloneset_plan::Features {
            preparing_update_as_update: gate,
            ..cloneset_plan::Features::default()
        };
        let mut strategy = in_place();
        strategy["partition"] = json!(2);
        let mut world = world(3, &strategy, &hook("inPlaceUpdate")).with(features);
        world.image("v2");
        world.settle().unwrap();
        let preparing = |pod: &Pod| pod.label(labels::LIFECYCLE_STATE) == Some("PreparingUpdate");
        let held = world.live_pods().into_iter().find(preparing).unwrap();
        world.edit(&json!({"replicas": 4, "updateStrategy": {"partition": 3}}));
        world.settle().unwrap();
        assert_eq!(world.live_pods().len(), 4);
        assert_eq!(world.pods_of("v2").len(), new_pods, "gate {gate}");
        if gate {
            world.unlabel(&held, HELD);
            world.settle().unwrap();
            world.label(&held, HELD, "true");
            world.settle().unwrap();
            assert_eq!(world.inventory(), "3 v1 available, 1 v2 available");
        }
    }
}
