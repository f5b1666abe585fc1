//! The first step of a pass: put together what is known, and make sure that it includes our own writes.
//!
//! Reads caches only, except for single objects of ours that a cache has not shown within a deadline. It decides
//! nothing about pods.

use crate::cache::index::{Key, Kind, Known, Sink as _, View};
use crate::cache::pending::Mark;
use crate::live::{self, ReadError};
use crate::reconcile::backoffs::Work;
use crate::reconcile::memory::Memory;
use crate::run::Context;
use crate::telemetry::metrics::ResourceLabel;
use cloneset_api::CloneSet;
use cloneset_plan::{Creation, NodeLabels, Snapshot};
use cloneset_status::{Claim, Pod, Revision, Runaway};
use kube::api::{ListParams, PartialObjectMeta};
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::time::Instant;

/// What there is to decide on.
#[derive(Debug)]
pub enum Observed {
    /// The CloneSet is gone.
    Gone,
    /// It breaks the schema we serve.
    Unreadable(String),
    /// A cache does not show one of our own writes yet; look again at that time at the latest.
    Behind(Instant),
    /// Everything, including our own writes.
    Ready(Box<Snapshot>),
}

/// A live read that failed.
#[derive(Debug, thiserror::Error)]
#[error("reading {resource} {name} live")]
pub struct ObserveError {
    resource: &'static str,
    name: String,
    source: ReadError,
}

impl ObserveError {
    fn of(kind: Kind, name: &str) -> impl FnOnce(ReadError) -> Self {
        let (resource, name) = (kind.resource(), name.to_owned());
        move |source| Self {
            resource,
            name,
            source,
        }
    }
}

/// Puts the snapshot together.
pub async fn observe(context: &Context, key: &Key, memory: &mut Memory) -> Result<Observed, ObserveError> {
    let Some(view) = context.index.view(key) else {
        return Ok(Observed::Gone);
    };
    let cloneset = match view.known {
        Known::Unreadable { error, .. } => return Ok(Observed::Unreadable(error)),
        Known::Readable(cloneset) => cloneset,
    };
    let uid = cloneset.metadata.uid.clone().unwrap_or_default();
    let term = context.leadership.term();
    if !memory.is_of(&uid, term) {
        // Deleted and made again by the same name, or left to another leader meanwhile: nothing of before holds.
        *memory = Memory::of(uid, term);
        // Creation that was stopped is not begun again by another leader.
        let told = |status| Runaway::told(status, cloneset.metadata.generation.unwrap_or_default());
        memory.runaway = cloneset.status.as_ref().and_then(told);
    }
    memory.look_at(cloneset.metadata.generation.unwrap_or_default());
    if let Some(until) = catch_up(context, key, memory).await? {
        return Ok(Observed::Behind(until));
    }
    // Look again: catching up may have read objects live.
    let Some(View {
        known: Known::Readable(cloneset),
        mut pods,
        strays,
        revisions,
        claims,
    }) = context.index.view(key)
    else {
        return Ok(Observed::Gone);
    };
    for stray in strays {
        pods.extend(look_for(context, key, &memory.uid, &stray).await?);
    }
    let templates = cloneset.spec.volume_claim_templates.as_ref();
    memory.take_stock(&pods, templates.is_some_and(|templates| !templates.is_empty()));
    let nodes = nodes_of(context, &cloneset, &pods).await;
    memory.settle_claims(&claims, &pods);
    let reserved_ids = memory.reserved_ids();
    let held = memory.holds.held();
    let is_held = held
        .as_ref()
        .is_some_and(|held| held.covers(&Work::Create.into()));
    let kept = pods.iter().map(|pod| pod.name());
    let kept = kept.filter(|pod| held.as_ref().is_some_and(|held| held.keeps(pod)));
    let kept_pods = kept.map(str::to_owned).collect();
    Ok(Observed::Ready(Box::new(Snapshot {
        cloneset,
        pods,
        revisions,
        claims,
        doomed_claims: memory.doomed_claims.keys().cloned().collect(),
        fresh_claims: memory.fresh_claims.clone(),
        reserved_ids,
        kept_pods,
        creation: if is_held {
            Creation::BackingOff
        } else {
            Creation::Allowed
        },
        nodes,
    })))
}

/// The nodes its pods run on, if the template asks to keep them spread by labels of nodes.
async fn nodes_of(context: &Context, cloneset: &CloneSet, pods: &[Arc<Pod>]) -> Option<NodeLabels> {
    if cloneset.spec.template.topology_keys().is_empty() {
        return None;
    }
    let names = pods.iter().filter_map(|pod| pod.spec.node_name.as_deref());
    context.nodes.labels(names).await
}

/// Looks for a pod that left the watch without being seen deleted. It lives and is ours: it has lost its label, and
/// counts. Otherwise it is gone for us.
async fn look_for(
    context: &Context,
    key: &Key,
    owner: &str,
    stray: &Pod,
) -> Result<Option<Arc<Pod>>, ObserveError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &key.namespace);
    let found = live::get(&api, stray.name())
        .await
        .map_err(ObserveError::of(Kind::Pod, stray.name()))?;
    let ours = found.filter(|pod| pod.uid() == stray.uid() && pod.controlling_cloneset() == Some(owner));
    if ours.is_none() {
        context.index.forget_stray(stray.uid());
    }
    Ok(ours.map(Arc::new))
}

/// Drops the marks that are seen, reads live what is overdue, and gives the time of the next deadline if any
/// mark is left.
async fn catch_up(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
) -> Result<Option<Instant>, ObserveError> {
    memory.marks.retain(|mark| !mark.is_seen(&context.index));
    let now = Instant::now();
    let (overdue, waiting): (Vec<Mark>, Vec<Mark>) =
        memory.marks.drain(..).partition(|mark| mark.deadline <= now);
    memory.marks = waiting;
    let mut overdue = overdue.into_iter();
    while let Some(mark) = overdue.next() {
        if let Err(error) = read_marked(context, key, &mark).await {
            memory.marks.push(mark);
            memory.marks.extend(overdue);
            return Err(error);
        }
    }
    Ok(memory.marks.iter().map(|mark| mark.deadline).min())
}

/// Before the first creation of a leader's term, and before claims of no pod are deleted: lists the pods that the
/// selector matches, by their metadata only, so that pods of ours which no watch shows (they lost their label while
/// nobody looked) are counted before others are made in their place. True when there were some: then everything must be decided again.
pub async fn search(
    context: &Context,
    key: &Key,
    memory: &mut Memory,
    selector: &str,
) -> Result<bool, ObserveError> {
    let term = context.leadership.term();
    if memory.searched_in_term == term {
        return Ok(false);
    }
    let api: Api<PartialObjectMeta<Pod>> = Api::namespaced(context.client.clone(), &key.namespace);
    let params = ListParams::default().labels(selector);
    let found = live::within(api.list(&params))
        .await
        .map_err(ObserveError::of(Kind::Pod, selector))?;
    memory.searched_in_term = term;
    let mut strays = 0;
    for found in found.items {
        let pod = Pod {
            metadata: found.metadata,
            ..Pod::default()
        };
        if is_orphan(&pod) {
            memory.orphans.push(pod.name().to_owned());
        } else if pod.controlling_cloneset() == Some(memory.uid.as_str()) && context.index.add_stray(pod) {
            strays += 1;
        }
    }
    Ok(strays > 0)
}

/// Does no controller own the pod? One that is terminating will soon be nobody's concern.
fn is_orphan(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    !pod.is_terminating() && !owners.any(|owner| owner.controller == Some(true))
}

/// Reads what a mark of a CloneSet is about, because no watch has shown it in time.
async fn read_marked(context: &Context, cloneset: &Key, mark: &Mark) -> Result<(), ObserveError> {
    let label = ResourceLabel {
        resource: mark.kind.resource(),
    };
    context.metrics.live_reads.get_or_create(&label).inc();
    if mark.kind == Kind::Pod {
        context.metrics.leaks.count(cloneset);
    }
    let object = Key {
        namespace: cloneset.namespace.clone(),
        name: mark.name.clone(),
    };
    read_live(context, mark.kind, &object, &mark.uid).await
}

/// Reads an object of a kind live and takes into the index what that shows: as it is now, or gone.
pub async fn read_live(context: &Context, kind: Kind, object: &Key, uid: &str) -> Result<(), ObserveError> {
    let index = &context.index;
    match kind {
        Kind::Pod => match get::<Pod>(context, kind, object).await? {
            Some(pod) if pod.uid() == uid => _ = index.refresh(pod),
            _ => _ = index.drop_dependent(Kind::Pod, uid),
        },
        Kind::Revision => match get::<Revision>(context, kind, object).await? {
            Some(revision) if revision.uid() == uid => _ = index.refresh(revision),
            _ => _ = index.drop_dependent(Kind::Revision, uid),
        },
        Kind::Claim => match get::<Claim>(context, kind, object).await? {
            Some(claim) if claim.uid() == uid => _ = index.refresh(claim),
            _ => _ = index.drop_dependent(Kind::Claim, uid),
        },
        Kind::CloneSet => match get::<DeserializeGuard<CloneSet>>(context, kind, object).await? {
            Some(cloneset) => _ = index.refresh(cloneset),
            None => index.drop_cloneset(object, uid),
        },
    }
    Ok(())
}

async fn get<K>(context: &Context, kind: Kind, object: &Key) -> Result<Option<K>, ObserveError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), &object.namespace);
    live::get(&api, &object.name)
        .await
        .map_err(ObserveError::of(kind, &object.name))
}
