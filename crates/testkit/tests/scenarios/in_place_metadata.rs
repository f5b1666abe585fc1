//! In-place updates that change labels and annotations, alone or beside an image.

use crate::in_place::{grace, lives, only, world};
use cloneset_testkit::World;
use serde_json::{Value, json};

#[test]
fn a_change_of_metadata_alone_restarts_nothing() {
    let mut world = world(2, &json!({}));
    let before = lives(&world);
    world.edit(
        &json!({"template": {"metadata": {"labels": {"team": "shop"}, "annotations": {"version": "v2"}}}}),
    );
    world.settle().unwrap();
    assert_eq!(lives(&world), before);
    for pod in world.live_pods() {
        assert_eq!(
            (pod.label("team"), pod.annotation("version")),
            (Some("shop"), Some("v2"))
        );
    }
    world.edit(&json!({"template": {"metadata": {"labels": {"team": null}, "annotations": null}}}));
    world.settle().unwrap();
    assert_eq!(lives(&world), before);
    for pod in world.live_pods() {
        assert_eq!((pod.label("team"), pod.annotation("version")), (None, None));
    }
}

/// Case R01: with a surge, without any pod that may be unavailable, and with a grace period.
#[test]
fn a_change_that_no_container_reads_touches_no_pod_but_its_metadata() {
    for strategy in [
        json!({"maxSurge": 3}),
        json!({"maxSurge": 1, "maxUnavailable": 0}),
        grace(3600),
    ] {
        let mut world = world(5, &strategy);
        let before = lives(&world);
        world.edit(&json!({"template": {"metadata": {"annotations": {"version": "v2"}}}}));
        world.run_for(2).unwrap();
        assert_eq!(lives(&world), before, "{strategy}");
        let pods = world.live_pods();
        assert!(
            pods.iter().all(|pod| pod.annotation("version") == Some("v2")),
            "{strategy}"
        );
        let extremes = world.take_extremes();
        assert_eq!(
            (extremes.fewest_available, extremes.most_pods),
            (5, 5),
            "{strategy}"
        );
        assert_eq!(world.conditions(), ["Ready=True Healthy"]);
    }
}

/// Case R09.
#[test]
fn metadata_that_an_init_container_reads_takes_a_new_pod() {
    let source = json!({"fieldRef": {"fieldPath": "metadata.annotations['version']"}});
    let init = json!([{"name": "setup", "image": "i", "env": [{"name": "DATA", "valueFrom": source}]}]);
    let template = |data: &str| json!({"template": {"metadata": {"annotations": {"version": data}}, "spec": {"initContainers": init}}});
    for kind in ["InPlaceIfPossible", "InPlaceOnly"] {
        let mut spec = template("v1");
        spec["updateStrategy"] = json!({"type": kind, "maxUnavailable": 1});
        spec["replicas"] = json!(2);
        let mut world = World::of(&spec);
        world.settle().unwrap();
        let before = lives(&world);
        world.edit(&template("v2"));
        world.settle().unwrap();
        let pods = world.live_pods();
        if kind == "InPlaceOnly" {
            assert_eq!(lives(&world), before);
            assert!(pods.iter().all(|pod| pod.annotation("version") == Some("v1")));
            assert_eq!(world.status().updated_replicas, 0);
            assert!(
                world
                    .conditions()
                    .contains(&"FailedUpdate=True FailedUpdate".to_owned())
            );
        } else {
            assert!(lives(&world).iter().all(|life| !before.contains(life)));
            assert!(pods.iter().all(|pod| pod.annotation("version") == Some("v2")));
        }
    }
}

/// Case R02.
#[test]
fn the_template_loses_all_its_annotations_together_with_an_image() {
    let mut spec = json!({"replicas": 1, "template": {"metadata": {"annotations": {"a": "1"}}}, "updateStrategy": grace(30)});
    spec["updateStrategy"]["type"] = json!("InPlaceOnly");
    let mut world = World::of(&spec);
    world.settle().unwrap();
    let before = lives(&world);
    let containers = json!([{"name": "main", "image": "registry.local/web:v2"}]);
    world.edit(&json!({"template": {"metadata": {"annotations": null}, "spec": {"containers": containers}}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
    assert_eq!(only(&world).annotation("a"), None);
    assert_eq!(lives(&world), [(before[0].0.clone(), 1)]);
}

/// What is to come stands on the pod meanwhile, so it is as large as what the template's annotations change.
#[test]
fn a_large_annotation_goes_in_place_with_all_that_changes_beside_it() {
    let mut world = world(1, &json!({}));
    let edit = |version: &str, metadata: &Value| {
        let containers = json!([{"name": "main", "image": format!("registry.local/web:{version}")}]);
        json!({"template": {"metadata": metadata, "spec": {"containers": containers}}})
    };
    world.edit(&edit("v2", &json!({"labels": {"team": "shop"}})));
    world.settle().unwrap();
    let large = "x".repeat(60_000);
    world.edit(&edit(
        "v3",
        &json!({"labels": {"team": null}, "annotations": {"large": large}}),
    ));
    world.settle().unwrap();
    let pod = only(&world);
    assert_eq!(
        (pod.label("team"), pod.annotation("large")),
        (None, Some(large.as_str()))
    );
}

/// The API server takes 256 KiB of annotations, and what is to come would not fit beside what is there.
#[test]
fn an_annotation_that_does_not_fit_on_the_pod_twice_makes_a_new_pod() {
    let mut world = world(1, &json!({}));
    let before = lives(&world);
    let containers = json!([{"name": "main", "image": "registry.local/web:v2"}]);
    let metadata = json!({"annotations": {"large": "x".repeat(200_000)}});
    world.edit(&json!({"template": {"metadata": metadata, "spec": {"containers": containers}}}));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v2 available");
    assert_ne!(lives(&world)[0].0, before[0].0);
}

/// Somebody's annotation on one pod leaves no room for ours: every write to it would be refused.
#[test]
fn a_pod_whose_annotations_are_full_is_made_anew_and_the_others_go_in_place() {
    let mut world = world(2, &json!({}));
    let full = world.live_pods().swap_remove(0);
    world.annotate(&full, "example.com/notes", &"x".repeat(255 * 1024));
    let before = lives(&world);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v2 available");
    let after = lives(&world);
    let stayed = |uid: &str| after.iter().any(|life| life.0 == uid);
    assert_eq!(before.iter().filter(|life| stayed(&life.0)).count(), 1);
    assert!(!stayed(full.uid()));
}
