//! Areas I and J: pods that are changed in place.

use cloneset_api::names::{annotations, labels, pod_conditions};
use cloneset_status::{Pod, Wait};
use cloneset_testkit::World;
use serde_json::{Value, json};

/// A world of in-place updates, settled on v1.
pub(crate) fn world(replicas: i32, strategy: &Value) -> World {
    world_with(false, replicas, strategy)
}

pub(crate) fn world_with(old_kubelets: bool, replicas: i32, strategy: &Value) -> World {
    let mut whole = json!({"type": "InPlaceIfPossible", "maxUnavailable": 1});
    whole
        .as_object_mut()
        .unwrap()
        .extend(strategy.as_object().unwrap().clone());
    let mut world = World::of(&json!({"replicas": replicas, "updateStrategy": whole}));
    if old_kubelets {
        world.old_kubelets();
    }
    world.settle().unwrap();
    world.take_extremes();
    world
}

pub(crate) fn grace(seconds: i32) -> Value {
    json!({"inPlaceUpdateStrategy": {"gracePeriodSeconds": seconds}})
}

fn state(pod: &Pod) -> Value {
    serde_json::from_str(pod.annotation(annotations::IN_PLACE_STATE).unwrap()).unwrap()
}

pub(crate) fn only(world: &World) -> Pod {
    let [pod] = world.live_pods().try_into().unwrap();
    pod
}

/// UIDs, and how often the containers were restarted.
pub(crate) fn lives(world: &World) -> Vec<(String, i32)> {
    let mut lives: Vec<_> = world
        .live_pods()
        .iter()
        .map(|pod| (pod.uid().to_owned(), pod.restarts()))
        .collect();
    lives.sort();
    lives
}

/// Passes until something is done; gives what.
fn next_deed(world: &mut World) -> String {
    for _ in 0..1000 {
        let pass = world.pass().unwrap();
        if !pass.deeds.is_empty() {
            return pass.to_string();
        }
        world.run_for(1).unwrap();
    }
    "nothing".to_owned()
}

#[test]
fn a_grace_period_below_zero_is_none() {
    let details = json!({"gracePeriodSeconds": -1});
    let strategy = json!({"type": "InPlaceIfPossible", "inPlaceUpdateStrategy": details});
    let mut world = World::of(&json!({"replicas": 1, "updateStrategy": strategy}));
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
    assert_eq!(world.conditions(), ["Ready=True Healthy"]);
}

#[test]
fn scenario_168_three_writes_move_a_pod_and_restart_its_container() {
    let mut world = world(1, &json!({}));
    let before = lives(&world);
    world.image("v2");
    assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
    let pod = only(&world);
    assert!(!pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY));
    assert!(
        !pod.condition_is_true(pod_conditions::READY),
        "endpoints react at once"
    );
    assert_eq!(pod.label(labels::LIFECYCLE_STATE), Some("Updating"));
    assert_eq!(
        pod.label(labels::REVISION),
        world.status().update_revision.as_deref()
    );
    assert_eq!(
        state(&pod)["revision"],
        world.status().update_revision.unwrap().as_str()
    );

    assert_eq!(world.pass().unwrap().to_string(), "change 1 v2");
    let pod = only(&world);
    assert_eq!(pod.spec.containers[0].image, "registry.local/web:v2");
    let state = state(&pod);
    assert_eq!(state["containerBatchesRecord"][0]["containers"], json!(["main"]));
    assert_eq!(
        state["lastContainerStatuses"]["main"]["imageID"],
        "sha256:registry.local/web:v1"
    );
    assert_eq!(pod.annotation(annotations::IN_PLACE_GRACE), None);

    world.settle().unwrap();
    let after = lives(&world);
    assert_eq!(
        after,
        [(before[0].0.clone(), 1)],
        "the same pod, its container restarted once"
    );
    assert_eq!(world.inventory(), "1 v2 available");
    assert_eq!(world.current_version(), "v2");
}

#[test]
fn scenario_75_in_place_two_of_five_one_at_a_time() {
    let mut world = world(5, &json!({"partition": 3}));
    let before = lives(&world);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
    assert_eq!(world.take_extremes().fewest_available, 4);
    let uids = |lives: &[(String, i32)]| lives.iter().map(|life| life.0.clone()).collect::<Vec<_>>();
    assert_eq!(uids(&lives(&world)), uids(&before));
}

/// Deviation 9 apart, the surge is a new pod, and an old one goes in the end.
#[test]
fn scenario_78_surge_comes_as_a_new_pod_and_goes_as_an_old_one() {
    let mut world = world(5, &json!({"partition": 3, "maxSurge": 1}));
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
    let extremes = world.take_extremes();
    assert!(
        extremes.fewest_available >= 4 && extremes.most_pods == 6,
        "{extremes:?}"
    );
    let story = world.story();
    let story = story.split("we record v2").nth(1).unwrap_or_default();
    let moves = ["we create ", "we take out ", "we delete "];
    let is_move = |line: &&str| moves.iter().any(|part| line.contains(part));
    let moves: Vec<&str> = story
        .lines()
        .filter(is_move)
        .map(|line| line.trim_start_matches(|c: char| !c.is_alphabetic()))
        .collect();
    assert_eq!(
        moves,
        ["we create v2", "we take out v1", "we delete v1 as surplus"],
        "surge first, then one in place while there are six, then the surplus old one"
    );
}

#[test]
fn scenarios_170_171_a_pod_is_changed_when_its_grace_period_is_over() {
    let mut world = world(1, &grace(3630));
    world.image("v2");
    world.pass().unwrap();
    world.run_for(3600).unwrap();
    let pass = world.pass().unwrap();
    assert_eq!(pass.to_string(), "nothing");
    let [Wait::Draining { pods: 1, until }] = pass.plan.waits.as_slice() else {
        panic!("{:?}", pass.plan.waits)
    };
    assert_eq!(until.as_second() - world.now().as_second(), 30);
    let pod = only(&world);
    assert_eq!(pod.spec.containers[0].image, "registry.local/web:v1");
    world.run_for(31).unwrap();
    let pod = only(&world);
    assert_eq!(pod.spec.containers[0].image, "registry.local/web:v2");
    assert_eq!(pod.annotation(annotations::IN_PLACE_GRACE), None);
    assert!(state(&pod)["lastContainerStatuses"]["main"]["imageID"].is_string());
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
}

#[test]
fn regression_37_two_tags_of_one_image_complete() {
    for old_kubelets in [false, true] {
        let mut world = World::of(
            &json!({"replicas": 3, "updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 1}}),
        );
        if old_kubelets {
            world.old_kubelets();
        }
        world.same_image("v2", "v1");
        world.settle().unwrap();
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(world.inventory(), "3 v2 available");
        assert!(world.live_pods().iter().all(|pod| pod.restarts() == 1));
    }
}

#[test]
fn what_cannot_be_changed_in_place_is_re_created() {
    let mut world = world(2, &json!({}));
    let before = lives(&world);
    let containers =
        json!([{"name": "main", "image": "registry.local/web:v2", "env": [{"name": "A", "value": "b"}]}]);
    world.edit(&json!({"template": {"spec": {"containers": containers}}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v2 available");
    assert!(lives(&world).iter().all(|life| !before.contains(life)));
}

/// Deviation 5: Kruise stops at the first of them, for ever.
#[test]
fn scenarios_150_167_a_pod_that_cannot_be_updated_in_place_is_told_and_the_others_go_on() {
    let mut world = world(3, &json!({"type": "InPlaceOnly"}));
    let foreign = world.live_pods().swap_remove(0);
    world.label(&foreign, labels::REVISION, "sample-gone");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(
        world.inventory(),
        "1 v1 available, 2 v2 available",
        "{:?}",
        world.plan().waits
    );
    let [Wait::NotInPlace { pods: 1, pod, .. }] = &world.plan().waits[..] else {
        panic!("{:?}", world.plan().waits)
    };
    assert_eq!(pod, foreign.name());
    assert!(
        world
            .conditions()
            .contains(&"FailedUpdate=True FailedUpdate".to_owned()),
        "{:?}",
        world.conditions()
    );
}

#[test]
fn a_new_target_during_an_update_overtakes_it() {
    for seconds in 0..8 {
        let mut world = world(2, &grace(3));
        world.image("v2");
        world.run_for(seconds).unwrap();
        world.image("v3");
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v3 available", "after {seconds} s");
        assert!(world.live_pods().iter().all(|pod| pod.restarts() <= 2));
    }
}

#[test]
fn going_back_during_the_grace_period_restarts_nothing() {
    let mut world = world(1, &grace(30));
    let before = lives(&world);
    world.image("v2");
    world.run_for(10).unwrap();
    assert_eq!(world.inventory(), "1 v2 unavailable");
    world.image("v1");
    // Nothing restarts, so nothing is left to drain for.
    world.run_for(2).unwrap();
    assert_eq!(world.inventory(), "1 v1 available");
    assert_eq!(lives(&world), before);
}

#[test]
fn going_back_during_an_update_restarts_what_was_changed() {
    for seconds in 0..8 {
        let mut world = world(3, &json!({}));
        world.image("v2");
        world.run_for(seconds).unwrap();
        world.image("v1");
        world.settle().unwrap();
        assert_eq!(world.inventory(), "3 v1 available", "after {seconds} s");
    }
}

/// Regression 43: the gate stays closed until the update lands or is cancelled.
#[test]
fn regression_43_between_gate_and_change_a_crash_loses_nothing() {
    let mut world = world(1, &json!({}));
    world.image("v2");
    assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
    // Whatever the controller remembered is gone; what is on the pod is enough.
    let pass = world.pass().unwrap();
    assert_eq!(pass.to_string(), "change 1 v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
}

#[test]
fn scenarios_182_183_185_186_containers_follow_one_another_by_launch_priority() {
    let containers = |version: &str| {
        let of = |name: &str, priority: i32| {
            json!({"name": name, "image": format!("registry.local/{name}:{version}"),
                   "env": [{"name": "KRUISE_CONTAINER_PRIORITY", "value": priority.to_string()}]})
        };
        json!([of("c1", 20), of("c2", 10), of("c3", 0), of("c4", 0)])
    };
    let template = |version| json!({"template": {"spec": {"containers": containers(version)}}});
    let mut spec = template("v1");
    spec["updateStrategy"] = json!({"type": "InPlaceIfPossible"});
    spec["replicas"] = json!(1);
    let mut world = World::of(&spec);
    world.settle().unwrap();
    world.edit(&template("v2"));
    assert_eq!(next_deed(&mut world), "record v2, take out 1 v1");
    assert_eq!(next_deed(&mut world), "change 1 v2");
    let first = state(&only(&world));
    assert_eq!(
        first["nextContainerImages"],
        json!({"c2": "registry.local/c2:v2", "c3": "registry.local/c3:v2", "c4": "registry.local/c4:v2"})
    );
    assert_eq!(
        first["preCheckBeforeNext"]["containersRequiredReady"],
        json!(["c1"])
    );
    world.settle().unwrap();
    let last = state(&only(&world));
    let batches: Vec<&Value> = last["containerBatchesRecord"]
        .as_array()
        .unwrap()
        .iter()
        .map(|batch| &batch["containers"])
        .collect();
    assert_eq!(batches, [&json!(["c1"]), &json!(["c2"]), &json!(["c3", "c4"])]);
    assert_eq!(last.get("preCheckBeforeNext"), None);
    assert_eq!(last.get("nextContainerImages"), None);
    assert_eq!(world.inventory(), "1 v2 available");
}

/// A world at rest with one pod of this spec, whose resources change in place.
fn one_resizable_pod(mut spec: Value) -> World {
    spec["updateStrategy"] = json!({"type": "InPlaceIfPossible"});
    spec["replicas"] = json!(1);
    let features = cloneset_plan::Features {
        in_place_resize: true,
        ..cloneset_plan::Features::default()
    };
    let mut world = World::of(&spec).with(features);
    world.settle().unwrap();
    world
}

/// A container of a later batch has its old resources until its turn comes.
#[test]
fn containers_are_resized_one_after_another_by_launch_priority() {
    let container = |name: &str, priority: &str, cpu: &str| {
        json!({"name": name, "image": "registry.local/web:v1", "resources": {"requests": {"cpu": cpu}},
               "env": [{"name": "KRUISE_CONTAINER_PRIORITY", "value": priority}]})
    };
    let template = |cpu: &str, version: &str| {
        let containers = [container("c1", "20", cpu), container("c2", "10", cpu)];
        json!({"template": {"metadata": {"annotations": {"version": version}}, "spec": {"containers": containers}}})
    };
    let mut world = one_resizable_pod(template("100m", "v1"));
    let before = only(&world);
    world.edit(&template("200m", "v2"));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
    let after = only(&world);
    assert_eq!(after.uid(), before.uid(), "in place");
    let given = |status: &cloneset_status::facts::ContainerStatus| status.resources.clone().unwrap().requests;
    for status in &after.status.container_statuses {
        let cpu = given(status)["cpu"].clone();
        assert!(["200m", "0.2"].contains(&cpu.as_str()), "{}: {cpu}", status.name);
    }
}

#[test]
fn a_container_that_crashes_before_its_change_is_seen_is_waited_for() {
    let template = |cpu: &str, version: &str| {
        json!({"template": {"spec": {"containers": [{
            "name": "main", "image": format!("registry.local/web:{version}"),
            "resources": {"requests": {"cpu": cpu}}
        }]}}})
    };
    let mut world = one_resizable_pod(template("100m", "v1"));
    world.edit(&template("200m", "v2"));
    assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
    assert_eq!(world.pass().unwrap().to_string(), "change 1 v2");
    world.crash(&only(&world), Some(1));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
}

/// F78.
#[test]
fn an_annotation_that_cannot_be_read_harms_its_pod_only() {
    let junk = [
        "{".to_owned(),
        "[1,2]".to_owned(),
        r#"{"revision": 7}"#.to_owned(),
        r#"{"updateTimestamp": "soon", "revision": "x"}"#.to_owned(),
        "x".repeat(200_000),
    ];
    for junk in junk {
        // On a pod in service it is nobody's business.
        let mut calm = world(3, &json!({}));
        let pod = calm.live_pods().swap_remove(1);
        calm.annotate(&pod, annotations::IN_PLACE_STATE, &junk);
        calm.image("v2");
        calm.settle().unwrap();
        assert_eq!(calm.inventory(), "3 v2 available");

        let mut struck = world(3, &grace(20));
        struck.image("v2");
        struck.run_for(5).unwrap();
        let pod = struck.pods_of("v2").swap_remove(0);
        struck.annotate(&pod, annotations::IN_PLACE_GRACE, &junk);
        struck.edit(&json!({"updateStrategy": {"maxUnavailable": 2}}));
        struck.settle().unwrap();
        assert_eq!(struck.inventory(), "3 v2 available");
        assert!(struck.live_pods().iter().all(|pod| pod.restarts() == 1));
    }
}

#[test]
fn a_version_that_never_works_stops_within_the_limit_and_going_back_repairs_it() {
    let mut world = world(4, &json!({}));
    world.breaks("v2");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 1 v2 unavailable");
    world.image("v1");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "4 v1 available");
}

/// The kubelet only ever sees the last of two changes that come fast, or while it is away.
#[test]
fn going_back_before_the_kubelet_has_looked_restarts_nothing() {
    for old_kubelets in [false, true] {
        let mut world = World::of(&json!({"replicas": 1, "updateStrategy": {"type": "InPlaceIfPossible"}}));
        if old_kubelets {
            world.old_kubelets();
        }
        world.settle().unwrap();
        let before = lives(&world);
        world.image("v2");
        assert_eq!(world.pass().unwrap().to_string(), "record v2, take out 1 v1");
        assert_eq!(world.pass().unwrap().to_string(), "change 1 v2");
        world.image("v1");
        assert_eq!(world.pass().unwrap().to_string(), "renumber v1, take out 1 v2");
        assert_eq!(world.pass().unwrap().to_string(), "change 1 v1");
        world.settle().unwrap();
        assert_eq!(
            world.inventory(),
            "1 v1 available",
            "{old_kubelets} {:?}",
            world.plan().waits
        );
        assert_eq!(lives(&world), before);
    }
}

/// A state that nobody defined: the pod is not touched because of it, and nobody waits for it.
#[test]
fn a_pod_in_a_foreign_state_does_not_take_the_place_of_others() {
    for (kind, expected) in [
        ("InPlaceOnly", "1 v1 available, 1 v1 unavailable, 1 v2 available"),
        ("InPlaceIfPossible", "2 v1 available, 1 v2 available"),
    ] {
        let mut world = world(3, &json!({"type": kind, "partition": 2, "maxUnavailable": 2}));
        let foreign = world.live_pods().swap_remove(0);
        world.label(&foreign, labels::LIFECYCLE_STATE, "Foreign");
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(world.inventory(), expected, "{kind} {:?}", world.plan().waits);
    }
}

/// Case R11, and its variant.
#[test]
fn after_a_version_that_never_works_every_other_template_reaches_every_pod() {
    for (next, restarted) in [("v1", 1), ("v3", 3)] {
        let mut world = world(3, &json!({}));
        world.breaks("v2");
        world.image("v2");
        world.run_for(60).unwrap();
        assert_eq!(world.pods_of("v2").len(), 1);
        world.image(next);
        world.run_for(60).unwrap();
        assert_eq!(world.inventory(), format!("3 {next} available"));
        let pods = world.live_pods();
        assert_eq!(pods.iter().filter(|pod| pod.restarts() > 0).count(), restarted);
    }
}
