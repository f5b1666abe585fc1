//! Updating a pod without replacing it (`behaviour.md` 5.5 to 5.9): it keeps its name, node, address and volumes, and
//! only the containers that change are restarted.
//!
//! Three writes: out of service with everything that is to come written on the pod; the change; in service again. Where
//! only metadata changes one write is enough, and the pod serves on. Who is updated and when is `update`'s business,
//! hooks are `lifecycle`'s.

mod batch;
mod change;
mod compare;
mod difference;
mod done;
mod qos;
mod readers;
mod state;
mod steps;

pub(crate) use change::{Around, Stage};
pub(crate) use difference::{Difference, Impossible};
use steps::Claimed;
pub(crate) use steps::stage;

use crate::action::{InPlaceChange, OutOfService, OutReason};
use crate::context::Context;
use crate::desired::UpdateType;
use crate::manifest::{RevisionTemplate, revision_label};
use crate::metadata::MetadataChange;
use crate::new_claim;
use crate::revision::recorded_hash;
use crate::service::{enter, is_under_way, out_of_service};
use cloneset_api::names::{labels, lifecycle, pod_conditions, pod_reasons};
use cloneset_status::facts::short_revision;
use cloneset_status::{LifecycleState, Pod};
use difference::difference;
use std::collections::BTreeMap;

/// In-place updates of one pass, all to the same revision.
pub(crate) struct InPlace<'a> {
    context: &'a Context<'a>,
    target: &'a RevisionTemplate,
    /// What leads there, by the revision that pods have; worked out once for each.
    ways: BTreeMap<String, Result<Difference, Impossible>>,
}

impl<'a> InPlace<'a> {
    pub(crate) fn to(context: &'a Context<'a>, target: &'a RevisionTemplate) -> Self {
        Self {
            context,
            target,
            ways: BTreeMap::new(),
        }
    }

    /// What stands in the way of updating this pod in place, if anything does.
    pub(crate) fn obstacle(&mut self, pod: &Pod) -> Option<Impossible> {
        if let Err(impossible) = self.way(pod) {
            return Some(impossible.clone());
        }
        // Whoever put it there is not done with the pod, and nothing of ours takes it out again.
        if pod.lifecycle_state() == LifecycleState::Unknown {
            return Some(Impossible(format!("label {}", labels::LIFECYCLE_STATE)));
        }
        match self.spec(pod) {
            Err(unreadable) => Some(Impossible(unreadable.to_string())),
            Ok(_) if self.changes_in_service(pod) => None,
            Ok(spec) if !spec.fits(pod) => Some(Impossible(
                "metadata.annotations, which are too large to stand on a pod twice".to_owned(),
            )),
            // One that is not Ready now may be so at any moment.
            Ok(spec) if self.restarts(&spec) && !pod.has_in_place_gate() => Some(Impossible(format!(
                "spec.readinessGates: without {} it cannot be taken out of service before a container restarts",
                pod_conditions::IN_PLACE_UPDATE_READY
            ))),
            Ok(_) => None,
        }
    }

    /// Does the update restart nothing, so that one write makes it and the pod serves on?
    pub(crate) fn changes_in_service(&mut self, pod: &Pod) -> bool {
        if self.context.desired.update_type == UpdateType::ReCreate {
            return false;
        }
        let state = pod.lifecycle_state();
        if state == LifecycleState::Unknown || state != LifecycleState::PreparingUpdate && is_under_way(pod) {
            return false;
        }
        let way = self.way(pod).as_ref();
        way.is_ok_and(|difference| difference.images.is_empty() && difference.resources.is_empty())
    }

    /// Does it restart a container?
    fn restarts(&self, spec: &state::UpdateSpec) -> bool {
        !spec.container_images.is_empty()
            || steps::restarts_by_resize(&self.target.template, &spec.container_resources)
    }

    fn way(&mut self, pod: &Pod) -> &Result<Difference, Impossible> {
        let label = pod.label(labels::REVISION).unwrap_or_default();
        let (context, target) = (self.context, self.target);
        self.ways.entry(label.to_owned()).or_insert_with(|| {
            let Some(template) = context.templates.of(pod) else {
                return Err(Impossible("its own revision, which is gone".to_owned()));
            };
            if has_other_claims(context, pod, target) {
                return Err(Impossible("spec.volumeClaimTemplates".to_owned()));
            }
            difference(template, &target.template, context.features.in_place_resize)
        })
    }

    fn spec(&mut self, pod: &Pod) -> Result<state::UpdateSpec, state::Unreadable> {
        let revision = self.target.name.clone();
        let grace = self.context.desired.grace_seconds;
        let claimed = Claimed {
            template: self.context.templates.of(pod),
            resize: self.context.features.in_place_resize,
        };
        let mut spec = match self.way(pod) {
            Ok(difference) => steps::spec_for(pod, &claimed, &revision, difference, grace)?,
            Err(_) => return Ok(state::UpdateSpec::default()),
        };
        // The period is for clients of a container that is about to restart.
        if !self.restarts(&spec) {
            spec.grace_seconds = 0;
        }
        Ok(spec)
    }

    /// The whole update of a pod that serves on; `None` when it has to leave service first.
    pub(crate) fn change_in_service(&mut self, pod: &Pod) -> Option<InPlaceChange> {
        if !self.changes_in_service(pod) {
            return None;
        }
        let mut metadata = self.way(pod).as_ref().ok()?.metadata.clone();
        self.claim(&mut metadata);
        // What stands there is about an update that is over.
        change::drop_records(pod, &mut metadata);
        Some(InPlaceChange {
            revision: self.target.name.clone(),
            metadata,
            begins: true,
            ..change::bare(pod)
        })
    }

    /// The labels of the revision that a pod has from now on.
    fn claim(&self, metadata: &mut MetadataChange) {
        let label = revision_label(&self.target.name, self.context.features.short_hash);
        metadata.label(labels::REVISION, label);
        metadata.label(labels::POD_TEMPLATE_HASH, short_revision(&self.target.name));
    }

    /// Takes the pod out of service and writes on it what is to come; `None` when it cannot be updated in place.
    pub(crate) fn begin(&mut self, pod: &Pod) -> Option<OutOfService> {
        if self.obstacle(pod).is_some() {
            return None;
        }
        let spec = self.spec(pod).ok()?;
        let context = self.context;
        let mut metadata = steps::announce(pod, &spec, context.now);
        self.claim(&mut metadata);
        enter(&mut metadata, lifecycle::UPDATING, context.now);
        let reason = self.restarts(&spec).then_some(pod_reasons::START_IN_PLACE_UPDATE);
        Some(out_of_service(
            pod,
            reason,
            metadata,
            OutReason::InPlaceUpdate,
            context.now,
        ))
    }
}

/// Are the PVCs of the pod's revision made from other templates than those of the target, and is that a reason to
/// re-create the pod?
fn has_other_claims(context: &Context<'_>, pod: &Pod, target: &RevisionTemplate) -> bool {
    let matters =
        context.features.recreate_for_claims && context.desired.update_type != UpdateType::InPlaceOnly;
    if !matters {
        return false;
    }
    let mut revisions = context.snapshot.revisions.iter();
    let own = revisions.find(|revision| pod.has_revision(revision.name()));
    let own = own.and_then(|revision| recorded_hash(revision));
    let wanted = context.revisions.claim_hash(context.snapshot, &target.name);
    new_claim::differ(own.map(String::as_str), wanted)
}
