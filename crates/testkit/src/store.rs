//! The objects of the world and the API server's rules for changing them: names are unique, every write makes a
//! new resourceVersion, preconditions are honoured, deletion of a pod is graceful.
//!
//! It knows nothing of CloneSets' behaviour, and time is an argument.

use crate::census::image_of;
use cloneset_api::CloneSet;
use cloneset_plan::NewRevision;
use cloneset_status::{Pod, Revision};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

mod claims;

pub(crate) use claims::Claims;

/// Why a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// An object of that name exists.
    AlreadyExists,
    /// The object is gone, is another one, or has changed.
    Raced,
    /// The quota is used up.
    Quota,
    /// A policy denies it.
    Denied,
}

/// What is stored.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) cloneset: Arc<CloneSet>,
    pods: BTreeMap<String, Arc<Pod>>,
    revisions: BTreeMap<String, Arc<Revision>>,
    /// Image of each pod's first container, by UID: the world's templates differ in it, so it tells versions
    /// apart without asking the code under test.
    images: BTreeMap<String, String>,
    /// Pods of other owners: their names are taken.
    strangers: BTreeSet<String>,
    /// Pods that may exist at a time.
    pub(crate) quota: Option<usize>,
    pub(crate) claims: Claims,
    /// Does a policy take the readiness gates off new pods?
    pub(crate) strips_gates: bool,
    last_version: u64,
    /// The last version that was more than a status.
    last_matter: u64,
    last_uid: u64,
}

impl Store {
    pub(crate) fn new(cloneset: CloneSet) -> Self {
        Self {
            cloneset: Arc::new(cloneset),
            pods: BTreeMap::new(),
            revisions: BTreeMap::new(),
            images: BTreeMap::new(),
            strangers: BTreeSet::new(),
            quota: None,
            claims: Claims::default(),
            strips_gates: false,
            last_version: 100,
            last_matter: 100,
            last_uid: 0,
        }
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    pub(crate) fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.get(name).map(AsRef::as_ref)
    }

    pub(crate) fn pod_by_uid(&self, uid: &str) -> Option<&Pod> {
        self.pods.values().map(AsRef::as_ref).find(|pod| pod.uid() == uid)
    }

    pub(crate) fn revisions(&self) -> impl Iterator<Item = &Arc<Revision>> {
        self.revisions.values()
    }

    pub(crate) fn revision(&self, name: &str) -> Option<&Revision> {
        self.revisions.get(name).map(AsRef::as_ref)
    }

    /// Image of a pod's first container.
    pub(crate) fn image(&self, pod: &Pod) -> &str {
        self.images.get(pod.uid()).map_or("", String::as_str)
    }

    /// The pod is to have this image from now on.
    pub(crate) fn set_image(&mut self, uid: &str, image: &str) {
        self.images.insert(uid.to_owned(), image.to_owned());
    }

    /// Grows with every change that is more than a status.
    pub(crate) fn version(&self) -> u64 {
        self.last_matter
    }

    fn next_version(&mut self) -> String {
        self.last_version += 1;
        self.last_matter = self.last_version;
        self.last_version.to_string()
    }

    /// Takes the name away from our pods.
    pub(crate) fn add_stranger(&mut self, name: &str) {
        self.strangers.insert(name.to_owned());
    }

    /// POST of a pod; gives its UID.
    pub(crate) fn create_pod(&mut self, manifest: &Value, now: Timestamp) -> Result<String, Refusal> {
        let mut pod: Pod = serde_json::from_value(manifest.clone()).map_err(|_| Refusal::Raced)?;
        let name = pod.name().to_owned();
        if self.pods.contains_key(&name) || self.strangers.contains(&name) {
            return Err(Refusal::AlreadyExists);
        }
        if self.quota.is_some_and(|quota| self.pods.len() >= quota) {
            return Err(Refusal::Quota);
        }
        self.last_uid += 1;
        let uid = format!("pod-{}", self.last_uid);
        pod.metadata.uid = Some(uid.clone());
        pod.metadata.creation_timestamp = Some(Time(whole_seconds(now)));
        pod.metadata.resource_version = Some(self.next_version());
        pod.metadata.generation = Some(1);
        if self.strips_gates {
            pod.spec.readiness_gates.clear();
        }
        pod.status.phase.get_or_insert_with(|| "Pending".to_owned());
        self.images.insert(uid.clone(), image_of(manifest).to_owned());
        self.pods.insert(name, Arc::new(pod));
        self.mount(&uid, manifest);
        Ok(uid)
    }

    /// DELETE of a pod: it stays, terminating, until the kubelet lets it go.
    pub(crate) fn delete_pod(
        &mut self,
        name: &str,
        uid: &str,
        resource_version: Option<&str>,
        gone_at: Timestamp,
    ) -> Result<(), Refusal> {
        let pod = self
            .pods
            .get(name)
            .filter(|pod| pod.uid() == uid)
            .ok_or(Refusal::Raced)?;
        if resource_version.is_some() && resource_version != pod.metadata.resource_version.as_deref() {
            return Err(Refusal::Raced);
        }
        self.change_pod(uid, |pod| {
            pod.metadata
                .deletion_timestamp
                .get_or_insert(Time(whole_seconds(gone_at)));
        });
        Ok(())
    }

    /// PATCH that takes our owner reference off a pod: from then on it is a stranger's.
    pub(crate) fn release_pod(
        &mut self,
        name: &str,
        uid: &str,
        resource_version: &str,
    ) -> Result<(), Refusal> {
        let is_it = |pod: &Pod| {
            pod.uid() == uid && pod.metadata.resource_version.as_deref() == Some(resource_version)
        };
        if !self.pod(name).is_some_and(is_it) {
            return Err(Refusal::Raced);
        }
        self.take_out(uid);
        self.strangers.insert(name.to_owned());
        Ok(())
    }

    /// The object goes.
    pub(crate) fn remove_pod(&mut self, uid: &str) {
        self.take_out(uid);
        self.unmount(uid);
    }

    fn take_out(&mut self, uid: &str) {
        self.pods.retain(|_, pod| pod.uid() != uid);
        self.images.remove(uid);
        self.next_version();
    }

    /// Any write to a pod; one that changes nothing makes no new version. False when there is no such pod.
    pub(crate) fn change_pod(&mut self, uid: &str, change: impl FnOnce(&mut Pod)) -> bool {
        let Some(stored) = self.pods.values_mut().find(|pod| pod.uid() == uid) else {
            return false;
        };
        let pod = Arc::make_mut(stored);
        let before = pod.clone();
        change(pod);
        if *pod != before {
            self.last_version += 1;
            self.last_matter = self.last_version;
            pod.metadata.resource_version = Some(self.last_version.to_string());
        }
        true
    }

    /// POST of a revision controlled by the CloneSet.
    pub(crate) fn create_revision(&mut self, new: &NewRevision, now: Timestamp) -> Result<(), Refusal> {
        if self.revisions.contains_key(&new.name) || self.strangers.contains(&new.name) {
            return Err(Refusal::AlreadyExists);
        }
        self.last_uid += 1;
        let version = self.next_version();
        let object = json!({
            "metadata": {
                "name": new.name, "uid": format!("revision-{}", self.last_uid), "resourceVersion": version,
                "labels": new.labels, "annotations": new.annotations,
                "creationTimestamp": whole_seconds(now).to_string(),
                "ownerReferences": [cloneset_plan::owner_reference(&self.cloneset)],
            },
            "data": new.data,
            "revision": new.number,
        });
        let revision = serde_json::from_value(object).map_err(|_| Refusal::Raced)?;
        self.revisions.insert(new.name.clone(), Arc::new(revision));
        Ok(())
    }

    /// A write to a revision.
    pub(crate) fn change_revision(
        &mut self,
        name: &str,
        uid: &str,
        change: impl FnOnce(&mut Revision),
    ) -> Result<(), Refusal> {
        let version = self.next_version();
        let stored = self.revisions.get_mut(name).filter(|stored| stored.uid() == uid);
        let revision = Arc::make_mut(stored.ok_or(Refusal::Raced)?);
        change(revision);
        revision.metadata.resource_version = Some(version);
        Ok(())
    }

    /// DELETE of a revision.
    pub(crate) fn delete_revision(&mut self, name: &str, uid: &str) -> Result<(), Refusal> {
        let matches = self.revisions.get(name).is_some_and(|stored| stored.uid() == uid);
        if matches {
            self.revisions.remove(name);
        }
        matches.then_some(()).ok_or(Refusal::Raced)
    }

    /// A write to the CloneSet; a changed spec makes a new generation.
    pub(crate) fn change_cloneset(&mut self, change: impl FnOnce(&mut CloneSet)) {
        let mut cloneset = self.cloneset.as_ref().clone();
        change(&mut cloneset);
        if cloneset == *self.cloneset {
            return;
        }
        if cloneset.spec != self.cloneset.spec {
            let generation = cloneset.metadata.generation.get_or_insert(0);
            *generation += 1;
        }
        let matter = self.last_matter;
        let version = self.next_version();
        if cloneset.spec == self.cloneset.spec && cloneset.metadata == self.cloneset.metadata {
            self.last_matter = matter;
        }
        cloneset.metadata.resource_version = Some(version);
        self.cloneset = Arc::new(cloneset);
    }
}

/// The API stores times in whole seconds.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
