//! The nested parts of the spec: how to scale, how to update, which hooks to honour (`behaviour.md` 1.1-1.2).
//!
//! Wire types only. Optional fields stay optional here; numbers that cannot be wrong are made in `Desired`.

use crate::int_or_percent::IntOrString;
use crate::schema;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How pods are added and removed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScaleStrategy {
    /// Names of pods to delete first. Each must be a pod of this CloneSet; the controller removes a name once
    /// its pod is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_to_delete: Option<Vec<String>>,
    /// Throttles scaling up: no pod is created while this many are unavailable. A number of pods, or a
    /// percentage of replicas (rounded up). Unset means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
    /// With volume claim templates: a replacement pod gets new claims instead of taking over those of the pod
    /// that vanished.
    #[serde(default, rename = "disablePVCReuse", skip_serializing_if = "Option::is_none")]
    pub disable_pvc_reuse: Option<bool>,
}

/// How pods move to a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// What happens to a pod that is to be updated: ReCreate deletes it and creates a new one;
    /// InPlaceIfPossible changes it in place where the change allows it and otherwise re-creates it; InPlaceOnly
    /// never re-creates; OnDelete leaves every pod alone until somebody deletes it.
    #[serde(
        rename = "type",
        default = "default_type",
        skip_serializing_if = "Option::is_none"
    )]
    pub type_: Option<String>,
    /// How many pods stay on their old revision: a number of pods, or a percentage of replicas (rounded up; below
    /// 100% at least one pod is updated). 0 updates all.
    #[serde(default = "default_zero", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub partition: Option<IntOrString>,
    /// How many pods may be unavailable during an update: a number of pods, or a percentage of replicas (rounded
    /// up, or down when maxSurge is above 0).
    #[serde(default = "default_max_unavailable", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
    /// How many pods may exist above replicas while something is being replaced: a number of pods, or a
    /// percentage of replicas (rounded up).
    #[serde(default = "default_zero", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<IntOrString>,
    /// Holds the update where it is. Scaling goes on; surge pods are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Which pods are updated first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_strategy: Option<PriorityStrategy>,
    /// Labels whose bearers are spread over the whole update instead of being updated together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scatter_strategy: Option<Vec<ScatterTerm>>,
    /// Details of in-place updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_update_strategy: Option<InPlaceUpdateStrategy>,
}

impl Default for UpdateStrategy {
    fn default() -> Self {
        Self {
            type_: default_type(),
            partition: default_zero(),
            max_unavailable: default_max_unavailable(),
            max_surge: default_zero(),
            paused: None,
            priority_strategy: None,
            scatter_strategy: None,
            in_place_update_strategy: None,
        }
    }
}

// Defaults live in the CRD schema (design.md 5); these feed it. Their signatures are serde's.
#[expect(clippy::unnecessary_wraps, reason = "serde calls them for an Option field")]
fn default_type() -> Option<String> {
    Some("ReCreate".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "serde calls them for an Option field")]
fn default_zero() -> Option<IntOrString> {
    Some(IntOrString::Int(0))
}

#[expect(clippy::unnecessary_wraps, reason = "serde calls them for an Option field")]
fn default_max_unavailable() -> Option<IntOrString> {
    Some(IntOrString::String("20%".to_owned()))
}

/// Which pods are updated first. Weights and order exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriorityStrategy {
    /// A pod's priority is the sum of the weights of the terms it matches; higher goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_priority: Option<Vec<WeightTerm>>,
    /// The first key present among a pod's labels decides its level; within a level the higher trailing number
    /// of the label's value goes first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_priority: Option<Vec<OrderTerm>>,
}

/// A weight for the pods a selector matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightTerm {
    /// 0 to 100.
    pub weight: i32,
    /// The pods that get the weight.
    #[schemars(schema_with = "schema::label_selector")]
    pub match_selector: LabelSelector,
}

/// A label key whose value's trailing number orders pods.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderTerm {
    /// The label's key.
    pub ordered_key: String,
}

/// A label whose bearers are scattered over the update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScatterTerm {
    /// The label's key.
    pub key: String,
    /// The label's value; may be empty.
    pub value: String,
}

/// Details of in-place updates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceUpdateStrategy {
    /// Seconds between taking a pod out of its Services and changing it. 0 means no wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
    /// Kept for clients that write it; v1alpha1 configures image pre-download by annotations instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub image_pre_download_parallelism: Option<IntOrString>,
    /// Kept for clients that write it; v1alpha1 configures image pre-download by annotations instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pre_download_timeout_seconds: Option<i32>,
    /// Kept for clients that write it; v1alpha1 configures image pre-download by annotations instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pre_download_min_updated_ready_pods: Option<i32>,
}

/// Points in a pod's life at which somebody else has a say.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Before the controller deletes a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_delete: Option<LifecycleHook>,
    /// Before and after an in-place update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_update: Option<LifecycleHook>,
    /// Before a new pod counts as available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_normal: Option<LifecycleHook>,
}

/// Labels and finalizers by which somebody else holds a pod back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleHook {
    /// Labels; the pod is held while one of them has exactly this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_handler: Option<BTreeMap<String, String>>,
    /// Finalizers; the pod is held while one of them is on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizers_handler: Option<Vec<String>>,
    /// Takes the pod out of its Services while it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_pod_not_ready: Option<bool>,
}
