//! The third step of a pass: do what the plan says.
//!
//! The revision first; then everything else, side by side and bounded, creations in batches of 1, 2, 4, …; one
//! pod's failure never stops the others, except that a batch with a failure is the last of its kind. Decides nothing
//! about pods.

use crate::index::Kind;
use crate::memory::{Memory, Work};
use crate::owned::version_of;
use crate::send::{self, Target, WriteError};
use crate::wiring::Context;
use crate::writes::{Expect, Mark};
use cloneset_api::CloneSet;
use cloneset_api::names::pod_conditions;
use cloneset_plan::normalise::canonical_text;
use cloneset_plan::{
    Action, DeleteReason, InService, NewPod, NewRevision, Plan, PodDeletion, RevisionWrite, owner_reference,
};
use cloneset_status::{Pod, Revision};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::api::{Patch, Preconditions};
use kube::{Api, Resource as _};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tracing::debug;

/// Writes of one CloneSet under way at once; all CloneSets together share the client's slots.
const SIDE_BY_SIDE: usize = 16;
/// Time to look at an object that is in the way.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// What acting changed.
#[derive(Debug, Default)]
pub struct Acted {
    /// Pods created, with their revisions.
    pub created: Vec<(String, String)>,
    /// Pods deleted, and why.
    pub deleted: Vec<(String, DeleteReason)>,
    /// Writes that did not succeed.
    pub failed: Vec<(Attempt, WriteError)>,
    /// Writes that succeeded.
    pub done: usize,
    /// The name of the new revision is taken by other content.
    pub name_collision: bool,
}

impl Acted {
    /// The kinds of work that failed for another reason than a lost race.
    pub fn failed_work(&self) -> BTreeSet<Work> {
        let real = self
            .failed
            .iter()
            .filter(|(_, error)| !matches!(error, WriteError::Raced(_) | WriteError::AlreadyExists));
        real.map(|(attempt, _)| attempt.work()).collect()
    }
}

/// What was attempted, for events and conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Writing a revision.
    Revision(String),
    /// Creating a pod.
    Create(String),
    /// Deleting a pod.
    Delete(String, DeleteReason),
    /// Putting a pod in service.
    PutInService(String),
    /// Deleting a revision that is not used.
    Trim(String),
}

impl Attempt {
    fn work(&self) -> Work {
        match self {
            Self::Revision(_) => Work::Revision,
            Self::Create(_) => Work::Create,
            Self::Delete(..) => Work::Delete,
            Self::PutInService(_) => Work::PutInService,
            Self::Trim(_) => Work::Trim,
        }
    }
}

/// Carries out a plan for `cloneset`.
pub async fn act(context: &Context, cloneset: &CloneSet, memory: &mut Memory, plan: &Plan) -> Acted {
    let mut acting = Acting {
        context,
        cloneset,
        memory,
        acted: Acted::default(),
    };
    if let Some(write) = &plan.revision
        && !acting.write_revision(write).await
    {
        return acting.acted;
    }
    let (creations, others): (Vec<&Action>, Vec<&Action>) = plan
        .actions
        .iter()
        .partition(|action| matches!(action, Action::CreatePod(_)));
    acting.carry_out(&others).await;
    let mut rest = creations.as_slice();
    let mut batch_size = 1;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_size.min(rest.len()));
        if !acting.carry_out(batch).await {
            break;
        }
        rest = later;
        batch_size = batch_size.saturating_mul(2);
    }
    acting.acted
}

/// One carrying out of a plan.
struct Acting<'a> {
    context: &'a Context,
    cloneset: &'a CloneSet,
    memory: &'a mut Memory,
    acted: Acted,
}

/// What one write left behind.
struct Written {
    mark: Option<Mark>,
    created: Option<(String, String)>,
    deleted: Option<(String, DeleteReason)>,
    taken_id: Option<String>,
}

impl Written {
    fn marked(mark: Mark) -> Self {
        Self {
            mark: Some(mark),
            created: None,
            deleted: None,
            taken_id: None,
        }
    }
}

impl Acting<'_> {
    /// Writes the revision; false when nothing that needs it may follow.
    async fn write_revision(&mut self, write: &RevisionWrite) -> bool {
        let (name, result) = match write {
            RevisionWrite::Create(new) => {
                (&new.name, create_revision(self.context, self.cloneset, new).await)
            }
            RevisionWrite::Renumber { name, uid, to } => {
                (name, renumber(self.context, self.cloneset, name, uid, *to).await)
            }
        };
        match result {
            Ok(Some(mark)) => {
                self.acted.done += 1;
                self.memory.marks.push(mark);
                true
            }
            Ok(None) => {
                self.acted.name_collision = true;
                false
            }
            Err(error) => {
                self.acted.failed.push((Attempt::Revision(name.clone()), error));
                false
            }
        }
    }

    /// Carries out actions side by side; false when one of them failed.
    async fn carry_out(&mut self, actions: &[&Action]) -> bool {
        let (context, cloneset) = (self.context, self.cloneset);
        let writes: Vec<BoxFuture<'_, (&Action, Result<Written, WriteError>)>> = actions
            .iter()
            .map(|&action| async move { (action, perform(context, cloneset, action).await) }.boxed())
            .collect();
        let mut results = futures::stream::iter(writes).buffer_unordered(SIDE_BY_SIDE);
        let mut all_done = true;
        while let Some((action, result)) = results.next().await {
            match result {
                Ok(Written {
                    mark,
                    created,
                    deleted,
                    taken_id,
                }) => {
                    self.acted.done += 1;
                    self.memory.marks.extend(mark);
                    self.acted.created.extend(created);
                    self.acted.deleted.extend(deleted);
                    if let Some(id) = taken_id {
                        // The next pass, at once, takes another id.
                        self.memory.reserve(&id);
                        self.acted
                            .failed
                            .push((attempt(action), WriteError::AlreadyExists));
                        all_done = false;
                    }
                }
                Err(error) => {
                    debug!(?action, %error, "a write did not succeed");
                    all_done = false;
                    self.acted.failed.push((attempt(action), error));
                }
            }
            if let Action::DeletePod(deletion) = action
                && let Some((_, id)) = deletion.name.rsplit_once('-')
            {
                self.memory.reserve(id);
            }
        }
        all_done
    }
}

fn attempt(action: &Action) -> Attempt {
    match action {
        Action::CreatePod(pod) => Attempt::Create(pod.name.clone()),
        Action::DeletePod(deletion) => Attempt::Delete(deletion.name.clone(), deletion.why),
        Action::PutInService(pod) => Attempt::PutInService(pod.name.clone()),
        Action::DeleteRevision { name, .. } => Attempt::Trim(name.clone()),
    }
}

async fn perform(context: &Context, cloneset: &CloneSet, action: &Action) -> Result<Written, WriteError> {
    match action {
        Action::CreatePod(pod) => create_pod(context, cloneset, pod).await,
        Action::DeletePod(deletion) => delete_pod(context, cloneset, deletion).await,
        Action::PutInService(pod) => put_in_service(context, cloneset, pod).await,
        Action::DeleteRevision { name, uid } => {
            let path = Revision::url_path(&(), namespace(cloneset));
            let target = Target {
                path: &path,
                resource: "controllerrevisions",
            };
            send::delete(context, target, name, preconditions(uid, None)).await?;
            Ok(Written::marked(Mark::new(
                Kind::Revision,
                name,
                uid,
                Expect::Leaving,
            )))
        }
    }
}

fn namespace(cloneset: &CloneSet) -> Option<&str> {
    cloneset.metadata.namespace.as_deref()
}

fn uid(cloneset: &CloneSet) -> &str {
    cloneset.metadata.uid.as_deref().unwrap_or_default()
}

fn preconditions(uid: &str, resource_version: Option<&str>) -> Preconditions {
    Preconditions {
        uid: Some(uid.to_owned()),
        resource_version: resource_version.map(str::to_owned),
    }
}

async fn create_pod(context: &Context, cloneset: &CloneSet, pod: &NewPod) -> Result<Written, WriteError> {
    let path = Pod::url_path(&(), namespace(cloneset));
    let target = Target {
        path: &path,
        resource: "pods",
    };
    let manifest = pod.manifest(cloneset, context.now());
    match send::create::<Pod>(context, target, &manifest).await {
        Ok(stored) => {
            let expect = Expect::Version(version_of(&stored));
            let mark = Mark::new(Kind::Pod, &pod.name, stored.uid(), expect);
            let created = Some((pod.name.clone(), pod.revision.name.clone()));
            Ok(Written {
                created,
                ..Written::marked(mark)
            })
        }
        Err(WriteError::AlreadyExists) => found_pod(context, cloneset, pod).await,
        Err(error) => Err(error),
    }
}

/// A pod of that name exists: our own from a write whose answer was lost, or somebody else's. Only looking tells.
async fn found_pod(context: &Context, cloneset: &CloneSet, pod: &NewPod) -> Result<Written, WriteError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace(cloneset).unwrap_or_default());
    let found = match tokio::time::timeout(READ_TIMEOUT, api.get_opt(&pod.name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(WriteError::Unclear(error.to_string())),
        Err(_) => return Err(WriteError::Unclear("no answer in time".to_owned())),
    };
    match found {
        Some(found) if found.controlling_cloneset() == Some(uid(cloneset)) && found.is_active() => {
            let expect = Expect::Version(version_of(&found));
            Ok(Written::marked(Mark::new(
                Kind::Pod,
                &pod.name,
                found.uid(),
                expect,
            )))
        }
        Some(_) => Ok(Written {
            mark: None,
            created: None,
            deleted: None,
            taken_id: Some(pod.id.clone()),
        }),
        None => Err(WriteError::Raced("the pod in the way has gone".to_owned())),
    }
}

async fn delete_pod(
    context: &Context,
    cloneset: &CloneSet,
    deletion: &PodDeletion,
) -> Result<Written, WriteError> {
    let path = Pod::url_path(&(), namespace(cloneset));
    let target = Target {
        path: &path,
        resource: "pods",
    };
    let only_this = preconditions(&deletion.uid, deletion.resource_version.as_deref());
    send::delete(context, target, &deletion.name, only_this).await?;
    let mark = Mark::new(Kind::Pod, &deletion.name, &deletion.uid, Expect::Leaving);
    Ok(Written {
        deleted: Some((deletion.name.clone(), deletion.why)),
        ..Written::marked(mark)
    })
}

/// Gate, labels and annotations in one request: a patch of `pods/status` may carry all of them.
async fn put_in_service(
    context: &Context,
    cloneset: &CloneSet,
    pod: &InService,
) -> Result<Written, WriteError> {
    let path = Pod::url_path(&(), namespace(cloneset));
    let target = Target {
        path: &path,
        resource: "pods/status",
    };
    let patch = Patch::Strategic(in_service_patch(pod));
    let stored: Pod = send::patch(context, target, &pod.name, Some("status"), &patch).await?;
    let expect = Expect::Version(version_of(&stored));
    Ok(Written::marked(Mark::new(Kind::Pod, &pod.name, &pod.uid, expect)))
}

fn in_service_patch(pod: &InService) -> Value {
    let mut metadata = Map::from_iter([("uid".to_owned(), json!(pod.uid))]);
    if !pod.labels.is_empty() {
        metadata.insert("labels".to_owned(), json!(pod.labels));
    }
    if !pod.annotations.is_empty() {
        metadata.insert("annotations".to_owned(), json!(pod.annotations));
    }
    if !pod.gate {
        return json!({"metadata": metadata});
    }
    let at = jiff::Timestamp::from_second(pod.at.as_second())
        .unwrap_or(pod.at)
        .to_string();
    json!({
        "metadata": metadata,
        "status": {"conditions": [{
            "type": pod_conditions::IN_PLACE_UPDATE_READY,
            "status": "True",
            "lastTransitionTime": at,
        }]},
    })
}

/// Creates a revision; `None` when its name is taken by other content.
async fn create_revision(
    context: &Context,
    cloneset: &CloneSet,
    new: &NewRevision,
) -> Result<Option<Mark>, WriteError> {
    let path = Revision::url_path(&(), namespace(cloneset));
    let target = Target {
        path: &path,
        resource: "controllerrevisions",
    };
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
    match send::create::<Revision>(context, target, &manifest).await {
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
    let api: Api<Revision> = Api::namespaced(context.client.clone(), namespace(cloneset).unwrap_or_default());
    let found = match tokio::time::timeout(READ_TIMEOUT, api.get_opt(&new.name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(WriteError::Unclear(error.to_string())),
        Err(_) => return Err(WriteError::Unclear("no answer in time".to_owned())),
    };
    let Some(found) = found else {
        return Err(WriteError::Raced("the revision in the way has gone".to_owned()));
    };
    let wanted = new.data.pointer("/spec/template").map(canonical_text);
    let is_same = found.template().map(canonical_text) == wanted;
    let is_ours = found.controlling_cloneset() == Some(uid(cloneset));
    Ok((is_same && is_ours).then(|| revision_mark(&found)))
}

async fn renumber(
    context: &Context,
    cloneset: &CloneSet,
    name: &str,
    revision_uid: &str,
    to: i64,
) -> Result<Option<Mark>, WriteError> {
    let path = Revision::url_path(&(), namespace(cloneset));
    let target = Target {
        path: &path,
        resource: "controllerrevisions",
    };
    let patch = Patch::Merge(json!({"metadata": {"uid": revision_uid}, "revision": to}));
    let stored: Revision = send::patch(context, target, name, None, &patch).await?;
    Ok(Some(revision_mark(&stored)))
}
