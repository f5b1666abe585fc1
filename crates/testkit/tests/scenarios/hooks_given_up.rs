//! Pods that a hook holds for something that is not to be done any more, and waves through both hooks.

use crate::hooks::{HELD, hook, in_place, states, world};
use cloneset_api::names::{labels, pod_conditions};
use cloneset_status::{Pod, Wait};
use cloneset_testkit::World;
use serde_json::json;

/// The pod that waits in this state.
fn in_state(world: &World, state: &str) -> Pod {
    let is_there = |pod: &Pod| pod.label(labels::LIFECYCLE_STATE) == Some(state);
    world.live_pods().into_iter().find(is_there).unwrap()
}

#[test]
fn a_held_pod_above_which_the_partition_is_raised_serves_again() {
    let mut marking = hook("inPlaceUpdate");
    marking["lifecycle"]["inPlaceUpdate"]["markPodNotReady"] = json!(true);
    // The hook is taken off the spec, lets go of the pod, or stays.
    for (removed, released) in [(true, false), (false, true), (false, false)] {
        let mut world = world(2, &in_place(), &marking);
        world.image("v2");
        world.settle().unwrap();
        let held = in_state(&world, "PreparingUpdate");
        if released {
            world.edit(&json!({"updateStrategy": {"paused": true}}));
            world.unlabel(&held, HELD);
        }
        world.partition("100%");
        if removed {
            world.edit(&json!({"lifecycle": null}));
        }
        world.edit(&json!({"updateStrategy": {"paused": false}}));
        world.settle().unwrap();
        assert!(
            world
                .live_pods()
                .iter()
                .all(|pod| pod.condition_is_true(pod_conditions::READY))
        );
        if released {
            assert_eq!(
                states(&world),
                ["Normal", "Updated"],
                "the hook has to be put back first"
            );
            assert_eq!(held_by(&world), ["inPlaceUpdate"]);
            world.label(&held, HELD, "true");
            world.settle().unwrap();
        }
        assert_eq!(states(&world), ["Normal", "Normal"]);
        assert_eq!(world.inventory(), "2 v1 available");
        // The release goes on from there.
        world.edit(&json!({"lifecycle": null}));
        world.partition(0);
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v2 available");
    }
}

fn held_by(world: &World) -> Vec<&'static str> {
    let hook = |wait: Wait| match wait {
        Wait::Hook { hook, .. } => Some(hook),
        _ => None,
    };
    world.plan().waits.into_iter().filter_map(hook).collect()
}

/// A held pod that no update can reach any more would be out of service for good.
#[test]
fn a_held_pod_whose_update_becomes_impossible_serves_again() {
    for change in [
        json!({"updateStrategy": {"type": "OnDelete"}}),
        json!({"updateStrategy": {"type": "InPlaceOnly"}, "template": {"spec": {"hostNetwork": true}}}),
    ] {
        let mut world = world(2, &in_place(), &hook("inPlaceUpdate"));
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(states(&world), ["Normal", "PreparingUpdate"]);
        world.edit(&change);
        world.settle().unwrap();
        assert_eq!(states(&world), ["Normal", "Normal"], "{change}");
        assert_eq!(world.inventory(), "2 v1 available");
    }
}

#[test]
fn a_held_pod_that_a_re_create_update_gave_up_stays_when_the_template_is_rolled_back() {
    let mut world = world(2, &json!({"maxUnavailable": 1}), &hook("preDelete"));
    let before: Vec<String> = world.live_pods().iter().map(|pod| pod.uid().to_owned()).collect();
    world.image("v2");
    world.settle().unwrap();
    let held = in_state(&world, "PreparingDelete");
    assert_eq!(held.label(labels::SPECIFIED_DELETE), Some("update"));
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "Normal"]);
    assert_eq!(world.inventory(), "2 v1 available");
    let after: Vec<String> = world.live_pods().iter().map(|pod| pod.uid().to_owned()).collect();
    assert_eq!(before, after);
    for pod in world.live_pods() {
        assert_eq!(pod.label(labels::SPECIFIED_DELETE), None);
    }
    // The partition takes it back too.
    world.image("v2");
    world.settle().unwrap();
    world.partition(2);
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "Normal"]);
    // A pod that the user marked as well goes all the same.
    world.partition(0);
    world.settle().unwrap();
    let held = in_state(&world, "PreparingDelete");
    world.mark(&held);
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(states(&world), ["Normal", "PreparingDelete"]);
}

/// Case R30.
#[test]
fn waves_with_both_hooks_come_to_the_end() {
    let hooks = json!({"lifecycle": {
        "inPlaceUpdate": {"labelsHandler": {HELD: "true"}, "markPodNotReady": true},
        "preDelete": {"labelsHandler": {"example.com/kept": "true"}, "markPodNotReady": true}
    }});
    let mut world = world(
        10,
        &json!({"type": "InPlaceIfPossible", "maxUnavailable": "40%"}),
        &hooks,
    );
    world.image("v2");
    for _ in 0..10 {
        world.settle().unwrap();
        for pod in world.live_pods() {
            match pod.label(labels::LIFECYCLE_STATE) {
                Some("PreparingUpdate") => world.unlabel(&pod, HELD),
                Some("Updated") => world.label(&pod, HELD, "true"),
                _ => {}
            }
        }
    }
    assert_eq!(world.inventory(), "10 v2 available");
    assert_eq!(world.take_extremes().fewest_available, 6);
}

/// Gate `PreparingUpdateAsUpdate`, a surge pod, and a partition that is raised meanwhile: the held pod counted as updated, so
/// the surge pod, the only one that was, went as surplus.
#[test]
fn a_held_pod_beyond_the_partition_does_not_take_the_place_of_an_updated_one() {
    let gate = cloneset_plan::Features {
        preparing_update_as_update: true,
        ..cloneset_plan::Features::default()
    };
    for mark in [false, true] {
        let mut hooks = hook("inPlaceUpdate");
        hooks["lifecycle"]["inPlaceUpdate"]["markPodNotReady"] = json!(mark);
        let mut strategy = in_place();
        strategy["maxSurge"] = json!(1);
        let mut world = world(3, &strategy, &hooks).with(gate);
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(states(&world).last().map(String::as_str), Some("PreparingUpdate"));
        world.partition(2);
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v1 available, 1 v2 available");
    }
}
