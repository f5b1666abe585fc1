//! The pod template as raw JSON, with typed views of the few fields we read.
//!
//! Kept raw because a typed `PodTemplateSpec` silently drops every field it does not know yet (`style.md` 2.10).
//! Nothing here changes a template: it is the user's (`design.md` 6, deviation 15).

use crate::schema;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A pod template, every field kept as written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Value);

impl PodTemplate {
    /// The template's labels; entries whose value is not text are skipped (the API server refuses such a pod).
    pub fn labels(&self) -> BTreeMap<String, String> {
        let entries = self.0.pointer("/metadata/labels").and_then(Value::as_object);
        entries
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
            .collect()
    }

    /// The topology keys of the template's `topologySpreadConstraints`, in their order.
    pub fn topology_keys(&self) -> Vec<String> {
        let constraints = self
            .0
            .pointer("/spec/topologySpreadConstraints")
            .and_then(Value::as_array);
        let key = |constraint: &Value| Some(constraint.get("topologyKey")?.as_str()?.to_owned());
        constraints.into_iter().flatten().filter_map(key).collect()
    }
}

impl JsonSchema for PodTemplate {
    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        schema::pod_template(generator)
    }
}
