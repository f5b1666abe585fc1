//! Carrying out what a plan says of claims, held against S6: a claim goes only when no pod that may run mounts it, and
//! none of somebody else is touched.

use crate::act::Written;
use crate::census::{image_of, is_live, template_image};
use crate::oracle::{Oracle, rule};
use crate::store::Refusal;
use crate::words::Deed;
use crate::world::World;
use cloneset_plan::{ClaimDeletion, ClaimHandOver, NewClaim, NewPod};
use cloneset_status::{Claim, Pod};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the controller keeps in memory about claims.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClaimMemory {
    /// Claims that have to follow the pod that was deleted, by UID, with the pod's.
    doomed: BTreeMap<String, String>,
    /// Claims that were made, by UID.
    made: BTreeSet<String>,
    /// Pods deleted in the pass that is under way.
    dismissed: BTreeSet<String>,
}

impl World {
    pub(crate) fn create_claim(&mut self, new: &NewClaim) -> Result<Deed, Refusal> {
        let manifest = new.manifest(&self.store.cloneset);
        let template = new.template.name.clone();
        let made = self.store.create_claim(&manifest, self.now);
        if made == Err(Refusal::AlreadyExists) {
            let ours = self.store.cloneset.metadata.uid.as_deref();
            let found = self.store.claim(&new.name);
            if found.is_some_and(|claim| claim.controlling_cloneset() == ours && !claim.is_terminating()) {
                return Ok(Deed::CreateClaim(template));
            }
            self.reserved_ids.insert(new.id.clone());
        }
        let uid = self.store.claim(&new.name).map(|claim| claim.uid().to_owned());
        self.claim_memory.made.extend(uid.filter(|_| made.is_ok()));
        made.map(|()| Deed::CreateClaim(template))
    }

    /// Claims that were made and whose pods were not.
    pub(crate) fn fresh_claims(&self) -> BTreeSet<String> {
        let has_pod = |claim: &Claim| self.store.pods().any(|pod| claim.name().ends_with(pod.name()));
        let claims = self.owned_claims();
        let fresh = claims
            .iter()
            .filter(|claim| self.claim_memory.made.contains(claim.uid()) && !has_pod(claim));
        fresh.map(|claim| claim.uid().to_owned()).collect()
    }

    /// The claims that the controller sees.
    pub(crate) fn owned_claims(&self) -> Vec<Arc<Claim>> {
        let ours = self.store.cloneset.metadata.uid.as_deref();
        let claims = self
            .store
            .claims()
            .filter(|claim| claim.controlling_cloneset() == ours);
        claims.cloned().collect()
    }

    /// Does the controller die before its next write? Then another one begins that knows nothing.
    pub(crate) fn dies_here(&mut self) -> bool {
        let Some(left) = self.dies_after else { return false };
        self.dies_after = left.checked_sub(1);
        if left == 0 {
            self.tell("the controller dies, another one begins".to_owned());
            self.forget();
        }
        left == 0
    }

    /// Our pod was deleted by us: its claims have to follow.
    pub(crate) fn dismiss(&mut self, pod: &Pod) {
        let claims = self.store.mounts(pod);
        let uids = claims.iter().filter_map(|name| self.store.claim(name));
        let doomed: Vec<String> = uids.map(|claim| claim.uid().to_owned()).collect();
        for uid in doomed {
            self.claim_memory.doomed.insert(uid, pod.uid().to_owned());
        }
        self.claim_memory.dismissed.insert(pod.uid().to_owned());
        // Its own are also those of its id that it does not mount, as their template went before it was made.
        let of_its_id = self
            .store
            .claims()
            .filter(|claim| claim.name().ends_with(pod.name()));
        let of_its_id: Vec<String> = of_its_id.map(|claim| claim.name().to_owned()).collect();
        self.dismissed_claims.extend(claims.into_iter().chain(of_its_id));
    }

    pub(crate) fn begin_pass(&mut self) {
        self.claim_memory.dismissed.clear();
        self.claim_memory.made = self.fresh_claims();
    }

    /// What is known of claims that have to go.
    pub(crate) fn doomed_claims(&self) -> BTreeSet<String> {
        self.claim_memory.doomed.keys().cloned().collect()
    }

    pub(crate) fn delete_claim(&mut self, deletion: &ClaimDeletion) -> Written {
        if deletion
            .with_pod
            .as_ref()
            .is_some_and(|pod| !self.claim_memory.dismissed.contains(pod))
        {
            return Ok(Err(Refusal::Raced));
        }
        let found = self
            .store
            .claim_at(&deletion.name, &deletion.uid, &deletion.resource_version);
        let claim = match found {
            Ok(claim) => claim.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.judge(|oracle| oracle.claim_goes(&claim))?;
        let reuses = self.store.cloneset.spec.scale_strategy.as_ref();
        if reuses.is_none_or(|scale| scale.disable_pvc_reuse != Some(true)) {
            let dismissed = self.dismissed_claims.contains(claim.name());
            rule(dismissed, || {
                format!(
                    "{} is deleted although its pod was not deleted by us",
                    claim.name()
                )
            })
            .map_err(|broken| self.failure(broken))?;
        }
        self.store.delete_claim(&deletion.name, self.now);
        Ok(Ok(Deed::DeleteClaim(template_of(&claim))))
    }

    pub(crate) fn hand_over_claim(&mut self, handing: &ClaimHandOver) -> Written {
        let found = self
            .store
            .claim_at(&handing.name, &handing.uid, &handing.resource_version);
        let claim = match found {
            Ok(claim) => claim.clone(),
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.judge(|oracle| oracle.claim_is_ours(&claim))?;
        self.store
            .give_claim(&handing.name, &handing.pod_name, &handing.pod_uid);
        Ok(Ok(Deed::HandOverClaim(template_of(&claim))))
    }

    /// The controller dies, and another one begins: what was only in memory is lost.
    pub(crate) fn forget(&mut self) {
        self.claim_memory = ClaimMemory::default();
        self.reserved_ids.clear();
        self.creation_hold = None;
        self.denials.forget();
    }
}

/// `data` of `data-sample-bcdfg`.
fn template_of(claim: &Claim) -> String {
    let mut parts = claim.name().rsplitn(3, '-');
    parts.nth(2).unwrap_or_default().to_owned()
}

impl Oracle<'_> {
    /// S6: a pod is made when all its PVCs are there, and they are its own. Which ones its revision says.
    pub(crate) fn claims_are_there(&self, new: &NewPod, manifest: &Value) -> Result<(), String> {
        for template in self.claim_templates(&new.revision.name) {
            let name = template.pointer("/metadata/name").and_then(Value::as_str);
            let name = name.unwrap_or_default();
            let wanted = format!("{name}-{}", new.name);
            let volumes = manifest.pointer("/spec/volumes").and_then(Value::as_array);
            let mounted = volumes.into_iter().flatten().any(|volume| {
                volume.get("name").and_then(Value::as_str) == Some(name)
                    && volume
                        .pointer("/persistentVolumeClaim/claimName")
                        .and_then(Value::as_str)
                        == Some(&wanted)
            });
            rule(mounted, || format!("S9: {} does not mount {wanted}", new.name))?;
            let claim = self.store.claim(&wanted);
            rule(claim.is_some_and(|claim| !claim.is_terminating()), || {
                format!("S6: {} is made without its claim {wanted}", new.name)
            })?;
            claim.map_or(Ok(()), |claim| self.claim_is_ours(claim))?;
        }
        Ok(())
    }

    /// S6: nothing that may run needs the claim.
    pub(crate) fn claim_goes(&self, claim: &Claim) -> Result<(), String> {
        self.claim_is_ours(claim)?;
        let uses = |pod: &&Arc<Pod>| is_live(pod) && self.store.mounts(pod).contains(claim.name());
        rule(!self.store.pods().any(|pod| uses(&pod)), || {
            format!("S6: {} is deleted while a pod runs on it", claim.name())
        })
    }

    /// The volumeClaimTemplates of a revision: the template's has those of the spec, another one what it records.
    fn claim_templates(&self, revision: &str) -> Vec<Value> {
        let today = || self.store.cloneset.spec.volume_claim_templates.clone();
        let stored = self.store.revision(revision);
        let is_template = stored
            .and_then(cloneset_status::Revision::template)
            .is_none_or(|template| image_of(&template) == template_image(self.store));
        let annotations = stored.and_then(|stored| stored.metadata.annotations.as_ref());
        let annotation =
            |name: &str| annotations.and_then(|all| all.get(&format!("kruise.io/cloneset-{name}")));
        let recorded = annotation("volumeclaimtemplates").and_then(|text| serde_json::from_str(text).ok());
        let none = || annotation("volumeclaimtemplate-hash").filter(|hash| hash.is_empty());
        let recorded = recorded.or_else(|| none().map(|_| Vec::new()));
        let own = recorded.filter(|_| !is_template).or_else(today);
        own.unwrap_or_default()
    }

    /// Volumes of PVCs come from the volumeClaimTemplates, not from the template.
    pub(crate) fn without_claims(&self, revision: &str, spec: &mut Value) {
        let claims = self.claim_templates(revision);
        let names: Vec<&Value> = claims
            .iter()
            .filter_map(|claim| claim.pointer("/metadata/name"))
            .collect();
        if let Some(volumes) = spec.pointer_mut("/volumes").and_then(Value::as_array_mut) {
            volumes.retain(|volume| !volume.get("name").is_some_and(|name| names.contains(&name)));
        }
    }

    pub(crate) fn claim_is_ours(&self, claim: &Claim) -> Result<(), String> {
        let ours = self.store.cloneset.metadata.uid.as_deref();
        rule(claim.controlling_cloneset() == ours, || {
            format!("S6: claim {} is not ours", claim.name())
        })
    }
}
