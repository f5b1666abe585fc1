//! Pods and revisions as we see them: only the fields we read, and the predicates of `behaviour.md` 4.1 on them.
//!
//! The records deserialise straight from the API server's JSON and skip everything else while parsing. Of a pod's
//! spec they hold hardly more than its images: what a pod should look like is its revision's to say.

use cloneset_api::names::{GROUP, KIND, labels, lifecycle, pod_conditions};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube_core::Resource;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

mod claim;
mod container;
mod parse;
mod recorded;
pub use claim::Claim;
use container::failed_ones;
pub use container::{Cause, ContainerState, ContainerStatus, LastState, Running, Termination};
pub use parse::KeptMetadata;
use parse::{RawCondition, null_as_default, shortened, without_managed_fields};
pub use recorded::RevisionData;

/// A pod, reduced to what deciding needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Pod {
    /// Identity, labels, annotations, owners. Managed fields are skipped.
    #[serde(deserialize_with = "without_managed_fields")]
    pub metadata: ObjectMeta,
    /// Where it runs and what it waits for before it is ready.
    #[serde(default)]
    pub spec: PodSpec,
    /// What the kubelet says.
    #[serde(default)]
    pub status: PodStatus,
    /// Why only the metadata could be read, if so.
    #[serde(skip)]
    pub unreadable: Option<Box<str>>,
}

/// The fields of a pod's spec we read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node, once scheduled.
    pub node_name: Option<String>,
    /// Conditions that must be True before the kubelet calls the pod ready.
    #[serde(deserialize_with = "null_as_default")]
    pub readiness_gates: Vec<ReadinessGate>,
    /// The regular containers. An in-place update that is overtaken by another one leaves images that no revision
    /// tells.
    #[serde(deserialize_with = "null_as_default")]
    pub containers: Vec<Container>,
}

/// The fields of a regular container's spec we read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// The image it is to run.
    pub image: String,
}

/// One readiness gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// The condition it waits for.
    pub condition_type: String,
}

/// The fields of a pod's status we read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: Option<String>,
    /// All conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Vec<PodCondition>,
    /// One entry per regular container.
    #[serde(deserialize_with = "null_as_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// The init containers that have failed or cannot be started; the others are not kept.
    #[serde(deserialize_with = "failed_ones")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// The generation of the pod that the kubelet has seen (Kubernetes 1.34 and later).
    pub observed_generation: Option<i64>,
    /// Why the pod has failed, if it was the kubelet that failed it.
    pub reason: Option<String>,
    /// The same as a sentence, shortened.
    #[serde(deserialize_with = "shortened")]
    pub message: Option<String>,
}

/// A condition of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "RawCondition")]
pub struct PodCondition {
    /// What it is about.
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// When the status last changed; second precision.
    pub last_transition_time: Option<Time>,
    /// Why a pod has no node, or why it is not resized. Of other conditions it is not kept.
    pub cause: Option<Box<Cause>>,
}

/// Limits and requests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// At most, by resource.
    #[serde(
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub limits: BTreeMap<String, String>,
    /// At least, by resource.
    #[serde(
        deserialize_with = "null_as_default",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub requests: BTreeMap<String, String>,
}

/// Where a pod stands in its life (`behaviour.md` 6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleState {
    /// No label, or an empty one: in service.
    Unset,
    /// New.
    PreparingNormal,
    /// In service.
    Normal,
    /// Chosen for an in-place update, held back by a hook.
    PreparingUpdate,
    /// Being updated in place.
    Updating,
    /// Updated in place, held back by a hook.
    Updated,
    /// To be deleted, held back by a hook.
    PreparingDelete,
    /// A value nobody defined: such a pod is never available and never touched because of it.
    Unknown,
}

impl Pod {
    /// The pod's name; empty only in broken input.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The pod's UID; empty only in broken input.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// A label's value.
    pub fn label(&self, key: &str) -> Option<&str> {
        value_of(self.metadata.labels.as_ref()?, key)
    }

    /// An annotation's value.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        value_of(self.metadata.annotations.as_ref()?, key)
    }

    /// The instance id, from the label.
    pub fn instance_id(&self) -> Option<&str> {
        self.label(labels::INSTANCE_ID)
    }

    /// The instance id, from the name: that of the claims it mounts, whatever has become of the label.
    pub fn named_id(&self) -> Option<&str> {
        self.name().rsplit_once('-').map(|(_, id)| id)
    }

    /// Has it been asked to go away?
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Have its containers run to an end?
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_deref(), Some("Succeeded" | "Failed"))
    }

    /// How a finished pod ended, in the words of whoever ended it: `NodeAffinity (Predicate NodeAffinity failed)`, or
    /// `Failed (container main: exit code 1)`.
    pub fn end(&self) -> String {
        let status = &self.status;
        let reason = status.reason.as_deref().filter(|reason| !reason.is_empty());
        let reason = reason.or(status.phase.as_deref()).unwrap_or_default();
        let exit = || {
            let mut containers = status.container_statuses.iter();
            containers.find_map(|container| {
                let exit = container.state.terminated.as_deref()?;
                Some(format!(
                    "container {}: exit code {}",
                    container.name, exit.exit_code
                ))
            })
        };
        let message = status.message.clone().filter(|message| !message.is_empty());
        match message.or_else(exit) {
            Some(detail) => format!("{reason} ({detail})"),
            None => reason.to_owned(),
        }
    }

    /// Does it count as a replica? Neither finished nor terminating (`behaviour.md` 0, step 4).
    pub fn is_active(&self) -> bool {
        !self.is_terminating() && !self.is_finished()
    }

    /// The node it is bound to.
    pub fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|node| !node.is_empty())
    }

    /// Is it bound to a node?
    pub fn has_node(&self) -> bool {
        self.node().is_some()
    }

    /// Where it stands in its life.
    pub fn lifecycle_state(&self) -> LifecycleState {
        match self.label(labels::LIFECYCLE_STATE).unwrap_or_default() {
            "" => LifecycleState::Unset,
            lifecycle::PREPARING_NORMAL => LifecycleState::PreparingNormal,
            lifecycle::NORMAL => LifecycleState::Normal,
            lifecycle::PREPARING_UPDATE => LifecycleState::PreparingUpdate,
            lifecycle::UPDATING => LifecycleState::Updating,
            lifecycle::UPDATED => LifecycleState::Updated,
            lifecycle::PREPARING_DELETE => LifecycleState::PreparingDelete,
            _ => LifecycleState::Unknown,
        }
    }

    /// Has somebody marked it for deletion by label? Any value counts (`behaviour.md` 4.2).
    pub fn is_marked_for_deletion(&self) -> bool {
        self.label(labels::SPECIFIED_DELETE).is_some()
    }

    /// A condition by type.
    pub fn condition(&self, type_: &str) -> Option<&PodCondition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)
    }

    /// Is a condition of this type True?
    pub fn condition_is_true(&self, type_: &str) -> bool {
        self.condition(type_)
            .is_some_and(|condition| condition.status == "True")
    }

    /// Must our gate be True before the kubelet calls it ready?
    pub fn has_in_place_gate(&self) -> bool {
        self.spec
            .readiness_gates
            .iter()
            .any(|gate| gate.condition_type == pod_conditions::IN_PLACE_UPDATE_READY)
    }

    /// Ready in the sense of `behaviour.md` 4.1: running, Ready, and not taken out of service by us.
    pub fn is_ready(&self) -> bool {
        self.status.phase.as_deref() == Some("Running")
            && self.condition_is_true(pod_conditions::READY)
            && self
                .condition(pod_conditions::IN_PLACE_UPDATE_READY)
                .is_none_or(|gate| gate.status == "True")
    }

    /// When it became ready, by the kubelet's clock.
    pub fn ready_since(&self) -> Option<Timestamp> {
        let condition = self
            .condition(pod_conditions::READY)
            .filter(|condition| condition.status == "True")?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    }

    /// Since when its containers are not all ready, by the kubelet's clock.
    pub fn containers_unready_since(&self) -> Option<Timestamp> {
        let condition = self
            .condition(pod_conditions::CONTAINERS_READY)
            .filter(|condition| condition.status == "False")?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    }

    /// When it is, or will be, available if it stays as it is: ready and in normal service, plus
    /// `min_ready_seconds`. `None` when only a change of the pod can make it available.
    pub fn available_from(&self, min_ready_seconds: i32) -> Option<Timestamp> {
        let in_service = matches!(
            self.lifecycle_state(),
            LifecycleState::Unset | LifecycleState::Normal
        );
        if !in_service || !self.is_ready() {
            return None;
        }
        if min_ready_seconds <= 0 {
            return Some(Timestamp::MIN);
        }
        self.ready_since()?
            .checked_add(SignedDuration::from_secs(min_ready_seconds.into()))
            .ok()
    }

    /// Available in the sense of `behaviour.md` 4.1: ready for *more than* `min_ready_seconds` by `now`.
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.available_from(min_ready_seconds)
            .is_some_and(|from| from < now)
    }

    /// The first readiness gate of somebody else that is all this pod waits for: its containers are ready, and so are
    /// we. `None` when it is ready, or waits for more than that.
    pub fn unconfirmed_gate(&self) -> Option<&str> {
        let in_service = matches!(
            self.lifecycle_state(),
            LifecycleState::Unset | LifecycleState::Normal
        );
        if !in_service
            || self.status.phase.as_deref() != Some("Running")
            || !self.condition_is_true(pod_conditions::CONTAINERS_READY)
        {
            return None;
        }
        let closed = |gate: &&str| !self.condition_is_true(gate);
        let mut closed = self
            .spec
            .readiness_gates
            .iter()
            .map(|gate| gate.condition_type.as_str())
            .filter(closed)
            .peekable();
        let ours = |gate: &str| gate == pod_conditions::IN_PLACE_UPDATE_READY;
        let first = *closed.peek()?;
        (!closed.any(ours)).then_some(first)
    }

    /// Does it belong to this revision? Full names and short forms match each other (`behaviour.md` 2.8).
    pub fn has_revision(&self, revision: &str) -> bool {
        self.label(labels::REVISION)
            .is_some_and(|label| is_revision(label, revision))
    }

    /// What the kubelet says of one container.
    pub fn container_status(&self, name: &str) -> Option<&ContainerStatus> {
        self.status
            .container_statuses
            .iter()
            .find(|status| status.name == name)
    }

    /// The highest restart count of its containers.
    pub fn restarts(&self) -> i32 {
        self.status
            .container_statuses
            .iter()
            .map(|status| status.restart_count)
            .max()
            .unwrap_or(0)
    }

    /// UID of the CloneSet that controls it, if one does.
    pub fn controlling_cloneset(&self) -> Option<&str> {
        controlling_cloneset(&self.metadata)
    }
}

/// A ControllerRevision, reduced to what deciding needs.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Revision {
    /// Identity and owners. Managed fields are skipped.
    #[serde(deserialize_with = "without_managed_fields")]
    pub metadata: ObjectMeta,
    /// What it records.
    #[serde(default)]
    pub data: RevisionData,
    /// Position in the history; the highest is the newest.
    #[serde(default)]
    pub revision: i64,
    /// Why only the metadata could be read, if so.
    #[serde(skip)]
    pub unreadable: Option<Box<str>>,
}

impl Revision {
    /// The revision's name; empty only in broken input.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// The revision's UID; empty only in broken input.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The pod template it records, if it records one. Parsed anew at each call.
    pub fn template(&self) -> Option<Value> {
        self.data.template()
    }

    /// UID of the CloneSet that controls it, if one does.
    pub fn controlling_cloneset(&self) -> Option<&str> {
        controlling_cloneset(&self.metadata)
    }
}

/// The part of a revision name or label after the last dash: all that pods of long-named CloneSets carry.
pub fn short_revision(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(_, short)| short)
}

/// As `get`, by equality. Searching by order reads the text of every key on the way; keys of another length are told
/// apart without, and reading text is what a pass over thousands of pods spends its time on.
fn value_of<'a>(entries: &'a BTreeMap<String, String>, key: &str) -> Option<&'a str> {
    let mut entries = entries.iter();
    let (_, value) = entries.find(|(found, _)| *found == key)?;
    Some(value)
}

/// Do both name the same revision, in full or in short?
pub fn is_revision(label: &str, revision: &str) -> bool {
    label == revision || short_revision(label) == short_revision(revision)
}

/// UID of the controlling CloneSet. Any version of the group counts: objects made through v1beta1 are ours too.
pub fn controlling_cloneset(metadata: &ObjectMeta) -> Option<&str> {
    let is_cloneset = |owner: &&OwnerReference| {
        let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
        owner.controller == Some(true) && owner.kind == KIND && group == GROUP
    };
    metadata
        .owner_references
        .as_ref()?
        .iter()
        .find(is_cloneset)
        .map(|owner| owner.uid.as_str())
}

/// Implements [`Resource`] for a record by borrowing the identity of the upstream type it is a part of.
macro_rules! record_of {
    ($record:ty, $upstream:ty) => {
        impl Resource for $record {
            type DynamicType = ();
            type Scope = <$upstream as Resource>::Scope;

            fn kind((): &()) -> Cow<'_, str> {
                <$upstream as Resource>::kind(&())
            }
            fn group((): &()) -> Cow<'_, str> {
                <$upstream as Resource>::group(&())
            }
            fn version((): &()) -> Cow<'_, str> {
                <$upstream as Resource>::version(&())
            }
            fn plural((): &()) -> Cow<'_, str> {
                <$upstream as Resource>::plural(&())
            }
            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

record_of!(Pod, k8s_openapi::api::core::v1::Pod);
record_of!(Revision, k8s_openapi::api::apps::v1::ControllerRevision);
record_of!(Claim, k8s_openapi::api::core::v1::PersistentVolumeClaim);

#[cfg(test)]
mod tests;
