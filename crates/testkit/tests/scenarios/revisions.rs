//! Area B: revisions over time. What one pass decides about them is in `crates/plan/tests/decisions`.

use cloneset_plan::RevisionWrite;
use cloneset_testkit::{Fate, World};
use serde_json::json;

#[test]
fn scenario_38_nothing_is_written_for_a_template_that_is_known() {
    let mut world = World::of(&json!({"replicas": 1}));
    world.settle().unwrap();
    let before = world.revisions();
    world.scale(2);
    world.settle().unwrap();
    assert_eq!(world.revisions(), before);
}

#[test]
fn scenario_39_a_rollback_reuses_the_revision_and_touches_no_pod_that_has_it() {
    let mut world = World::of(&json!({"replicas": 5, "updateStrategy": {"partition": 3}}));
    world.settle().unwrap();
    let v1 = world.status().update_revision;
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available, 2 v2 available");
    let kept: Vec<String> = world
        .pods_of("v1")
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();

    world.image("v1");
    assert!(world.pass().unwrap().to_string().starts_with("renumber v1"));
    world.partition(0);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
    assert_eq!(world.status().update_revision, v1, "under its old name");
    assert_eq!(world.history(), ["v2", "v1"]);
    let now: Vec<String> = world
        .pods_of("v1")
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();
    assert!(
        kept.iter().all(|uid| now.contains(uid)),
        "the pods that had it are the same"
    );
}

#[test]
fn scenario_41_a_revision_name_taken_by_a_stranger_is_passed_over_and_counted() {
    let mut world = World::of(&json!({"replicas": 1}));
    let Some(RevisionWrite::Create(wanted)) = world.plan().revision else {
        unreachable!("a new template wants a revision");
    };
    world.take_name(&wanted.name);
    let first = world.pass().unwrap();
    assert_eq!(first.to_string(), "nothing", "no pod without its revision");
    assert_eq!(
        world.status().update_revision,
        None,
        "and none is named that cannot be looked up"
    );
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v1 available");
    let status = world.status();
    assert_eq!(status.collision_count, Some(1));
    assert_ne!(status.update_revision, Some(wanted.name));
}

#[test]
fn scenario_42_a_third_version_half_way_leaves_the_first_as_current() {
    let mut world = World::of(&json!({"replicas": 5, "updateStrategy": {"partition": 3}}));
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    world.image("v3");
    world.settle().unwrap();
    assert_eq!(
        world.inventory(),
        "3 v1 available, 2 v3 available",
        "the pods updated last go first"
    );
    assert_eq!(world.current_version(), "v1");
    assert_eq!(world.history(), ["v1", "v2", "v3"]);
    world.partition(0);
    world.settle().unwrap();
    assert_eq!(
        (world.inventory().as_str(), world.current_version().as_str()),
        ("5 v3 available", "v3")
    );
}

#[test]
fn scenario_45_the_history_is_trimmed_to_its_limit() {
    let mut world = World::of(&json!({"replicas": 2, "revisionHistoryLimit": 2}));
    for version in ["v1", "v2", "v3", "v4", "v5"] {
        world.image(version);
        world.settle().unwrap();
    }
    assert_eq!(world.history(), ["v3", "v4", "v5"]);
    world.edit(&json!({"revisionHistoryLimit": 0}));
    world.settle().unwrap();
    assert_eq!(world.history(), ["v5"]);
}

/// Kruise moved the current revision as soon as every pod that was left happened to be new (deviation 6).
#[test]
fn regression_1_deleting_pods_by_hand_promotes_no_version() {
    let mut world = World::of(&json!({"replicas": 2, "updateStrategy": {"partition": "50%"}}));
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v1 available, 1 v2 available");
    world.delete_by_hand(&world.pods_of("v1")[0]);
    world.pass().unwrap();
    world.delete_by_hand(&world.pods_of("v2")[0]);
    world.scale(4);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available, 2 v2 available");
}

#[test]
fn regression_46_the_first_version_is_the_current_one_also_before_its_pods_are_ready() {
    let mut world = World::of(&json!({"replicas": 3, "updateStrategy": {"partition": 2}}));
    world.fates([Fate::PROMPT, Fate::PROMPT, Fate::BROKEN]);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available, 1 v1 unavailable");
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.current_version(), "v1");
    assert_eq!(world.pods_of("v2").len(), 1);
}
