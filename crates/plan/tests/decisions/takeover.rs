//! Taking over a CloneSet that OpenKruise left behind: nothing is created, nothing is written.
//!
//! The capture in `testkit/fixtures/kruise` uses an in-place type and claims, which this version does not have;
//! the copy here goes without them, as revisions record neither.

use cloneset_api::CloneSet;
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
    let mut cloneset = fixture("cloneset");
    cloneset["spec"]["updateStrategy"]["type"] = json!("ReCreate");
    cloneset["spec"]
        .as_object_mut()
        .unwrap()
        .remove("volumeClaimTemplates");
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
    assert!(deeds[0].ends_with("for update"), "{deeds:?}");
}
