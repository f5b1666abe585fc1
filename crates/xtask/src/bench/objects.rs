//! The objects of the generated cluster as JSON text, in the forms in which an API server sends them.
//!
//! It keeps no state: the caller passes the version and the status of an object.

use super::population::{Item, Kind, Population};
use super::selector::Selector;
use super::template::{Field, Template};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As an item of a list: built-in kinds do not name themselves there.
    Listed,
    /// Alone, or in an event of a watch.
    Whole,
    /// `PartialObjectMetadata`.
    Metadata,
}

/// The values of an object that do not follow from its number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changing<'a> {
    pub(super) version: u64,
    /// The status that the controller wrote, as JSON.
    pub(super) status: Option<&'a str>,
}

struct Forms {
    listed: Template,
    whole: Template,
    metadata: Template,
    labels: BTreeMap<String, Template>,
}

/// The objects of one population.
pub(super) struct Objects {
    pub(super) population: Population,
    clonesets: Forms,
    revisions: Forms,
    pods: Forms,
    status: Template,
}

impl Objects {
    pub(super) fn new(population: Population) -> Result<Self> {
        let template = read(include_str!("objects/template.yaml"))?;
        let mut revision = read(include_str!("objects/revision.yaml"))?;
        let mut recorded = template.clone();
        set(&mut recorded, "", "$patch", json!("replace"))?;
        set(&mut revision, "", "data", json!({"spec": {"template": recorded}}))?;
        Ok(Self {
            population,
            clonesets: Forms::of(Kind::CloneSet, &cloneset(template)?)?,
            revisions: Forms::of(Kind::Revision, &revision)?,
            pods: Forms::of(Kind::Pod, &read(include_str!("objects/pod.yaml"))?)?,
            status: Template::of(&read(include_str!("objects/status.yaml"))?)?,
        })
    }

    fn forms(&self, kind: Kind) -> Option<&Forms> {
        match kind {
            Kind::CloneSet => Some(&self.clonesets),
            Kind::Revision => Some(&self.revisions),
            Kind::Pod => Some(&self.pods),
            Kind::Claim | Kind::Node => None,
        }
    }

    /// Appends an object.
    pub(super) fn render(&self, item: Item, form: Form, changing: Changing<'_>, out: &mut String) {
        let Some(forms) = self.forms(item.kind) else {
            return;
        };
        let template = match form {
            Form::Listed => &forms.listed,
            Form::Whole => &forms.whole,
            Form::Metadata => &forms.metadata,
        };
        template.render(out, |field, out| match (field, changing.status) {
            (Field::Version, _) => out.push_str(&changing.version.to_string()),
            (Field::Status, Some(status)) => out.push_str(status),
            (Field::Status, None) => self
                .status
                .render(out, |field, out| self.population.fill(item, field, out)),
            _ => self.population.fill(item, field, out),
        });
    }

    /// The value of one field of an object.
    pub(super) fn value(&self, item: Item, field: Field) -> String {
        let mut value = String::new();
        self.population.fill(item, field, &mut value);
        value
    }

    /// Does the selector match the labels of an object?
    pub(super) fn matches(&self, item: Item, selector: &Selector) -> bool {
        let Some(forms) = self.forms(item.kind) else {
            return false;
        };
        selector.matches(|key| {
            let mut value = String::new();
            forms
                .labels
                .get(key)?
                .render(&mut value, |field, out| self.population.fill(item, field, out));
            // The template is of a JSON string. No label needs an escape.
            Some(value.trim_matches('"').to_owned())
        })
    }
}

impl Forms {
    fn of(kind: Kind, object: &Value) -> Result<Self> {
        let metadata = object.get("metadata").context("an object without metadata")?;
        let partial =
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
        let mut listed = object.clone();
        if let Some(fields) = listed.as_object_mut().filter(|_| kind != Kind::CloneSet) {
            fields.remove("apiVersion");
            fields.remove("kind");
        }
        let labels = metadata.get("labels").and_then(Value::as_object);
        let labels = labels.into_iter().flatten();
        Ok(Self {
            listed: Template::of(&listed)?,
            whole: Template::of(object)?,
            metadata: Template::of(&partial)?,
            labels: labels
                .map(|(key, value)| Ok((key.clone(), Template::of(value)?)))
                .collect::<Result<_>>()?,
        })
    }
}

/// A CloneSet as `kubectl apply` stores it: with the applied manifest in an annotation.
fn cloneset(template: Value) -> Result<Value> {
    let mut cloneset = read(include_str!("objects/cloneset.yaml"))?;
    set(&mut cloneset, "/spec", "template", template)?;
    let mut applied = cloneset.clone();
    if let Some(fields) = applied.as_object_mut() {
        fields.remove("status");
    }
    let fields = applied.pointer_mut("/metadata").and_then(Value::as_object_mut);
    if let Some(metadata) = fields {
        metadata.retain(|key, _| matches!(key.as_str(), "name" | "namespace" | "labels" | "annotations"));
    }
    // A number cannot be filled in within a string. A manifest for an autoscaled workload has no replicas either.
    let spec = applied.pointer_mut("/spec").and_then(Value::as_object_mut);
    spec.context("a CloneSet without spec")?.remove("replicas");
    let annotation = cloneset_api::names::annotations::LAST_APPLIED;
    set(
        &mut cloneset,
        "/metadata/annotations",
        annotation,
        json!(applied.to_string()),
    )?;
    Ok(cloneset)
}

fn read(yaml: &str) -> Result<Value> {
    serde_saphyr::from_str(yaml).context("a file of crates/xtask/src/bench/objects is not YAML")
}

fn set(object: &mut Value, pointer: &str, key: &str, value: Value) -> Result<()> {
    let fields = object.pointer_mut(pointer).and_then(Value::as_object_mut);
    let fields = fields.with_context(|| format!("there is no object at {pointer:?}"))?;
    fields.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(item: Item, form: Form, changing: Changing<'_>) -> (usize, Value) {
        let objects = Objects::new(Population {
            clonesets: 2,
            revisions: 11,
            pods: 10,
        });
        let mut out = String::new();
        objects.expect("objects").render(item, form, changing, &mut out);
        let value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"));
        (out.len(), value)
    }

    fn item(kind: Kind, index: usize) -> Item {
        Item { kind, index }
    }

    #[test]
    fn objects_are_as_large_as_those_of_a_real_cluster() {
        for (kind, sizes) in [
            (Kind::Pod, 8_000..10_500),
            (Kind::Revision, 4_500..6_000),
            (Kind::CloneSet, 9_000..14_000),
        ] {
            let (size, _) = rendered(item(kind, 12), Form::Whole, Changing::default());
            assert!(sizes.contains(&size), "{kind:?}: {size} bytes");
        }
    }

    #[test]
    fn a_revision_records_the_template_of_its_cloneset() {
        let (_, cloneset) = rendered(item(Kind::CloneSet, 1), Form::Whole, Changing::default());
        let (_, mut revision) = rendered(item(Kind::Revision, 21), Form::Whole, Changing::default());
        let recorded = revision.pointer_mut("/data/spec/template").expect("a template");
        recorded.as_object_mut().expect("an object").remove("$patch");
        assert_eq!(Some(&*recorded), cloneset.pointer("/spec/template"));
        assert_eq!(
            cloneset.pointer("/status/updateRevision"),
            revision.pointer("/metadata/name")
        );
        assert_eq!(cloneset.pointer("/status/replicas"), Some(&json!(10)));
    }

    #[test]
    fn built_in_kinds_do_not_name_themselves_in_lists() {
        let changing = Changing {
            version: 77,
            status: None,
        };
        let (_, pod) = rendered(item(Kind::Pod, 3), Form::Listed, changing);
        assert_eq!(pod.get("kind"), None);
        assert_eq!(pod.pointer("/metadata/resourceVersion"), Some(&json!("77")));
        let (_, cloneset) = rendered(item(Kind::CloneSet, 0), Form::Listed, changing);
        assert_eq!(cloneset.get("kind"), Some(&json!("CloneSet")));
        let (_, partial) = rendered(item(Kind::Pod, 3), Form::Metadata, changing);
        assert_eq!(partial.get("kind"), Some(&json!("PartialObjectMetadata")));
        assert_eq!(partial.get("spec"), None);
    }
}
