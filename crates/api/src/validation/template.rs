//! What the API server rejects in a pod template or a PVC template, and of names that are made from it.
//!
//! Only what would keep every pod from being created, and what would make the controller mistake one pod for another.
//! The rest of a template is the API server's to judge when it gets a pod.

use super::{Rule, find};
use crate::names::{annotations, labels};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::json;

/// Characters of a CloneSet's name: a pod is called after it, with `-` and five more, and may have 253.
const MAX_NAME: usize = 247;
/// Characters of the names of a CloneSet and a PVC template together: a PVC is called `<template>-<pod>`.
const MAX_PVC_NAME: usize = 246;
/// Containers of a pod; generous, for the cost limit of the rules.
const MAX_CONTAINERS: i64 = 128;
/// PVC templates.
const MAX_PVC_TEMPLATES: i64 = 64;
/// Labels of a template.
const MAX_LABELS: i64 = 256;
/// Annotations of a template.
const MAX_ANNOTATIONS: i64 = 512;
/// A label's value, as everywhere in Kubernetes.
const LABEL_VALUE: &str = "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$";

pub(super) fn rules() -> Vec<Rule> {
    let mut rules = names();
    rules.extend(pods());
    rules.extend([
        control_keys("spec.template.metadata.labels", "label", &labels::CONTROL),
        control_keys(
            "spec.template.metadata.annotations",
            "annotation",
            &annotations::CONTROL,
        ),
    ]);
    rules
}

/// Lengths. The name of an object never changes, so it is judged once.
fn names() -> Vec<Rule> {
    vec![
        Rule::new(
            "",
            format!("size(self.metadata.name) <= {MAX_NAME}"),
            format!(
                "'must have at most {MAX_NAME} characters, not %d: the name of a pod is that of its CloneSet with 6 more, \
                 and may have 253'.format([size(self.metadata.name)])"
            ),
        )
        .about(".metadata.name")
        .when_changed("true"),
        Rule::new(
            "",
            format!(
                "!has(self.spec.volumeClaimTemplates) || self.spec.volumeClaimTemplates.all(t, \
                 size(t.metadata.name) + size(self.metadata.name) <= {MAX_PVC_NAME})"
            ),
            format!(
                "'must have names of at most %d characters: the name of a PVC is made of that, the name of the CloneSet \
                 and 7 more, and may have 253'.format([{MAX_PVC_NAME} - size(self.metadata.name)])"
            ),
        )
        .about(".spec.volumeClaimTemplates")
        // The cost of walking the old list cannot be estimated at the root.
        .when_changed("has(oldSelf.value().spec.volumeClaimTemplates)"),
        Rule::new(
            "spec",
            "!has(self.volumeClaimTemplates) || self.volumeClaimTemplates.all(t, \
             self.volumeClaimTemplates.exists_one(u, u.metadata.name == t.metadata.name))",
            "'must not have two templates of one name'",
        )
        .about(".volumeClaimTemplates")
        .unless_broken_before(),
    ]
}

fn pods() -> Vec<Rule> {
    vec![
        Rule::new(
            "spec.template.spec",
            "!has(self.initContainers) || self.initContainers.all(i, !self.containers.exists(c, c.name == i.name))",
            "'must not repeat the name of a container: ' + self.initContainers.map(i, \
             self.containers.exists(c, c.name == i.name), i.name)[0]",
        )
        .about(".initContainers")
        .unless_broken_before(),
        Rule::new(
            "spec.template.spec",
            "!has(self.restartPolicy) || self.restartPolicy in ['', 'Always']",
            "'must be Always or absent, not \"' + self.restartPolicy + '\"'",
        )
        .about(".restartPolicy")
        .when_changed(
            "has(oldSelf.value().restartPolicy) && has(self.restartPolicy) && \
             oldSelf.value().restartPolicy == self.restartPolicy",
        ),
        Rule::new(
            "spec.template.spec",
            "!has(self.activeDeadlineSeconds)",
            "'must be absent, not %d'.format([self.activeDeadlineSeconds])",
        )
        .about(".activeDeadlineSeconds")
        .when_changed(
            "has(oldSelf.value().activeDeadlineSeconds) && has(self.activeDeadlineSeconds) && \
             oldSelf.value().activeDeadlineSeconds == self.activeDeadlineSeconds",
        ),
    ]
}

/// The keys by which the controller tells pods and their states apart.
fn control_keys(at: &'static str, what: &str, keys: &[&str]) -> Rule {
    let quoted: Vec<String> = keys.iter().map(|key| format!("'{key}'")).collect();
    let list = format!("[{}]", quoted.join(", "));
    Rule::new(
        at,
        format!("!self.exists(k, k in {list})"),
        format!(
            "'must not have {what} ' + self.filter(k, k in {list})[0] + ': the controller keeps the state of a pod in it; \
             remove it from the template'"
        ),
    )
}

/// Plain limits of the schema (`docs/reference/validation.md` lists them).
pub(super) fn bound(root: &mut JSONSchemaProps) {
    let mut each = |path: &str, set: &dyn Fn(&mut JSONSchemaProps)| {
        if let Some(schema) = find(root, path) {
            set(schema);
        }
    };
    // A rule can name a field only if the schema does.
    each("", &|schema| {
        let metadata = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let metadata = serde_json::from_value(metadata).unwrap_or_default();
        let properties = schema.properties.get_or_insert_default();
        properties.insert("metadata".to_owned(), metadata);
    });
    let spec = "spec.template.spec";
    require(&mut each, "spec.template", &["spec"]);
    require(&mut each, spec, &["containers"]);
    each(&format!("{spec}.containers"), &|schema| {
        schema.min_items = Some(1);
    });
    for containers in ["containers", "initContainers"] {
        let path = format!("{spec}.{containers}");
        each(&path, &|schema| schema.max_items = Some(MAX_CONTAINERS));
        by_name(&mut each, &path);
        require(&mut each, &format!("{path}[]"), &["image", "name"]);
        each(&format!("{path}[].image"), &|schema| schema.min_length = Some(1));
    }
    by_name(&mut each, &format!("{spec}.volumes"));
    require(&mut each, "spec.volumeClaimTemplates[]", &["metadata"]);
    require(&mut each, "spec.volumeClaimTemplates[].metadata", &["name"]);
    each("spec.volumeClaimTemplates[].metadata.name", &a_name);
    each("spec.volumeClaimTemplates", &|schema| {
        schema.max_items = Some(MAX_PVC_TEMPLATES);
    });
    each("spec.template.metadata.annotations", &|schema| {
        schema.max_properties = Some(MAX_ANNOTATIONS);
    });
    each("spec.template.metadata.labels", &|schema| {
        schema.max_properties = Some(MAX_LABELS);
        if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut schema.additional_properties {
            value.nullable = None;
            value.max_length = Some(63);
            value.pattern = Some(LABEL_VALUE.to_owned());
        }
    });
}

/// Names as a DNS label may be long; which characters they have the API server judges.
fn a_name(schema: &mut JSONSchemaProps) {
    (schema.min_length, schema.max_length) = (Some(1), Some(63));
}

type Each<'a> = dyn FnMut(&str, &dyn Fn(&mut JSONSchemaProps)) + 'a;

/// Fields that must be there. A null does not count, so it must not be kept.
fn require(each: &mut Each<'_>, path: &str, fields: &[&str]) {
    each(path, &|schema| {
        schema.required = Some(fields.iter().map(|&field| field.to_owned()).collect());
        for field in fields {
            let property = schema.properties.as_mut().and_then(|all| all.get_mut(*field));
            if let Some(property) = property {
                property.nullable = None;
            }
        }
    });
}

/// A list in which a name stands once, as in a pod: server-side apply merges its items by name, and an item that is not
/// changed is not judged again (`docs/decisions/0008-typed-templates.md`).
fn by_name(each: &mut Each<'_>, path: &str) {
    require(each, &format!("{path}[]"), &["name"]);
    each(&format!("{path}[].name"), &a_name);
    each(path, &|schema| {
        schema.x_kubernetes_list_type = Some("map".to_owned());
        schema.x_kubernetes_list_map_keys = Some(vec!["name".to_owned()]);
        if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
            items.nullable = None;
        }
    });
}
