//! Area A: what a spec may say. The API server refuses these values by the CRD's rules, as the end-to-end tests show; here
//! they have slipped in, and the controller comes to the same verdict on its own.

use cloneset_api::names::labels;
use cloneset_testkit::World;
use serde_json::{Value, json};

/// The fields that the controller finds wrong, and the pods there are, once two good pods got this spec.
fn verdict(spec: &Value) -> (Vec<String>, String) {
    let mut world = World::of(&json!({"replicas": 2}));
    world.settle().unwrap();
    world.edit(spec);
    (wrong_fields(&mut world), world.inventory())
}

fn wrong_fields(world: &mut World) -> Vec<String> {
    world.settle().unwrap();
    let conditions = world.status().conditions.unwrap_or_default();
    let stalled = conditions.iter().find(|condition| condition.type_ == "Stalled");
    let told = stalled.and_then(|condition| condition.message.clone());
    let fields = told.unwrap_or_default();
    let fields = fields.split_whitespace().filter(|word| word.starts_with("spec."));
    let fields = fields.map(|field| field.trim_end_matches([':', ',']).to_owned());
    fields.collect()
}

fn refused(spec: &Value, field: &str) {
    let (fields, pods) = verdict(spec);
    assert!(fields.contains(&field.to_owned()), "{spec}: {fields:?}");
    assert_eq!(pods, "2 v1 available", "{spec}: nothing moves by a bad value");
}

fn accepted(spec: &Value) {
    assert_eq!(verdict(spec).0, [""; 0], "{spec}");
}

#[test]
fn scenario_5_negative_replicas() {
    refused(&json!({"replicas": -1}), "spec.replicas");
}

#[test]
fn scenario_6_a_selector_that_the_template_does_not_meet() {
    let selector = json!({"matchLabels": {"app": "sample", "tier": "web"}});
    refused(&json!({ "selector": selector }), "spec.template.metadata.labels");
}

#[test]
fn scenario_9_a_negative_partition_and_one_above_the_replicas() {
    refused(
        &json!({"updateStrategy": {"partition": -1}}),
        "spec.updateStrategy.partition",
    );
    accepted(&json!({"replicas": 1, "updateStrategy": {"partition": 2}}));
}

#[test]
fn scenario_11_more_than_all_may_be_unavailable() {
    accepted(&json!({"updateStrategy": {"maxUnavailable": "120%"}}));
}

#[test]
fn scenario_12_and_regression_53_a_count_written_as_text() {
    for field in ["maxSurge", "maxUnavailable"] {
        let path = format!("spec.updateStrategy.{field}");
        let text = json!({"updateStrategy": {field: "5"}});
        assert_eq!(verdict(&text), (vec![path.clone()], "2 v1 available".to_owned()));
        // Also where the number stood there before.
        let mut world = World::of(&json!({"replicas": 2, "updateStrategy": {field: 5}}));
        world.settle().unwrap();
        world.edit(&text);
        assert_eq!(wrong_fields(&mut world), [path]);
        assert_eq!(world.inventory(), "2 v1 available");
    }
}

#[test]
fn scenario_14_a_name_twice_in_pods_to_delete() {
    let names = json!(["sample-a", "sample-a"]);
    refused(
        &json!({"scaleStrategy": {"podsToDelete": names}}),
        "spec.scaleStrategy.podsToDelete",
    );
}

#[test]
fn scenario_21_a_deadline_that_no_pod_can_meet() {
    for (deadline, ready) in [(-1, 0), (10, 10), (10, 15)] {
        let spec = json!({"progressDeadlineSeconds": deadline, "minReadySeconds": ready});
        refused(&spec, "spec.progressDeadlineSeconds");
    }
    accepted(&json!({"progressDeadlineSeconds": 11, "minReadySeconds": 10}));
}

#[test]
fn scenario_26_a_scatter_term_twice() {
    let scatter = |terms: Value| json!({"updateStrategy": {"scatterStrategy": terms}});
    let (one, other) = (
        json!({"key": "k", "value": "a"}),
        json!({"key": "k", "value": ""}),
    );
    refused(&scatter(json!([one, one])), "spec.updateStrategy.scatterStrategy");
    accepted(&scatter(json!([one, other])));
}

/// Kruise's webhook refuses it; the API server's rules cannot compare what they do not know. It is told by the first
/// pods it is about, and no pod is changed.
#[test]
fn scenario_20_in_place_only_with_a_change_that_needs_new_pods() {
    let strategy = json!({"type": "InPlaceOnly", "maxUnavailable": 2});
    let mut world = World::of(&json!({"replicas": 2, "updateStrategy": strategy}));
    world.settle().unwrap();
    let before = world.live_pods();
    let containers = json!([{"name": "main", "image": "registry.local/web:v2", "imagePullPolicy": "Always"}]);
    world.edit(&json!({"template": {"spec": {"containers": containers}}}));
    world.settle().unwrap();
    assert!(
        world
            .conditions()
            .contains(&"FailedUpdate=True FailedUpdate".to_owned()),
        "{:?}",
        world.conditions()
    );
    let uids_and_revisions = |pods: &[cloneset_status::Pod]| {
        let told = |pod: &cloneset_status::Pod| {
            (
                pod.uid().to_owned(),
                pod.label(labels::REVISION).map(str::to_owned),
            )
        };
        pods.iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(
        uids_and_revisions(&world.live_pods()),
        uids_and_revisions(&before)
    );
}
