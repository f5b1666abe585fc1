//! The API server's rules for claims: one that a pod uses stays, terminating, until the pod is gone, and one that a pod
//! controls goes with it.

use super::{Refusal, Store, whole_seconds};
use cloneset_status::{Claim, Pod};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The claims of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    by_name: BTreeMap<String, Arc<Claim>>,
    /// Names of the claims that a pod mounts, by the pod's UID. Pods that were released still do.
    mounts: BTreeMap<String, BTreeSet<String>>,
    /// Claims that may exist at a time.
    pub(crate) quota: Option<usize>,
}

impl Store {
    /// Every claim, also of strangers.
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Arc<Claim>> {
        self.claims.by_name.values()
    }

    pub(crate) fn claim(&self, name: &str) -> Option<&Claim> {
        self.claims.by_name.get(name).map(AsRef::as_ref)
    }

    /// Names of the claims that a pod mounts.
    pub(crate) fn mounts(&self, pod: &Pod) -> BTreeSet<String> {
        self.claims.mounts.get(pod.uid()).cloned().unwrap_or_default()
    }

    /// Does a pod mount the PVC of this name? A released pod counts as well.
    pub(crate) fn is_mounted(&self, name: &str) -> bool {
        self.claims.mounts.values().any(|names| names.contains(name))
    }

    /// A pod was created.
    pub(super) fn mount(&mut self, uid: &str, manifest: &Value) {
        let volumes = manifest.pointer("/spec/volumes").and_then(Value::as_array);
        let claim = |volume: &Value| {
            let name = volume.pointer("/persistentVolumeClaim/claimName")?;
            name.as_str().map(str::to_owned)
        };
        let names: BTreeSet<String> = volumes.into_iter().flatten().filter_map(claim).collect();
        self.claims.mounts.insert(uid.to_owned(), names);
    }

    /// A pod has gone.
    pub(super) fn unmount(&mut self, uid: &str) {
        let mounts = &mut self.claims.mounts;
        let used = mounts.remove(uid).unwrap_or_default();
        let free = |name: &str| !mounts.values().any(|names| names.contains(name));
        let goes = |claim: &Claim| {
            let owners = claim.metadata.owner_references.iter().flatten();
            let is_the_pods = owners.into_iter().any(|owner| owner.uid == uid);
            (is_the_pods || (claim.is_terminating() && used.contains(claim.name()))) && free(claim.name())
        };
        self.claims.by_name.retain(|_, claim| !goes(claim));
    }

    /// POST of a claim.
    pub(crate) fn create_claim(&mut self, manifest: &Value, now: Timestamp) -> Result<(), Refusal> {
        let mut claim: Claim = serde_json::from_value(manifest.clone()).map_err(|_| Refusal::Raced)?;
        let name = claim.name().to_owned();
        if self.claims.by_name.contains_key(&name) {
            return Err(Refusal::AlreadyExists);
        }
        if self
            .claims
            .quota
            .is_some_and(|quota| self.claims.by_name.len() >= quota)
        {
            return Err(Refusal::Quota);
        }
        self.last_uid += 1;
        claim.metadata.uid = Some(format!("claim-{}", self.last_uid));
        claim.metadata.creation_timestamp = Some(Time(whole_seconds(now)));
        claim.metadata.resource_version = Some(self.next_version());
        self.claims.by_name.insert(name, Arc::new(claim));
        Ok(())
    }

    /// DELETE of a claim.
    pub(crate) fn delete_claim(&mut self, name: &str, now: Timestamp) {
        let is_used = self.claims.mounts.values().any(|names| names.contains(name));
        let version = self.next_version();
        if !is_used {
            self.claims.by_name.remove(name);
        } else if let Some(claim) = self.claims.by_name.get_mut(name) {
            let claim = Arc::make_mut(claim);
            claim.metadata.deletion_timestamp = Some(Time(whole_seconds(now)));
            claim.metadata.resource_version = Some(version);
        }
    }

    /// PATCH that makes a pod the owner of a claim. One that is gone already takes the claim along.
    pub(crate) fn give_claim(&mut self, name: &str, pod_name: &str, pod_uid: &str) {
        let version = self.next_version();
        if let Some(claim) = self.claims.by_name.get_mut(name) {
            let claim = Arc::make_mut(claim);
            claim.metadata.owner_references = Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod_name.to_owned(),
                uid: pod_uid.to_owned(),
                controller: Some(true),
                ..OwnerReference::default()
            }]);
            claim.metadata.resource_version = Some(version);
        }
        if !self.claims.mounts.contains_key(pod_uid) {
            self.unmount(pod_uid);
        }
    }

    /// The claim that a write is about, if the preconditions hold.
    pub(crate) fn claim_at(&self, name: &str, uid: &str, resource_version: &str) -> Result<&Claim, Refusal> {
        let is_it = |claim: &&Claim| {
            claim.uid() == uid && claim.metadata.resource_version.as_deref() == Some(resource_version)
        };
        self.claim(name).filter(is_it).ok_or(Refusal::Raced)
    }
}
