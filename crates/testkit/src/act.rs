//! Carrying out a plan: the controller's third step, on plain data, with the oracle looking at each write.

use crate::census::{Census, image_of};
use crate::client_view;
use crate::failure::Failure;
use crate::kubelet::{GRACE_SECONDS, later};
use crate::oracle::Oracle;
use crate::store::Refusal;
use crate::words::{Deed, version_of};
use crate::world::World;
use cloneset_plan::{Action, DeleteReason, NewPod, Plan, PodDeletion, Pruning, Release, RevisionWrite};
use cloneset_status::Pod;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What acting did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Acted {
    pub(crate) deeds: Vec<Deed>,
    /// A write lost a race or met another object: the next pass sees why.
    pub(crate) raced: bool,
    /// Why no pod could be created, if none could.
    pub(crate) refused: Option<String>,
    /// The name of a new revision is taken.
    pub(crate) name_collision: bool,
}

/// One write: done, refused, or against a promise.
pub(crate) type Written = Result<Result<Deed, Refusal>, Failure>;

impl World {
    /// Does what the plan says, the revision first. `seen` is what the plan was made on.
    pub(crate) fn act(&mut self, plan: &Plan, seen: Census) -> Result<Acted, Failure> {
        let mut acted = Acted::default();
        if let Some(write) = &plan.revision {
            match self.write_revision(write) {
                Ok(deed) => acted.deeds.push(deed),
                Err(Refusal::AlreadyExists) => acted.name_collision = true,
                Err(Refusal::Raced | Refusal::Quota | Refusal::Denied) => acted.raced = true,
            }
            if acted.name_collision || acted.raced {
                return Ok(acted);
            }
        }
        self.begin_pass();
        let mut lacking: BTreeSet<&str> = BTreeSet::new();
        for action in &plan.actions {
            let id = match action {
                Action::CreatePod(new) => Some(new.id.as_str()),
                Action::CreateClaim(new) => Some(new.id.as_str()),
                _ => None,
            };
            if id.is_some_and(|id| acted.refused.is_some() || lacking.contains(id)) {
                continue;
            }
            if self.backs_off_from(action) {
                continue;
            }
            if self.dies_here() {
                acted.raced = true;
                break;
            }
            let before: Vec<Arc<Pod>> = self.store.pods().cloned().collect();
            let written = if self.denies(action) {
                Err(Refusal::Denied)
            } else {
                self.carry_out(action)?
            };
            self.judge_as_client(&before)?;
            lacking.extend(id.filter(|_| written.is_err()));
            match written {
                Ok(deed) => acted.deeds.push(deed),
                Err(Refusal::Quota) => acted.refused = Some("exceeded quota".to_owned()),
                Err(Refusal::AlreadyExists | Refusal::Raced | Refusal::Denied) => acted.raced = true,
            }
        }
        let updated: Vec<&str> = acted.deeds.iter().filter_map(Deed::updated_version).collect();
        self.judge(|oracle| oracle.updated(&updated, seen))?;
        for deed in &acted.deeds {
            self.tell(format!("we {deed}"));
        }
        Ok(acted)
    }

    fn write_revision(&mut self, write: &RevisionWrite) -> Result<Deed, Refusal> {
        match write {
            RevisionWrite::Create(new) => {
                self.store.create_revision(new, self.now)?;
                let template = new.data.pointer("/spec/template");
                Ok(Deed::Record(version_of(template.map_or("", image_of))))
            }
            RevisionWrite::Update(update) => {
                self.store
                    .change_revision(&update.name, &update.uid, |revision| {
                        revision.revision = update.number.unwrap_or(revision.revision);
                        let annotations = revision.metadata.annotations.get_or_insert_default();
                        annotations.extend(update.annotations.clone());
                    })?;
                let version = self.version_of_revision(&update.name);
                Ok(match update.number {
                    Some(_) => Deed::Renumber(version),
                    None => Deed::Annotate(version),
                })
            }
        }
    }

    fn carry_out(&mut self, action: &Action) -> Written {
        match action {
            Action::CreateClaim(new) => Ok(self.create_claim(new)),
            Action::DeleteClaim(deletion) => self.delete_claim(deletion),
            Action::HandOverClaim(handing) => self.hand_over_claim(handing),
            Action::CreatePod(new) => self.create(new),
            Action::DeletePod(deletion) => self.delete(deletion),
            Action::PutInService(write) => self.put_in_service(write),
            Action::TakeOutOfService(write) => self.take_out_of_service(write),
            Action::ChangeInPlace(change) => self.change_in_place(change),
            Action::ReleasePod(pod) => Ok(self.release(pod)),
            Action::PruneNames(names) => self.prune(names),
            Action::DeleteRevision { name, uid } => {
                let version = self.version_of_revision(name);
                Ok(self
                    .store
                    .delete_revision(name, uid)
                    .map(|()| Deed::Forget(version)))
            }
        }
    }

    fn create(&mut self, new: &NewPod) -> Written {
        let manifest = new.manifest(&self.store.cloneset, self.now);
        let uid = match self.store.create_pod(&manifest, self.now) {
            Ok(uid) => uid,
            Err(refusal) => {
                if refusal == Refusal::AlreadyExists {
                    self.reserved_ids.insert(new.id.clone());
                }
                return Ok(Err(refusal));
            }
        };
        let image = image_of(&manifest).to_owned();
        self.judge(|oracle| oracle.created(new, &manifest))?;
        self.kubelet.adopt(&uid, &manifest, self.now);
        Ok(Ok(Deed::Create(version_of(&image))))
    }

    fn delete(&mut self, deletion: &PodDeletion) -> Written {
        let PodDeletion {
            name,
            uid,
            resource_version,
            why,
        } = deletion;
        let Some(pod) = self.store.pod(name).cloned() else {
            return Ok(Err(Refusal::Raced));
        };
        let deed = Deed::Delete(version_of(self.store.image(&pod)), *why);
        let gone_at = later(self.now, GRACE_SECONDS);
        if let Err(refusal) = self.store.delete_pod(name, uid, Some(resource_version), gone_at) {
            return Ok(Err(refusal));
        }
        self.kubelet.end(uid, gone_at);
        // What a finished pod leaves behind is for the next pod.
        if *why != DeleteReason::Finished {
            self.dismiss(&pod);
        }
        self.judge(|oracle| oracle.deleted(&pod, deletion))?;
        Ok(Ok(deed))
    }

    fn release(&mut self, pod: &Release) -> Result<Deed, Refusal> {
        let image = self
            .store
            .pod_by_uid(&pod.uid)
            .map(|stored| self.store.image(stored).to_owned());
        self.store
            .release_pod(&pod.name, &pod.uid, &pod.resource_version)?;
        Ok(Deed::Release(version_of(&image.unwrap_or_default())))
    }

    fn prune(&mut self, names: &Pruning) -> Written {
        let spec = &self.store.cloneset.spec;
        let stored = spec
            .scale_strategy
            .as_ref()
            .and_then(|scale| scale.pods_to_delete.as_ref());
        if stored != Some(&names.read) {
            return Ok(Err(Refusal::Raced));
        }
        self.judge(|oracle| oracle.pruned(names))?;
        let keep = Some(names.keep.clone()).filter(|keep| !keep.is_empty());
        self.store.change_cloneset(|cloneset| {
            if let Some(scale) = &mut cloneset.spec.scale_strategy {
                scale.pods_to_delete = keep;
            }
        });
        Ok(Ok(Deed::Prune(names.read.len() - names.keep.len())))
    }

    fn version_of_revision(&self, name: &str) -> String {
        let revision = self.store.revision(name);
        let template = revision.and_then(cloneset_status::Revision::template);
        version_of(template.as_ref().map_or("", image_of))
    }

    /// Fails with the story when the write that was just made breaks a promise to the clients of the Service.
    fn judge_as_client(&self, before: &[Arc<Pod>]) -> Result<(), Failure> {
        let after: Vec<Arc<Pod>> = self.store.pods().cloned().collect();
        client_view::judge(&self.store.cloneset, before, &after, self.decided_at)
            .map_err(|rule| self.failure(rule))
    }

    /// Fails with the story when the world has come to rest with pods that clients have nothing of.
    pub(crate) fn is_not_stuck(&self) -> Result<(), Failure> {
        let pods: Vec<Arc<Pod>> = self.store.pods().cloned().collect();
        let oracle = Oracle::new(self);
        let is_kept = |name: &str| {
            let pod = self.store.pod(name);
            self.denials.denies_deletion(name) || pod.is_some_and(|pod| oracle.is_held(pod, "preDelete"))
        };
        client_view::stuck(&self.store.cloneset, &pods, is_kept, self.decided_at)
            .map_err(|rule| self.failure(rule))
    }

    /// Fails with the story when a promise is broken.
    pub(crate) fn judge(
        &self,
        verdict: impl FnOnce(Oracle<'_>) -> Result<(), String>,
    ) -> Result<(), Failure> {
        verdict(Oracle::new(self)).map_err(|rule| self.failure(rule))
    }
}
