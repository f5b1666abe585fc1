//! Letting go of pods that somebody has taken out by their labels (`behaviour.md` 3.7): a pod that the selector no
//! longer matches is given up, for people to look at, and then replaced like any other that is missing.
//!
//! Decides who goes, not what comes in their place: until a pod is released it is ours and counts, but not as one
//! that serves.

use crate::action::Release;
use crate::context::Context;

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
