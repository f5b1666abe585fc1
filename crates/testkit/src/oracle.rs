//! The promises every write is held against, by the numbers of `reliability.md` 3 (S1 to S11).
//!
//! Judged on the true store at the moment of the write, by [`Limits`] and [`Census`] and not by anything the
//! planner worked out. Only the clock is that of deciding: a pod that becomes available by the passing of time
//! alone while a write is under way is not held against the write. It changes nothing.

use crate::census::{Census, image_of, is_available, is_live, is_named, template_image};
use crate::limits::Limits;
use crate::store::Store;
use crate::words::version_of;
use cloneset_api::CloneSetStatus;
use cloneset_api::names::{annotations, labels, lifecycle, pod_conditions};
use cloneset_plan::normalise::canonical_text;
use cloneset_plan::{
    DeleteReason, InPlaceChange, InService, NewPod, OutOfService, OutReason, PodDeletion, Pruning,
};
use cloneset_status::Pod;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Judges writes to one store that were decided at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oracle<'a> {
    pub(crate) store: &'a Store,
    limits: Limits,
    /// Do pods in `PreparingDelete` hold no place, whatever the CloneSet says?
    excludes: bool,
    now: Timestamp,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(store: &'a Store, excludes: bool, now: Timestamp) -> Self {
        Self {
            excludes,
            store,
            limits: Limits::of(&store.cloneset.spec),
            now,
        }
    }

    fn census(&self) -> Census {
        Census::of(self.store, self.now)
    }

    /// A pod was created from this manifest; the store holds it.
    pub(crate) fn created(&self, new: &NewPod, manifest: &Value) -> Result<(), String> {
        let (limits, census) = (self.limits, self.census());
        let pods = census.counts.replicas - self.excluded();
        let most = limits.replicas + limits.surge;
        rule(pods <= most, || {
            format!("S1: a create makes {pods} pods, replicas + maxSurge is {most}")
        })?;
        let (moved, most) = (census.new_kept, limits.replicas - limits.partition);
        let is_move = image_of(manifest) == template_image(self.store) && !self.current_is_template();
        rule(!is_move || moved <= most, || {
            format!("S3: a create makes {moved} pods of the new version, replicas - partition is {most}")
        })?;
        let (awaited, most) = (census.awaited, limits.scale_unavailable);
        rule(awaited <= most, || {
            format!(
                "scale: a create makes {awaited} pods that are not available, scaleStrategy.maxUnavailable is {most}"
            )
        })?;
        self.ids_are_unique(&new.id)?;
        self.claims_are_there(new, manifest)?;
        self.is_its_template(new, manifest)
    }

    /// Pods in `PreparingDelete`, where a flag or a label of the CloneSet says that they hold no place.
    fn excluded(&self) -> i32 {
        let of_cloneset = self.store.cloneset.metadata.labels.as_ref();
        let asked = of_cloneset.and_then(|labels| labels.get(labels::EXCLUDE_PREPARING_DELETE));
        let leaving = self.store.pods().filter(|pod| {
            is_live(pod) && pod.label(labels::LIFECYCLE_STATE) == Some(lifecycle::PREPARING_DELETE)
        });
        if self.excludes || asked.is_some_and(|value| value == "true") {
            i32::try_from(leaving.count()).unwrap_or(i32::MAX)
        } else {
            0
        }
    }

    /// A pod is deleted; the store holds what is left, `pod` is as it was at that moment.
    pub(crate) fn deleted(&self, pod: &Pod, deletion: &PodDeletion) -> Result<(), String> {
        self.is_ours(pod)?;
        rule(!deletion.uid.is_empty(), || {
            format!("S5: the delete of {} has no UID", pod.name())
        })?;
        rule(is_live(pod), || {
            format!("S4: {} is deleted although it has ended", pod.name())
        })?;
        rule(!self.is_held(pod), || {
            format!("hook: {} is deleted although hook preDelete holds it", pod.name())
        })?;
        if pod.label(labels::LIFECYCLE_STATE) == Some(lifecycle::PREPARING_DELETE) {
            return Ok(());
        }
        self.availability_is_kept(pod, !deletion.resource_version.is_empty())?;
        match deletion.why {
            DeleteReason::Specified => self.was_named(pod),
            DeleteReason::ScaleIn | DeleteReason::Update => self.partition_is_kept(pod, deletion.why),
        }
    }

    /// S2. Every pod that we choose is bound to the state it was chosen in.
    fn availability_is_kept(&self, pod: &Pod, is_bound: bool) -> Result<(), String> {
        rule(is_bound, || {
            format!(
                "S2: {} may be another pod by the time the write arrives, which is not bound to its state",
                pod.name()
            )
        })?;
        if !is_available(pod, self.limits.min_ready_seconds, self.now) {
            return Ok(());
        }
        let (left, least) = (
            self.census().counts.available,
            self.limits.replicas - self.limits.unavailable,
        );
        rule(left >= least, || {
            format!(
                "S2: losing {} leaves {left} available, replicas - maxUnavailable is {least}",
                pod.name()
            )
        })
    }

    /// The other half of S3: neither side is taken below its share to serve the other one.
    fn partition_is_kept(&self, pod: &Pod, why: DeleteReason) -> Result<(), String> {
        let census = self.census();
        let is_new = self.store.image(pod) == template_image(self.store);
        let (kept, share) = if is_new {
            (census.new_kept, self.limits.replicas - self.limits.partition)
        } else {
            (census.old_kept, self.limits.partition)
        };
        // Surplus goes wherever it is once the other side has nothing to give.
        // While the update is paused it goes on the side of the update revision; after a rollback on the abandoned one. Above
        // replicas + maxSurge a pod that serves nothing goes, whatever its version.
        let surplus = why == DeleteReason::ScaleIn;
        let only_choice = surplus && is_new && (census.old_kept <= self.limits.partition || self.is_paused());
        let abandoned = surplus && !is_new && self.current_is_template();
        let most = self.limits.replicas + self.limits.surge;
        let beyond = census.new_kept + census.old_kept >= most;
        let broken = surplus && beyond && !is_available(pod, self.limits.min_ready_seconds, self.now);
        rule(kept >= share || only_choice || abandoned || broken, || {
            let side = if is_new { "new" } else { "old" };
            format!(
                "S3: deleting {} leaves {kept} {side} pods, the partition gives them {share}",
                pod.name()
            )
        })
    }

    fn is_paused(&self) -> bool {
        self.store.cloneset.spec.update_strategy.paused == Some(true)
    }

    /// In one pass these versions were deleted for an update; `seen` is the census it was decided on. Not more pods
    /// are tried at a time than may be missing, however many of the others are broken (`design.md` 6.1).
    pub(crate) fn updated(&self, versions: &[&str], seen: Census) -> Result<(), String> {
        let template = version_of(template_image(self.store));
        let forward = versions.iter().filter(|version| **version != template).count();
        let missing = self.limits.replicas - seen.counts.replicas;
        let most = self
            .limits
            .unavailable
            .max(self.limits.unavailable - missing)
            .max(1);
        for (moved, unproven) in [
            (forward, seen.new_unproven),
            (versions.len() - forward, seen.old_unproven),
        ] {
            let tried = unproven + i32::try_from(moved).unwrap_or(i32::MAX);
            rule(moved == 0 || tried <= most, || {
                format!("update: {tried} pods would be tried at a time, {most} may be")
            })?;
        }
        Ok(())
    }

    /// A pod is put in service; `pod` is as it was.
    pub(crate) fn put_in_service(&self, pod: &Pod, write: &InService) -> Result<(), String> {
        self.is_ours(pod)?;
        let state = write
            .metadata
            .labels
            .get(labels::LIFECYCLE_STATE)
            .cloned()
            .flatten();
        let to_normal = state.as_deref() == Some(lifecycle::NORMAL);
        let hooks = self.store.cloneset.spec.lifecycle.as_ref();
        let has_hook = hooks.is_some_and(|hooks| hooks.pre_normal.is_some());
        let was_in_service = pod.label(labels::LIFECYCLE_STATE) != Some(lifecycle::PREPARING_NORMAL);
        rule(!to_normal || pod.has_node() || has_hook || was_in_service, || {
            format!("{} is put in service without a node", pod.name())
        })?;
        let pending = pod.annotation(annotations::IN_PLACE_GRACE).is_some();
        rule(!(pending && write.gate), || {
            format!("{} serves again before it was changed", pod.name())
        })?;
        let updated = pod.label(labels::LIFECYCLE_STATE) == Some(lifecycle::UPDATING) && state.is_some();
        rule(!updated || self.runs_its_template(pod), || {
            format!("S9: {} is taken for updated and runs other images", pod.name())
        })
    }

    fn was_named(&self, pod: &Pod) -> Result<(), String> {
        rule(is_named(self.store, pod), || {
            format!("S2: {} is deleted as named, but nobody named it", pod.name())
        })
    }

    /// Names are taken off `podsToDelete`; the store still has them. What is left must be what is still to be done, and in
    /// its old order.
    pub(crate) fn pruned(&self, names: &Pruning) -> Result<(), String> {
        let pending = |name: &&String| {
            let pod = self.store.pod(name);
            pod.is_some_and(|pod| !matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed")))
        };
        // A pod that ended since the plan was made may stay on the list for another pass.
        let lost: Vec<&String> = names
            .read
            .iter()
            .filter(pending)
            .filter(|name| !names.keep.contains(name))
            .collect();
        rule(lost.is_empty(), || {
            format!("podsToDelete loses {lost:?}, whose pods are not gone")
        })?;
        let mut left = names.read.iter();
        let in_order = names.keep.iter().all(|kept| left.any(|read| read == kept));
        rule(in_order && names.keep.len() < names.read.len(), || {
            format!("podsToDelete becomes {:?} of {:?}", names.keep, names.read)
        })
    }

    /// A pod was taken out of service; `pod` and its version `from` are as they were, the store is as it is now.
    pub(crate) fn taken_out(&self, pod: &Pod, from: &str, write: &OutOfService) -> Result<(), String> {
        self.is_ours(pod)?;
        rule(!write.uid.is_empty() && is_live(pod), || {
            format!("S4: {} is taken out of service although it has ended", pod.name())
        })?;
        self.availability_is_kept(pod, true)?;
        let template = version_of(template_image(self.store));
        let (census, share_new) = (self.census(), self.limits.replicas - self.limits.partition);
        let forward = from != template;
        let keeps = match write.why {
            OutReason::UpdateHook | OutReason::DeletionHook(_) => true,
            OutReason::InPlaceUpdate if forward => {
                census.old_kept >= self.limits.partition
                    && (census.new_kept <= share_new || self.current_is_template())
            }
            OutReason::InPlaceUpdate => census.new_kept >= share_new,
        };
        rule(keeps, || {
            format!(
                "S3: updating {} makes {} old and {} new pods, the partition gives them {} and {share_new}",
                pod.name(),
                census.old_kept,
                census.new_kept,
                self.limits.partition
            )
        })
    }

    /// A pod is changed in place; `pod` is as it was.
    pub(crate) fn changed(&self, pod: &Pod, change: &InPlaceChange) -> Result<(), String> {
        self.is_ours(pod)?;
        let serves = pod.has_in_place_gate() && pod.condition_is_true(pod_conditions::IN_PLACE_UPDATE_READY);
        rule(change.images.is_empty() || !serves, || {
            format!("{} is changed while it serves", pod.name())
        })
    }

    /// Are its images those of the revision it carries?
    fn runs_its_template(&self, pod: &Pod) -> bool {
        let revision = self
            .store
            .revisions()
            .find(|revision| pod.has_revision(revision.name()));
        let template = revision.and_then(|revision| revision.template());
        let containers = template.and_then(|template| template.pointer("/spec/containers")?.as_array());
        containers.into_iter().flatten().all(|container| {
            let text = |field| container.get(field).and_then(Value::as_str).unwrap_or_default();
            let mut live = pod.spec.containers.iter();
            live.any(|found| found.name == text("name") && found.image == text("image"))
        })
    }

    /// Does hook `preDelete` hold it?
    fn is_held(&self, pod: &Pod) -> bool {
        let hooks = self.store.cloneset.spec.lifecycle.as_ref();
        let Some(hook) = hooks.and_then(|hooks| hooks.pre_delete.as_ref()) else {
            return false;
        };
        let mut labels = hook.labels_handler.iter().flatten();
        let mut finalizers = hook.finalizers_handler.iter().flatten();
        let on_pod = |finalizer| {
            pod.metadata
                .finalizers
                .iter()
                .flatten()
                .any(|found| found == finalizer)
        };
        labels.any(|(key, value)| pod.label(key) == Some(value)) || finalizers.any(on_pod)
    }

    fn is_ours(&self, pod: &Pod) -> Result<(), String> {
        let ours = self.store.cloneset.metadata.uid.as_deref();
        rule(pod.controlling_cloneset() == ours, || {
            format!("S4: {} is not ours", pod.name())
        })
    }

    fn ids_are_unique(&self, id: &str) -> Result<(), String> {
        let bearers = self
            .store
            .pods()
            .filter(|pod| pod.label(labels::INSTANCE_ID) == Some(id))
            .count();
        rule(bearers == 1, || {
            format!("S6: {bearers} pods have the instance id {id}")
        })
    }

    /// S9: the spec is the one its recorded revision says, plus our gate.
    fn is_its_template(&self, new: &NewPod, manifest: &Value) -> Result<(), String> {
        let stored = self
            .store
            .revision(&new.revision.name)
            .and_then(|revision| revision.template());
        let Some(stored) = stored else {
            return Err(format!(
                "S9: {} is made from {}, which is not recorded",
                new.name, new.revision.name
            ));
        };
        let mut spec = manifest.pointer("/spec").cloned().unwrap_or_default();
        if let Some(gates) = spec.pointer_mut("/readinessGates").and_then(Value::as_array_mut) {
            let ours = json!({"conditionType": pod_conditions::IN_PLACE_UPDATE_READY});
            gates.retain(|gate| *gate != ours);
        }
        let mut template = stored.pointer("/spec").cloned().unwrap_or_default();
        self.without_claims(&mut spec);
        self.without_claims(&mut template);
        let made = canonical_text(&json!({ "spec": spec }));
        let recorded = canonical_text(&json!({ "spec": template }));
        rule(made == recorded, || {
            format!("S9: {} differs from {}", new.name, new.revision.name)
        })
    }

    /// Do pods that are held back get the template's version as well?
    fn current_is_template(&self) -> bool {
        let status = self.store.cloneset.status.as_ref();
        let name = status
            .and_then(|status| status.current_revision.as_deref())
            .unwrap_or_default();
        let current = self.store.revision(name).and_then(|revision| revision.template());
        current.is_none_or(|template| image_of(template) == template_image(self.store))
    }

    /// S11: a status is written over `before`. `seen` is the census of what it was computed from.
    pub(crate) fn reported(
        &self,
        before: &CloneSetStatus,
        after: &CloneSetStatus,
        seen: Census,
    ) -> Result<(), String> {
        rule(after.observed_generation >= before.observed_generation, || {
            format!(
                "S11: observedGeneration goes from {:?} to {:?}",
                before.observed_generation, after.observed_generation
            )
        })?;
        let told = cloneset_status::Counts {
            replicas: after.replicas,
            ready: after.ready_replicas,
            available: after.available_replicas,
            updated: after.updated_replicas,
            updated_ready: after.updated_ready_replicas,
            updated_available: after.updated_available_replicas,
        };
        rule(told == seen.counts, || {
            format!("S11: status tells {told:?}, true is {:?}", seen.counts)
        })?;
        let moved = before.current_revision.is_some() && after.current_revision != before.current_revision;
        let complete =
            seen.counts.updated == seen.counts.replicas && seen.counts.replicas == self.limits.replicas;
        rule(!moved || (complete && self.limits.updates_all), || {
            format!(
                "S11: the current revision moves to {:?} before the rollout is complete",
                after.current_revision
            )
        })
    }
}

pub(crate) fn rule(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

#[cfg(test)]
mod tests;
