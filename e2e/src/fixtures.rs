//! CloneSets for tests, as small as they can be.
//!
//! Plain JSON, as a manifest holds it: a typed fixture could not say what a wrong or a foreign client says.

use serde_json::{Value, json};

/// The image every fixture starts with.
pub const OLD: &str = "nginx:mainline";
/// The image a release brings.
pub const NEW: &str = "nginx:alpine";

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

/// A CloneSet with this spec.
pub fn manifest(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "CloneSet",
        "metadata": {"name": name},
        "spec": spec
    })
}
