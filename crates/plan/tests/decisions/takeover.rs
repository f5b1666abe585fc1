//! Taking over a CloneSet that OpenKruise left behind: nothing is created, nothing is written.
//!
//! The capture is in `testkit/fixtures/kruise`.

use cloneset_api::CloneSet;
use cloneset_plan::{Action, InPlaceChange, Plan};
use cloneset_plan::{Creation, Desired, Features, Snapshot, plan};
use serde_json::{Value, json};
use std::sync::Arc;

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/../testkit/fixtures/kruise/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn items(name: &str) -> Vec<Value> {
    fixture(name)["items"].as_array().unwrap().clone()
}

fn left_behind() -> Snapshot {
    let cloneset = fixture("cloneset");
    let cloneset: CloneSet = serde_json::from_value(cloneset).unwrap();
    Snapshot {
        cloneset: Arc::new(cloneset),
        pods: items("pods")
            .into_iter()
            .map(|pod| Arc::new(serde_json::from_value(pod).unwrap()))
            .collect(),
        revisions: items("controllerrevisions")
            .into_iter()
            .map(|revision| Arc::new(serde_json::from_value(revision).unwrap()))
            .collect(),
        claims: items("persistentvolumeclaims")
            .into_iter()
            .map(|claim| Arc::new(serde_json::from_value(claim).unwrap()))
            .collect(),
        doomed_claims: std::collections::BTreeSet::new(),
        fresh_claims: std::collections::BTreeSet::new(),
        reserved_ids: std::collections::BTreeSet::new(),
        creation: Creation::Allowed,
        nodes: None,
    }
}

#[test]
fn what_kruise_left_behind_is_in_order_as_it_is() {
    let snapshot = left_behind();
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    assert_eq!(desired.problems, []);
    for features in [
        Features::default(),
        Features {
            short_hash: true,
            partition_rollback: true,
            ..Features::default()
        },
    ] {
        let plan = plan(
            &snapshot,
            &desired,
            features,
            "2026-11-24T00:00:00Z".parse().unwrap(),
        );
        assert_eq!(plan.outlook.update_revision.as_deref(), Some("sample-775c54bff4"));
        assert_eq!(
            plan.outlook.current_revision.as_deref(),
            Some("sample-6765fd5789")
        );
        assert_eq!(
            (&plan.revision, plan.actions.as_slice(), plan.waits.as_slice()),
            (&None, &[][..], &[][..])
        );
        let counts = plan.outlook.counts;
        assert_eq!(
            [
                counts.replicas,
                counts.available,
                counts.updated,
                counts.updated_available
            ],
            [5, 5, 2, 2]
        );
    }
}

#[test]
fn the_release_goes_on_from_where_kruise_stopped() {
    let mut snapshot = left_behind();
    let mut cloneset = snapshot.cloneset.as_ref().clone();
    cloneset.spec.update_strategy.partition = Some(cloneset_api::IntOrString::Int(2));
    snapshot.cloneset = Arc::new(cloneset);
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    let plan = plan(
        &snapshot,
        &desired,
        Features::default(),
        "2026-11-24T00:00:00Z".parse().unwrap(),
    );
    let deeds = crate::scene::deeds(&plan);
    assert_eq!(deeds.len(), 1, "{deeds:?}");
    assert!(deeds[0].ends_with("(InPlaceUpdate)"), "{deeds:?}");
}

/// The capture with one of its old pods half-way in Kruise's own update.
fn half_way(annotations: &Value, images: [&str; 2], container: &str) -> Plan {
    let mut pod = items("pods")
        .into_iter()
        .find(|pod| pod["metadata"]["labels"]["controller-revision-hash"] == "sample-6765fd5789")
        .unwrap();
    let labels = &mut pod["metadata"]["labels"];
    labels["controller-revision-hash"] = json!("sample-775c54bff4");
    labels["pod-template-hash"] = json!("775c54bff4");
    labels["lifecycle.apps.kruise.io/state"] = json!("Updating");
    for (key, value) in annotations.as_object().unwrap() {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    pod["spec"]["containers"][0]["image"] = json!(images[0]);
    let status = &mut pod["status"]["containerStatuses"][0];
    status["image"] = json!(images[1]);
    status["imageID"] = json!(format!("sha256:{}", images[1]));
    status["containerID"] = json!(container);
    for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "InPlaceUpdateReady" || condition["type"] == "Ready" {
            condition["status"] = json!("False");
        }
    }
    let mut snapshot = left_behind();
    let half: Arc<cloneset_status::Pod> = Arc::new(serde_json::from_value(pod).unwrap());
    snapshot.pods.retain(|other| other.uid() != half.uid());
    snapshot.pods.push(half);
    let mut cloneset = snapshot.cloneset.as_ref().clone();
    cloneset.spec.update_strategy.partition = Some(cloneset_api::IntOrString::Int(2));
    snapshot.cloneset = Arc::new(cloneset);
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    let now = "2026-11-24T00:00:00Z".parse().unwrap();
    plan(&snapshot, &desired, Features::default(), now)
}

const OLD: &str = "registry.local/web:v1";
const NEW: &str = "registry.local/web:v2";

fn state() -> Value {
    let state = json!({
        "revision": "sample-775c54bff4", "updateTimestamp": "2026-11-23T23:59:00Z", "updateImages": true,
        "lastContainerStatuses": {"main": {"imageID": format!("sha256:{OLD}")}},
        "containerBatchesRecord": [{"timestamp": "2026-11-23T23:59:00Z", "containers": ["main"]}]
    });
    json!({"apps.kruise.io/inplace-update-state": state.to_string()})
}

#[test]
fn a_pod_that_kruise_left_in_its_grace_period_is_changed() {
    let mut annotations = state();
    let grace = json!({
        "revision": "sample-775c54bff4", "containerImages": {"main": NEW}, "graceSeconds": 30
    });
    annotations["apps.kruise.io/inplace-update-grace"] = json!(grace.to_string());
    let plan = half_way(&annotations, [OLD, OLD], "containerd://a");
    let [Action::ChangeInPlace(InPlaceChange { images, .. })] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(images["main"], NEW);
}

#[test]
fn a_pod_that_kruise_left_restarting_is_waited_for_and_put_in_service() {
    let restarting = half_way(&state(), [NEW, OLD], "containerd://a");
    assert_eq!(restarting.actions, []);
    assert_eq!(
        crate::scene::waits(&restarting),
        ["1 pod waits for containers changed in place to run what they should"]
    );
    let restarted = half_way(&state(), [NEW, NEW], "containerd://b");
    let [Action::PutInService(write)] = restarted.actions.as_slice() else {
        panic!("{:?}", restarted.actions)
    };
    assert!(write.gate);
    assert_eq!(
        write.metadata.labels["lifecycle.apps.kruise.io/state"].as_deref(),
        Some("Normal")
    );
}
