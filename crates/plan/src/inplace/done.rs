//! Has what was changed in place taken effect? (`behaviour.md` 5.8.1, and `design.md` 5 for kubelets that say which
//! generation of a pod they have seen.)

use super::state::{LastStatus, UpdateState};
use crate::normalise::same_quantity;
use cloneset_status::Pod;
use cloneset_status::facts::{ContainerStatus, Resources};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// How long the name of an image may settle a doubt. After that the doubt is dropped: a runtime shows one name of an
/// image that has several, and that need not ever be the one asked for.
pub(super) const DOUBT: SignedDuration = SignedDuration::from_mins(1);

/// Do all containers that were changed run what they are to run? `template` is that of the revision the pod is to have;
/// `resize`: resources may have been changed too.
pub(crate) fn is_done(
    pod: &Pod,
    state: &UpdateState,
    template: Option<&Value>,
    resize: bool,
    now: Timestamp,
) -> bool {
    if !is_seen(pod) {
        return false;
    }
    let doubts = doubts_end(state).is_some_and(|end| now < end);
    let restarted = state
        .last_container_statuses
        .iter()
        .all(|(name, last)| has_followed(pod, name, last, doubts));
    // Containers of later batches are not resized yet.
    let changed = |name: &str| !state.next.resources.contains_key(name);
    let resized = || template.is_none_or(|template| has_resources(pod, template, changed));
    restarted && (!resize || !state.update_resources || resized())
}

/// Has the kubelet seen the pod as it is? One that does not say counts as having seen it.
pub(super) fn is_seen(pod: &Pod) -> bool {
    let seen = pod.status.observed_generation;
    seen.is_none_or(|seen| seen >= pod.metadata.generation.unwrap_or_default())
}

/// When what was changed last is long ago.
pub(crate) fn doubts_end(state: &UpdateState) -> Option<Timestamp> {
    let changed: Timestamp = state.container_batches_record.last()?.timestamp.parse().ok()?;
    changed.checked_add(DOUBT).ok()
}

/// The containers of an update that is overtaken whose restart is still to come.
pub(crate) fn still_to_restart(
    pod: &Pod,
    state: &UpdateState,
    now: Timestamp,
) -> BTreeMap<String, LastStatus> {
    let doubts = doubts_end(state).is_none_or(|end| now < end);
    let containers = state.last_container_statuses.iter();
    containers
        .filter(|(name, last)| !has_followed(pod, name, last, doubts))
        .map(|(name, last)| (name.clone(), last.clone()))
        .collect()
}

fn has_followed(pod: &Pod, name: &str, last: &LastStatus, doubts: bool) -> bool {
    pod.container_status(name)
        .is_some_and(|status| has_restarted(pod, status, last, doubts))
}

/// A container whose image changes is always replaced by another one, also where both images are the same. A kubelet
/// that does not say what it has seen may still show the one that crashed a moment before; then, as with Kruise, the
/// image tells.
fn has_restarted(pod: &Pod, status: &ContainerStatus, last: &LastStatus, doubts: bool) -> bool {
    let wanted = pod
        .spec
        .containers
        .iter()
        .find(|container| container.name == status.name)
        .map_or("", |container| container.image.as_str());
    let is_named = is_image(&status.image, wanted);
    let is_seen = pod.status.observed_generation.is_some();
    let replaced = !status.container_id.is_empty() && status.container_id != last.container_id;
    if last.in_doubt {
        let replaced = replaced || status.container_id.is_empty() && status.image_id != last.image_id;
        // A kubelet that goes back to what still runs, without having looked meanwhile, restarts nothing.
        let stays = !replaced && !last.image.is_empty() && last.image == wanted;
        return if doubts {
            replaced && is_named || stays && is_seen
        } else {
            replaced || stays || is_named
        };
    }
    if is_seen && !last.container_id.is_empty() {
        return replaced || is_named && !doubts;
    }
    status.image_id != last.image_id || is_named
}

/// Is it this image, by name? Without a tag, `latest` is meant; a container runtime also shows the registry it fills in.
pub(super) fn is_image(shown: &str, wanted: &str) -> bool {
    let shown = if wanted.contains(':') {
        Some(shown)
    } else {
        shown.strip_suffix(":latest")
    };
    let rest = shown.and_then(|shown| shown.strip_suffix(wanted));
    rest.is_some_and(|registry| registry.is_empty() || registry.ends_with('/'))
}

/// Has the kubelet given every container that was `changed` what the template says?
fn has_resources(pod: &Pod, template: &Value, changed: impl Fn(&str) -> bool) -> bool {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    let mut containers = containers.into_iter().flatten();
    containers.all(|container| {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        !changed(name) || has_own_resources(pod, container)
    })
}

/// Has the kubelet given this container of a template what it says?
pub(super) fn has_own_resources(pod: &Pod, container: &Value) -> bool {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let given = pod
        .container_status(name)
        .and_then(|status| status.resources.as_ref());
    ["limits", "requests"].into_iter().all(|field| {
        let wanted = container.pointer(&format!("/resources/{field}"));
        let mut wanted = wanted.and_then(Value::as_object).into_iter().flatten();
        wanted.all(|(resource, quantity)| is_given(given, field, resource, quantity))
    })
}

/// Only what can be changed in place is asked for.
fn is_given(given: Option<&Resources>, field: &str, resource: &str, wanted: &Value) -> bool {
    if !matches!(resource, "cpu" | "memory") {
        return true;
    }
    let amounts = given.map(|given| {
        if field == "limits" {
            &given.limits
        } else {
            &given.requests
        }
    });
    let amount = amounts.and_then(|amounts| amounts.get(resource));
    amount.is_some_and(|amount| same_quantity(&Value::from(amount.as_str()), wanted))
}

/// Are these containers ready?
pub(crate) fn are_ready(pod: &Pod, containers: &[String]) -> bool {
    containers
        .iter()
        .all(|name| pod.container_status(name).is_some_and(|status| status.ready))
}

#[cfg(test)]
mod tests;
