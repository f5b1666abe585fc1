//! The steps of one pod's in-place update: out of service, changed, changed further, done. Each follows from what
//! stands on the pod (`behaviour.md` 5.7, 5.8), so a crash between any two of them loses nothing.
//!
//! Whether a pod is to be updated at all, and what comes after `Done`, is decided elsewhere.

use super::batch::{Priorities, take_batch};
use super::difference::Difference;
use super::done::{are_ready, doubts_end, is_done, still_to_restart};
use super::metadata::{MetadataChange, Referenced};
use super::state::{Batch, LastStatus, Next, PreCheck, Unreadable, UpdateSpec, UpdateState, has_spec, text};
use crate::action::InPlaceChange;
use crate::manifest::rfc3339;
use cloneset_api::names::{annotations, labels, lifecycle, pod_conditions};
use cloneset_status::conditions::whole_seconds;
use cloneset_status::facts::ContainerStatus;
use cloneset_status::{LifecycleState, Pod};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

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

/// What a stage is told from, besides the pod.
pub(crate) struct Around<'a> {
    /// Template of the revision that the pod is to have.
    pub(crate) template: Option<&'a Value>,
    /// Can resources be changed in place?
    pub(crate) resize: bool,
    pub(crate) now: Timestamp,
}

/// Is there an update under way that has not been seen through? Cheap for a pod in service: nothing is parsed.
pub(crate) fn is_under_way(pod: &Pod) -> bool {
    pod.lifecycle_state() == LifecycleState::Updating
        || has_spec(pod)
        || !pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY) && super::state::has_state(pod)
}

/// Where the pod's update stands. What stands on it and cannot be read, or is about another revision, is replaced by
/// what its template says.
pub(crate) fn stage(pod: &Pod, around: &Around<'_>) -> Result<Stage, Unreadable> {
    told_stage(pod, around).or_else(|unreadable| {
        let template = around.template.ok_or(unreadable)?;
        anew(pod, template, around.now).ok_or(unreadable)
    })
}

fn told_stage(pod: &Pod, around: &Around<'_>) -> Result<Stage, Unreadable> {
    let state = UpdateState::of(pod)?;
    let priorities = || {
        around
            .template
            .map_or_else(Priorities::default, |template| Priorities::of(pod, template))
    };
    if let Some(spec) = UpdateSpec::of(pod)? {
        // Without it nobody could tell since when the pod is out of service.
        let state = state.ok_or(Unreadable(annotations::IN_PLACE_STATE))?;
        if !pod.has_revision(&spec.revision) {
            return Err(Unreadable(annotations::IN_PLACE_GRACE));
        }
        let due = due(&state, &spec)?;
        return Ok(if around.now < due {
            Stage::Draining(due)
        } else {
            Stage::Due(Box::new(apply(pod, state, spec, &priorities(), around.now)))
        });
    }
    let Some(state) = state else {
        return Ok(Stage::Done);
    };
    let doubts_end = doubts_end(&state).filter(|end| around.now < *end);
    if !is_done(pod, &state, around.template, around.resize, around.now) {
        return Ok(Stage::Restarting(doubts_end));
    }
    if state.next.is_empty() {
        return Ok(Stage::Done);
    }
    let required = state.pre_check_before_next.as_ref();
    if !required.is_none_or(|check| are_ready(pod, &check.containers_required_ready)) {
        return Ok(Stage::Restarting(None));
    }
    let mut state = state;
    let pending = std::mem::take(&mut state.next);
    let metadata = MetadataChange::default();
    Ok(Stage::Due(Box::new(change(
        pod,
        state,
        pending,
        metadata,
        &priorities(),
        around.now,
    ))))
}

/// When a pod that was taken out of service is to be changed.
fn due(state: &UpdateState, spec: &UpdateSpec) -> Result<Timestamp, Unreadable> {
    let since: Timestamp = state
        .update_timestamp
        .parse()
        .map_err(|_| Unreadable(annotations::IN_PLACE_STATE))?;
    since
        .checked_add(SignedDuration::from_secs(spec.grace_seconds))
        .map_err(|_| Unreadable(annotations::IN_PLACE_GRACE))
}

/// What an update to `revision` changes of this pod, when what an earlier one has left undone is added.
pub(crate) fn spec_for(
    pod: &Pod,
    revision: &str,
    difference: &Difference,
    grace_seconds: i32,
) -> Result<UpdateSpec, Unreadable> {
    let mut left = left_undone(pod)?;
    left.images.extend(difference.images.clone());
    for referenced in left.referenced.values_mut() {
        referenced.without(&difference.metadata);
    }
    for (container, referenced) in &difference.referenced {
        overlay(left.referenced.entry(container.clone()).or_default(), referenced);
    }
    for (container, resources) in &difference.resources {
        let into = left.resources.entry(container.clone()).or_default();
        into.limits.extend(resources.limits.clone());
        into.requests.extend(resources.requests.clone());
    }
    let mut metadata = left.metadata;
    metadata.then(&difference.metadata);
    left.images
        .retain(|container, image| !runs(pod, container, image));
    Ok(UpdateSpec {
        revision: revision.to_owned(),
        container_images: left.images,
        container_ref_metadata: left.referenced,
        container_resources: left.resources,
        metadata,
        update_env_from_metadata: false,
        grace_seconds: grace_seconds.into(),
    })
}

/// Is the container to run this image already?
fn runs(pod: &Pod, container: &str, image: &str) -> bool {
    image_of(pod, container) == Some(image)
}

/// The image that the container is to run.
fn image_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let mut containers = pod.spec.containers.iter();
    let found = containers.find(|found| found.name == container)?;
    Some(found.image.as_str())
}

#[derive(Default)]
struct Undone {
    images: BTreeMap<String, String>,
    referenced: BTreeMap<String, Referenced>,
    resources: BTreeMap<String, cloneset_status::facts::Resources>,
    metadata: MetadataChange,
}

fn left_undone(pod: &Pod) -> Result<Undone, Unreadable> {
    if !is_under_way(pod) {
        return Ok(Undone::default());
    }
    if let Some(spec) = UpdateSpec::of(pod)? {
        if !pod.has_revision(&spec.revision) {
            return Err(Unreadable(annotations::IN_PLACE_GRACE));
        }
        return Ok(Undone {
            images: spec.container_images,
            referenced: spec.container_ref_metadata,
            resources: spec.container_resources,
            metadata: spec.metadata,
        });
    }
    let next = UpdateState::of(pod)?.map(|state| state.next).unwrap_or_default();
    Ok(Undone {
        images: next.images,
        referenced: next.referenced,
        resources: next.resources,
        metadata: MetadataChange::default(),
    })
}

fn overlay(into: &mut Referenced, over: &Referenced) {
    for (into, over) in [
        (&mut into.labels, &over.labels),
        (&mut into.annotations, &over.annotations),
    ] {
        if let Some(over) = over {
            into.get_or_insert_default().extend(over.clone());
        }
    }
}

/// What is written on a pod that is taken out of service for an update: state and spec.
pub(crate) fn announce(pod: &Pod, spec: &UpdateSpec, now: Timestamp) -> MetadataChange {
    // Who has been out of service for some time already has drained for that long.
    let since = pod
        .condition(pod_conditions::IN_PLACE_UPDATE_READY)
        .filter(|gate| gate.status == "False")
        .and_then(|gate| gate.last_transition_time.as_ref())
        .map_or(now, |time| time.0.min(now));
    // What an update that is overtaken has changed is still to be waited for.
    let overtaken = UpdateState::of(pod).ok().flatten().filter(|_| is_under_way(pod));
    let resizes = overtaken.as_ref().is_some_and(|state| state.update_resources);
    let state = UpdateState {
        revision: spec.revision.clone(),
        update_timestamp: rfc3339(if spec.grace_seconds > 0 {
            not_before(since)
        } else {
            since
        }),
        update_images: !spec.container_images.is_empty(),
        update_resources: resizes || !spec.container_resources.is_empty(),
        last_container_statuses: overtaken
            .map(|state| still_to_restart(pod, &state, now))
            .unwrap_or_default(),
        ..UpdateState::default()
    };
    let mut metadata = MetadataChange::default();
    metadata.annotation(annotations::IN_PLACE_STATE, text(&state));
    metadata.annotation(annotations::IN_PLACE_GRACE, text(spec));
    drop_legacy(pod, &mut metadata);
    metadata
}

/// The first whole second that is not before a moment: from there a period of whole seconds is never too short.
fn not_before(moment: Timestamp) -> Timestamp {
    let second = whole_seconds(moment);
    if second == moment {
        return second;
    }
    second.checked_add(SignedDuration::from_secs(1)).unwrap_or(moment)
}

fn drop_legacy(pod: &Pod, metadata: &mut MetadataChange) {
    for key in [
        annotations::LEGACY_IN_PLACE_STATE,
        annotations::LEGACY_IN_PLACE_GRACE,
    ] {
        if pod.annotation(key).is_some() {
            metadata.no_annotation(key);
        }
    }
}

fn apply(
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
fn change(
    pod: &Pod,
    mut state: UpdateState,
    mut pending: Next,
    mut metadata: MetadataChange,
    priorities: &Priorities,
    now: Timestamp,
) -> InPlaceChange {
    let batch = take_batch(&mut pending, priorities);
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
    state.pre_check_before_next = (!pending.is_empty()).then(|| PreCheck {
        containers_required_ready: containers.clone(),
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

/// The whole update again, from what runs in the pod; `None` while it would change what serves.
fn anew(pod: &Pod, template: &Value, now: Timestamp) -> Option<Stage> {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    let image = |container: &Value| {
        let text = |field| container.get(field)?.as_str().map(str::to_owned);
        Some((text("name")?, text("image")?))
    };
    let revision = pod.label(labels::REVISION).unwrap_or_default();
    let spec = UpdateSpec {
        revision: revision.to_owned(),
        container_images: containers
            .into_iter()
            .flatten()
            .filter_map(image)
            .filter(|(container, image)| !runs(pod, container, image))
            .collect(),
        metadata: MetadataChange::between(&Value::Null, template),
        ..UpdateSpec::default()
    };
    let serves = pod.has_in_place_gate() && pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY);
    if serves && !spec.container_images.is_empty() {
        return None;
    }
    let state = UpdateState {
        revision: revision.to_owned(),
        update_timestamp: rfc3339(now),
        update_images: !spec.container_images.is_empty(),
        ..UpdateState::default()
    };
    let priorities = Priorities::of(pod, template);
    Some(Stage::Due(Box::new(apply(pod, state, spec, &priorities, now))))
}

fn bare(pod: &Pod) -> InPlaceChange {
    InPlaceChange {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
        revision: pod.label(labels::REVISION).unwrap_or_default().to_owned(),
        images: BTreeMap::new(),
        resources: BTreeMap::new(),
        metadata: MetadataChange::default(),
    }
}

#[cfg(test)]
mod tests;
