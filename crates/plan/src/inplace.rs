//! Updating a pod without replacing it (`behaviour.md` 5.5 to 5.9): it keeps its name, node, address and volumes, and
//! only the containers that change are restarted.
//!
//! Three writes: out of service with everything that is to come written on the pod; the change; in service again. Who
//! is updated and when is `update`'s business, hooks are `lifecycle`'s.

mod batch;
mod difference;
mod done;
mod metadata;
mod qos;
mod readers;
mod state;
mod steps;

pub(crate) use difference::{Difference, Impossible};
pub use metadata::MetadataChange;
pub(crate) use steps::{Around, Stage, is_under_way, stage};

use crate::action::{OutOfService, OutReason};
use crate::context::Context;
use crate::desired::UpdateType;
use crate::lifecycle::{enter, out_of_service};
use crate::manifest::{RevisionTemplate, revision_label};
use crate::new_claim;
use crate::revision::recorded_hash;
use cloneset_api::names::{labels, lifecycle, pod_reasons};
use cloneset_status::facts::{Resources, is_revision, short_revision};
use cloneset_status::{LifecycleState, Pod, Revision};
use difference::difference;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

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
            Ok(spec) if !spec.fits(pod) => Some(Impossible(
                "metadata.annotations, which are too large to stand on a pod twice".to_owned(),
            )),
            Ok(_) => None,
        }
    }

    fn way(&mut self, pod: &Pod) -> &Result<Difference, Impossible> {
        let label = pod.label(labels::REVISION).unwrap_or_default();
        let (context, target) = (self.context, self.target);
        self.ways.entry(label.to_owned()).or_insert_with(|| {
            let Some(template) = template_of(context, pod) else {
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
        match self.way(pod) {
            Ok(difference) => steps::spec_for(pod, &revision, difference, grace),
            Err(_) => Ok(state::UpdateSpec::default()),
        }
    }

    /// Takes the pod out of service and writes on it what is to come; `None` when it cannot be updated in place.
    pub(crate) fn begin(&mut self, pod: &Pod) -> Option<OutOfService> {
        if self.obstacle(pod).is_some() {
            return None;
        }
        let spec = self.spec(pod).ok()?;
        let context = self.context;
        let only_resources = context.features.in_place_resize
            && spec.container_images.is_empty()
            && spec.container_ref_metadata.is_empty()
            && spec.metadata.is_empty()
            && !spec.container_resources.is_empty();
        let serves_on = only_resources && !restarts(&self.target.template, &spec.container_resources);
        let mut metadata = steps::announce(pod, &spec, context.now);
        let label = revision_label(&self.target.name, context.features.short_hash);
        metadata.label(labels::REVISION, label);
        metadata.label(labels::POD_TEMPLATE_HASH, short_revision(&self.target.name));
        enter(&mut metadata, lifecycle::UPDATING, context.now);
        let reason = (!serves_on).then_some(pod_reasons::START_IN_PLACE_UPDATE);
        Some(out_of_service(
            pod,
            reason,
            metadata,
            OutReason::InPlaceUpdate,
            context.now,
        ))
    }
}

/// Are the claims of the pod's revision made from other templates, and is that a reason to re-create it?
fn has_other_claims(context: &Context<'_>, pod: &Pod, target: &RevisionTemplate) -> bool {
    let matters =
        context.features.recreate_for_claims && context.desired.update_type != UpdateType::InPlaceOnly;
    let revisions = &context.snapshot.revisions;
    let of = |found: Option<&Arc<Revision>>| found.and_then(|revision| recorded_hash(revision).cloned());
    let today = new_claim::hash(&context.snapshot.cloneset.spec);
    let own = of(revisions
        .iter()
        .find(|revision| pod.has_revision(revision.name())));
    let wanted = match revisions.iter().find(|revision| revision.name() == target.name) {
        Some(revision) => of(Some(revision)),
        None => Some(today),
    };
    matters && new_claim::differ(own.as_deref(), wanted.as_deref())
}

/// The template of the revision that the pod has.
pub(crate) fn template_of<'a>(context: &Context<'a>, pod: &Pod) -> Option<&'a Value> {
    let label = pod.label(labels::REVISION)?;
    let has = |revision: &&Arc<Revision>| is_revision(label, revision.name());
    context.snapshot.revisions.iter().find(has)?.template()
}

/// Does one of these changes restart a container?
fn restarts(template: &Value, resources: &BTreeMap<String, Resources>) -> bool {
    let containers = template.pointer("/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().any(|container| {
        let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
        let Some(changed) = resources.get(name) else {
            return false;
        };
        let policies = container.get("resizePolicy").and_then(Value::as_array);
        policies.into_iter().flatten().any(|policy| {
            let text = |field| policy.get(field).and_then(Value::as_str).unwrap_or_default();
            let resource = text("resourceName");
            text("restartPolicy") == "RestartContainer"
                && (changed.limits.contains_key(resource) || changed.requests.contains_key(resource))
        })
    })
}
