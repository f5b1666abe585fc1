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
    /// Names of pods to delete. The controller removes a name from the list once its pod is gone, and a name that is
    /// no pod of this CloneSet at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods_to_delete: Option<Vec<String>>,
    /// How many pods may be unavailable while pods are created to scale up: a number of pods, or a percentage of
    /// replicas (rounded up). The controller creates no pod beyond it. Not set: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
    /// If true, a new pod gets new PVCs, and those of a pod that is gone are deleted. If false, a new pod takes over
    /// the PVCs of a pod that somebody else deleted.
    #[serde(default, rename = "disablePVCReuse", skip_serializing_if = "Option::is_none")]
    pub disable_pvc_reuse: Option<bool>,
}

/// How pods move to a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateStrategy {
    /// How a pod is updated. ReCreate deletes it and creates a new one. InPlaceIfPossible changes it in place if the
    /// change allows that, and re-creates it otherwise. InPlaceOnly never re-creates. OnDelete updates no pod: new
    /// pods get the new revision once you delete old ones.
    #[serde(
        rename = "type",
        default = "default_type",
        skip_serializing_if = "Option::is_none"
    )]
    pub type_: Option<String>,
    /// How many pods stay on the old revision: a number of pods, or a percentage of replicas (rounded up; below 100%
    /// at least one pod is updated). 0 updates all pods.
    #[serde(default = "default_zero", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub partition: Option<IntOrString>,
    /// How many pods may be unavailable during an update: a number of pods, or a percentage of replicas (rounded
    /// up, or down when maxSurge is above 0).
    #[serde(default = "default_max_unavailable", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_unavailable: Option<IntOrString>,
    /// How many pods may exist above replicas while pods are replaced: a number of pods, or a percentage of replicas
    /// (rounded up). Pods that are terminating do not count.
    #[serde(default = "default_zero", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub max_surge: Option<IntOrString>,
    /// Stops the update. Scaling continues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Which pods are updated first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_strategy: Option<PriorityStrategy>,
    /// Labels: pods with one of them are spread over the whole update instead of being updated one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scatter_strategy: Option<Vec<ScatterTerm>>,
    /// Settings of in-place updates.
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

/// Which pods are updated first: by weightPriority or by orderPriority, not both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriorityStrategy {
    /// A pod has as its priority the sum of the weights of the terms that select it. Pods of higher priority are
    /// updated first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_priority: Option<Vec<WeightTerm>>,
    /// Label keys. Pods are updated in the order of the first of these keys that they have. Among pods of the same
    /// key, those with the higher number at the end of the label's value are updated first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_priority: Option<Vec<OrderTerm>>,
}

/// A weight for the pods that a selector matches.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WeightTerm {
    /// The weight, 0 to 100.
    pub weight: i32,
    /// The pods that get the weight.
    #[schemars(schema_with = "schema::label_selector")]
    pub match_selector: LabelSelector,
}

/// A label key by which pods are ordered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OrderTerm {
    /// The label's key.
    pub ordered_key: String,
}

/// A label whose pods are spread over the update.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScatterTerm {
    /// The label's key.
    pub key: String,
    /// The label's value; may be empty.
    pub value: String,
}

/// Settings of in-place updates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InPlaceUpdateStrategy {
    /// How many seconds a pod is out of service before its containers are changed. 0: changed at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_period_seconds: Option<i32>,
    /// Accepted and ignored: images are not pulled ahead of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::int_or_string")]
    pub image_pre_download_parallelism: Option<IntOrString>,
    /// Accepted and ignored: images are not pulled ahead of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pre_download_timeout_seconds: Option<i32>,
    /// Accepted and ignored: images are not pulled ahead of an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pre_download_min_updated_ready_pods: Option<i32>,
}

/// Lifecycle hooks: labels or finalizers that pause a pod before it is deleted, updated or put into service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// Pauses a pod before the controller deletes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_delete: Option<LifecycleHook>,
    /// Pauses a pod before and after an in-place update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place_update: Option<LifecycleHook>,
    /// Pauses a new pod before it counts as available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_normal: Option<LifecycleHook>,
}

/// The labels and finalizers of a hook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleHook {
    /// Labels. preDelete and inPlaceUpdate pause a pod while it has one of them with this value; preNormal pauses it
    /// until it has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_handler: Option<BTreeMap<String, String>>,
    /// Finalizers. preDelete and inPlaceUpdate pause a pod while it has one of them; preNormal pauses it until it has
    /// all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finalizers_handler: Option<Vec<String>>,
    /// If true, the pod is out of service while the hook pauses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_pod_not_ready: Option<bool>,
}
