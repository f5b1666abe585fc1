//! One write for each action of a plan.
//!
//! It only chooses the function. Order, concurrency, and what to do about a failure are the caller's to decide.

use crate::write::error::WriteError;
use crate::write::owner::Owner;
use crate::write::written::Written;
use crate::write::{cloneset, in_place, pods, pvcs, revisions};
use cloneset_plan::Action;

/// Carries out one action.
pub async fn perform(owner: &Owner<'_>, action: &Action) -> Result<Written, WriteError> {
    match action {
        Action::CreateClaim(pvc) => pvcs::create(owner, pvc).await,
        Action::DeleteClaim(pvc) => pvcs::delete(owner, pvc).await,
        Action::HandOverClaim(pvc) => pvcs::hand_over(owner, pvc).await,
        Action::CreatePod(pod) => pods::create(owner, pod).await,
        Action::DeletePod(deletion) => pods::delete(owner, deletion).await,
        Action::PutInService(pod) => in_place::put_in_service(owner, pod).await,
        Action::TakeOutOfService(pod) => in_place::take_out_of_service(owner, pod).await,
        Action::ChangeInPlace(change) => in_place::change(owner, change).await,
        Action::ReleasePod(pod) => pods::release(owner, pod).await,
        Action::PruneNames(names) => cloneset::prune_names(owner, names).await,
        Action::DeleteRevision { name, uid } => revisions::delete(owner, name, uid).await,
    }
}
