//! Taking names off `scaleStrategy.podsToDelete` once their pods are gone: the only thing in a spec that is ever written.
//!
//! It says what is to be left of the list; that the list must still be the one that was read is said along.

use crate::action::Pruning;
use crate::context::Context;
use crate::snapshot::Creation;
use std::collections::BTreeSet;

/// What is to be left of the list, if less than there is. A name stays until its pod is gone: a pod that is terminating is
/// not yet. A pod that has run to an end is no replica any more, and no pod of that name was ever ours if none is known:
/// both are dropped, as no deletion of ours will follow.
pub(crate) fn prune(context: &Context<'_>) -> Option<Pruning> {
    // A change of the spec would set creation free that was stopped until somebody changes it.
    if context.snapshot.creation == Creation::Stopped {
        return None;
    }
    let scale = context.snapshot.cloneset.spec.scale_strategy.as_ref()?;
    let read = scale.pods_to_delete.as_ref()?;
    // A list that breaks a rule is its author's to correct, as its condition says.
    if context.desired.pods_to_delete.len() < read.len() {
        return None;
    }
    let pods = context.snapshot.pods.iter().filter(|pod| !pod.is_finished());
    let pending: BTreeSet<&str> = pods.map(|pod| pod.name()).collect();
    let keep: Vec<String> = read
        .iter()
        .filter(|name| pending.contains(name.as_str()))
        .cloned()
        .collect();
    let known: BTreeSet<&str> = context.snapshot.pods.iter().map(|pod| pod.name()).collect();
    let unknown = read.iter().filter(|name| !known.contains(name.as_str()));
    (keep.len() < read.len()).then(|| Pruning {
        read: read.clone(),
        unknown: unknown.cloned().collect(),
        keep,
    })
}
