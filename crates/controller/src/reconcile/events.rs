//! The events that a reconcile records on its CloneSet: what was done, what failed, and what it waits for.
//!
//! Wording and repetition only; what happened is decided elsewhere.

use crate::reconcile::act::Acted;
use crate::reconcile::memory::Memory;
use crate::telemetry::events::{Events, NewEvent, enumerate};
use cloneset_api::names::{conditions, events};
use cloneset_api::{CloneSet, CloneSetStatus};
use cloneset_plan::{DeleteReason, Desired};
use cloneset_status::{Runaway, Wait, unknown_fields};
use kube::runtime::events::EventType;
use std::collections::{BTreeMap, BTreeSet};

/// Records events on one CloneSet.
pub struct EventLog<'a> {
    /// Where they go.
    pub events: &'a Events,
    /// What they are about.
    pub cloneset: &'a CloneSet,
}

/// Why a pod is to be deleted, as the end of a sentence about it.
fn because(why: DeleteReason) -> &'static str {
    match why {
        DeleteReason::ScaleIn => "there are more pods than spec.replicas",
        DeleteReason::Specified => "marked for deletion",
        DeleteReason::Update => "to make place for another revision",
        DeleteReason::Finished => "finished, and newer finished pods are kept",
    }
}

impl EventLog<'_> {
    fn record(
        &self,
        type_: EventType,
        (reason, action): (&'static str, &'static str),
        note: String,
        pod: Option<&str>,
    ) {
        let event = NewEvent {
            type_,
            reason,
            action,
            note,
            pod,
        };
        self.events.record(&self.cloneset.metadata, event);
    }

    fn normal(&self, kind: (&'static str, &'static str), note: String, pod: Option<&str>) {
        self.record(EventType::Normal, kind, note, pod);
    }

    fn warning(&self, kind: (&'static str, &'static str), note: String, pod: Option<&str>) {
        self.record(EventType::Warning, kind, note, pod);
    }

    /// Everything about what was done and what was found, in the order in which users read it best.
    pub fn report(&self, acted: &Acted, desired: &Desired, waits: &[Wait], memory: &mut Memory) {
        self.report_created(acted);
        self.report_deleted(acted);
        self.report_changed(acted);
        self.report_failures(acted, memory.failures);
        self.report_held(acted);
        self.report_pvcs(acted);
        self.report_unknown_names(desired, acted, memory);
        self.report_orphans(memory);
        self.report_not_starting(waits, memory);
        self.report_waits(waits, memory);
    }

    /// One event for each revision, naming the pods.
    fn report_created(&self, acted: &Acted) {
        for (revision, pods) in by_revision(&acted.created) {
            let note = format!("created {} of revision {revision}", enumerate(&pods));
            let kind = (events::SUCCESSFUL_CREATE, "CreatePod");
            self.normal(kind, note, pods.first().copied());
        }
    }

    /// One event for each reason, naming the pods.
    fn report_deleted(&self, acted: &Acted) {
        for why in [
            DeleteReason::ScaleIn,
            DeleteReason::Specified,
            DeleteReason::Update,
            DeleteReason::Finished,
        ] {
            let deleted = acted.deleted.iter().filter(|(_, of)| *of == why);
            let pods: Vec<&str> = deleted.map(|(pod, _)| pod.as_str()).collect();
            if !pods.is_empty() {
                let note = format!("deleted {}: {}", enumerate(&pods), because(why));
                let kind = (why.event_reasons().0, "DeletePod");
                self.normal(kind, note, pods.first().copied());
            }
        }
    }

    /// One event for each revision, naming the pods.
    fn report_changed(&self, acted: &Acted) {
        for (revision, pods) in by_revision(&acted.changed) {
            let note = format!("updated {} in place to revision {revision}", enumerate(&pods));
            let kind = (events::SUCCESSFUL_UPDATE_POD_IN_PLACE, "UpdatePodInPlace");
            self.normal(kind, note, pods.first().copied());
        }
    }

    /// One event for each kind of failure, however many pods it hit.
    fn report_failures(&self, acted: &Acted, failures: u32) {
        let mut reported = BTreeSet::new();
        for failure in &acted.failed {
            if let (Some(kind), Some(note)) = (failure.event(), failure.message(failures))
                && reported.insert(kind.0)
            {
                self.warning(kind, note, None);
            }
        }
    }

    /// Pods whose deletion hook `preDelete` holds from now on.
    fn report_held(&self, acted: &Acted) {
        for why in [
            DeleteReason::ScaleIn,
            DeleteReason::Specified,
            DeleteReason::Update,
        ] {
            let held = acted.held.iter().filter(|(_, of)| *of == why);
            let pods: Vec<&str> = held.map(|(pod, _)| pod.as_str()).collect();
            if pods.is_empty() {
                continue;
            }
            let note = format!(
                "{} to be deleted ({}), held by lifecycle hook preDelete: deleted once its labels and finalizers are removed \
                 from the pod",
                enumerate(&pods),
                because(why),
            );
            let kind = (events::PREPARING_DELETE, "HoldPod");
            self.normal(kind, note, pods.first().copied());
        }
    }

    /// PVCs that were deleted.
    fn report_pvcs(&self, acted: &Acted) {
        let pvcs: Vec<&str> = acted.pvcs_deleted.iter().map(String::as_str).collect();
        if !pvcs.is_empty() {
            let note = format!("deleted PVC {}: no pod uses it any more", enumerate(&pvcs));
            let kind = (events::SUCCESSFUL_DELETE, "DeleteClaim");
            self.normal(kind, note, None);
        }
    }

    /// Names that were removed from `podsToDelete` although no pod of that name was deleted.
    fn report_unknown_names(&self, desired: &Desired, acted: &Acted, memory: &mut Memory) {
        let deleted = &mut memory.deleted_by_name;
        deleted.retain(|pod| desired.pods_to_delete.contains(pod));
        let named = acted.deleted.iter().map(|(pod, _)| pod);
        deleted.extend(named.filter(|pod| desired.pods_to_delete.contains(*pod)).cloned());
        let unknown = acted.unknown_names.iter().filter(|name| !deleted.contains(*name));
        let unknown: Vec<&str> = unknown.map(String::as_str).collect();
        if !unknown.is_empty() {
            let note = format!(
                "removed {} from spec.scaleStrategy.podsToDelete: this CloneSet has no pod of that name; check the name",
                enumerate(&unknown)
            );
            let kind = (events::PODS_TO_DELETE_NOT_FOUND, "DeletePod");
            self.warning(kind, note, None);
        }
    }

    /// Pods that match the selector and have no owner, as after a restore from a backup.
    fn report_orphans(&self, memory: &mut Memory) {
        let orphans = std::mem::take(&mut memory.orphans);
        if orphans.is_empty() {
            return;
        }
        let pods: Vec<&str> = orphans.iter().map(String::as_str).collect();
        let note = format!(
            "{} match spec.selector but have no owner: they are not counted, updated or deleted, although a Service may \
             select them; delete them or change their labels",
            enumerate(&pods)
        );
        let kind = (events::ORPHAN_PODS, "ListPods");
        self.warning(kind, note, pods.first().copied());
    }

    /// Pods that cannot start, once for each revision and reason and not for each pod.
    fn report_not_starting(&self, waits: &[Wait], memory: &mut Memory) {
        for wait in waits {
            if let Wait::NotStarting(found) = wait
                && memory.is_new_failure(&found.revision, &found.failure.reason)
            {
                let note = format!("{wait} (revision {})", found.revision);
                let kind = (events::PODS_NOT_STARTING, "StartPod");
                self.warning(kind, note, Some(&found.pod));
            }
        }
    }

    /// Waits that users should know of, once when they begin.
    fn report_waits(&self, waits: &[Wait], memory: &mut Memory) {
        for wait in waits {
            let kind = match wait {
                Wait::ScaleUpLimited { .. } => (events::SCALE_UP_LIMITED, "CreatePod"),
                Wait::NotInPlace { .. } | Wait::UnreadableState { .. } => {
                    (events::FAILED_UPDATE_POD_IN_PLACE, "UpdatePodInPlace")
                }
                _ => continue,
            };
            if !memory.reported_waits.contains(wait.reason()) {
                self.warning(kind, wait.to_string(), None);
            }
        }
        memory.reported_waits = waits.iter().map(Wait::reason).collect();
    }

    /// Reports that creation has been stopped, once: the status that is about to be written says so from then on.
    pub fn report_runaway(&self, runaway: Option<&Runaway>) {
        let is_reported = |status: &CloneSetStatus| {
            let mut stored = status.conditions.iter().flatten();
            stored.any(|condition| condition.type_ == conditions::RUNAWAY_CREATION)
        };
        let status = self.cloneset.status.as_ref();
        if let Some(runaway) = runaway.filter(|_| !status.is_some_and(is_reported)) {
            let kind = (events::RUNAWAY_CREATION, "CreatePod");
            self.warning(kind, runaway.message.clone(), None);
        }
    }

    /// Reports unknown fields, once: the status that was just written names them from then on.
    pub fn report_unknown_fields(&self, status: &CloneSetStatus) {
        let before = self.cloneset.status.as_ref().and_then(unknown_fields::told);
        if let Some(message) = unknown_fields::told(status).filter(|message| before != Some(*message)) {
            let kind = (events::UNKNOWN_FIELDS, "CreatePod");
            self.warning(kind, message.to_owned(), None);
        }
    }
}

fn by_revision(pods: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut by_revision: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (pod, revision) in pods {
        by_revision.entry(revision).or_default().push(pod);
    }
    by_revision
}
