//! Volume claim templates made into the claims and volumes of one pod, and hashed (`behaviour.md` 2.6, 3.1, 3.3).
//!
//! A template is the user's: everything in it is kept, and only what makes a claim ours is added. Which claims there
//! should be is decided in `claims`.

use crate::claim_template::{ClaimTemplate, name_of, written};
use crate::instance_ids::encode;
use crate::metadata::owner_reference;
use crate::normalise::canonical_text;
use cloneset_api::names::labels;
use cloneset_api::{CloneSet, CloneSetSpec};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Letters of the hash of all templates.
const HASH_LENGTH: usize = 10;

/// A claim that a pod to be created mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewClaim {
    /// `<template>-<pod>`.
    pub name: String,
    /// The instance id.
    pub id: String,
    /// What it is made from.
    pub template: Arc<ClaimTemplate>,
}

impl NewClaim {
    pub(crate) fn new(template: &Arc<ClaimTemplate>, pod: &str, id: &str) -> Self {
        Self {
            name: format!("{}-{pod}", template.name),
            id: id.to_owned(),
            template: Arc::clone(template),
        }
    }

    /// The object to POST, controlled by `owner`: the claim outlives its pod.
    pub fn manifest(&self, owner: &CloneSet) -> Value {
        let field = |name: &str| {
            self.template
                .object
                .pointer(name)
                .filter(|value| !value.is_null())
                .cloned()
        };
        let mut own_labels = object(field("/metadata/labels"));
        let selected = owner.spec.selector.match_labels.iter().flatten();
        own_labels.extend(selected.map(|(key, value)| (key.clone(), json!(value))));
        own_labels.insert(labels::INSTANCE_ID.to_owned(), json!(self.id));
        let mut owners = field("/metadata/ownerReferences")
            .and_then(|owners| owners.as_array().cloned())
            .unwrap_or_default();
        owners.push(owner_reference(owner));
        let mut metadata = Map::from_iter([
            ("name".to_owned(), json!(self.name)),
            ("namespace".to_owned(), json!(owner.metadata.namespace)),
            ("labels".to_owned(), Value::Object(own_labels)),
            ("ownerReferences".to_owned(), Value::Array(owners)),
        ]);
        for kept in ["annotations", "finalizers"] {
            metadata.extend(field(&format!("/metadata/{kept}")).map(|value| (kept.to_owned(), value)));
        }
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": field("/spec").unwrap_or_else(|| json!({})),
        })
    }
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

/// What revisions record of the templates (`behaviour.md` 2.6): nothing when there are none. Names and specs count, in
/// any order and in canonical form. Kruise's value for the same templates is a decimal number, which ours never is.
pub(crate) fn hash(spec: &CloneSetSpec) -> String {
    let templates = written(spec);
    if templates.is_empty() {
        return String::new();
    }
    let by_name: BTreeMap<&str, Option<&Value>> = templates
        .iter()
        .map(|template| (name_of(template), template.get("spec")))
        .collect();
    // In a pod template a claim template stands in an ephemeral volume, so its canonical form is known already.
    let volume = |(name, spec): (&str, Option<&Value>)| json!({"name": name, "ephemeral": {"volumeClaimTemplate": {"spec": spec}}});
    let volumes: Vec<Value> = by_name.into_iter().map(volume).collect();
    let canonical = canonical_text(&json!({"spec": {"volumes": volumes}}));
    format!("v{}", encode(&Sha256::digest(canonical), HASH_LENGTH))
}

/// Do two revisions record different templates? One that records nothing, or something of Kruise's beside something of
/// ours, does not tell.
pub(crate) fn differ(one: Option<&str>, other: Option<&str>) -> bool {
    let is_kruises = |hash: &str| hash.starts_with(|first: char| first.is_ascii_digit());
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    let comparable = one.is_empty() || other.is_empty() || is_kruises(one) == is_kruises(other);
    comparable && one != other
}

/// The pod's spec with its claims as volumes. They come first and replace volumes of the same name.
pub(crate) fn with_claims(mut spec: Value, claims: &[NewClaim]) -> Value {
    if claims.is_empty() {
        return spec;
    }
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    let volume = |claim: &NewClaim| json!({"name": claim.template.name, "persistentVolumeClaim": {"claimName": claim.name}});
    let mut volumes: Vec<Value> = claims.iter().map(volume).collect();
    let replaced = |volume: &Value| {
        let name = volume.get("name").and_then(Value::as_str);
        claims
            .iter()
            .any(|claim| name == Some(claim.template.name.as_str()))
    };
    if let Some(Value::Array(own)) = fields.remove("volumes") {
        volumes.extend(own.into_iter().filter(|volume| !replaced(volume)));
    }
    fields.insert("volumes".to_owned(), Value::Array(volumes));
    spec
}

#[cfg(test)]
mod tests;
