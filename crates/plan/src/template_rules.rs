//! The rules of the CRD about templates and the names made from them, judged again for objects that slipped past them.
//!
//! Judges only what the CRD judges (`cloneset-api`, `validation/template.rs`): a test against a real API server holds
//! both to the same verdicts. Everything else in a template the API server judges when it gets a pod.

use cloneset_api::names::{annotations, labels};
use cloneset_api::{CloneSet, Value};
use cloneset_status::why::{Problem, Verdict};
use std::collections::BTreeSet;

/// Characters of a CloneSet's name: a pod's is that, `-` and five more, and may have 253.
const MAX_NAME: usize = 247;
/// Characters of the names of a CloneSet and of a PVC template together.
const MAX_PVC_NAME: usize = 246;
/// Characters of a label's value, and of the name of a container or volume.
const MAX_LABEL: usize = 63;

/// Levels of lists and objects in a template. The ControllerRevision that records it has a few more, and an object with
/// more than 127 cannot be read.
const MAX_DEPTH: usize = 100;

const CONTAINERS: &str = "spec.template.spec.containers";
const LABELS: &str = "spec.template.metadata.labels";
const ANNOTATIONS: &str = "spec.template.metadata.annotations";

/// Every broken rule.
pub(crate) fn broken(cloneset: &CloneSet) -> Vec<Problem> {
    let template = &cloneset.spec.template.0;
    let mut problems = names(cloneset);
    problems.extend(ending(template));
    problems.extend(containers(template));
    problems.extend(volumes(template));
    problems.extend(label_values(template));
    problems.extend(control_keys(template));
    if is_deeper_than(template, MAX_DEPTH) {
        let rule = format!("at most {MAX_DEPTH} levels of lists and objects");
        problems.push(blocking("spec.template", "nested too deeply", rule));
    }
    problems
}

fn blocking(field: &'static str, value: impl Into<String>, rule: impl Into<String>) -> Problem {
    Problem {
        field,
        value: value.into(),
        rule: rule.into(),
        verdict: Verdict::InvalidBlocking,
    }
}

fn is_deeper_than(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_array() || value.is_object();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper_than(item, below)),
        Value::Object(fields) => fields.values().any(|field| is_deeper_than(field, below)),
        _ => false,
    }
}

fn names(cloneset: &CloneSet) -> Vec<Problem> {
    let name = cloneset.metadata.name.as_deref().unwrap_or_default().len();
    let mut problems = Vec::new();
    if name > MAX_NAME {
        let rule = format!("at most {MAX_NAME}: the name of a pod has 6 more, and may have 253");
        problems.push(blocking("metadata.name", format!("{name} characters"), rule));
    }
    let templates = cloneset.spec.volume_claim_templates.iter().flatten();
    let too_long = templates
        .map(crate::claim_template::name_of)
        .find(|template| template.len() > MAX_LABEL || template.len().saturating_add(name) > MAX_PVC_NAME);
    if let Some(template) = too_long {
        let most = MAX_PVC_NAME.saturating_sub(name).min(MAX_LABEL);
        let rule = format!("at most {most} characters long, as it is part of the names of PVCs and volumes");
        problems.push(blocking(
            "spec.volumeClaimTemplates",
            format!("name {template:?}"),
            rule,
        ));
    }
    problems
}

/// A pod that ends by itself can never be kept running: nothing sensible can stand in for these.
fn ending(template: &Value) -> Vec<Problem> {
    let field = |name: &str| {
        let value = template.pointer(&format!("/spec/{name}"));
        value.filter(|value| !value.is_null())
    };
    let mut problems = Vec::new();
    if let Some(policy) =
        field("restartPolicy").filter(|policy| !matches!(policy.as_str(), Some("" | "Always")))
    {
        let path = "spec.template.spec.restartPolicy";
        problems.push(blocking(path, policy.to_string(), "Always or absent"));
    }
    if let Some(deadline) = field("activeDeadlineSeconds") {
        let path = "spec.template.spec.activeDeadlineSeconds";
        problems.push(blocking(path, deadline.to_string(), "absent"));
    }
    problems
}

fn list<'a>(template: &'a Value, field: &str) -> &'a [Value] {
    let list = template
        .pointer(&format!("/spec/{field}"))
        .and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(item: &'a Value, field: &str) -> &'a str {
    item.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// At least one container, each with an image and a name of its own.
fn containers(template: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    if list(template, "containers").is_empty() {
        problems.push(blocking(CONTAINERS, "[]", "at least one container"));
    }
    let mut seen = BTreeSet::new();
    for (field, path) in [
        ("containers", CONTAINERS),
        ("initContainers", "spec.template.spec.initContainers"),
    ] {
        for container in list(template, field) {
            let name = text(container, "name");
            if name.is_empty() || name.len() > MAX_LABEL {
                let rule = format!("1 to {MAX_LABEL} characters long");
                problems.push(blocking(path, format!("name {name:?}"), rule));
            } else if !seen.insert(name) {
                problems.push(blocking(
                    path,
                    format!("name {name:?}"),
                    "that of one container only",
                ));
            }
            if text(container, "image").is_empty() {
                let value = format!("image \"\" of container {name:?}");
                problems.push(blocking(path, value, "the name of an image"));
            }
        }
    }
    problems
}

fn volumes(template: &Value) -> Option<Problem> {
    let mut seen = BTreeSet::new();
    let mut names = list(template, "volumes")
        .iter()
        .map(|volume| text(volume, "name"));
    let name = names.find(|name| name.is_empty() || name.len() > MAX_LABEL || !seen.insert(*name))?;
    let rule = format!("1 to {MAX_LABEL} characters long, and that of one volume only");
    Some(blocking(
        "spec.template.spec.volumes",
        format!("name {name:?}"),
        rule,
    ))
}

/// A revision has the labels of its template, so with a value that is not valid not even that can be written.
fn label_values(template: &Value) -> Option<Problem> {
    let labels = template.pointer("/metadata/labels").and_then(Value::as_object);
    let (key, value) = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key, value.as_str()?)))
        .find(|(_, value)| !is_label_value(value))?;
    let rule = "at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or digit";
    Some(blocking(LABELS, format!("{key}={value:?}"), rule))
}

fn is_label_value(value: &str) -> bool {
    let is_edge = |character: char| character.is_ascii_alphanumeric();
    let is_inner = |character: char| is_edge(character) || matches!(character, '-' | '_' | '.');
    value.is_empty()
        || (value.len() <= MAX_LABEL
            && value.chars().all(is_inner)
            && value.starts_with(is_edge)
            && value.ends_with(is_edge))
}

/// They are left off pods, so nothing is held back for them.
fn control_keys(template: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (field, path, keys) in [
        ("labels", LABELS, labels::CONTROL),
        ("annotations", ANNOTATIONS, annotations::CONTROL),
    ] {
        let entries = template.pointer(&format!("/metadata/{field}"));
        let written = keys.into_iter().filter(|key| {
            entries
                .and_then(|entries| entries.get(key))
                .is_some_and(|value| !value.is_null())
        });
        problems.extend(written.map(|key| Problem {
            verdict: Verdict::InvalidCautious,
            ..blocking(path, key, "absent: the controller keeps the state of a pod in it")
        }));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(change: &Value) -> Vec<(String, bool)> {
        let mut object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "selector": {"matchLabels": {"app": "web"}},
                "template": {
                    "metadata": {"labels": {"app": "web"}},
                    "spec": {"containers": [{"name": "main", "image": "web:v1"}]}
                }
            }
        });
        json_patch::merge(&mut object, change);
        let problems = broken(&serde_json::from_value(object).unwrap());
        problems
            .iter()
            .map(|problem| (problem.to_string(), problem.blocks()))
            .collect()
    }

    fn of_spec(spec: &Value) -> Value {
        json!({"spec": {"template": {"spec": spec}}})
    }

    #[test]
    fn what_no_pod_could_be_made_from_blocks_and_is_named() {
        let image = |image: &Value| of_spec(&json!({"containers": [{"name": "main", "image": image}]}));
        let long = "p".repeat(30);
        for (change, expected) in [
            (
                of_spec(&json!({"containers": []})),
                "spec.template.spec.containers: [] must be at least one container",
            ),
            (
                image(&Value::Null),
                r#"spec.template.spec.containers: image "" of container "main" must be the name of an image"#,
            ),
            (
                image(&json!("")),
                r#"spec.template.spec.containers: image "" of container "main" must be the name of an image"#,
            ),
            (
                of_spec(&json!({"initContainers": [{"name": "main", "image": "init"}]})),
                r#"spec.template.spec.initContainers: name "main" must be that of one container only"#,
            ),
            (
                of_spec(&json!({"volumes": [{"name": "tmp"}, {"name": "tmp"}]})),
                r#"spec.template.spec.volumes: name "tmp" must be 1 to 63 characters long, and that of one volume only"#,
            ),
            (
                json!({"spec": {"template": {"metadata": {"labels": {"tier": "front end"}}}}}),
                "spec.template.metadata.labels: tier=\"front end\" must be at most 63 letters, digits, '-', '_' and '.', \
                 the first and the last a letter or digit",
            ),
            (
                json!({"metadata": {"name": "w".repeat(248)}}),
                "metadata.name: 248 characters must be at most 247: the name of a pod has 6 more, and may have 253",
            ),
            (
                json!({"metadata": {"name": "w".repeat(230)}, "spec": {"volumeClaimTemplates": [{"metadata": {"name": long}}]}}),
                "spec.volumeClaimTemplates: name \"pppppppppppppppppppppppppppppp\" must be at most 16 characters long, \
                 as it is part of the names of PVCs and volumes",
            ),
        ] {
            assert_eq!(told(&change), [(expected.to_owned(), true)]);
        }
        assert_eq!(told(&json!({"metadata": {"name": "w".repeat(247)}})), []);
    }

    #[test]
    fn a_template_that_is_nested_too_deeply_blocks() {
        let nested = |levels: usize| {
            let innermost = json!(1);
            let field = (0..levels).fold(innermost, |inside, _| json!({"x": inside}));
            told(&of_spec(&json!({"odd": field})))
        };
        let expected = "spec.template: nested too deeply must be at most 100 levels of lists and objects";
        assert_eq!(nested(98), []);
        assert_eq!(nested(99), [(expected.to_owned(), true)]);
    }

    #[test]
    fn control_keys_of_a_template_are_told_and_hold_nothing_back() {
        let change = json!({"spec": {"template": {"metadata": {
            "labels": {"apps.kruise.io/specified-delete": "", "hook.example.com/blocker": "true"},
            "annotations": {
                "apps.kruise.io/inplace-update-state": "{}",
                "apps.kruise.io/container-launch-priority": "Ordered",
                "controller.kubernetes.io/pod-deletion-cost": "0"
            }
        }}}});
        let absent = "must be absent: the controller keeps the state of a pod in it";
        assert_eq!(
            told(&change),
            [
                (
                    format!("spec.template.metadata.labels: apps.kruise.io/specified-delete {absent}"),
                    false
                ),
                (
                    format!(
                        "spec.template.metadata.annotations: apps.kruise.io/inplace-update-state {absent}"
                    ),
                    false
                ),
            ]
        );
    }

    #[test]
    fn label_values_are_judged_as_kubernetes_does() {
        for good in ["", "a", "A-b_c.d", "1"] {
            assert!(is_label_value(good), "{good:?}");
        }
        for bad in ["-a", "a-", "a b", "ä", "a/b", " "] {
            assert!(!is_label_value(bad), "{bad:?}");
        }
        assert!(is_label_value(&"a".repeat(63)) && !is_label_value(&"a".repeat(64)));
    }
}
