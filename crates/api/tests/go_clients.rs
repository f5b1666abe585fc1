//! Objects as Go clients write them must be accepted and must survive a read-modify-write.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

use cloneset_api::{CloneSet, IntOrString, crd};
use serde_json::{Value, json};

/// What a Go client sends: zero values of structs without `omitempty`, null times, fields newer than this code.
fn written_by_go() -> Value {
    json!({
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "CloneSet",
        "metadata": {"name": "web", "namespace": "shop", "creationTimestamp": null},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "web"}},
                "spec": {
                    "containers": [{"name": "main", "image": "web:v1", "resources": {}}],
                    "aFieldOfTomorrow": {"keep": ["me", null, 1.5]}
                },
                "status": {}
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data", "creationTimestamp": null}, "status": {}}],
            "scaleStrategy": {},
            "updateStrategy": {"partition": "50%", "inPlaceUpdateStrategy": {}},
            "lifecycle": {"preDelete": {}},
        },
        "status": {
            "replicas": 0, "readyReplicas": 0, "availableReplicas": 0,
            "updatedReplicas": 0, "updatedReadyReplicas": 0,
            "conditions": [{"type": "FailedScale", "status": "True", "lastTransitionTime": null}]
        }
    })
}

#[test]
fn an_object_written_by_a_go_client_survives_a_read_modify_write() {
    let sent = written_by_go();
    let mut object: CloneSet = serde_json::from_value(sent.clone()).unwrap();
    object.spec.replicas = Some(4);
    let back = serde_json::to_value(&object).unwrap();

    assert_eq!(
        back["spec"]["template"], sent["spec"]["template"],
        "the template is kept byte for byte"
    );
    assert_eq!(
        back["spec"]["volumeClaimTemplates"],
        sent["spec"]["volumeClaimTemplates"]
    );
    assert_eq!(back["spec"]["replicas"], 4);
    assert_eq!(back["spec"]["updateStrategy"]["partition"], "50%");
    assert_eq!(back["spec"]["scaleStrategy"], json!({}));
    assert_eq!(back["spec"]["lifecycle"], json!({"preDelete": {}}));
    for (counter, value) in sent["status"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(key, _)| *key != "conditions")
    {
        assert_eq!(&back["status"][counter], value, "{counter}");
    }
}

#[test]
fn an_object_that_predates_the_schema_defaults_reads_as_if_defaulted() {
    let bare = json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {}, "template": {}}
    });
    let object: CloneSet = serde_json::from_value(bare).unwrap();
    assert_eq!(object.spec.replicas, Some(1));
    assert_eq!(object.spec.revision_history_limit, Some(10));
    assert_eq!(object.spec.update_strategy.type_.as_deref(), Some("ReCreate"));
    assert_eq!(
        object.spec.update_strategy.max_unavailable,
        Some(IntOrString::String("20%".into()))
    );
}

#[test]
fn a_default_and_null_never_meet_in_one_schema() {
    fn walk(path: &str, schema: &Value, defaults: &mut Vec<String>) {
        if schema.get("default").is_some() {
            assert!(
                schema.get("nullable").is_none(),
                "{path} would keep null instead of its default"
            );
            defaults.push(path.to_owned());
        }
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            for (name, property) in properties {
                walk(&format!("{path}.{name}"), property, defaults);
            }
        }
    }
    let crd = serde_json::to_value(crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut defaults = Vec::new();
    for part in ["spec", "status"] {
        walk(part, &schema[part], &mut defaults);
    }
    defaults.sort();
    assert_eq!(
        defaults,
        [
            "spec.replicas",
            "spec.revisionHistoryLimit",
            "spec.updateStrategy",
            "spec.updateStrategy.maxSurge",
            "spec.updateStrategy.maxUnavailable",
            "spec.updateStrategy.partition",
            "spec.updateStrategy.type",
            "status",
            "status.expectedUpdatedReplicas",
            "status.updatedAvailableReplicas",
        ]
    );
}

#[test]
fn an_object_without_a_status_is_one_that_no_controller_has_observed() {
    let crd = serde_json::to_value(crd()).unwrap();
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    let default = &status["default"];
    assert_eq!(default["observedGeneration"], -1);
    // The API server takes a default only if it keeps the schema.
    for required in status["required"].as_array().unwrap() {
        assert_eq!(default[required.as_str().unwrap()], 0, "{required}");
    }
    let read: cloneset_api::CloneSetStatus = serde_json::from_value(default.clone()).unwrap();
    assert_eq!(read.observed_generation, Some(-1));
    assert_eq!(read.conditions, None);
}
