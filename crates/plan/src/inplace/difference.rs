//! When a pod can be moved from one template to another without being replaced, and what that changes
//! (`behaviour.md` 5.6).
//!
//! Compares canonical forms, so that a default which one side spells out is no difference. It looks at templates
//! only: what a pod really runs is the caller's business.

use super::qos::qos_class;
use super::readers::readers;
use crate::metadata::{MetadataChange, Referenced};
use crate::normalise::{is_amount, normalise, pull_policy};
use cloneset_status::facts::Resources;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The resources that can be changed in place.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// What leads from one template to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Images, by container.
    pub(crate) images: BTreeMap<String, String>,
    /// Limits and requests that change, by container.
    pub(crate) resources: BTreeMap<String, Resources>,
    /// Metadata that containers read as environment variables, by container.
    pub(crate) referenced: BTreeMap<String, Referenced>,
    /// All other metadata.
    pub(crate) metadata: MetadataChange,
}

/// The first thing that only a new pod can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Impossible(pub(crate) String);

/// What leads from one template to another, if it can be done in place; `resize`: resources can.
pub(crate) fn difference(from: &Value, to: &Value, resize: bool) -> Result<Difference, Impossible> {
    let (from, to) = (normalise(from), normalise(to));
    let mut difference = Difference {
        metadata: MetadataChange::between(&from, &to),
        ..Difference::default()
    };
    let nothing = Map::new();
    let spec = |template: &Value| template.get("spec").and_then(Value::as_object).cloned();
    let (old_spec, new_spec) = (
        spec(&from).unwrap_or_else(|| nothing.clone()),
        spec(&to).unwrap_or(nothing),
    );
    if let Some(field) = first_change(&from, &to, &["metadata", "spec"]) {
        return Err(Impossible(field));
    }
    if let Some(field) = first_change(
        &Value::Object(old_spec.clone()),
        &Value::Object(new_spec.clone()),
        &["containers"],
    ) {
        return Err(Impossible(format!("spec.{field}")));
    }
    let (old, new) = (containers(&old_spec), containers(&new_spec));
    let names = |list: &[Value]| -> Vec<String> { list.iter().map(name_of).collect() };
    if names(old) != names(new) {
        return Err(Impossible("spec.containers".to_owned()));
    }
    for (old, new) in old.iter().zip(new) {
        compare_containers(old, new, resize, &mut difference)?;
    }
    if !difference.resources.is_empty() && qos_class(&old_spec) != qos_class(&new_spec) {
        return Err(Impossible(
            "spec.containers[*].resources, which changes the QoS class".to_owned(),
        ));
    }
    refer(&new_spec, &mut difference)?;
    Ok(difference)
}

fn containers(spec: &Map<String, Value>) -> &[Value] {
    spec.get("containers")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn name_of(container: &Value) -> String {
    container
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// The first member, by name, in which two objects differ, some left aside.
fn first_change(old: &Value, new: &Value, but: &[&str]) -> Option<String> {
    let keys = |value: &Value| -> BTreeSet<String> {
        let members = value.as_object().into_iter().flatten();
        members.map(|(key, _)| key.clone()).collect()
    };
    let all: BTreeSet<String> = keys(old).union(&keys(new)).cloned().collect();
    all.into_iter()
        .find(|key| !but.contains(&key.as_str()) && old.get(key) != new.get(key))
}

fn compare_containers(
    old: &Value,
    new: &Value,
    resize: bool,
    difference: &mut Difference,
) -> Result<(), Impossible> {
    let name = name_of(new);
    let but: &[&str] = if resize {
        &["image", "imagePullPolicy", "resources"]
    } else {
        &["image", "imagePullPolicy"]
    };
    // What is the default of one tag is not that of another, so only one of two equal policies may be written out. Where
    // neither is, the pod keeps what it was given when it was made.
    if old.get("imagePullPolicy") != new.get("imagePullPolicy") && pull_policy(old) != pull_policy(new) {
        return Err(Impossible(format!("spec.containers[{name}].imagePullPolicy")));
    }
    if let Some(field) = first_change(old, new, but) {
        return Err(Impossible(format!("spec.containers[{name}].{field}")));
    }
    let image = |container: &Value| container.get("image").and_then(Value::as_str).map(str::to_owned);
    match (image(old), image(new)) {
        (old, new) if old == new => {}
        (Some(_), Some(new)) => _ = difference.images.insert(name.clone(), new),
        _ => return Err(Impossible(format!("spec.containers[{name}].image"))),
    }
    if !resize || old.get("resources") == new.get("resources") {
        return Ok(());
    }
    let impossible = || Impossible(format!("spec.containers[{name}].resources"));
    let changed = changed_resources(old.get("resources"), new.get("resources")).ok_or_else(impossible)?;
    difference.resources.insert(name, changed);
    Ok(())
}

/// The limits and requests that change; `None` when one of them cannot in place, such as one that comes or goes.
fn changed_resources(old: Option<&Value>, new: Option<&Value>) -> Option<Resources> {
    let (old, new) = (old?, new?);
    if first_change(old, new, &["limits", "requests"]).is_some() {
        return None;
    }
    let changed = |field: &str| -> Option<BTreeMap<String, String>> {
        let of = |value: &Value| {
            let object = value.get(field).and_then(Value::as_object);
            object.cloned().unwrap_or_default()
        };
        let (old, new) = (of(old), of(new));
        let same_keys = old.len() == new.len() && old.keys().all(|key| new.contains_key(key));
        let mut changes = BTreeMap::new();
        for (key, value) in new.iter().filter(|(key, value)| old.get(*key) != Some(value)) {
            // The API server would refuse what is no amount in a resize, and in a new pod, which is tried first.
            if !RESIZABLE.contains(&key.as_str()) || !is_amount(value) {
                return None;
            }
            changes.insert(key.clone(), value.as_str()?.to_owned());
        }
        same_keys.then_some(changes)
    };
    Some(Resources {
        limits: changed("limits")?,
        requests: changed("requests")?,
    })
}

/// Sets apart the metadata that containers read when they start. That works for regular containers that restart anyway:
/// nobody on the node would restart the others, and an init container does not run again.
fn refer(spec: &Map<String, Value>, difference: &mut Difference) -> Result<(), Impossible> {
    for reader in readers(spec) {
        let entries = if reader.field == "labels" {
            &difference.metadata.labels
        } else {
            &difference.metadata.annotations
        };
        let read = entries.iter().filter(|(key, _)| reader.reads(key));
        let read: Vec<(String, Option<String>)> =
            read.map(|(key, value)| (key.clone(), value.clone())).collect();
        let Some((first, _)) = read.first() else {
            continue;
        };
        if reader.is_init || !difference.images.contains_key(&reader.container) {
            let kind = if reader.is_init {
                "init container"
            } else {
                "container"
            };
            return Err(Impossible(format!(
                "metadata.{}[{first}], which {kind} {} reads as it starts",
                reader.field, reader.container
            )));
        }
        // Kruise's format has no word for a key that goes: it goes with the first containers that restart.
        let set: BTreeMap<String, String> = read
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)))
            .collect();
        if set.is_empty() {
            continue;
        }
        let referenced = difference.referenced.entry(reader.container).or_default();
        let into = if reader.field == "labels" {
            &mut referenced.labels
        } else {
            &mut referenced.annotations
        };
        into.get_or_insert_default().extend(set);
    }
    for referenced in difference.referenced.values() {
        let labels = referenced.labels.iter().flatten();
        labels.for_each(|(key, _)| _ = difference.metadata.labels.remove(key));
        let annotations = referenced.annotations.iter().flatten();
        annotations.for_each(|(key, _)| _ = difference.metadata.annotations.remove(key));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
