//! Pods that fail soon after they are created: the pace of creation, and which of them are kept.

use crate::scene::{NOW, Scene, deeds, waits};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// The time so many seconds before the decision.
fn before(seconds: i64) -> Timestamp {
    let now: Timestamp = NOW.parse().unwrap();
    now - SignedDuration::from_secs(seconds)
}

/// Adds a failed pod that was created so many seconds before the decision.
fn failed(scene: Scene, words: &str, seconds: i64) -> Scene {
    let change = json!({"metadata": {"creationTimestamp": before(seconds).to_string()}});
    scene.pod_with(&format!("{words} failed"), &change)
}

/// When the next pod is created after pods that were created so many seconds before the decision and failed; seconds
/// from the decision.
fn pause(created: &[i64]) -> Option<i64> {
    let scene = Scene::of(&json!({"replicas": 1}));
    let scene = created
        .iter()
        .fold(scene, |scene, seconds| failed(scene, "new", *seconds));
    let plan = scene.plan();
    let created = deeds(&plan).iter().any(|deed| deed.starts_with("create"));
    let until = plan.recheck_at().map(|at| at.duration_since(before(0)).as_secs());
    assert_eq!(created, until.is_none(), "{:?}", waits(&plan));
    until
}

#[test]
fn the_pause_doubles_with_each_wave_of_pods_that_fail_up_to_five_minutes() {
    assert_eq!(pause(&[]), None);
    assert_eq!(pause(&[4]), Some(6), "10 s after the first");
    assert_eq!(pause(&[10]), None);
    assert_eq!(pause(&[4, 14]), Some(16), "20 s");
    assert_eq!(pause(&[4, 24]), Some(36), "40 s");
    assert_eq!(
        pause(&[4, 5, 6, 26]),
        Some(40),
        "pods of one wave count as one: 44 s"
    );
    assert_eq!(pause(&[4, 124]), Some(236));
    assert_eq!(pause(&[4, 304]), Some(296), "5 min");
    assert_eq!(pause(&[4, 605]), Some(6), "a failure long ago does not count");
    assert_eq!(
        pause(&[301, 601]),
        None,
        "a pod that ran for 5 min is replaced at once"
    );
}

#[test]
fn the_wait_names_the_newest_failed_pod_and_why_it_failed() {
    let change = json!({
        "metadata": {"creationTimestamp": before(4).to_string()},
        "status": {"phase": "Failed", "reason": "NodeAffinity", "message": "Predicate NodeAffinity failed"}
    });
    let scene = failed(Scene::of(&json!({"replicas": 2})), "new", 14);
    let plan = scene.pod_with("new", &change).plan();
    assert_eq!(
        waits(&plan).last().unwrap(),
        "2 pods wait to be created until 2026-01-01T12:00:16Z: pod web-1 failed soon after it was created: NodeAffinity \
          (Predicate NodeAffinity failed); check the template and the node of that pod"
    );
}

/// A corrected template is tried at once, and pods that the partition holds back do not wait for it.
#[test]
fn pods_of_each_revision_have_a_pause_of_their_own() {
    let spec = json!({"replicas": 2, "updateStrategy": {"partition": 1}});
    let creates = |words: &str| deeds(&failed(Scene::of(&spec), words, 4).plan());
    assert_eq!(creates("new"), ["create web-old"]);
    assert_eq!(creates("old"), ["create web-new"]);
    let third = Scene::of(&spec).revision("web-other", 0, "other");
    assert_eq!(
        deeds(&failed(third, "other", 4).plan()),
        ["create web-old", "create web-new"]
    );
}

fn deleted(scene: &Scene) -> Vec<String> {
    let deeds = deeds(&scene.plan());
    deeds
        .into_iter()
        .filter(|deed| deed.starts_with("delete"))
        .collect()
}

#[test]
fn the_five_newest_finished_pods_are_kept() {
    let of = |ages: &[i64]| {
        let scene = Scene::of(&json!({"replicas": 0}));
        ages.iter().fold(scene, |scene, age| failed(scene, "new", *age))
    };
    assert_eq!(deleted(&of(&[10, 30, 20, 50, 40])), [""; 0]);
    assert_eq!(
        deleted(&of(&[10, 60, 30, 20, 70, 50, 40])),
        [
            "delete web-4 (uid-4) as finished",
            "delete web-1 (uid-1) as finished"
        ],
        "the oldest first"
    );
    // Ten pods of one wave: the pause follows from the wave before, so its newest pod is kept.
    let waves = of(&[40, 12, 11, 11, 11, 10, 10]);
    assert_eq!(
        deleted(&waves),
        [
            "delete web-1 (uid-1) as finished",
            "delete web-4 (uid-4) as finished"
        ]
    );
}

#[test]
fn a_finished_pod_that_a_hook_holds_or_that_is_terminating_is_left_alone() {
    let spec: Value = json!({"replicas": 0, "lifecycle": {"preDelete": {"labelsHandler": {"held": "true"}}}});
    let scene = (1..=5).fold(Scene::of(&spec), |scene, age| failed(scene, "new", 10 * age));
    let old = |scene: Scene, change: Value| {
        let mut all = json!({"metadata": {"creationTimestamp": before(99).to_string()}});
        let field = if change.is_string() {
            "deletionTimestamp"
        } else {
            "labels"
        };
        all["metadata"][field] = change;
        scene.pod_with("new failed", &all)
    };
    assert_eq!(deleted(&old(scene.clone(), json!({}))).len(), 1);
    assert_eq!(deleted(&old(scene.clone(), json!({"held": "true"}))), [""; 0]);
    assert_eq!(deleted(&old(scene, json!(NOW))), [""; 0]);
}

/// Deleting them is no step of a release: nothing waits for it.
#[test]
fn deleting_finished_pods_holds_up_no_update_and_does_not_count_as_moving_pods() {
    let spec = json!({"replicas": 1, "updateStrategy": {"maxUnavailable": 1}});
    let scene = (1..=6).fold(Scene::of(&spec), |scene, age| failed(scene, "old", 1000 * age));
    let plan = scene.pod("old").plan();
    assert_eq!(
        deeds(&plan),
        [
            "delete web-6 (uid-6) for update",
            "delete web-5 (uid-5) as finished"
        ]
    );
}
