//! The two annotations in which an in-place update stands on its pod, in Kruise's format: how far it is, and what it
//! will change once the pod is out of service.
//!
//! So every phase survives a crash, a new leader and a change of controllers. Both may have been written by somebody
//! else: what cannot be read is told as such, and no reader may fail because of it.

use crate::metadata::{MetadataChange, Referenced};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cloneset_api::names::annotations;
use cloneset_status::Pod;
use cloneset_status::facts::Resources;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the API server allows all annotations of an object together. What is to come stands on a pod with the values of
/// all annotations that it changes, so it can come near.
const MOST_BYTES: usize = 256 * 1024;

/// Why an update that has begun cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// An annotation cannot be read.
    #[error("annotation {0} cannot be read")]
    Annotation(&'static str),
    /// A container would restart while the pod is in service.
    #[error("its containers would restart while it is in service")]
    InService,
}

/// How far an update is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateState {
    /// The revision it leads to.
    pub(crate) revision: String,
    /// When the pod was taken out of service for it.
    pub(crate) update_timestamp: String,
    /// What ran in the containers that were changed, before.
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) last_container_statuses: BTreeMap<String, LastStatus>,
    /// Kruise's node daemon restarts containers that read changed metadata.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) update_env_from_metadata: bool,
    /// It changes resources.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) update_resources: bool,
    /// It changes images.
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) update_images: bool,
    /// What other containers get once those changed now are ready.
    #[serde(flatten)]
    pub(crate) next: Next,
    /// What must be so before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pre_check_before_next: Option<PreCheck>,
    /// What was changed when.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) container_batches_record: Vec<Batch>,
}

/// What ran in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastStatus {
    #[serde(rename = "imageID")]
    pub(crate) image_id: String,
    /// The instance; Kruise does not record it.
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub(crate) container_id: String,
    /// The image that this instance was started from; empty when that is not known. Kruise does not record it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) image: String,
    /// An earlier change of the image may still be carried out first, so another instance proves nothing yet.
    #[serde(rename = "inDoubt", skip_serializing_if = "is_false")]
    pub(crate) in_doubt: bool,
}

/// Changes of containers that are still to be made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Next {
    #[serde(
        rename = "nextContainerImages",
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) images: BTreeMap<String, String>,
    #[serde(
        rename = "nextContainerRefMetadata",
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) referenced: BTreeMap<String, Referenced>,
    #[serde(
        rename = "nextContainerResources",
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) resources: BTreeMap<String, Resources>,
}

impl Next {
    pub(crate) fn is_empty(&self) -> bool {
        self.images.is_empty() && self.referenced.is_empty() && self.resources.is_empty()
    }
}

/// Containers that must be ready before the next ones are changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PreCheck {
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) containers_required_ready: Vec<String>,
}

/// Containers changed together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Batch {
    pub(crate) timestamp: String,
    #[serde(deserialize_with = "null_as_default")]
    pub(crate) containers: Vec<String>,
}

/// What an update will change.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateSpec {
    /// The revision it leads to.
    pub(crate) revision: String,
    /// Images, by container.
    #[serde(
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) container_images: BTreeMap<String, String>,
    /// What containers read, by container.
    #[serde(
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) container_ref_metadata: BTreeMap<String, Referenced>,
    /// Resources, by container.
    #[serde(
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub(crate) container_resources: BTreeMap<String, Resources>,
    /// All other metadata.
    #[serde(
        rename = "metaDataPatch",
        serialize_with = "in_base64",
        deserialize_with = "of_base64",
        skip_serializing_if = "MetadataChange::is_empty"
    )]
    pub(crate) metadata: MetadataChange,
    /// See [`UpdateState::update_env_from_metadata`].
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) update_env_from_metadata: bool,
    /// Seconds out of service before that.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) grace_seconds: i64,
}

impl UpdateState {
    /// As it stands on the pod, if it does.
    pub(crate) fn of(pod: &Pod) -> Result<Option<Self>, Unreadable> {
        read(
            pod,
            annotations::IN_PLACE_STATE,
            annotations::LEGACY_IN_PLACE_STATE,
        )
    }

    /// As it stands on the pod, if it is about the revision that the pod claims: another one tells nothing of what runs.
    pub(crate) fn of_claimed(pod: &Pod) -> Result<Option<Self>, Unreadable> {
        let found = Self::of(pod)?;
        Ok(found.filter(|state| pod.has_revision(&state.revision)))
    }
}

impl UpdateSpec {
    /// Has the pod room for it? The rest of what we write there takes a few kilobytes at most.
    pub(crate) fn fits(&self, pod: &Pod) -> bool {
        const REST: usize = 8 * 1024;
        let stays = |(key, _): &(&String, &String)| *key != annotations::IN_PLACE_GRACE;
        let staying = pod.metadata.annotations.iter().flatten().filter(stays);
        let there: usize = staying.map(|(key, value)| key.len() + value.len()).sum();
        let is_small = self.metadata.annotations.is_empty() && there <= MOST_BYTES / 2;
        is_small || there + text(self).len() + REST <= MOST_BYTES
    }

    /// As it stands on the pod, if it does.
    pub(crate) fn of(pod: &Pod) -> Result<Option<Self>, Unreadable> {
        read(
            pod,
            annotations::IN_PLACE_GRACE,
            annotations::LEGACY_IN_PLACE_GRACE,
        )
    }
}

/// Text for an annotation. The types hold nothing that JSON cannot; should one ever, the reader says so.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn read<T: for<'de> Deserialize<'de>>(
    pod: &Pod,
    key: &'static str,
    legacy_key: &'static str,
) -> Result<Option<T>, Unreadable> {
    let found = [key, legacy_key]
        .into_iter()
        .find_map(|key| Some((key, pod.annotation(key)?)));
    let Some((key, text)) = found else { return Ok(None) };
    if text.len() > MOST_BYTES {
        return Err(Unreadable::Annotation(key));
    }
    serde_json::from_str(text)
        .map(Some)
        .map_err(|_| Unreadable::Annotation(key))
}

fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    input: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(input)?.unwrap_or_default())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it by reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it by reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// As Go writes bytes.
fn in_base64<S: Serializer>(change: &MetadataChange, output: S) -> Result<S::Ok, S::Error> {
    let patch = json!({ "metadata": change.strategic() });
    output.serialize_str(&STANDARD.encode(patch.to_string()))
}

fn of_base64<'de, D: Deserializer<'de>>(input: D) -> Result<MetadataChange, D::Error> {
    let Some(text) = Option::<String>::deserialize(input)?.filter(|text| !text.is_empty()) else {
        return Ok(MetadataChange::default());
    };
    let bytes = STANDARD.decode(text).map_err(D::Error::custom)?;
    let patch: Value = serde_json::from_slice(&bytes).map_err(D::Error::custom)?;
    Ok(MetadataChange::of_patch(&patch))
}

#[cfg(test)]
mod tests;
