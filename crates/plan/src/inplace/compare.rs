//! What a pod runs, compared with the template of the revision that it claims: for an update under way whose record on
//! the pod is gone, cannot be read or is about another revision.
//!
//! Only pods whose history says that an update touched them come here. A pod at rest is not compared: a webhook may have
//! given it other images when it was created, and another controller may have changed them since.

use super::batch::Priorities;
use super::change::{Around, Stage, apply, bare, drop_records, image_of, runs};
use super::done::{DOUBT, has_own_resources, is_image, is_seen};
use super::state::{UpdateSpec, UpdateState};
use crate::action::InPlaceChange;
use crate::manifest::rfc3339;
use crate::metadata::MetadataChange;
use crate::service::{has_spec, has_state};
use cloneset_api::names::{labels, pod_conditions};
use cloneset_status::Pod;
use cloneset_status::facts::Resources;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// The stage of an update without a record; `None` without a template to compare with.
pub(super) fn stage_by_template(pod: &Pod, around: &Around<'_>) -> Option<Stage> {
    let template = around.template?;
    let spec = missing(pod, template, around.resize);
    let differs = !spec.container_images.is_empty() || !spec.container_resources.is_empty();
    if differs {
        let drained = closed_since(pod).and_then(|since| since.checked_add(grace(around)).ok());
        if let Some(until) = drained.filter(|until| around.now < *until) {
            return Some(Stage::Draining(until));
        }
        let priorities = Priorities::of(pod, template);
        let changed = spec
            .container_images
            .keys()
            .chain(spec.container_resources.keys());
        let (settled, over) = settled(pod, around);
        if !priorities.before(changed).into_iter().all(settled) {
            return Some(Stage::Restarting(over));
        }
        let state = UpdateState {
            revision: spec.revision.clone(),
            update_timestamp: rfc3339(around.now),
            update_images: !spec.container_images.is_empty(),
            update_resources: !spec.container_resources.is_empty(),
            ..UpdateState::default()
        };
        let change = apply(pod, state, spec, &priorities, around.now);
        return Some(Stage::Due(Box::new(change)));
    }
    if has_spec(pod) || has_state(pod) {
        let mut metadata = spec.metadata;
        drop_records(pod, &mut metadata);
        return Some(Stage::Due(Box::new(InPlaceChange {
            metadata,
            ..bare(pod)
        })));
    }
    Some(restarted(pod, around))
}

/// What the template gives its pods and this one does not run. Containers that only one of them has are left aside.
pub(super) fn missing(pod: &Pod, template: &Value, resize: bool) -> UpdateSpec {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    let mut spec = UpdateSpec {
        revision: pod.label(labels::REVISION).unwrap_or_default().to_owned(),
        metadata: MetadataChange::between(&Value::Null, template),
        ..UpdateSpec::default()
    };
    for container in containers.into_iter().flatten() {
        let text = |field| container.get(field).and_then(Value::as_str);
        let Some(name) = text("name").filter(|name| pod.spec.containers.iter().any(|own| own.name == *name))
        else {
            continue;
        };
        if let Some(image) = text("image").filter(|image| !runs(pod, name, image)) {
            spec.container_images.insert(name.to_owned(), image.to_owned());
        }
        if resize && pod.container_status(name).is_some() && !has_own_resources(pod, container) {
            spec.container_resources
                .insert(name.to_owned(), resizable(container));
        }
    }
    spec
}

/// The amounts of a container that a resize can set.
fn resizable(container: &Value) -> Resources {
    let amounts = |field: &str| -> BTreeMap<String, String> {
        let written = container.pointer(&format!("/resources/{field}"));
        let written = written.and_then(Value::as_object).into_iter().flatten();
        let amounts = written.filter(|(resource, _)| matches!(resource.as_str(), "cpu" | "memory"));
        amounts
            .filter_map(|(resource, amount)| Some((resource.clone(), amount.as_str()?.to_owned())))
            .collect()
    };
    Resources {
        limits: amounts("limits"),
        requests: amounts("requests"),
    }
}

/// Do the containers run what the pod's spec says?
fn restarted(pod: &Pod, around: &Around<'_>) -> Stage {
    let over = doubt(pod, around);
    let mut containers = pod.spec.containers.iter();
    if is_seen(pod) && containers.all(|container| follows(pod, &container.name, over)) {
        Stage::Done
    } else {
        Stage::Restarting(over)
    }
}

/// Whether a container runs what the pod's spec says and is ready, and when to look again. Those of a lower launch
/// priority are changed after it.
fn settled<'a>(pod: &'a Pod, around: &Around<'_>) -> (impl Fn(&str) -> bool + 'a, Option<Timestamp>) {
    let over = doubt(pod, around);
    let settled = move |name: &str| {
        let ready = pod.container_status(name).is_none_or(|status| status.ready);
        ready && is_seen(pod) && follows(pod, name, over)
    };
    (settled, over)
}

/// When the restarts must be over that nobody has a record of; `None` once that is past.
fn doubt(pod: &Pod, around: &Around<'_>) -> Option<Timestamp> {
    let changed = closed_since(pod).and_then(|since| since.checked_add(grace(around)).ok());
    let over = changed.and_then(|changed| changed.checked_add(DOUBT).ok());
    over.filter(|over| around.now < *over)
}

/// Does the container run the image of the pod's spec? Nobody knows which ones were changed, so the image tells; where a
/// runtime shows another name of it, a container that is ready once the restart must be `over`.
fn follows(pod: &Pod, name: &str, over: Option<Timestamp>) -> bool {
    let image = image_of(pod, name).unwrap_or_default();
    let status = pod.container_status(name);
    status.is_none_or(|status| is_image(&status.image, image) || over.is_none() && status.ready)
}

/// Since when our gate is closed.
fn closed_since(pod: &Pod) -> Option<Timestamp> {
    let gate = pod.condition(pod_conditions::IN_PLACE_UPDATE_READY);
    let closed = gate.filter(|gate| gate.status == "False")?;
    closed.last_transition_time.as_ref().map(|time| time.0)
}

/// The grace period; conditions count whole seconds, so one more makes sure that it is not too short.
fn grace(around: &Around<'_>) -> SignedDuration {
    let seconds = i64::from(around.grace_seconds);
    SignedDuration::from_secs(if seconds > 0 { seconds + 1 } else { 0 })
}

#[cfg(test)]
mod tests;
