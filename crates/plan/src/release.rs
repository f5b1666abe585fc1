//! Letting go of pods that somebody has taken out by their labels (`behaviour.md` 3.7): a pod that the selector no
//! longer matches is given up, for people to look at, and then replaced like any other that is missing.
//!
//! Decides who goes, not what comes in their place: until a pod is released it is ours and counts, but not as one
//! that serves.

use crate::action::Release;
use crate::context::Context;
use crate::desired::Desired;
use crate::snapshot::{Creation, Snapshot};
use cloneset_status::Pod;
use std::collections::BTreeMap;

/// The pods to let go of.
pub(crate) fn release(context: &Context<'_>) -> Vec<Release> {
    let pods = context.members.iter().filter(|member| member.fact.released);
    pods.map(|member| Release {
        name: member.pod.name().to_owned(),
        uid: member.pod.uid().to_owned(),
        resource_version: member.pod.metadata.resource_version.clone().unwrap_or_default(),
    })
    .collect()
}

/// Has somebody taken the pod out by its labels?
pub(crate) fn is_taken_out(snapshot: &Snapshot, desired: &Desired, pod: &Pod) -> bool {
    let Some(selector) = &desired.selector else {
        return false;
    };
    // What could not be replaced is not given up.
    if snapshot.creation == Creation::Stopped {
        return false;
    }
    let none = BTreeMap::new();
    !selector.matches(pod.metadata.labels.as_ref().unwrap_or(&none))
        && made_with(snapshot, pod).is_some_and(|labels| selector.matches(&labels))
}

/// The labels that its revision gave a pod. A pod that never matched was not taken out: then it is the selector that
/// was changed, and to let go of every pod at once would be the end of the service.
fn made_with(snapshot: &Snapshot, pod: &Pod) -> Option<BTreeMap<String, String>> {
    let revision = snapshot
        .revisions
        .iter()
        .find(|revision| pod.has_revision(revision.name()))?;
    let labels = revision.template()?.pointer("/metadata/labels")?.as_object()?;
    let text = |(key, value): (&String, &serde_json::Value)| Some((key.clone(), value.as_str()?.to_owned()));
    Some(labels.iter().filter_map(text).collect())
}
