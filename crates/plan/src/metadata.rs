//! Changes of a pod's labels, annotations and finalizers, as a strategic merge patch says them, and the owner reference of
//! every object that the controller creates.
//!
//! Data only: which change is made is decided elsewhere. What makes a pod ours is never among them, whatever a template or an annotation says.

use cloneset_api::CloneSet;
use cloneset_api::names::{API_VERSION, KIND, annotations, labels};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The directive by which a strategic merge patch takes entries off a list.
const REMOVED_FINALIZERS: &str = "$deleteFromPrimitiveList/finalizers";

/// Entries to set, or (`None`) to take away.
type Entries = BTreeMap<String, Option<String>>;

/// Changes of a pod's metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// Labels.
    pub labels: Entries,
    /// Annotations.
    pub annotations: Entries,
    /// Finalizers to add.
    pub finalizers: Vec<String>,
    /// Finalizers to take away.
    pub lost_finalizers: Vec<String>,
}

/// Labels and annotations that containers read as environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Referenced {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

impl Referenced {
    /// Does it name one of the keys that the other one names?
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let share = |ours: &Option<BTreeMap<String, String>>, theirs: &Option<BTreeMap<String, String>>| {
            ours.iter()
                .flatten()
                .any(|(key, _)| theirs.iter().flatten().any(|(other, _)| other == key))
        };
        share(&self.labels, &other.labels) || share(&self.annotations, &other.annotations)
    }

    /// Leaves out what a later change is about.
    pub(crate) fn without(&mut self, later: &MetadataChange) {
        for (values, changed) in [
            (&mut self.labels, &later.labels),
            (&mut self.annotations, &later.annotations),
        ] {
            if let Some(values) = values {
                values.retain(|key, _| !changed.contains_key(key));
            }
        }
    }
}

impl MetadataChange {
    /// What makes the metadata of one template that of another.
    pub(crate) fn between(from: &Value, to: &Value) -> Self {
        let entries = |field: &str| {
            let (old, new) = (entries_of(from, field), entries_of(to, field));
            let mut changed: Entries = new
                .iter()
                .filter(|(key, value)| old.get(*key) != Some(value))
                .map(|(key, value)| (key.clone(), Some(value.clone())))
                .collect();
            let lost = old.keys().filter(|key| !new.contains_key(*key));
            changed.extend(lost.map(|key| (key.clone(), None)));
            changed
        };
        let (old, new) = (finalizers_of(from), finalizers_of(to));
        let only_in = |ours: &[String], theirs: &[String]| -> Vec<String> {
            ours.iter().filter(|one| !theirs.contains(one)).cloned().collect()
        };
        Self {
            labels: entries("labels"),
            annotations: entries("annotations"),
            finalizers: only_in(&new, &old),
            lost_finalizers: only_in(&old, &new),
        }
        .without_ours()
    }

    /// Reads a strategic merge patch; anything but the metadata we change is passed over.
    pub(crate) fn of_patch(patch: &Value) -> Self {
        let entries = |field: &str| {
            let object = patch
                .pointer(&format!("/metadata/{field}"))
                .and_then(Value::as_object);
            let entry = |(key, value): (&String, &Value)| match value {
                Value::Null => Some((key.clone(), None)),
                Value::String(text) => Some((key.clone(), Some(text.clone()))),
                _ => None,
            };
            object.into_iter().flatten().filter_map(entry).collect()
        };
        let list = |field: &str| texts(patch.get("metadata").and_then(|metadata| metadata.get(field)));
        Self {
            labels: entries("labels"),
            annotations: entries("annotations"),
            finalizers: list("finalizers"),
            lost_finalizers: list(REMOVED_FINALIZERS),
        }
        .without_ours()
    }

    /// Makes it one with a change that comes after it.
    pub(crate) fn then(&mut self, later: &Self) {
        self.labels.extend(later.labels.clone());
        self.annotations.extend(later.annotations.clone());
        self.finalizers
            .retain(|finalizer| !later.lost_finalizers.contains(finalizer));
        self.finalizers.extend(later.finalizers.iter().cloned());
        self.lost_finalizers
            .retain(|finalizer| !later.finalizers.contains(finalizer));
        self.lost_finalizers.extend(later.lost_finalizers.iter().cloned());
    }

    fn without_ours(mut self) -> Self {
        for key in labels::CONTROL {
            self.labels.remove(key);
        }
        for key in annotations::CONTROL {
            self.annotations.remove(key);
        }
        self
    }

    /// Nothing?
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Sets a label.
    pub(crate) fn label(&mut self, key: &str, value: &str) {
        self.labels.insert(key.to_owned(), Some(value.to_owned()));
    }

    /// Takes a label away.
    pub(crate) fn no_label(&mut self, key: &str) {
        self.labels.insert(key.to_owned(), None);
    }

    /// Sets an annotation.
    pub(crate) fn annotation(&mut self, key: &str, value: String) {
        self.annotations.insert(key.to_owned(), Some(value));
    }

    /// Takes an annotation away.
    pub(crate) fn no_annotation(&mut self, key: &str) {
        self.annotations.insert(key.to_owned(), None);
    }

    /// Sets what containers read.
    pub(crate) fn set_referenced(&mut self, referenced: &Referenced) {
        let set = |(key, value): (&String, &String)| (key.clone(), Some(value.clone()));
        self.labels.extend(referenced.labels.iter().flatten().map(set));
        self.annotations
            .extend(referenced.annotations.iter().flatten().map(set));
    }

    /// The metadata of a strategic merge patch.
    pub fn strategic(&self) -> Map<String, Value> {
        let mut metadata = Map::new();
        for (field, entries) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !entries.is_empty() {
                metadata.insert(field.to_owned(), json!(entries));
            }
        }
        for (field, list) in [
            ("finalizers", &self.finalizers),
            (REMOVED_FINALIZERS, &self.lost_finalizers),
        ] {
            if !list.is_empty() {
                metadata.insert(field.to_owned(), json!(list));
            }
        }
        metadata
    }
}

/// The controller reference every object of ours carries. It names the version we serve, because the garbage
/// collector looks up exactly that one.
pub fn owner_reference(owner: &CloneSet) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// Labels or annotations of a template.
fn entries_of(template: &Value, field: &str) -> BTreeMap<String, String> {
    let object = template
        .pointer(&format!("/metadata/{field}"))
        .and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    object.into_iter().flatten().filter_map(text).collect()
}

fn finalizers_of(template: &Value) -> Vec<String> {
    texts(template.pointer("/metadata/finalizers"))
}

fn texts(list: Option<&Value>) -> Vec<String> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_never_says_of_a_running_pod_what_the_controller_says() {
        let labels = json!({"app": "web", "apps.kruise.io/specified-delete": "true"});
        let annotations = json!({"team": "shop", "inplace-update-state": "{}"});
        let to = json!({"metadata": {"labels": labels, "annotations": annotations}});
        let change = MetadataChange::between(&json!({}), &to);
        assert_eq!(change.labels.into_keys().collect::<Vec<_>>(), ["app"]);
        assert_eq!(change.annotations.into_keys().collect::<Vec<_>>(), ["team"]);
    }
}
