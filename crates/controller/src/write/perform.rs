//! One write for each action, with its preconditions, and what it leaves behind.
//!
//! Where an answer says that an object is there already, a look at it tells whose it is. Order, concurrency and
//! what to do about failures are `act`'s business.

mod in_place;

use crate::cache::index::{Kind, Sink as _};
use crate::cache::owned::version_of;
use crate::cache::pending::{Expect, Mark};
use crate::live;
use crate::run::Context;
use crate::write::pvcs;
use crate::write::writer::{self, Target, WriteError};
use cloneset_api::CloneSet;
use cloneset_api::names::labels;
use cloneset_plan::normalise::canonical_text;
use cloneset_plan::{
    Action, DeleteReason, NewPod, NewRevision, PodDeletion, Pruning, Release, RevisionUpdate, owner_reference,
};
use cloneset_status::facts::short_revision;
use cloneset_status::{Pod, Revision, Runaway};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::{PartialObjectMeta, Patch, Preconditions};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;

/// What one write left behind.
pub struct Written {
    /// What the view must show.
    pub mark: Option<Mark>,
    /// The pod created, with its revision.
    pub created: Option<(String, String)>,
    /// The pod deleted, and why.
    pub deleted: Option<(String, DeleteReason)>,
    /// The pod changed in place, with the revision it is led to.
    pub changed: Option<(String, String)>,
    /// The pod created was stored otherwise than it was sent.
    pub altered: Option<Runaway>,
    /// The instance id that somebody else's object has.
    pub taken_id: Option<String>,
}

impl Written {
    pub(crate) fn marked(mark: Mark) -> Self {
        Self {
            mark: Some(mark),
            created: None,
            deleted: None,
            changed: None,
            altered: None,
            taken_id: None,
        }
    }

    /// Nothing was written: somebody else's object has the name that this instance id makes.
    pub(crate) fn taken(id: &str) -> Self {
        Self {
            mark: None,
            created: None,
            deleted: None,
            changed: None,
            altered: None,
            taken_id: Some(id.to_owned()),
        }
    }
}

/// Carries out one action.
pub async fn perform(context: &Context, cloneset: &CloneSet, action: &Action) -> Result<Written, WriteError> {
    match action {
        Action::CreateClaim(claim) => pvcs::create(context, cloneset, claim).await,
        Action::DeleteClaim(claim) => pvcs::delete(context, cloneset, claim).await,
        Action::HandOverClaim(claim) => pvcs::hand_over(context, cloneset, claim).await,
        Action::CreatePod(pod) => create_pod(context, cloneset, pod).await,
        Action::DeletePod(deletion) => delete_pod(context, cloneset, deletion).await,
        Action::PutInService(pod) => in_place::put_in_service(context, cloneset, pod).await,
        Action::TakeOutOfService(pod) => in_place::take_out_of_service(context, cloneset, pod).await,
        Action::ChangeInPlace(change) => in_place::change(context, cloneset, change).await,
        Action::ReleasePod(pod) => release_pod(context, cloneset, pod).await,
        Action::PruneNames(names) => prune_names(context, cloneset, names).await,
        Action::DeleteRevision { name, uid } => {
            let target = Target::of::<Revision>(namespace(cloneset), "controllerrevisions");
            writer::delete(context, &target, name, preconditions(uid, None)).await?;
            Ok(Written::marked(Mark::new(
                Kind::Revision,
                name,
                uid,
                Expect::Leaving,
            )))
        }
    }
}

pub(crate) fn namespace(cloneset: &CloneSet) -> Option<&str> {
    cloneset.metadata.namespace.as_deref()
}

pub(crate) fn uid(cloneset: &CloneSet) -> &str {
    cloneset.metadata.uid.as_deref().unwrap_or_default()
}

pub(crate) fn preconditions(uid: &str, resource_version: Option<&str>) -> Preconditions {
    Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: resource_version.map(str::to_owned),
    }
}

async fn create_pod(context: &Context, cloneset: &CloneSet, pod: &NewPod) -> Result<Written, WriteError> {
    let target = Target::of::<Pod>(namespace(cloneset), "pods");
    let manifest = pod.manifest(cloneset, context.now());
    match writer::create::<Pod>(context, &target, &manifest).await {
        Ok(stored) => {
            let altered = altered(cloneset, pod, &manifest, &stored);
            let expect = Expect::Version(version_of(&stored));
            let mark = Mark::new(Kind::Pod, &pod.name, stored.uid(), expect);
            let created = Some((pod.name.clone(), pod.revision.name.clone()));
            if altered.is_some() {
                // No watch may show it; if it is ours all the same, it has to count.
                context.index.add_stray(stored);
            }
            Ok(Written {
                created,
                altered,
                ..Written::marked(mark)
            })
        }
        Err(WriteError::AlreadyExists) => found_pod(context, cloneset, pod).await,
        Err(error) => Err(error),
    }
}

/// What ties a pod to us and was not stored as it was sent: then no number of pods would ever be enough. Anything else
/// an admission webhook may change as it likes.
pub(crate) fn altered(cloneset: &CloneSet, pod: &NewPod, sent: &Value, stored: &Pod) -> Option<Runaway> {
    if stored.controlling_cloneset() == Some(uid(cloneset)) {
        let what = altered_label(&cloneset.spec.selector, sent, stored)?;
        Some(Runaway::altered(&pod.name, &what))
    } else {
        Some(Runaway::altered(&pod.name, "without our owner reference"))
    }
}

/// The first label that was changed among those we find and tell pods by.
fn altered_label(selector: &LabelSelector, sent: &Value, stored: &Pod) -> Option<String> {
    let sent = sent.pointer("/metadata/labels")?.as_object()?;
    let equals = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    let rules = selector
        .match_expressions
        .iter()
        .flatten()
        .map(|rule| rule.key.as_str());
    let ours = [labels::INSTANCE_ID, labels::REVISION].into_iter();
    let key = ours
        .chain(equals)
        .chain(rules)
        .find(|&key| stored.label(key) != sent.get(key).and_then(Value::as_str))?;
    Some(match stored.label(key) {
        Some(value) => format!("with another value of label {key} ({value})"),
        None => format!("without label {key}"),
    })
}

/// The object of that name, as it is now.
pub(crate) async fn look<K>(
    context: &Context,
    cloneset: &CloneSet,
    name: &str,
) -> Result<Option<K>, WriteError>
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace(cloneset).unwrap_or_default());
    live::get(&api, name)
        .await
        .map_err(|error| WriteError::Unclear(error.to_string()))
}

/// A pod of that name exists: our own from a write whose answer was lost, or somebody else's. Only looking tells.
async fn found_pod(context: &Context, cloneset: &CloneSet, pod: &NewPod) -> Result<Written, WriteError> {
    let found = look::<Pod>(context, cloneset, &pod.name).await?;
    match found {
        Some(found) if found.controlling_cloneset() == Some(uid(cloneset)) && found.is_active() => {
            // It may have lost the label our watch goes by; then it has to be looked at, not waited for.
            context.index.add_stray(found.clone());
            let expect = Expect::Version(version_of(&found));
            Ok(Written::marked(Mark::new(
                Kind::Pod,
                &pod.name,
                found.uid(),
                expect,
            )))
        }
        Some(_) => Ok(Written::taken(&pod.id)),
        None => Err(WriteError::Raced("the pod in the way has gone".to_owned())),
    }
}

async fn delete_pod(
    context: &Context,
    cloneset: &CloneSet,
    deletion: &PodDeletion,
) -> Result<Written, WriteError> {
    let target = Target::of::<Pod>(namespace(cloneset), "pods");
    let only_this = preconditions(&deletion.uid, Some(&deletion.resource_version));
    writer::delete(context, &target, &deletion.name, only_this).await?;
    let mark = Mark::new(Kind::Pod, &deletion.name, &deletion.uid, Expect::Leaving);
    Ok(Written {
        deleted: Some((deletion.name.clone(), deletion.why)),
        ..Written::marked(mark)
    })
}

/// Takes our owner reference off a pod, and no other.
async fn release_pod(context: &Context, cloneset: &CloneSet, pod: &Release) -> Result<Written, WriteError> {
    let target = Target::of::<Pod>(namespace(cloneset), "pods");
    let patch = Patch::Strategic(json!({"metadata": {
        "uid": pod.uid,
        "resourceVersion": pod.resource_version,
        "ownerReferences": [{"$patch": "delete", "uid": uid(cloneset)}],
    }}));
    let stored: Pod = writer::patch(context, &target, &pod.name, None, &patch).await?;
    let expect = Expect::Version(version_of(&stored));
    Ok(Written::marked(Mark::new(Kind::Pod, &pod.name, &pod.uid, expect)))
}

/// The only write to a spec: names of pods that are gone leave `podsToDelete`, if it is still the list that was read.
async fn prune_names(context: &Context, cloneset: &CloneSet, names: &Pruning) -> Result<Written, WriteError> {
    let target = Target::of::<CloneSet>(namespace(cloneset), "clonesets");
    let list = "/spec/scaleStrategy/podsToDelete";
    let change = if names.keep.is_empty() {
        json!({"op": "remove", "path": list})
    } else {
        json!({"op": "replace", "path": list, "value": names.keep})
    };
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid(cloneset)},
        {"op": "test", "path": list, "value": names.read},
        change,
    ]);
    let patch = serde_json::from_value(patch).map_err(|error| WriteError::Malformed(error.to_string()))?;
    let name = cloneset.metadata.name.as_deref().unwrap_or_default();
    let stored: PartialObjectMeta<CloneSet> =
        writer::patch(context, &target, name, None, &Patch::Json::<Value>(patch)).await?;
    let expect = Expect::Version(version_of(&stored));
    Ok(Written::marked(Mark::new(
        Kind::CloneSet,
        name,
        uid(cloneset),
        expect,
    )))
}

/// Creates a revision; `None` when its name is taken by other content.
pub async fn create_revision(
    context: &Context,
    cloneset: &CloneSet,
    new: &NewRevision,
) -> Result<Option<Mark>, WriteError> {
    let target = Target::of::<Revision>(namespace(cloneset), "controllerrevisions");
    let manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": new.name,
            "namespace": cloneset.metadata.namespace,
            "labels": new.labels,
            "annotations": new.annotations,
            "ownerReferences": [owner_reference(cloneset)],
        },
        "data": new.data,
        "revision": new.number,
    });
    match writer::create::<Revision>(context, &target, &manifest).await {
        Ok(stored) => Ok(Some(revision_mark(&stored))),
        Err(WriteError::AlreadyExists) => found_revision(context, cloneset, new).await,
        Err(error) => Err(error),
    }
}

fn revision_mark(stored: &Revision) -> Mark {
    Mark::new(
        Kind::Revision,
        stored.name(),
        stored.uid(),
        Expect::Version(version_of(stored)),
    )
}

/// A revision of that name exists: ours with the same content, from a write whose answer was lost, or not.
async fn found_revision(
    context: &Context,
    cloneset: &CloneSet,
    new: &NewRevision,
) -> Result<Option<Mark>, WriteError> {
    let found = look::<Revision>(context, cloneset, &new.name).await?;
    let Some(found) = found else {
        return Err(WriteError::Raced("the revision in the way has gone".to_owned()));
    };
    let wanted = new.data.pointer("/spec/template").map(canonical_text);
    let is_same = found.template().map(canonical_text) == wanted;
    if !is_same || found.controlling_cloneset() != Some(uid(cloneset)) {
        return Ok(None);
    }
    if found
        .metadata
        .labels
        .iter()
        .flatten()
        .any(|(key, _)| key == labels::REVISION_HASH)
    {
        return Ok(Some(revision_mark(&found)));
    }
    // No watch of ours shows it without its label.
    let label = json!({"metadata": {"uid": found.metadata.uid,
                                    "labels": {labels::REVISION_HASH: short_revision(found.name())}}});
    let target = Target::of::<Revision>(namespace(cloneset), "controllerrevisions");
    let stored: Revision = writer::patch(context, &target, found.name(), None, &Patch::Merge(label)).await?;
    context.index.refresh(stored.clone());
    Ok(Some(revision_mark(&stored)))
}

/// Changes what is recorded on a revision beside its data: its place in the history and annotations.
pub async fn update_revision(
    context: &Context,
    cloneset: &CloneSet,
    update: &RevisionUpdate,
) -> Result<Option<Mark>, WriteError> {
    let target = Target::of::<Revision>(namespace(cloneset), "controllerrevisions");
    let mut patch = json!({"metadata": {"uid": update.uid, "annotations": update.annotations}});
    if let (Some(fields), Some(number)) = (patch.as_object_mut(), update.number) {
        fields.insert("revision".to_owned(), json!(number));
    }
    let patch = Patch::Merge(patch);
    let stored: Revision = writer::patch(context, &target, &update.name, None, &patch).await?;
    Ok(Some(revision_mark(&stored)))
}
