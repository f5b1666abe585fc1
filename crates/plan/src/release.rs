//! Letting go of pods that somebody has taken out by their labels (`behaviour.md` 3.7): a pod that the selector no
//! longer matches is given up, for people to look at, and then replaced like any other that is missing.
//!
//! Decides who goes, not what comes in their place: until a pod is released it is ours and counts.

use crate::action::Release;
use crate::context::Context;
use crate::snapshot::{Creation, Snapshot};
use cloneset_status::Pod;
use std::collections::BTreeMap;

/// The pods to let go of.
pub(crate) fn release(context: &Context<'_>) -> Vec<Release> {
    let Some(selector) = &context.desired.selector else {
        return Vec::new();
    };
    // What could not be replaced is not given up.
    if context.snapshot.creation == Creation::Stopped {
        return Vec::new();
    }
    let taken_out =
        |pod: &&Pod| made_with(context.snapshot, pod).is_some_and(|labels| selector.matches(&labels));
    let unmatched = context.members.iter().filter(|member| !member.selected);
    unmatched
        .map(|member| member.pod)
        .filter(taken_out)
        .map(|pod| Release {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
        })
        .collect()
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
