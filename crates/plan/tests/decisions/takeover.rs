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
        kept_pods: std::collections::BTreeSet::new(),
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
        // Kruise does not record volumeClaimTemplates.
        assert_eq!(
            (crate::scene::deeds(&plan), plan.waits.as_slice()),
            (vec![RECORDS.to_owned()], &[][..])
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
    assert_eq!((deeds.len(), deeds[0].as_str()), (2, RECORDS), "{deeds:?}");
    assert!(deeds[1].ends_with("(InPlaceUpdate)"), "{deeds:?}");
}

/// Where Kruise stopped with one of the old pods.
struct HalfWay {
    annotations: Value,
    /// The image asked for, and the one that runs.
    images: [&'static str; 2],
    container: &'static str,
}

/// The volumeClaimTemplates are recorded on the revision that is there.
const RECORDS: &str = "annotate sample-775c54bff4 (7e06fc72-54cf-44d8-a3a3-ebb17047876c)";
const OLD: &str = "registry.local/web:v1";
const NEW: &str = "registry.local/web:v2";
const NOW: &str = "2026-11-24T00:00:00Z";

/// The capture with one of its old pods half-way in Kruise's own update, which the partition lets go; its name too.
fn half_way(stopped: &HalfWay) -> (String, Plan) {
    let mut pod = items("pods")
        .into_iter()
        .find(|pod| pod["metadata"]["labels"]["controller-revision-hash"] == "sample-6765fd5789")
        .unwrap();
    let labels = &mut pod["metadata"]["labels"];
    labels["controller-revision-hash"] = json!("sample-775c54bff4");
    labels["pod-template-hash"] = json!("775c54bff4");
    labels["lifecycle.apps.kruise.io/state"] = json!("Updating");
    for (key, value) in stopped.annotations.as_object().unwrap() {
        pod["metadata"]["annotations"][key] = value.clone();
    }
    let [wanted, runs] = stopped.images;
    pod["spec"]["containers"][0]["image"] = json!(wanted);
    let status = &mut pod["status"]["containerStatuses"][0];
    status["image"] = json!(runs);
    status["imageID"] = json!(format!("sha256:{runs}"));
    status["containerID"] = json!(stopped.container);
    for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "InPlaceUpdateReady" || condition["type"] == "Ready" {
            condition["status"] = json!("False");
        }
    }
    let mut snapshot = left_behind();
    let half: Arc<cloneset_status::Pod> = Arc::new(serde_json::from_value(pod).unwrap());
    let name = half.name().to_owned();
    snapshot.pods.retain(|other| other.uid() != half.uid());
    snapshot.pods.push(half);
    let mut cloneset = snapshot.cloneset.as_ref().clone();
    cloneset.spec.update_strategy.partition = Some(cloneset_api::IntOrString::Int(2));
    snapshot.cloneset = Arc::new(cloneset);
    let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
    let plan = plan(&snapshot, &desired, Features::default(), NOW.parse().unwrap());
    (name, plan)
}

fn state() -> Value {
    let state = json!({
        "revision": "sample-775c54bff4", "updateTimestamp": "2026-11-23T23:59:00Z", "updateImages": true,
        "lastContainerStatuses": {"main": {"imageID": format!("sha256:{OLD}")}},
        "containerBatchesRecord": [{"timestamp": "2026-11-23T23:59:00Z", "containers": ["main"]}]
    });
    json!({"apps.kruise.io/inplace-update-state": state.to_string()})
}

/// Out of service since a minute, and to be changed after so many seconds. `prefix` of the keys: old versions have none.
fn draining(prefix: &str, grace_seconds: i64) -> HalfWay {
    let state = json!({
        "revision": "sample-775c54bff4", "updateTimestamp": "2026-11-23T23:59:00Z", "updateImages": true,
        "lastContainerStatuses": null
    });
    let grace = json!({
        "revision": "sample-775c54bff4", "containerImages": {"main": NEW}, "graceSeconds": grace_seconds,
        // {"metadata":{"annotations":{"team":"web"}}}
        "metaDataPatch": "eyJtZXRhZGF0YSI6eyJhbm5vdGF0aW9ucyI6eyJ0ZWFtIjoid2ViIn19fQ=="
    });
    HalfWay {
        annotations: json!({
            (format!("{prefix}inplace-update-state")): state.to_string(),
            (format!("{prefix}inplace-update-grace")): grace.to_string()
        }),
        images: [OLD, OLD],
        container: "containerd://a",
    }
}

#[test]
fn a_pod_that_kruise_left_in_its_grace_period_stays_as_it_is_until_that_is_over() {
    let (_, plan) = half_way(&draining("apps.kruise.io/", 90));
    assert_eq!(plan.actions, []);
    assert_eq!(
        crate::scene::waits(&plan),
        ["1 pod waits out of service for gracePeriodSeconds to pass, until 2026-11-24T00:00:30Z at least"]
    );
}

#[test]
fn a_pod_that_kruise_left_in_its_grace_period_is_changed() {
    for prefix in ["apps.kruise.io/", ""] {
        let (pod, plan) = half_way(&draining(prefix, 30));
        let [
            Action::ChangeInPlace(InPlaceChange {
                name,
                images,
                metadata,
                ..
            }),
        ] = plan.actions.as_slice()
        else {
            panic!("{:?}", plan.actions)
        };
        assert_eq!((name, images["main"].as_str()), (&pod, NEW));
        let annotations = &metadata.annotations;
        assert_eq!(annotations["team"].as_deref(), Some("web"), "{prefix}");
        let old_grace = format!("{prefix}inplace-update-grace");
        assert_eq!(annotations[&old_grace], None, "it has been done");
    }
}

#[test]
fn a_pod_that_kruise_left_restarting_is_waited_for_and_put_in_service() {
    let stopped = |runs, container| HalfWay {
        annotations: state(),
        images: [NEW, runs],
        container,
    };
    let (_, restarting) = half_way(&stopped(OLD, "containerd://a"));
    assert_eq!(restarting.actions, []);
    assert_eq!(
        crate::scene::waits(&restarting),
        ["1 pod waits for containers changed in place to run what they should"]
    );
    let (pod, restarted) = half_way(&stopped(NEW, "containerd://b"));
    let [Action::PutInService(write)] = restarted.actions.as_slice() else {
        panic!("{:?}", restarted.actions)
    };
    assert_eq!((&write.name, write.gate), (&pod, true));
    assert_eq!(
        write.metadata.labels["lifecycle.apps.kruise.io/state"].as_deref(),
        Some("Normal")
    );
}
