//! Events about what no write of the same kind announces: pods that cannot start, pods that a hook holds, PVCs that go,
//! and what the controller leaves alone.
//!
//! Says; what is so is found elsewhere.

use super::leave;
use crate::reconcile::act::Acted;
use crate::reconcile::memory::Memory;
use crate::run::Context;
use crate::telemetry::events::enumerate;
use cloneset_api::CloneSet;
use cloneset_api::names::events;
use cloneset_plan::{DeleteReason, Desired};
use cloneset_status::Wait;
use kube::runtime::events::EventType;

/// Why a pod is to go, as the end of a sentence about it.
pub(super) fn because(why: DeleteReason) -> &'static str {
    match why {
        DeleteReason::ScaleIn => "there are more pods than spec.replicas",
        DeleteReason::Specified => "marked for deletion",
        DeleteReason::Update => "to make place for another revision",
        DeleteReason::Finished => "finished, and newer finished pods are kept",
    }
}

/// Reports pods that cannot start once for each revision and reason, not for each pod.
pub(super) fn report_not_starting(
    context: &Context,
    cloneset: &CloneSet,
    waits: &[Wait],
    memory: &mut Memory,
) {
    for wait in waits {
        if let Wait::NotStarting(found) = wait
            && memory.is_new_failure(&found.revision, &found.failure.reason)
        {
            let note = format!("{wait} (revision {})", found.revision);
            let kind = (EventType::Warning, events::PODS_NOT_STARTING, "StartPod");
            leave(context, cloneset, kind, note, Some(&found.pod.as_str()));
        }
    }
}

/// Reports pods that hook `preDelete` holds from now on.
pub(super) fn report_held(context: &Context, cloneset: &CloneSet, acted: &Acted) {
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
        let kind = (EventType::Normal, events::PREPARING_DELETE, "HoldPod");
        leave(context, cloneset, kind, note, pods.first());
    }
}

/// Reports PVCs that were deleted.
pub(super) fn report_claims(context: &Context, cloneset: &CloneSet, acted: &Acted) {
    let claims: Vec<&str> = acted.claims_deleted.iter().map(String::as_str).collect();
    if !claims.is_empty() {
        let note = format!("deleted PVC {}: no pod uses it any more", enumerate(&claims));
        let kind = (EventType::Normal, events::SUCCESSFUL_DELETE, "DeleteClaim");
        leave(context, cloneset, kind, note, None);
    }
}

/// Reports names that were taken off `podsToDelete` although no pod of that name was deleted.
pub(super) fn report_unknown_names(
    context: &Context,
    cloneset: &CloneSet,
    desired: &Desired,
    acted: &Acted,
    memory: &mut Memory,
) {
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
        let kind = (EventType::Warning, events::PODS_TO_DELETE_NOT_FOUND, "DeletePod");
        leave(context, cloneset, kind, note, None);
    }
}

/// Reports pods that match the selector and have no owner, as after a restore from a backup.
pub(super) fn report_orphans(context: &Context, cloneset: &CloneSet, memory: &mut Memory) {
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
    let kind = (EventType::Warning, events::ORPHAN_PODS, "ListPods");
    leave(context, cloneset, kind, note, pods.first());
}
