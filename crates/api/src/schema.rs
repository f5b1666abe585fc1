//! Schema fragments that the derive cannot express: what the API server types, defaults or leaves alone.
//!
//! Nothing here validates: rules about values are CEL in the CRD and `Desired` in `cloneset-plan`.

use schemars::{Schema, SchemaGenerator, json_schema};

/// A 32-bit integer or a string; the derived schema of an untagged enum would be an `anyOf` with types inside, which
/// structural schemas forbid. No Go client can read a larger integer.
pub(crate) fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true, "maximum": i32::MAX})
}

/// A date-time that may be null: Go clients write the zero time as null.
pub(crate) fn nullable_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// A pod template: the types of all fields that Kubernetes knows, and every other field kept.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    generated(include_str!("schema/pod_template.json"))
}

/// A list of PVC templates, typed in the same way.
pub(crate) fn volume_claim_templates(_: &mut SchemaGenerator) -> Schema {
    let template = generated(include_str!("schema/volume_claim_template.json"));
    json_schema!({"type": "array", "nullable": true, "items": template})
}

/// A schema that `cargo xtask gen` took from k8s-openapi. A test shows that each of them is one.
fn generated(text: &str) -> Schema {
    serde_json::from_str(text).unwrap_or_default()
}

/// A label selector, spelt out: the derived schema of the upstream type carries its descriptions, which this
/// CRD would repeat at every use.
pub(crate) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object",
                "nullable": true,
                "description": "Labels that a pod must have, with these values.",
                "additionalProperties": {"type": "string", "maxLength": 63}
            },
            "matchExpressions": {
                "type": "array",
                "nullable": true,
                "description": "Requirements that the labels of a pod must meet.",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 317, "description": "The label's key."},
                        "operator": {
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                            "description": "In, NotIn, Exists or DoesNotExist."
                        },
                        "values": {
                            "type": "array",
                            "nullable": true,
                            "description": "Values for In and NotIn.",
                            "items": {"type": "string", "maxLength": 63}
                        }
                    }
                }
            }
        }
    })
}
