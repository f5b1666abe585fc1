//! How records are read from the API server's JSON: what is left out, what is shortened, and what null means.
//!
//! Knows fields, not their meaning.

use super::container::{Cause, short};
use super::{PodCondition, Time};
use cloneset_api::names::pod_conditions;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// The metadata of an object, without what is never read: managed fields are most of it by size.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawMetadata")]
pub struct KeptMetadata(pub ObjectMeta);

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMetadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    #[serde(deserialize_with = "time")]
    creation_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "time")]
    deletion_timestamp: Option<Timestamp>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
}

impl From<RawMetadata> for KeptMetadata {
    fn from(raw: RawMetadata) -> Self {
        Self(ObjectMeta {
            name: raw.name,
            namespace: raw.namespace,
            uid: raw.uid,
            resource_version: raw.resource_version,
            generation: raw.generation,
            creation_timestamp: raw.creation_timestamp.map(Time),
            deletion_timestamp: raw.deletion_timestamp.map(Time),
            labels: raw.labels,
            annotations: raw.annotations,
            owner_references: raw.owner_references,
            finalizers: raw.finalizers,
            ..ObjectMeta::default()
        })
    }
}

pub(super) fn without_managed_fields<'de, D: Deserializer<'de>>(input: D) -> Result<ObjectMeta, D::Error> {
    Ok(KeptMetadata::deserialize(input)?.0)
}

/// A time as the API server writes it.
///
/// The API server stores times up to the end of the year 9999, which is after the last [`Timestamp`]: such a time
/// becomes the last one. Anybody who may write a pod's status can write one, so it must not make the pod unreadable.
/// Text that is no time is left out.
pub(super) fn time<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<AnyTime>::deserialize(input)?.and_then(|AnyTime(time)| time))
}

struct AnyTime(Option<Timestamp>);

impl<'de> Deserialize<'de> for AnyTime {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = AnyTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<AnyTime, E> {
                let is_last_year = || text.starts_with("9999-").then_some(Timestamp::MAX);
                Ok(AnyTime(text.parse().ok().or_else(is_last_year)))
            }
        }
        input.deserialize_str(Text)
    }
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
    #[serde(deserialize_with = "time")]
    last_transition_time: Option<Timestamp>,
    reason: Option<String>,
    #[serde(deserialize_with = "shortened")]
    message: Option<String>,
}

impl From<RawCondition> for PodCondition {
    fn from(raw: RawCondition) -> Self {
        let explains = match raw.type_.as_str() {
            pod_conditions::SCHEDULED => raw.status != "True",
            pod_conditions::RESIZE_PENDING => raw.status == "True",
            pod_conditions::RESIZE_IN_PROGRESS => {
                raw.status == "True" && raw.reason.as_deref() == Some("Error")
            }
            _ => false,
        };
        Self {
            type_: raw.type_,
            status: raw.status,
            last_transition_time: raw.last_transition_time.map(Time),
            cause: explains.then(|| {
                Box::new(Cause {
                    reason: raw.reason,
                    message: raw.message,
                })
            }),
        }
    }
}
