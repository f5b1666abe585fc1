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
use cloneset_api::names::{labels, lifecycle, pod_conditions};
use cloneset_plan::normalise::canonical_text;
use cloneset_plan::{DeleteReason, InService, NewPod, PodDeletion, Pruning};
use cloneset_status::Pod;
use jiff::Timestamp;
use serde_json::{Value, json};

/// Judges writes to one store that were decided at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Oracle<'a> {
    store: &'a Store,
    limits: Limits,
    now: Timestamp,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(store: &'a Store, now: Timestamp) -> Self {
        Self {
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
        self.ids_are_unique(&new.id)?;
        self.is_its_template(new, manifest)
    }

    /// Pods in `PreparingDelete`, where a label of the CloneSet says that they hold no place.
    fn excluded(&self) -> i32 {
        let of_cloneset = self.store.cloneset.metadata.labels.as_ref();
        let asked = of_cloneset.and_then(|labels| labels.get(labels::EXCLUDE_PREPARING_DELETE));
        let leaving = self.store.pods().filter(|pod| {
            is_live(pod) && pod.label(labels::LIFECYCLE_STATE) == Some(lifecycle::PREPARING_DELETE)
        });
        if asked.is_some_and(|value| value == "true") {
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
        // Nothing holds a pod that a hook has let go, as no hook is built yet.
        if pod.label(labels::LIFECYCLE_STATE) == Some(lifecycle::PREPARING_DELETE) {
            return Ok(());
        }
        self.availability_is_kept(pod, deletion)?;
        match deletion.why {
            DeleteReason::Specified => self.was_named(pod),
            DeleteReason::ScaleIn | DeleteReason::Update => self.partition_is_kept(pod, deletion.why),
        }
    }

    /// S2. A delete that is free because the pod serves nobody is bound to that state.
    fn availability_is_kept(&self, pod: &Pod, deletion: &PodDeletion) -> Result<(), String> {
        if !is_available(pod, self.limits.min_ready_seconds, self.now) {
            return rule(deletion.resource_version.is_some(), || {
                format!(
                    "S2: {} may serve by the time its delete arrives, which is not bound to its state",
                    pod.name()
                )
            });
        }
        let (left, least) = (
            self.census().counts.available,
            self.limits.replicas - self.limits.unavailable,
        );
        rule(left >= least, || {
            format!(
                "S2: deleting {} leaves {left} available, replicas - maxUnavailable is {least}",
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
        let only_choice = why == DeleteReason::ScaleIn && is_new && census.old_kept <= self.limits.partition;
        rule(kept >= share || only_choice, || {
            let side = if is_new { "new" } else { "old" };
            format!(
                "S3: deleting {} leaves {kept} {side} pods, the partition gives them {share}",
                pod.name()
            )
        })
    }

    /// In one pass these versions were deleted for an update; `seen` is the census it was decided on. Not more pods
    /// are tried at a time than may be missing, however many of the others are broken (`design.md` 6.1).
    pub(crate) fn updated(&self, versions: &[&str], seen: Census) -> Result<(), String> {
        let template = version_of(template_image(self.store));
        let forward = versions.iter().filter(|version| **version != template).count();
        let missing = self.limits.replicas - seen.counts.replicas;
        let most = self.limits.unavailable.max(self.limits.unavailable - missing);
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
        let to_normal = write.labels.contains_key(labels::LIFECYCLE_STATE);
        rule(!to_normal || pod.has_node(), || {
            format!("{} is put in service without a node", pod.name())
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
        let made = canonical_text(&json!({ "spec": spec }));
        let recorded = canonical_text(&json!({ "spec": stored.pointer("/spec") }));
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

fn rule(holds: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(broken()) }
}
