//! The first step of a reconcile: put the snapshot together from the cache, and make sure that it includes our own writes.
//!
//! It reads the cache only, except for single objects that the cache has not shown within a deadline. It decides nothing
//! about pods.

use crate::cache::decode::{Known, metadata};
use crate::cache::index::{Index, View};
use crate::cache::list::{self, Extent, list, url_of};
use crate::cache::nodes::Nodes;
use crate::cache::pending::PendingWrite;
use crate::cache::refresh::{LiveReadError, refresh};
use crate::key::{Key, Kind};
use crate::leader::leadership::Leadership;
use crate::reconcile::memory::Memory;
use crate::telemetry::metrics::cache::CacheMetrics;
use cloneset_api::CloneSet;
use cloneset_plan::{ActionKind, Creation, NodeLabels, Snapshot};
use cloneset_status::{Claim, Pod, Revision, Runaway};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use std::sync::Arc;
use tokio::time::Instant;

/// Live reads of one CloneSet side by side.
const READS: usize = 8;

/// What the cache shows of a CloneSet.
#[derive(Debug)]
pub enum Observation {
    /// The CloneSet is gone.
    Gone,
    /// Only its metadata can be read, and why.
    Unreadable(Box<ObjectMeta>, String),
    /// The cache does not show one of our own writes yet; reconcile again at that time at the latest.
    StaleCache(Instant),
    /// Everything, including our own writes.
    Ready(Box<Snapshot>),
}

/// Observes CloneSets.
pub struct Observer {
    /// For live reads.
    pub client: Client,
    /// What the watches have shown.
    pub index: Arc<Index>,
    /// Labels of nodes.
    pub nodes: Arc<Nodes>,
    /// Whose term it is.
    pub leadership: Arc<Leadership>,
    /// Counts live reads.
    pub metrics: CacheMetrics,
}

impl Observer {
    /// Puts the snapshot together.
    ///
    /// # Errors
    /// When an object cannot be read live.
    pub async fn observe(
        &self,
        key: &Key,
        memory: &mut Memory,
        deadline: Instant,
    ) -> Result<Observation, LiveReadError> {
        let Some(view) = self.index.view(key) else {
            return Ok(Observation::Gone);
        };
        let cloneset = match view.known {
            Known::Unreadable { metadata, error } => return Ok(Observation::Unreadable(metadata, error)),
            Known::Readable(cloneset) => cloneset,
        };
        self.recall(&cloneset, memory);
        if let Some(until) = self.await_pending(key, memory, deadline).await? {
            return Ok(Observation::StaleCache(until));
        }
        // Read the index again: live reads may have changed it.
        let Some(View {
            known: Known::Readable(cloneset),
            mut pods,
            unwatched,
            revisions,
            pvcs,
        }) = self.index.view(key)
        else {
            return Ok(Observation::Gone);
        };
        let owner = memory.uid.as_str();
        let found: Vec<Option<Arc<Pod>>> = futures::stream::iter(unwatched)
            .map(|pod| async move { self.look_for(key, owner, &pod).await })
            .buffer_unordered(READS)
            .try_collect()
            .await?;
        pods.extend(found.into_iter().flatten());
        let templates = cloneset.spec.volume_claim_templates.as_ref();
        memory.compare_pods(&pods, templates.is_some_and(|templates| !templates.is_empty()));
        let nodes = self.nodes_of(&cloneset, &pods).await;
        memory.compare_pvcs(&pvcs, &pods);
        Ok(Observation::Ready(Box::new(snapshot(
            cloneset, pods, revisions, pvcs, nodes, memory,
        ))))
    }

    /// Makes sure that the memory is about this CloneSet and this term.
    fn recall(&self, cloneset: &CloneSet, memory: &mut Memory) {
        let uid = cloneset.metadata.uid.clone().unwrap_or_default();
        let generation = cloneset.metadata.generation.unwrap_or_default();
        let term = self.leadership.term();
        if !memory.is_of(&uid, term) {
            // Deleted and created again with the same name, or reconciled by another leader meanwhile: start anew.
            *memory = Memory::of(uid, term);
            // A new leader must not resume creation that was stopped.
            let reported = |status| Runaway::told(status, generation);
            memory.runaway = cloneset.status.as_ref().and_then(reported);
        }
        memory.observe_generation(generation);
    }

    /// The nodes that the pods run on, if the template spreads them by labels of nodes.
    async fn nodes_of(&self, cloneset: &CloneSet, pods: &[Arc<Pod>]) -> Option<NodeLabels> {
        if cloneset.spec.template.topology_keys().is_empty() {
            return None;
        }
        let names = pods.iter().filter_map(|pod| pod.spec.node_name.as_deref());
        self.nodes.labels(names).await
    }

    /// Looks for a pod that left the watch without an event that shows it deleted. If it exists and the CloneSet controls
    /// it, it has lost its label and counts.
    async fn look_for(&self, key: &Key, owner: &str, pod: &Pod) -> Result<Option<Arc<Pod>>, LiveReadError> {
        let found: Option<Pod> = list::get(&self.client, &key.namespace, pod.name())
            .await
            .map_err(LiveReadError::of(Kind::Pod, pod.name()))?;
        let ours =
            found.filter(|found| found.uid() == pod.uid() && found.controlling_cloneset() == Some(owner));
        if ours.is_none() {
            self.index.forget_unwatched(pod.uid());
        }
        Ok(ours.map(Arc::new))
    }

    /// Drops the pending writes that the cache shows, reads live what is overdue, and returns the next deadline if a write
    /// is still pending.
    async fn await_pending(
        &self,
        key: &Key,
        memory: &mut Memory,
        deadline: Instant,
    ) -> Result<Option<Instant>, LiveReadError> {
        memory.pending.retain(|write| !write.is_observed(&self.index));
        let now = Instant::now();
        let (overdue, waiting): (Vec<PendingWrite>, Vec<PendingWrite>) =
            memory.pending.drain(..).partition(|write| write.deadline <= now);
        memory.pending = waiting;
        let mut read = futures::stream::iter(overdue)
            .map(|write| async move {
                if Instant::now() >= deadline {
                    return (write, Ok(false));
                }
                let read = self.read_pending(key, &write).await;
                (write, read.map(|()| true))
            })
            .buffer_unordered(READS);
        let mut failed = None;
        while let Some((write, read)) = read.next().await {
            match read {
                Ok(true) => {}
                Ok(false) => memory.pending.push(write),
                Err(error) => {
                    memory.pending.push(write);
                    failed = Some(error);
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(memory.pending.iter().map(|write| write.deadline).min())
    }

    /// Before the first creation of a term, and before PVCs without a pod are deleted: lists the pods that the selector
    /// matches, by their metadata only. Pods that the CloneSet controls and no watch shows, because they lost their label,
    /// are counted before others are created in their place. True when there were some: then plan again.
    pub async fn search(
        &self,
        key: &Key,
        memory: &mut Memory,
        selector: &str,
    ) -> Result<bool, LiveReadError> {
        let term = self.leadership.term();
        if memory.searched_in_term == term {
            return Ok(false);
        }
        let mut found = Vec::new();
        let url = url_of::<Pod>(&key.namespace);
        list(&self.client, &url, Some(selector), Extent::Metadata, |pod| {
            found.extend(metadata(pod));
        })
        .await
        .map_err(LiveReadError::of(Kind::Pod, selector))?;
        memory.searched_in_term = term;
        let mut unwatched = 0;
        for metadata in found {
            let pod = Pod {
                metadata,
                ..Pod::default()
            };
            if is_orphan(&pod) {
                memory.orphans.push(pod.name().to_owned());
            } else if pod.controlling_cloneset() == Some(memory.uid.as_str()) && self.index.add_unwatched(pod)
            {
                unwatched += 1;
            }
        }
        Ok(unwatched > 0)
    }

    /// Reads the object of a pending write, because no watch has shown it in time.
    async fn read_pending(&self, cloneset: &Key, write: &PendingWrite) -> Result<(), LiveReadError> {
        self.metrics.count_live_read(write.kind, cloneset);
        let object = Key {
            namespace: cloneset.namespace.clone(),
            name: write.name.clone(),
        };
        refresh(&self.client, &self.index, write.kind, &object, &write.uid).await
    }
}

/// What the cluster shows, and what the controller remembers of it.
fn snapshot(
    cloneset: Arc<CloneSet>,
    pods: Vec<Arc<Pod>>,
    revisions: Vec<Arc<Revision>>,
    pvcs: Vec<Arc<Claim>>,
    nodes: Option<NodeLabels>,
    memory: &mut Memory,
) -> Snapshot {
    let reserved_ids = memory.reserved_ids();
    let backing_off = memory.backoffs.backing_off();
    let may_create = backing_off
        .as_ref()
        .is_none_or(|backing_off| !backing_off.covers_kind(ActionKind::CreatePod));
    let is_kept = |pod: &&str| {
        backing_off
            .as_ref()
            .is_some_and(|backing_off| backing_off.keeps(pod))
    };
    let names = pods.iter().map(|pod| pod.name());
    let kept_pods = names.filter(is_kept).map(str::to_owned).collect();
    Snapshot {
        cloneset,
        pods,
        revisions,
        claims: pvcs,
        doomed_claims: memory.pvcs_to_delete.keys().cloned().collect(),
        fresh_claims: memory.pvcs_awaiting_pod.clone(),
        reserved_ids,
        kept_pods,
        creation: if may_create {
            Creation::Allowed
        } else {
            Creation::BackingOff
        },
        nodes,
    }
}

/// Does no controller own the pod? A terminating one is not reported.
fn is_orphan(pod: &Pod) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    !pod.is_terminating() && !owners.any(|owner| owner.controller == Some(true))
}
