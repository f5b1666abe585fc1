//! Which template a pod was made from, told by what is in the pod and not by a label that the controller wrote.
//!
//! What the API server fills in or adds at the end of a list does not make a pod another one. Where that cannot be
//! told, no template is named, and no pod is counted as updated.

use serde_json::Value;

/// Does the pod hold all that the template says?
pub(super) fn bears(made: &Value, template: &Value) -> bool {
    let part = |name: &str| holds(made.pointer(name), template.pointer(name).unwrap_or(&Value::Null));
    part("/metadata/labels") && part("/metadata/annotations") && part("/spec")
}

fn holds(made: Option<&Value>, said: &Value) -> bool {
    match (said, made) {
        // Left out by whoever writes the pod, all of them.
        (Value::Null, _) => true,
        (Value::Object(fields), None) if fields.is_empty() => true,
        (Value::Array(items), None) if items.is_empty() => true,
        (Value::Object(fields), Some(Value::Object(made))) => {
            fields.iter().all(|(name, said)| holds(made.get(name), said))
        }
        (Value::Array(items), Some(Value::Array(made))) => {
            items.len() <= made.len() && items.iter().zip(made).all(|(said, made)| holds(Some(made), said))
        }
        (said, made) => made == Some(said),
    }
}

/// How much a template says: of two that a pod bears, it was made from the one that says more.
pub(super) fn weight(template: &Value) -> usize {
    match template {
        Value::Null => 0,
        Value::Object(fields) => fields.values().map(weight).sum(),
        Value::Array(items) => items.iter().map(weight).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_bears_its_template_whatever_was_filled_in() {
        let template = json!({
            "metadata": {"labels": {"app": "web"}, "creationTimestamp": null},
            "spec": {"containers": [{"name": "main", "image": "a:1", "resources": {}}]}
        });
        let pod = json!({
            "metadata": {"labels": {"app": "web", "more": "x"}, "annotations": {}},
            "spec": {
                "containers": [{"name": "main", "image": "a:1", "imagePullPolicy": "Always"}],
                "readinessGates": [{"conditionType": "InPlaceUpdateReady"}]
            }
        });
        assert!(bears(&pod, &template));
        let mut other = template.clone();
        other["spec"]["containers"][0]["image"] = json!("a:2");
        assert!(!bears(&pod, &other));
        let mut more = template.clone();
        more["spec"]["containers"][0]["env"] = json!([{"name": "A", "value": "1"}]);
        assert!(!bears(&pod, &more));
        assert!(weight(&more) > weight(&template));
    }
}
