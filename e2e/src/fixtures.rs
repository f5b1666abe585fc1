//! CloneSets for tests, as small as they can be.
//!
//! Plain JSON, as a manifest holds it: a typed fixture could not say what a wrong or a foreign client says.

use serde_json::{Value, json};

/// The image every fixture starts with.
pub const OLD: &str = "nginx:mainline";
/// The image a release brings.
pub const NEW: &str = "nginx:alpine";
/// Another name of [`OLD`]: the same image, byte for byte.
pub const OLD_BY_ANOTHER_NAME: &str = "nginx:1";

/// A CloneSet of one container; `spec` replaces or adds fields of its spec.
pub fn cloneset(name: &str, replicas: i32, spec: &Value) -> Value {
    let smallest = json!({
        "replicas": replicas,
        "selector": {"matchLabels": {"app": name}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": OLD}]}
        }
    });
    manifest(name, &with(smallest, spec))
}

/// These fields, and those.
pub fn with(mut these: Value, those: &Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut these, those) {
        fields.extend(more.clone());
    }
    these
}

/// A place in an object, as `spec.updateStrategy.partition`, and what is written there; `null` too is written.
pub type Change = (&'static str, Value);

/// This object with changes, one after another. Objects that a place needs are made.
pub fn changed(mut object: Value, changes: &[Change]) -> Value {
    for (place, value) in changes {
        *place.split('.').fold(&mut object, field) = value.clone();
    }
    object
}

fn field<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    if !object.is_object() {
        *object = json!({});
    }
    match object {
        Value::Object(fields) => fields.entry(name).or_insert(Value::Null),
        other => other,
    }
}

/// A CloneSet with this spec.
pub fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "CloneSet",
        "metadata": {"name": name},
        "spec": spec
    })
}
