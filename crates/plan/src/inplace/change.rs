//! The write that changes a pod in place, one batch of containers at a time, and the stages of an update that has begun.
//!
//! It is made from what is to change and what stands on the pod. Which stage a pod is at is found by `steps` and `compare`.

use super::batch::{Priorities, Taken, take_batch};
use super::done::still_to_restart;
use super::state::{Batch, LastStatus, Next, PreCheck, UpdateSpec, UpdateState, text};
use crate::action::InPlaceChange;
use crate::manifest::rfc3339;
use crate::metadata::MetadataChange;
use cloneset_api::names::{annotations, labels, lifecycle};
use cloneset_status::facts::ContainerStatus;
use cloneset_status::{LifecycleState, Pod};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Where an update that has begun stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It is out of service and is changed then.
    Draining(Timestamp),
    /// It is to be changed now.
    Due(Box<InPlaceChange>),
    /// It is changed, and its containers have not followed yet. At the given time they may be taken to have.
    Restarting(Option<Timestamp>),
    /// It runs what it should.
    Done,
}

/// The input of a stage, besides the pod.
pub(crate) struct Around<'a> {
    /// Template of the revision that the pod is to have.
    pub(crate) template: Option<&'a Value>,
    /// Can resources be changed in place?
    pub(crate) resize: bool,
    /// Seconds a pod is out of service before a container restarts.
    pub(crate) grace_seconds: i32,
    pub(crate) now: Timestamp,
}

/// Is the container to run this image already?
pub(super) fn runs(pod: &Pod, container: &str, image: &str) -> bool {
    image_of(pod, container) == Some(image)
}

/// The image that the container is to run.
pub(super) fn image_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let mut containers = pod.spec.containers.iter();
    let found = containers.find(|found| found.name == container)?;
    Some(found.image.as_str())
}

/// Takes every record of an update off the pod.
pub(super) fn drop_records(pod: &Pod, metadata: &mut MetadataChange) {
    for key in [annotations::IN_PLACE_STATE, annotations::IN_PLACE_GRACE] {
        if pod.annotation(key).is_some() {
            metadata.no_annotation(key);
        }
    }
    drop_legacy(pod, metadata);
}

pub(super) fn drop_legacy(pod: &Pod, metadata: &mut MetadataChange) {
    for key in [
        annotations::LEGACY_IN_PLACE_STATE,
        annotations::LEGACY_IN_PLACE_GRACE,
    ] {
        if pod.annotation(key).is_some() {
            metadata.no_annotation(key);
        }
    }
}

pub(super) fn apply(
    pod: &Pod,
    state: UpdateState,
    spec: UpdateSpec,
    priorities: &Priorities,
    now: Timestamp,
) -> InPlaceChange {
    let mut pending = Next {
        images: spec.container_images,
        referenced: spec.container_ref_metadata,
        resources: spec.container_resources,
    };
    pending
        .images
        .retain(|container, image| !runs(pod, container, image));
    let mut metadata = spec.metadata;
    metadata.no_annotation(annotations::IN_PLACE_GRACE);
    change(pod, state, pending, metadata, priorities, now)
}

/// The next batch of what is pending; the rest waits on the pod.
pub(super) fn change(
    pod: &Pod,
    mut state: UpdateState,
    mut pending: Next,
    mut metadata: MetadataChange,
    priorities: &Priorities,
    now: Timestamp,
) -> InPlaceChange {
    let Taken {
        changes: batch,
        is_ahead_of_images,
    } = take_batch(&mut pending, priorities);
    let restarting = still_to_restart(pod, &state, now);
    for container in batch.images.keys() {
        let Some(status) = pod.container_status(container) else {
            continue;
        };
        let last = last_status(pod, status, restarting.get(container));
        state.last_container_statuses.insert(container.clone(), last);
    }
    let mut containers: Vec<String> = (batch.images.keys())
        .chain(batch.referenced.keys())
        .chain(batch.resources.keys())
        .cloned()
        .collect();
    containers.sort();
    containers.dedup();
    // Those of earlier batches as well: one of them may have ended meanwhile.
    let earlier = state
        .container_batches_record
        .iter()
        .flat_map(|batch| &batch.containers);
    let changed: BTreeSet<String> = earlier.chain(&containers).cloned().collect();
    state.pre_check_before_next = (!pending.is_empty() && !is_ahead_of_images).then(|| PreCheck {
        containers_required_ready: changed.into_iter().collect(),
    });
    state.next = pending;
    state.container_batches_record.push(Batch {
        timestamp: rfc3339(now),
        containers,
    });
    for referenced in batch.referenced.values() {
        metadata.set_referenced(referenced);
    }
    metadata.annotation(annotations::IN_PLACE_STATE, text(&state));
    drop_legacy(pod, &mut metadata);
    if pod.lifecycle_state() != LifecycleState::Updating {
        metadata.label(labels::LIFECYCLE_STATE, lifecycle::UPDATING);
        metadata.annotation(annotations::LIFECYCLE_TIMESTAMP, rfc3339(now));
    }
    InPlaceChange {
        images: batch.images,
        resources: batch.resources,
        metadata,
        ..bare(pod)
    }
}

/// What runs in a container that is about to be changed; `restarting`: while an earlier change is still to take effect.
fn last_status(pod: &Pod, status: &ContainerStatus, restarting: Option<&LastStatus>) -> LastStatus {
    let image = match restarting {
        // The kubelet may be about to start what is overtaken.
        Some(earlier) if earlier.container_id == status.container_id => earlier.image.clone(),
        Some(_) => String::new(),
        None => image_of(pod, &status.name).unwrap_or_default().to_owned(),
    };
    let has_started = !status.container_id.is_empty() || !status.image_id.is_empty();
    LastStatus {
        image_id: status.image_id.clone(),
        container_id: status.container_id.clone(),
        image: if has_started { image } else { String::new() },
        in_doubt: restarting.is_some() || !has_started,
    }
}

pub(super) fn bare(pod: &Pod) -> InPlaceChange {
    InPlaceChange {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
        revision: pod.label(labels::REVISION).unwrap_or_default().to_owned(),
        images: BTreeMap::new(),
        resources: BTreeMap::new(),
        metadata: MetadataChange::default(),
        begins: false,
    }
}
