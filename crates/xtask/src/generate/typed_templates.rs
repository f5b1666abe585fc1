//! The schemas of `spec.template` and of an item of `spec.volumeClaimTemplates`: the types of all fields that this
//! version of Kubernetes knows, taken from k8s-openapi.
//!
//! Types only, so that the API server rejects a value that no Go client could decode. What a value means is judged by
//! the API server when it gets a pod or a PVC, so nothing is required here, nothing has a default, and an unknown field
//! is kept (`docs/decisions/0008-typed-templates.md`).

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PodTemplateSpec};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// A quantity as Go parses it: `1`, `"500m"`, `" 1.5Gi "`, `"1e3"`.
const QUANTITY: &str =
    r"^\s*[+-]?([0-9]+([.][0-9]*)?|[.][0-9]+)([eE][+-]?[0-9]{1,3}|[KMGTPE]i|[numkMGTPE])?\s*$";

/// The schema of `spec.template`.
pub(super) fn pod_template() -> Result<Value> {
    schema_of::<PodTemplateSpec>()
}

/// The schema of an item of `spec.volumeClaimTemplates`.
pub(super) fn volume_claim_template() -> Result<Value> {
    schema_of::<PersistentVolumeClaim>()
}

fn schema_of<K: JsonSchema>() -> Result<Value> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let root = generator.into_root_schema_for::<K>().to_value();
    let definitions = root.get("$defs").cloned().unwrap_or_default();
    let mut schema = structural(&root, &definitions).context(K::schema_name().into_owned())?;
    // The template itself must be there.
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("nullable");
    }
    Ok(schema)
}

/// A schema without references, descriptions and requirements, in which every value may also be null: Go clients write
/// the zero value of some fields as null, and read null everywhere.
fn structural(schema: &Value, definitions: &Value) -> Result<Value> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.trim_start_matches("#/$defs/");
        return match name {
            "io.k8s.apimachinery.pkg.api.resource.Quantity" => Ok(quantity()),
            "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => Ok(int_or_string()),
            _ => {
                let definition = definitions
                    .get(name)
                    .with_context(|| format!("no definition of {name}"))?;
                structural(definition, definitions).context(name.to_owned())
            }
        };
    }
    let type_ = schema
        .get("type")
        .and_then(Value::as_str)
        .context("a schema without a type")?;
    match type_ {
        "object" => object(schema, definitions),
        "array" => {
            let items = schema.get("items").context("an array without items")?;
            Ok(json!({"type": "array", "nullable": true, "items": structural(items, definitions)?}))
        }
        "integer" | "string" | "boolean" => match schema.get("format").and_then(Value::as_str) {
            None => Ok(json!({"type": type_, "nullable": true})),
            Some("date-time") => Ok(time()),
            Some(format) => Ok(json!({"type": type_, "nullable": true, "format": format})),
        },
        other => bail!("type {other} has no rule here"),
    }
}

fn object(schema: &Value, definitions: &Value) -> Result<Value> {
    let mut kept = json!({"type": "object", "nullable": true});
    let Some(fields) = kept.as_object_mut() else {
        bail!("not an object");
    };
    if let Some(values) = schema.get("additionalProperties") {
        fields.insert(
            "additionalProperties".to_owned(),
            structural(values, definitions)?,
        );
        return Ok(kept);
    }
    fields.insert("x-kubernetes-preserve-unknown-fields".to_owned(), json!(true));
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut typed = Map::new();
    for (name, property) in properties.into_iter().flatten() {
        let property = structural(property, definitions).with_context(|| format!("field {name}"))?;
        typed.insert(name.clone(), property);
    }
    if !typed.is_empty() {
        fields.insert("properties".to_owned(), Value::Object(typed));
    }
    Ok(kept)
}

/// A time. The API server would take a list for one (`maxItems` and `not` forbid it).
fn time() -> Value {
    json!({
        "type": "string",
        "format": "date-time",
        "nullable": true,
        "maxItems": 0,
        "not": {"enum": [[]]},
    })
}

/// A 32-bit number, or text.
fn int_or_string() -> Value {
    json!({"x-kubernetes-int-or-string": true, "nullable": true, "minimum": i32::MIN, "maximum": i32::MAX})
}

/// A number or text. `x-kubernetes-int-or-string` would reject `cpu: 0.5`, which a Deployment accepts. A schema has no
/// name for "number or text", so this one excludes everything else.
fn quantity() -> Value {
    json!({
        "x-kubernetes-preserve-unknown-fields": true,
        "pattern": QUANTITY,
        "maxItems": 0,
        "maxProperties": 0,
        "not": {"enum": [true, false, [], {}]},
    })
}
