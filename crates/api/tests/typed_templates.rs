//! The CRD types every known field of `spec.template` and `spec.volumeClaimTemplates`: what no Go client could decode is
//! rejected at apply, and nothing else is.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

use cloneset_api::{CloneSet, PodTemplate, crd};
use serde_json::{Value, json};
use std::sync::LazyLock;

static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let crd = serde_json::to_value(crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
});

fn object_schemas(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        object_schemas(&format!("{path}.{name}"), property, visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            object_schemas(&format!("{path}{suffix}"), &schema[key], visit);
        }
    }
}

/// The paths at which a value has a type that the schema does not allow, as the API server judges it: a quantity is a
/// schema without a type, and an integer may have a decimal point.
fn wrong_types(path: &str, schema: &Value, value: &Value) -> Vec<String> {
    let is_quantity = schema["pattern"].is_string() && schema["type"].is_null();
    let may_be_null = schema["nullable"] == true || is_quantity;
    let is_whole = value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match schema["type"].as_str() {
        _ if value.is_null() => may_be_null,
        None if schema["x-kubernetes-int-or-string"] == true => is_whole || value.is_string(),
        None if is_quantity => value.is_number() || value.is_string(),
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => is_whole,
        Some(_) => false,
    };
    if !fits {
        return vec![path.to_owned()];
    }
    let mut wrong = Vec::new();
    for (name, field) in value.as_object().into_iter().flatten() {
        let property = &schema["properties"][name];
        let known = if property.is_object() {
            property
        } else {
            &schema["additionalProperties"]
        };
        if known.is_object() {
            wrong.extend(wrong_types(&format!("{path}.{name}"), known, field));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        wrong.extend(wrong_types(&format!("{path}[{at}]"), &schema["items"], item));
    }
    wrong
}

fn judged(spec: &Value) -> Vec<String> {
    wrong_types("spec", &SPEC_SCHEMA, spec)
}

#[test]
fn a_value_of_the_wrong_type_is_found_wherever_it_is_in_a_template() {
    for (template, path) in [
        (
            json!({"metadata": {"annotations": {"prometheus.io/scrape": true}}}),
            "spec.template.metadata.annotations.prometheus.io/scrape",
        ),
        (
            json!({"spec": {"containers": [{"name": "main", "env": [{"name": "PORT", "value": 8080}]}]}}),
            "spec.template.spec.containers[0].env[0].value",
        ),
        (
            json!({"spec": {"initContainers": [{"name": "init", "args": "sleep 1"}]}}),
            "spec.template.spec.initContainers[0].args",
        ),
        (
            json!({"spec": {"nodeSelector": {"gpu": 1}}}),
            "spec.template.spec.nodeSelector.gpu",
        ),
        (
            json!({"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": true}}}]}}),
            "spec.template.spec.containers[0].resources.limits.cpu",
        ),
        (
            json!({"spec": {"terminationGracePeriodSeconds": "30"}}),
            "spec.template.spec.terminationGracePeriodSeconds",
        ),
    ] {
        assert_eq!(judged(&json!({"template": template})), [path]);
    }
    let claim = json!([{"metadata": {"name": "data"}, "spec": {"accessModes": "ReadWriteOnce"}}]);
    assert_eq!(
        judged(&json!({"volumeClaimTemplates": claim})),
        ["spec.volumeClaimTemplates[0].spec.accessModes"]
    );
}

#[test]
fn what_a_deployment_accepts_has_no_wrong_type() {
    let container = json!({
        "name": "main", "image": "web:v1", "args": null, "env": [{"name": "A", "valueFrom": null}],
        "ports": [{"containerPort": 80.0}],
        "readinessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 1},
        "livenessProbe": {"tcpSocket": {"port": 80}},
        "resources": {"limits": {"cpu": 0.5, "memory": 5e8}, "requests": {"cpu": "500m", "memory": 64}}
    });
    let spec = json!({
        "template": {
            "metadata": {"creationTimestamp": null, "annotations": null, "labels": {"app": "web"}, "newer": 1},
            "spec": {"containers": [container], "nodeSelector": null, "newer": {"kept": [1, null]}},
            "status": {}
        },
        "volumeClaimTemplates": [{
            "metadata": {"name": "data", "creationTimestamp": null},
            "spec": {"resources": {"requests": {"storage": "1Gi"}}, "storageClassName": null},
            "status": {}
        }]
    });
    assert_eq!(judged(&spec), Vec::<String>::new());
}

#[test]
fn a_template_schema_says_nothing_but_types_and_keeps_unknown_fields() {
    let mut nodes = 0;
    let mut visit = |path: &str, schema: &Value| {
        nodes += 1;
        let has_type = schema["type"].is_string() || schema["x-kubernetes-int-or-string"] == true;
        let keeps = schema["x-kubernetes-preserve-unknown-fields"] == true;
        assert!(has_type || keeps, "{path} has no type");
        if schema["type"] == "object" && !schema["additionalProperties"].is_object() {
            assert!(keeps, "{path} would lose a field that is not known");
        }
        for word in ["default", "$ref", "enum"] {
            assert!(schema[word].is_null(), "{path} has {word}");
        }
    };
    for name in ["template", "volumeClaimTemplates"] {
        object_schemas(name, &SPEC_SCHEMA["properties"][name], &mut visit);
    }
    assert!(nodes > 1000, "only {nodes} typed fields");
}

#[test]
fn an_object_stored_with_wrong_types_is_still_read() {
    let stored = json!({
        "metadata": {"name": "web"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "port": 80}, "annotations": {"scrape": true}},
                "spec": {"containers": [{"name": "main", "env": [{"name": "PORT", "value": 8080}]}]}
            },
            "volumeClaimTemplates": [{"metadata": {"name": 1}, "spec": "none"}]
        }
    });
    let object: CloneSet = serde_json::from_value(stored.clone()).unwrap();
    assert_eq!(
        object.spec.template,
        PodTemplate(stored["spec"]["template"].clone())
    );
    assert_eq!(object.spec.template.labels().len(), 1);
}

#[test]
fn kubectl_apply_can_keep_the_crd_in_its_annotation() {
    // `kubectl apply` stores the whole object in an annotation, and all annotations together may have 262,144 bytes.
    let size = serde_json::to_string(&crd()).unwrap().len();
    assert!(size < 200_000, "the CRD has {size} bytes");
}
