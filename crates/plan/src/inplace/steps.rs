//! The steps of one pod's in-place update: out of service, changed, changed further, done. Each follows from what
//! stands on the pod (`behaviour.md` 5.7, 5.8), so a crash between any two of them loses nothing.
//!
//! Whether a pod is to be updated at all, and what comes after `Done`, is decided elsewhere.

use super::batch::Priorities;
use super::change::{Around, Stage, apply, change, drop_legacy, runs};
use super::compare::{missing, stage_by_template};
use super::difference::Difference;
use super::done::{are_ready, doubts_end, is_done, still_to_restart};
use super::state::{Unreadable, UpdateSpec, UpdateState, text};
use crate::action::InPlaceChange;
use crate::manifest::rfc3339;
use crate::metadata::{MetadataChange, Referenced};
use crate::service::is_under_way;
use cloneset_api::names::{annotations, pod_conditions};
use cloneset_status::Pod;
use cloneset_status::conditions::whole_seconds;
use cloneset_status::facts::Resources;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Where the pod's update stands. Where its record is missing, cannot be read or is about another revision, what the pod
/// runs is compared with its template.
pub(crate) fn stage(pod: &Pod, around: &Around<'_>) -> Result<Stage, Unreadable> {
    let stage = match recorded_stage(pod, around) {
        Ok(Some(stage)) => stage,
        Ok(None) => stage_by_template(pod, around).unwrap_or(Stage::Done),
        Err(unreadable) => stage_by_template(pod, around).ok_or(unreadable)?,
    };
    match &stage {
        Stage::Due(change) if serves(pod) && restarts(change, around.template) => Err(Unreadable::InService),
        _ => Ok(stage),
    }
}

/// Does it serve, or nothing keep it from serving at any moment?
fn serves(pod: &Pod) -> bool {
    if pod.has_in_place_gate() {
        pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY)
    } else {
        pod.condition_is_true(pod_conditions::READY)
    }
}

fn restarts(change: &InPlaceChange, template: Option<&Value>) -> bool {
    !change.images.is_empty()
        || template.is_some_and(|template| restarts_by_resize(template, &change.resources))
}

/// Does one of these changes of resources restart a container?
pub(super) fn restarts_by_resize(template: &Value, resources: &BTreeMap<String, Resources>) -> bool {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(changed) = resources.get(name) else {
            return false;
        };
        let policies = container.get("resizePolicy").and_then(Value::as_array);
        policies.into_iter().flatten().any(|policy| {
            let text = |field| policy.get(field).and_then(Value::as_str).unwrap_or_default();
            let resource = text("resourceName");
            text("restartPolicy") == "RestartContainer"
                && (changed.limits.contains_key(resource) || changed.requests.contains_key(resource))
        })
    })
}

/// The stage by what is recorded on the pod, if something is.
fn recorded_stage(pod: &Pod, around: &Around<'_>) -> Result<Option<Stage>, Unreadable> {
    let state = UpdateState::of_claimed(pod)?;
    let priorities = || {
        around
            .template
            .map_or_else(Priorities::default, |template| Priorities::of(pod, template))
    };
    if let Some(spec) = UpdateSpec::of(pod)? {
        // Without it nobody could tell since when the pod is out of service.
        let state = state.ok_or(Unreadable::Annotation(annotations::IN_PLACE_STATE))?;
        if !pod.has_revision(&spec.revision) {
            return Err(Unreadable::Annotation(annotations::IN_PLACE_GRACE));
        }
        let due = due(&state, &spec)?;
        return Ok(Some(if around.now < due {
            Stage::Draining(due)
        } else {
            Stage::Due(Box::new(apply(pod, state, spec, &priorities(), around.now)))
        }));
    }
    let Some(state) = state else {
        return Ok(None);
    };
    let doubts_end = doubts_end(&state).filter(|end| around.now < *end);
    if !is_done(pod, &state, around.template, around.resize, around.now) {
        return Ok(Some(Stage::Restarting(doubts_end)));
    }
    if state.next.is_empty() {
        return Ok(Some(Stage::Done));
    }
    let required = state.pre_check_before_next.as_ref();
    if !required.is_none_or(|check| are_ready(pod, &check.containers_required_ready)) {
        return Ok(Some(Stage::Restarting(None)));
    }
    let mut state = state;
    let pending = std::mem::take(&mut state.next);
    let metadata = MetadataChange::default();
    let change = change(pod, state, pending, metadata, &priorities(), around.now);
    Ok(Some(Stage::Due(Box::new(change))))
}

/// When a pod that was taken out of service is to be changed.
fn due(state: &UpdateState, spec: &UpdateSpec) -> Result<Timestamp, Unreadable> {
    let since: Timestamp = state
        .update_timestamp
        .parse()
        .map_err(|_| Unreadable::Annotation(annotations::IN_PLACE_STATE))?;
    since
        .checked_add(SignedDuration::from_secs(spec.grace_seconds))
        .map_err(|_| Unreadable::Annotation(annotations::IN_PLACE_GRACE))
}

/// What an update to `revision` changes of this pod, when what an earlier one has left undone is added. `claimed`: the
/// pod as its own revision makes it; without one nothing can be added where no record says what is undone.
pub(crate) fn spec_for(
    pod: &Pod,
    claimed: &Claimed<'_>,
    revision: &str,
    difference: &Difference,
    grace_seconds: i32,
) -> Result<UpdateSpec, Unreadable> {
    let mut left = left_undone(pod, claimed)?;
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

/// What a pod was to be until now.
#[derive(Clone, Copy, Default)]
pub(crate) struct Claimed<'a> {
    /// Template of the revision that it claims.
    pub(crate) template: Option<&'a Value>,
    /// Can resources be changed in place?
    pub(crate) resize: bool,
}

#[derive(Default)]
struct Undone {
    images: BTreeMap<String, String>,
    referenced: BTreeMap<String, Referenced>,
    resources: BTreeMap<String, Resources>,
    metadata: MetadataChange,
}

fn left_undone(pod: &Pod, claimed: &Claimed<'_>) -> Result<Undone, Unreadable> {
    if !is_under_way(pod) {
        return Ok(Undone::default());
    }
    let by_template = |template| {
        let spec = missing(pod, template, claimed.resize);
        Undone {
            images: spec.container_images,
            resources: spec.container_resources,
            metadata: spec.metadata,
            ..Undone::default()
        }
    };
    match recorded_undone(pod) {
        Ok(Some(undone)) => Ok(undone),
        Ok(None) => Ok(claimed.template.map(by_template).unwrap_or_default()),
        Err(unreadable) => claimed.template.map(by_template).ok_or(unreadable),
    }
}

fn recorded_undone(pod: &Pod) -> Result<Option<Undone>, Unreadable> {
    if let Some(spec) = UpdateSpec::of(pod)? {
        if !pod.has_revision(&spec.revision) {
            return Err(Unreadable::Annotation(annotations::IN_PLACE_GRACE));
        }
        return Ok(Some(Undone {
            images: spec.container_images,
            referenced: spec.container_ref_metadata,
            resources: spec.container_resources,
            metadata: spec.metadata,
        }));
    }
    Ok(UpdateState::of_claimed(pod)?.map(|state| Undone {
        images: state.next.images,
        referenced: state.next.referenced,
        resources: state.next.resources,
        metadata: MetadataChange::default(),
    }))
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
    let overtaken = UpdateState::of_claimed(pod)
        .ok()
        .flatten()
        .filter(|_| is_under_way(pod));
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

#[cfg(test)]
mod tests;
