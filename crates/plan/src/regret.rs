//! Which pods in `PreparingDelete` go back into service, because they are wanted again.
//!
//! Chooses only: the write that puts them back is made by `lifecycle`.

use crate::desired::Desired;
use crate::hooks::Hooks;
use crate::member::Member;
use cloneset_api::names::labels;
use cloneset_status::Pod;

/// The value of label `specified-delete` on a pod that we mark ourselves, because it makes place for another revision.
pub(crate) const MARKED_FOR_UPDATE: &str = "update";

/// Chooses the pods in `PreparingDelete` that are wanted again: those that make place for another revision, when their own
/// one is wanted again, and then as many as are missing without those that leave, unless the user asked to delete this very
/// pod. From then on they count as pods that stay and are not available.
pub(crate) fn regret(desired: &Desired, one_revision: bool, members: &mut [Member<'_>]) {
    if is_forbidden(&desired.hooks) || !members.iter().any(|member| member.fact.preparing_delete) {
        return;
    }
    for is_new in [false, true] {
        take_back(desired, one_revision, is_new, members);
    }
    let staying = members.iter().filter(|member| !member.leaves()).count();
    let missing = usize::try_from(desired.replicas)
        .unwrap_or(0)
        .saturating_sub(staying);
    let may_return = |member: &&mut Member<'_>| {
        member.fact.preparing_delete && !member.fact.specified_delete && !member.fact.released
    };
    for member in members.iter_mut().filter(may_return).take(missing) {
        member.regretted = true;
        member.fact.preparing_delete = false;
    }
}

/// Takes back pods of one side, new or old, that a re-create update marked and that hook `preDelete` still holds, as many as
/// that side is short of: the template was rolled back, or the partition raised.
fn take_back(desired: &Desired, one_revision: bool, is_new: bool, members: &mut [Member<'_>]) {
    let share = match (is_new, one_revision) {
        (true, true) => desired.replicas,
        (true, false) => desired.expected_updated(),
        (false, true) => 0,
        (false, false) => desired.partition,
    };
    let staying = members
        .iter()
        .filter(|member| member.fact.is_new == is_new && !member.leaves())
        .count();
    let short = usize::try_from(share).unwrap_or(0).saturating_sub(staying);
    let may_return = |member: &&mut Member<'_>| {
        member.fact.is_new == is_new
            && member.fact.preparing_delete
            && !member.fact.released
            && is_marked_for_update(member.pod)
            && !desired.pods_to_delete.contains(member.pod.name())
    };
    for member in members.iter_mut().filter(may_return).take(short) {
        member.regretted = true;
        member.fact.preparing_delete = false;
        member.fact.specified_delete = false;
    }
}

/// Is a pod that is held never taken back into service instead? A pod that was drained is deleted.
fn is_forbidden(hooks: &Hooks) -> bool {
    [&hooks.pre_delete, &hooks.in_place_update]
        .into_iter()
        .flatten()
        .any(|hook| hook.marks_not_ready)
}

/// Did a re-create update mark the pod?
pub(crate) fn is_marked_for_update(pod: &Pod) -> bool {
    pod.label(labels::SPECIFIED_DELETE) == Some(MARKED_FOR_UPDATE)
}
