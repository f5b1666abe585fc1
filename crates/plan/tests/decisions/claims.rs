//! Decisions about PVCs: which of them get a new pod, and which are deleted or handed over.

use crate::scene::{Scene, deeds};
use cloneset_plan::{Action, Plan};
use serde_json::json;

fn scene(replicas: i32, disable_reuse: bool) -> Scene {
    Scene::of(&json!({
        "replicas": replicas,
        "scaleStrategy": {"disablePVCReuse": disable_reuse},
        "volumeClaimTemplates": [{
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        }]
    }))
}

fn created(plan: &Plan) -> Vec<&str> {
    fn id(action: &Action) -> Option<&str> {
        match action {
            Action::CreatePod(new) => Some(&new.id),
            _ => None,
        }
    }
    plan.actions.iter().filter_map(id).collect()
}

#[test]
fn only_a_pvc_that_stays_gets_a_new_pod() {
    let terminating = json!({"metadata": {"deletionTimestamp": "2026-01-01T11:59:59Z"}});
    let kept = scene(1, false).claim("left", &json!({}));
    assert_eq!(created(&kept.plan()), ["left"]);
    let to_delete = kept.claim_to_delete("left");
    let terminating = scene(1, false).claim("left", &terminating);
    for (why, scene) in [("to delete", to_delete), ("terminating", terminating)] {
        let plan = scene.plan();
        assert_eq!(created(&plan).len(), 1, "{why}");
        assert_ne!(created(&plan), ["left"], "{why}");
    }
}

#[test]
fn a_pvc_whose_pod_was_deleted_is_deleted_even_if_pvcs_are_reused() {
    let unclaimed = |scene: &Scene| {
        let done = deeds(&scene.plan());
        done.iter().filter(|deed| deed.starts_with("unclaim")).count()
    };
    let kept = scene(1, false).claim("left", &json!({}));
    assert_eq!(unclaimed(&kept), 0);
    assert_eq!(unclaimed(&kept.claim_to_delete("left")), 1);
}

#[test]
fn the_pvc_of_a_pod_to_be_released_is_handed_over_to_it_without_reuse() {
    let done = |words: &str, disable_reuse: bool| {
        let scene = scene(1, disable_reuse).pod(words).claim("0", &json!({}));
        let mut done = deeds(&scene.plan());
        done.retain(|deed| deed.starts_with("hand over"));
        done
    };
    assert_eq!(done("new taken-out", true), ["hand over data-web-0 to web-0"]);
    assert_eq!(done("new taken-out", false), [""; 0]);
    assert_eq!(done("new", true), [""; 0]);
}
