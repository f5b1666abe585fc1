//! How records are read from the API server's JSON: what is left out, what is shortened, and what null means.
//!
//! Knows fields, not their meaning.

use super::container::{Cause, short};
use super::{PodCondition, Time};
use cloneset_api::names::pod_conditions;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The metadata we keep. Managed fields are most of a pod's metadata by size and never read.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KeptMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

pub(super) fn without_managed_fields<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    let kept = KeptMetadata::deserialize(input)?;
    Ok(ObjectMeta {
        name: kept.name,
        namespace: kept.namespace,
        uid: kept.uid,
        resource_version: kept.resource_version,
        generation: kept.generation,
        creation_timestamp: kept.creation_timestamp,
        deletion_timestamp: kept.deletion_timestamp,
        labels: kept.labels,
        annotations: kept.annotations,
        owner_references: kept.owner_references,
        finalizers: kept.finalizers,
        ..ObjectMeta::default()
    })
}

/// Go writes an unset list as null.
pub(super) fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

/// Text of any length, of which only so much is kept as a message can show.
pub(super) fn shortened<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(input)?.map(short))
}

/// A condition of a pod as the API server writes it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RawCondition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    last_transition_time: Option<Time>,
    reason: Option<String>,
    #[serde(deserialize_with = "shortened")]
    message: Option<String>,
}

impl From<RawCondition> for PodCondition {
    fn from(raw: RawCondition) -> Self {
        let explains = raw.type_ == pod_conditions::SCHEDULED && raw.status != "True";
        Self {
            type_: raw.type_,
            status: raw.status,
            last_transition_time: raw.last_transition_time,
            cause: explains.then(|| {
                Box::new(Cause {
                    reason: raw.reason,
                    message: raw.message,
                })
            }),
        }
    }
}
