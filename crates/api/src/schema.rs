//! Schema fragments that the derive cannot express: what the API server may prune, default or leave alone.
//!
//! Nothing here validates: rules about values are CEL in the CRD and `Desired` in `cloneset-plan`.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An integer or a string; the derived schema of an untagged enum would be an `anyOf` with types inside, which
/// structural schemas forbid.
pub(crate) fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-kubernetes-int-or-string": true})
}

/// A date-time that may be null: Go clients write the zero time as null.
pub(crate) fn nullable_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "format": "date-time", "nullable": true})
}

/// A pod template: any object, every field kept, also those this version does not know. Declared are only the few
/// fields that validation rules look at: a rule sees nothing else.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "metadata": {
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "labels": {
                        "type": "object",
                        "nullable": true,
                        "maxProperties": 256,
                        "additionalProperties": {"type": "string", "maxLength": 63}
                    }
                }
            },
            "spec": {
                "type": "object",
                "nullable": true,
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "restartPolicy": {"type": "string", "nullable": true},
                    "activeDeadlineSeconds": {"type": "integer", "format": "int64", "nullable": true}
                }
            }
        }
    })
}

/// Volume claim templates: any list of objects, every field kept.
pub(crate) fn raw_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
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
                "description": "Labels that must all be present with exactly these values.",
                "additionalProperties": {"type": "string", "maxLength": 63}
            },
            "matchExpressions": {
                "type": "array",
                "nullable": true,
                "description": "Requirements that must all hold.",
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
