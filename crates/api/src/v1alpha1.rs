//! The `v1alpha1` CloneSet: the complete type as it stands on the wire, and its CRD (`behaviour.md` 1).
//!
//! Field docs become the CRD's descriptions, so they speak to users. Defaults are the schema's; nothing here
//! interprets a value.
#![expect(
    clippy::duplicated_attributes,
    reason = "printer columns share attribute names, not meaning"
)]

use crate::schema;
use crate::strategy::{Lifecycle, ScaleStrategy, UpdateStrategy};
use crate::template::PodTemplate;
use crate::validation;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, Time};
use kube_core::CustomResourceExt;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The desired state.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "apps.kruise.io",
    version = "v1alpha1",
    kind = "CloneSet",
    plural = "clonesets",
    singular = "cloneset",
    shortname = "clone",
    namespaced,
    status = "CloneSetStatus",
    derive = "PartialEq",
    crates(kube_core = "::kube_core", k8s_openapi = "::k8s_openapi"),
    doc = "CloneSet runs a number of pods from one template and updates them, in place or by re-creation, as far as the partition allows.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(name = "DESIRED", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "UPDATED", type_ = "integer", json_path = ".status.updatedReplicas"),
    printcolumn(
        name = "UPDATED_READY",
        type_ = "integer",
        json_path = ".status.updatedReadyReplicas"
    ),
    printcolumn(
        name = "UPDATED_AVAILABLE",
        type_ = "integer",
        json_path = ".status.updatedAvailableReplicas"
    ),
    printcolumn(name = "READY", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "TOTAL", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "CONTAINERS",
        type_ = "string",
        json_path = ".spec.template.spec.containers[*].name",
        priority = 1
    ),
    printcolumn(
        name = "IMAGES",
        type_ = "string",
        json_path = ".spec.template.spec.containers[*].image",
        priority = 1
    ),
    printcolumn(
        name = "SELECTOR",
        type_ = "string",
        json_path = ".status.labelSelector",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
pub struct CloneSetSpec {
    /// The number of pods.
    #[serde(default = "default_replicas", skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Which pods belong to this CloneSet. It must match the labels of the template, and cannot be changed.
    #[schemars(schema_with = "schema::label_selector")]
    pub selector: LabelSelector,
    /// The pod template. A change makes a new revision and starts an update.
    pub template: PodTemplate,
    /// PVC templates. Each pod gets its own PVC from each of them, as a volume with the name of the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::volume_claim_templates")]
    pub volume_claim_templates: Option<Vec<Value>>,
    /// How pods are created and deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_strategy: Option<ScaleStrategy>,
    /// How pods are updated to a new revision.
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    /// How many revisions without pods are kept.
    #[serde(
        default = "default_revision_history_limit",
        skip_serializing_if = "Option::is_none"
    )]
    pub revision_history_limit: Option<i32>,
    /// How many seconds a pod must be ready before it counts as available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ready_seconds: Option<i32>,
    /// Lifecycle hooks: labels or finalizers that pause a pod before it is deleted, updated or put into service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// How many seconds an update may take before the Progressing condition reports ProgressDeadlineExceeded. Not set:
    /// no deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline_seconds: Option<i32>,
}

#[expect(clippy::unnecessary_wraps, reason = "serde calls it for an Option field")]
fn default_replicas() -> Option<i32> {
    Some(1)
}

#[expect(clippy::unnecessary_wraps, reason = "serde calls it for an Option field")]
fn default_revision_history_limit() -> Option<i32> {
    Some(10)
}

/// The observed state. Pods that have finished or are terminating are never counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CloneSetStatus {
    /// The generation that the controller observed last; -1 if it has not observed the CloneSet yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The number of pods.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods that have been ready for minReadySeconds and are in the lifecycle state Normal.
    pub available_replicas: i32,
    /// Pods of the update revision.
    pub updated_replicas: i32,
    /// Pods of the update revision that are ready.
    pub updated_ready_replicas: i32,
    /// Pods of the update revision that are available.
    #[serde(default)]
    pub updated_available_replicas: i32,
    /// Pods that should have the update revision: replicas minus partition.
    #[serde(default)]
    pub expected_updated_replicas: i32,
    /// Name of the ControllerRevision that records the template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// Name of the ControllerRevision of the pods that the partition keeps on the old revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// How many names of new revisions were taken by other objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    /// Conditions of the CloneSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// The selector as text, for the scale subresource and autoscalers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
}

/// One condition of a CloneSet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// When status or reason last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::nullable_time")]
    pub last_update_time: Option<Time>,
    /// When status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::nullable_time")]
    pub last_transition_time: Option<Time>,
    /// Why, in one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened, to which object, why, and what to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The CustomResourceDefinition: one version, served and stored, no conversion.
///
/// Where the schema has a default, null is not a value of its own: the API server drops a null from a field that
/// is not nullable and then applies the default, so `partition: null` means 0 and not "nothing".
pub fn crd() -> CustomResourceDefinition {
    let mut crd = CloneSet::crd();
    for version in &mut crd.spec.versions {
        if let Some(schema) = version
            .schema
            .as_mut()
            .and_then(|s| s.open_api_v3_schema.as_mut())
        {
            default_status(schema);
            defaults_replace_null(schema);
            validation::apply(schema);
        }
    }
    crd
}

/// The status of an object that has none yet: of a generation that never was, so that whoever compares it with
/// `metadata.generation` waits for the controller (`helm install --wait`, Flux, `kubectl wait`).
fn default_status(root: &mut JSONSchemaProps) {
    let unobserved = CloneSetStatus {
        observed_generation: Some(-1),
        ..CloneSetStatus::default()
    };
    let status = root.properties.as_mut().and_then(|all| all.get_mut("status"));
    if let (Some(status), Ok(default)) = (status, serde_json::to_value(unobserved)) {
        status.default = Some(JSON(default));
    }
}

fn defaults_replace_null(schema: &mut JSONSchemaProps) {
    if schema.default.is_some() {
        schema.nullable = None;
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        defaults_replace_null(property);
    }
}
