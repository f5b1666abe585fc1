//! Which containers of a pod are changed together: those of the highest launch priority first (`behaviour.md` 5.7.1,
//! 5.9).
//!
//! Chooses only; when the next ones may follow is `done`'s to say.

use super::state::Next;
use crate::metadata::Referenced;
use cloneset_api::names::{annotations, env};
use cloneset_status::Pod;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Launch priorities by container; empty when all containers start together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Priorities(BTreeMap<String, i32>);

impl Priorities {
    /// As Kruise's webhook would set them up: from the containers' environment, or from their order where the pod asks
    /// for that.
    pub(crate) fn of(pod: &Pod, template: &Value) -> Self {
        let containers = template.pointer("/spec/containers").and_then(Value::as_array);
        let ordered = pod.annotation(annotations::LAUNCH_PRIORITY) == Some("Ordered");
        let by_name: BTreeMap<String, i32> = containers
            .into_iter()
            .flatten()
            .enumerate()
            .filter_map(|(place, container)| {
                let name = container.get("name")?.as_str()?.to_owned();
                let by_place = i32::try_from(place).unwrap_or(i32::MAX).saturating_neg();
                Some((name, if ordered { by_place } else { priority(container) }))
            })
            .collect();
        let distinct: BTreeSet<i32> = by_name.values().copied().collect();
        if distinct.len() > 1 {
            Self(by_name)
        } else {
            Self::default()
        }
    }

    /// The containers that are changed before each of these.
    pub(super) fn before<'a>(&self, changed: impl Iterator<Item = &'a String>) -> Vec<&str> {
        let Some(highest) = changed.filter_map(|name| self.0.get(name)).max() else {
            return Vec::new();
        };
        let earlier = self.0.iter().filter(|(_, priority)| *priority > highest);
        earlier.map(|(name, _)| name.as_str()).collect()
    }

    #[cfg(test)]
    pub(super) fn from<const N: usize>(priorities: [(&str, i32); N]) -> Self {
        Self(
            priorities
                .into_iter()
                .map(|(name, priority)| (name.to_owned(), priority))
                .collect(),
        )
    }
}

fn priority(container: &Value) -> i32 {
    let env = container.get("env").and_then(Value::as_array);
    let value = env
        .into_iter()
        .flatten()
        .find(|variable| variable.get("name").and_then(Value::as_str) == Some(env::CONTAINER_PRIORITY))
        .and_then(|variable| variable.get("value"))
        .and_then(Value::as_str);
    value.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// What of a pod changes at one time.
pub(crate) struct Taken {
    /// The changes.
    pub(crate) changes: Next,
    /// Do the images of the same priority follow as soon as the kubelet has applied the resources, whether or not the
    /// containers are ready? A new image may be what makes them ready.
    pub(crate) is_ahead_of_images: bool,
}

/// Takes the containers that are changed first out of those to be changed.
///
/// Resources go before images: a kubelet that sees both at once starts the new container with amounts that the cgroup of
/// its pod does not allow yet, and never raises those of a pod without a running container.
pub(crate) fn take_batch(pending: &mut Next, priorities: &Priorities) -> Taken {
    let names: BTreeSet<String> = (pending.images.keys())
        .chain(pending.referenced.keys())
        .chain(pending.resources.keys())
        .cloned()
        .collect();
    let of = |name: &String| priorities.0.get(name).copied();
    let highest = names.iter().filter_map(of).max();
    let mut chosen: BTreeSet<String> = names
        .iter()
        .filter(|name| of(name).is_none() || of(name) == highest)
        .cloned()
        .collect();
    // A label changes once, for everybody who reads it.
    while let Some(joins) = names
        .iter()
        .find(|name| !chosen.contains(*name) && shares(&pending.referenced, name, &chosen))
    {
        chosen.insert(joins.clone());
    }
    let resources = split(&mut pending.resources, &chosen);
    let is_ahead_of_images =
        !resources.is_empty() && chosen.iter().any(|name| pending.images.contains_key(name));
    if is_ahead_of_images {
        chosen.clear();
    }
    Taken {
        changes: Next {
            images: split(&mut pending.images, &chosen),
            referenced: split(&mut pending.referenced, &chosen),
            resources,
        },
        is_ahead_of_images,
    }
}

fn shares(referenced: &BTreeMap<String, Referenced>, name: &str, chosen: &BTreeSet<String>) -> bool {
    referenced.get(name).is_some_and(|mine| {
        let theirs = chosen.iter().filter_map(|name| referenced.get(name));
        theirs.into_iter().any(|other| mine.meets(other))
    })
}

fn split<T>(from: &mut BTreeMap<String, T>, chosen: &BTreeSet<String>) -> BTreeMap<String, T> {
    from.extract_if(.., |name, _| chosen.contains(name)).collect()
}

#[cfg(test)]
mod tests;
