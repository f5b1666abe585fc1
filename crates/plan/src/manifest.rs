//! The pod object made from a revision's template (`behaviour.md` 3.1).
//!
//! The template is the user's: everything in it is kept, and only what makes the pod ours is added. No default
//! of Kubernetes is filled in here.

use crate::claim_template::ClaimTemplate;
use crate::metadata::owner_reference;
use crate::new_claim::{NewClaim, with_claims};
use cloneset_api::CloneSet;
use cloneset_api::names::{annotations, labels, lifecycle, pod_conditions};
use cloneset_status::conditions::whole_seconds;
use cloneset_status::facts::short_revision;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Bytes a label's value may have.
const MAX_LABEL_VALUE: usize = 63;

/// What a revision's pods are made from; shared by all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct RevisionTemplate {
    /// The revision's name.
    pub name: String,
    /// The pod template it records.
    pub template: Value,
    /// The volumeClaimTemplates that its pods get.
    pub claim_templates: Vec<Arc<ClaimTemplate>>,
}

/// A pod to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPod {
    /// `<cloneset>-<id>`.
    pub name: String,
    /// The instance id.
    pub id: String,
    /// What it is made from.
    pub revision: Arc<RevisionTemplate>,
    /// Value of the revision label.
    pub revision_label: String,
    /// The claims it mounts, those that exist already included.
    pub claims: Vec<NewClaim>,
}

impl NewPod {
    pub(crate) fn new(
        cloneset: &str,
        id: String,
        revision: &Arc<RevisionTemplate>,
        short_hash: bool,
    ) -> Self {
        let name = format!("{cloneset}-{id}");
        let claim = |template| NewClaim::new(template, &name, &id);
        Self {
            claims: revision.claim_templates.iter().map(claim).collect(),
            name,
            id,
            revision: Arc::clone(revision),
            revision_label: revision_label(&revision.name, short_hash).to_owned(),
        }
    }

    /// The object for a strict dry run: with the unknown fields of the template's metadata, and beside it, that a pod is
    /// created without, so that the API server names them too.
    pub fn strict_manifest(&self, owner: &CloneSet, now: Timestamp) -> Value {
        let mut manifest = self.manifest(owner, now);
        let template = &self.revision.template;
        add_others(&mut manifest, Some(template), &TEMPLATE);
        if let Some(metadata) = manifest.get_mut("metadata") {
            add_others(metadata, template.get("metadata"), &METADATA);
        }
        manifest
    }

    /// The object to POST, controlled by `owner`.
    pub fn manifest(&self, owner: &CloneSet, now: Timestamp) -> Value {
        let template = &self.revision.template;
        let spec = template.get("spec").cloned().unwrap_or_default();
        let mut metadata = Map::new();
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) = template
                .pointer(&format!("/metadata/{field}"))
                .filter(|value| !value.is_null())
            {
                metadata.insert(field.into(), without_control_keys(field, value.clone()));
            }
        }
        metadata.insert("name".into(), json!(self.name));
        metadata.insert("namespace".into(), json!(owner.metadata.namespace));
        metadata.insert("ownerReferences".into(), json!([owner_reference(owner)]));
        let own_labels = [
            (labels::INSTANCE_ID, self.id.as_str()),
            (labels::REVISION, self.revision_label.as_str()),
            (labels::POD_TEMPLATE_HASH, short_revision(&self.revision.name)),
            (labels::LIFECYCLE_STATE, lifecycle::PREPARING_NORMAL),
        ];
        for (key, value) in own_labels {
            set(&mut metadata, "labels", key, value);
        }
        set(
            &mut metadata,
            "annotations",
            annotations::LIFECYCLE_TIMESTAMP,
            &rfc3339(now),
        );
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": with_claims(with_readiness_gate(spec), &self.claims),
        })
    }
}

/// Fields of `metadata` that Kubernetes knows.
const METADATA: [&str; 15] = [
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
/// Fields of a template that Kubernetes knows, or that Go clients write.
const TEMPLATE: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

/// The value of the revision label.
pub(crate) fn revision_label(revision: &str, short_hash: bool) -> &str {
    if short_hash || revision.len() > MAX_LABEL_VALUE {
        short_revision(revision)
    } else {
        revision
    }
}

/// A time as the API server and Kruise write it: RFC 3339, whole seconds.
pub fn rfc3339(time: Timestamp) -> String {
    whole_seconds(time).to_string()
}

/// Without what would say of every new pod that it is to be deleted, or is in the midst of an update. Admission rejects
/// such a template; this is for one that is older than the rule.
fn without_control_keys(field: &str, mut entries: Value) -> Value {
    let keys: &[&str] = match field {
        "labels" => &labels::CONTROL,
        "annotations" => &annotations::CONTROL,
        _ => &[],
    };
    if let Some(entries) = entries.as_object_mut() {
        entries.retain(|key, _| !keys.contains(&key.as_str()));
    }
    entries
}

/// Adds the fields of `from` but for the known ones.
fn add_others(to: &mut Value, from: Option<&Value>, known: &[&str]) {
    let others = from.and_then(Value::as_object).into_iter().flatten();
    let others = others.filter(|(name, _)| !known.contains(&name.as_str()));
    if let Some(to) = to.as_object_mut() {
        to.extend(others.map(|(name, value)| (name.clone(), value.clone())));
    }
}

fn set(metadata: &mut Map<String, Value>, field: &str, key: &str, value: &str) {
    let entries = metadata.entry(field).or_insert_with(|| json!({}));
    if let Some(entries) = entries.as_object_mut() {
        entries.insert(key.to_owned(), json!(value));
    }
}

fn with_readiness_gate(mut spec: Value) -> Value {
    let Some(fields) = spec.as_object_mut() else {
        return spec;
    };
    let gates = fields.entry("readinessGates").or_insert_with(|| json!([]));
    if gates.is_null() {
        *gates = json!([]);
    }
    let ours = json!({"conditionType": pod_conditions::IN_PLACE_UPDATE_READY});
    if let Some(gates) = gates.as_array_mut()
        && !gates.contains(&ours)
    {
        gates.push(ours);
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_api::names::{API_VERSION, KIND};

    fn owner() -> CloneSet {
        serde_json::from_value(json!({
            "apiVersion": API_VERSION, "kind": KIND,
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
            "spec": {"selector": {}, "template": {}}
        }))
        .unwrap()
    }

    fn pod_of(revision: &str, template: Value) -> Value {
        let revision = Arc::new(RevisionTemplate {
            name: revision.to_owned(),
            template,
            claim_templates: Vec::new(),
        });
        NewPod::new("web", "bcdfg".into(), &revision, false).manifest(&owner(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn a_pod_is_its_template_plus_what_makes_it_ours() {
        let pod = pod_of(
            "web-hash",
            json!({
                "metadata": {"creationTimestamp": null, "name": "ignored", "labels": {"app": "web"},
                             "annotations": {"team": "shop"}, "finalizers": ["a.b/c"]},
                "spec": {"containers": [{"name": "main", "newField": {"kept": null}}],
                         "readinessGates": [{"conditionType": "www.example.com/feature-1"}]}
            }),
        );
        assert_eq!(
            pod,
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": "web-bcdfg",
                    "namespace": "shop",
                    "labels": {
                        "app": "web",
                        "apps.kruise.io/cloneset-instance-id": "bcdfg",
                        "controller-revision-hash": "web-hash",
                        "pod-template-hash": "hash",
                        "lifecycle.apps.kruise.io/state": "PreparingNormal"
                    },
                    "annotations": {
                        "team": "shop",
                        "lifecycle.apps.kruise.io/timestamp": "1970-01-01T00:00:00Z"
                    },
                    "finalizers": ["a.b/c"],
                    "ownerReferences": [{
                        "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web", "uid": "u-1",
                        "controller": true, "blockOwnerDeletion": true
                    }]
                },
                "spec": {
                    "containers": [{"name": "main", "newField": {"kept": null}}],
                    "readinessGates": [
                        {"conditionType": "www.example.com/feature-1"},
                        {"conditionType": "InPlaceUpdateReady"}
                    ]
                }
            })
        );
    }

    #[test]
    fn control_keys_of_the_template_never_reach_a_pod() {
        let pod = pod_of(
            "web-hash",
            json!({"metadata": {
                "labels": {"app": "web", "apps.kruise.io/specified-delete": "true",
                           "apps.kruise.io/cloneset-instance-id": "fixed", "pod-template-hash": "other"},
                "annotations": {"team": "shop", "apps.kruise.io/inplace-update-state": "{}",
                                "inplace-update-grace": "{}", "apps.kruise.io/container-launch-priority": "Ordered"}
            }}),
        );
        assert_eq!(
            pod["metadata"]["labels"],
            json!({"app": "web", "apps.kruise.io/cloneset-instance-id": "bcdfg", "controller-revision-hash": "web-hash",
                   "pod-template-hash": "hash", "lifecycle.apps.kruise.io/state": "PreparingNormal"})
        );
        assert_eq!(
            pod["metadata"]["annotations"],
            json!({"team": "shop", "apps.kruise.io/container-launch-priority": "Ordered",
                   "lifecycle.apps.kruise.io/timestamp": "1970-01-01T00:00:00Z"})
        );
    }

    #[test]
    fn a_strict_dry_run_carries_the_unknown_fields_that_a_pod_is_made_without() {
        let revision = Arc::new(RevisionTemplate {
            name: "web-hash".into(),
            template: json!({
                "metadata": {"name": "ignored", "labels": {"app": "web"}, "anotations": {}},
                "spec": {"containers": []}, "specs": 1, "status": {}
            }),
            claim_templates: Vec::new(),
        });
        let pod = NewPod::new("web", "bcdfg".into(), &revision, false);
        let mut strict = pod.strict_manifest(&owner(), Timestamp::UNIX_EPOCH);
        assert_eq!(strict["specs"], 1);
        assert_eq!(strict["metadata"]["anotations"], json!({}));
        strict.as_object_mut().unwrap().remove("specs");
        strict["metadata"].as_object_mut().unwrap().remove("anotations");
        assert_eq!(strict, pod.manifest(&owner(), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn nulls_where_go_clients_write_them_and_a_gate_already_there_do_no_harm() {
        let pod = pod_of(
            "web-hash",
            json!({"metadata": {"labels": null}, "spec": {"readinessGates": null}}),
        );
        assert_eq!(pod["metadata"]["labels"]["pod-template-hash"], "hash");
        assert_eq!(
            pod["spec"]["readinessGates"],
            json!([{"conditionType": "InPlaceUpdateReady"}])
        );
        let again = pod_of("web-hash", json!({"spec": pod["spec"]}));
        assert_eq!(again["spec"], pod["spec"]);
    }

    #[test]
    fn a_revision_name_too_long_for_a_label_is_carried_in_its_short_form() {
        let long = format!("{}-hash", "w".repeat(60));
        assert_eq!(
            pod_of(&long, json!({}))["metadata"]["labels"]["controller-revision-hash"],
            "hash"
        );
        let fits = format!("{}-hash", "w".repeat(58));
        assert_eq!(
            pod_of(&fits, json!({}))["metadata"]["labels"]["controller-revision-hash"],
            fits.as_str()
        );
    }
}
