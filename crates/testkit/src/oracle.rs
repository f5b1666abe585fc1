//! The promises every write is held against, by the numbers of `reliability.md` 3 (S1 to S11).
//!
//! Judged on the true store at the moment of the write, by [`Limits`] and [`Census`] and not by anything the
//! planner worked out. Only the clock is that of deciding: a pod that becomes available by the passing of time
//! alone while a write is under way is not held against the write. It changes nothing.

use crate::census::{Census, image_of, is_available, is_live, is_named, template_image};
use crate::limits::Limits;
use crate::reading::{label, owner, state};
use crate::store::Store;
use crate::words::version_of;
use crate::world::World;
use cloneset_api::CloneSetStatus;
use cloneset_api::names::{labels, lifecycle, pod_conditions};
use cloneset_plan::{DeleteReason, NewPod, PodDeletion, Pruning};
use cloneset_status::Pod;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// Judges writes to one store that were decided at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oracle<'a> {
    pub(crate) store: &'a Store,
    limits: Limits,
    /// Do pods in `PreparingDelete` hold no place, whatever the CloneSet says?
    excludes: bool,
    /// Do pods in `PreparingUpdate` count as updated?
    held_are_new: bool,
    /// Is creation stopped?
    is_stopped: bool,
    now: Timestamp,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let store = &world.store;
        Self {
            store,
            excludes: world.features.exclude_preparing_delete,
            held_are_new: world.features.preparing_update_as_update,
            is_stopped: world.is_stopped(),
            limits: Limits::of(&store.cloneset.spec),
            now: world.decided_at,
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
        self.old_pods_have_their_share(manifest, census.old_kept)?;
        rule(!self.is_stopped, || format!("stopped: {} is created", new.name))?;
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

    /// S3: pods of another version than the template's are made of the current one, and surge pods are all that there
    /// may be beyond the partition.
    fn old_pods_have_their_share(&self, manifest: &Value, old: i32) -> Result<(), String> {
        let made = image_of(manifest);
        if made == template_image(self.store) {
            return Ok(());
        }
        rule(self.current_image().as_deref() == Some(made), || {
            format!(
                "S3: a create makes a pod of {made}, which is neither the template's version nor the current one"
            )
        })?;
        // With its gate, a pod that was chosen for an update makes place for no other.
        let on_its_way = |pod: &&Arc<Pod>| self.held_are_new && state(pod) == lifecycle::PREPARING_UPDATE;
        let on_their_way = self.store.pods().filter(on_its_way).count();
        let old = old.saturating_sub(i32::try_from(on_their_way).unwrap_or(i32::MAX));
        let most = self.limits.partition.saturating_add(self.limits.surge);
        rule(old <= most, || {
            format!("S3: a create makes {old} pods of old versions, partition + maxSurge is {most}")
        })
    }

    /// Pods in `PreparingDelete`, where a flag or a label of the CloneSet says that they hold no place.
    fn excluded(&self) -> i32 {
        let of_cloneset = self.store.cloneset.metadata.labels.as_ref();
        let asked = of_cloneset.and_then(|labels| labels.get(labels::EXCLUDE_PREPARING_DELETE));
        let leaving = self
            .store
            .pods()
            .filter(|pod| is_live(pod) && state(pod) == lifecycle::PREPARING_DELETE);
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
        rule(!self.is_held(pod, "preDelete"), || {
            format!("hook: {} is deleted although hook preDelete holds it", pod.name())
        })?;
        if deletion.why == DeleteReason::Finished {
            return self.newer_ones_are_kept(pod, !deletion.resource_version.is_empty());
        }
        rule(is_live(pod), || {
            format!("S4: {} is deleted although it has ended", pod.name())
        })?;
        if state(pod) == lifecycle::PREPARING_DELETE {
            return Ok(());
        }
        self.can_be_missed(pod)?;
        if deletion.why == DeleteReason::Update {
            self.may_update(pod)?;
        }
        self.availability_is_kept(pod, !deletion.resource_version.is_empty())?;
        match deletion.why {
            DeleteReason::Specified => self.was_named(pod),
            DeleteReason::ScaleIn | DeleteReason::Update => self.partition_is_kept(pod, deletion.why),
            DeleteReason::Finished => Ok(()),
        }
    }

    /// Of the pods that have ended, five are left, and the newest is among them.
    fn newer_ones_are_kept(&self, pod: &Pod, is_bound: bool) -> Result<(), String> {
        let ended = |pod: &Pod| matches!(pod.status.phase.as_deref(), Some("Succeeded" | "Failed"));
        rule(ended(pod) && is_bound, || {
            format!("S4: {} is deleted as finished, which it may not be", pod.name())
        })?;
        let left = self.store.pods().filter(|other| {
            ended(other) && other.metadata.deletion_timestamp.is_none() && other.uid() != pod.uid()
        });
        let left: Vec<_> = left.collect();
        let at = |pod: &Pod| pod.metadata.creation_timestamp.clone();
        let is_newest = left.iter().all(|other| at(other) < at(pod));
        rule(left.len() >= 5 && !is_newest, || {
            format!(
                "S4: {} is deleted, {} finished pods are left",
                pod.name(),
                left.len()
            )
        })
    }

    /// While creation is stopped, what is deleted is never replaced.
    pub(crate) fn can_be_missed(&self, pod: &Pod) -> Result<(), String> {
        let stays = |pod: &&Arc<Pod>| is_live(pod) && state(pod) != lifecycle::PREPARING_DELETE;
        let left = self.store.pods().filter(stays).count();
        let replicas = usize::try_from(self.limits.replicas).unwrap_or(0);
        rule(!self.is_stopped || left >= replicas, || {
            format!(
                "stopped: deleting {} leaves {left} of {replicas} pods, and none can be created",
                pod.name()
            )
        })
    }

    /// S2. Every pod that we choose is bound to the state it was chosen in.
    pub(crate) fn availability_is_kept(&self, pod: &Pod, is_bound: bool) -> Result<(), String> {
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
        let beyond = census.counts.replicas >= most;
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

    fn is_ours(&self, pod: &Pod) -> Result<(), String> {
        let ours = self.store.cloneset.metadata.uid.as_deref();
        rule(owner(pod) == ours, || format!("S4: {} is not ours", pod.name()))
    }

    fn ids_are_unique(&self, id: &str) -> Result<(), String> {
        let bearers = self
            .store
            .pods()
            .filter(|pod| label(pod, labels::INSTANCE_ID) == Some(id))
            .count();
        rule(bearers == 1, || {
            format!("S6: {bearers} pods have the instance id {id}")
        })
    }

    /// S9: the spec is the one its recorded revision says, plus our gate.
    fn is_its_template(&self, new: &NewPod, manifest: &Value) -> Result<(), String> {
        let stored = self.store.revision(&new.revision.name);
        let stored = stored.and_then(cloneset_status::Revision::template);
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
        self.without_claims(&new.revision.name, &mut spec);
        self.without_claims(&new.revision.name, &mut template);
        without_nothing(&mut spec);
        without_nothing(&mut template);
        rule(spec == template, || {
            format!("S9: {} differs from {}", new.name, new.revision.name)
        })
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
        let counts = seen.counts;
        let serves = counts.available == counts.replicas
            && counts.replicas == self.limits.replicas
            && counts.replicas > 0;
        // The template's, or one that served with every pod before the template changed.
        let has_served = seen.is_uniform && after.current_revision == before.update_revision;
        let complete = serves && (counts.updated == counts.replicas || has_served);
        rule(!moved || (complete && self.limits.updates_all), || {
            format!(
                "S11: the current revision moves to {:?}, which does not serve with every pod",
                after.current_revision
            )
        })
    }
}

/// Takes out what says nothing: null, and lists and objects without entries.
fn without_nothing(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nothing);
            fields.retain(|_, field| !says_nothing(field));
        }
        Value::Array(items) => items.iter_mut().for_each(without_nothing),
        _ => {}
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

pub(crate) fn rule(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}

mod steps;
#[cfg(test)]
mod tests;
