//! What must be true of a world that has come to rest.

use cloneset_status::{Claim, Revision, Wait};
use cloneset_testkit::World;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use std::sync::Arc;

/// Is it as `holds` says? If not, the test tells what happened as well.
pub(crate) fn demand(
    world: &World,
    holds: impl FnOnce(&World) -> Result<(), TestCaseError>,
) -> Result<(), TestCaseError> {
    holds(world).map_err(|error| match error {
        TestCaseError::Fail(why) => TestCaseError::fail(format!("{why}\nwhat happened:\n{}", world.story())),
        TestCaseError::Reject(why) => TestCaseError::Reject(why),
    })
}

/// What a settled set of pods that can all become ready looks like.
pub(crate) fn is_as_wished(world: &World) -> Result<(), TestCaseError> {
    let status = world.status();
    let spec = &world.cloneset().spec;
    let replicas = spec.replicas.unwrap();
    let (told, pods) = (format!("{status:?}"), world.inventory());
    let held = spec.update_strategy.paused == Some(true)
        || spec.update_strategy.type_.as_deref() == Some("OnDelete");
    let marked = pods.contains("marked");
    prop_assert_eq!(status.replicas, replicas, "{} {}", pods, told);
    prop_assert_eq!(status.available_replicas, replicas, "{} {}", pods, told);
    // Without surge (held) and with maxUnavailable 0 a marked pod that serves can never go.
    prop_assert!(held || !marked, "{}", pods);
    let limits = world.limits();
    prop_assert_eq!(
        status.expected_updated_replicas,
        limits.replicas - limits.partition
    );
    if !held {
        prop_assert!(
            status.updated_replicas >= status.expected_updated_replicas,
            "{} {}",
            pods,
            told
        );
    }
    let scale = spec.scale_strategy.as_ref();
    let named = scale
        .and_then(|scale| scale.pods_to_delete.clone())
        .unwrap_or_default();
    prop_assert!(marked || named.is_empty(), "{:?} still to be deleted", named);
    let mut waits = world.plan().waits;
    // What a raised partition does not bring back is at rest all the same.
    waits.retain(|wait| !matches!(wait, Wait::PartitionRaised { .. }));
    let only_held = |wait: &Wait| {
        matches!(wait, Wait::Paused { .. } | Wait::OnDelete { .. })
            || (marked && matches!(wait, Wait::DeletionBudget { .. }))
    };
    claims_are_in_order(world)?;
    prop_assert!(waits.iter().all(|wait| held && only_held(wait)), "{:?}", waits);
    Ok(())
}

/// Without reuse no claim is left over; every claim there is can be used.
fn claims_are_in_order(world: &World) -> Result<(), TestCaseError> {
    let pods = world.live_pods();
    let pods_that_ended = world.snapshot().pods;
    let claims = world.claims();
    let pod_of = |claim: &Claim| {
        let id = claim.instance_of("sample").map(str::to_owned);
        pods.iter().find(|pod| pod.named_id().map(str::to_owned) == id)
    };
    let scale = world.cloneset().spec.scale_strategy.as_ref();
    let reuses = scale.is_none_or(|scale| scale.disable_pvc_reuse != Some(true));
    for claim in &claims {
        let of_a_pod = pod_of(claim).is_some();
        prop_assert!(
            of_a_pod || reuses || claim.is_terminating(),
            "{} is left over",
            claim.name()
        );
        // A pod that has run to an end keeps its claims, and so does one that was released.
        let is_held = of_a_pod
            || world.is_mounted(claim)
            || pods_that_ended
                .iter()
                .any(|pod| claim.name().ends_with(pod.name()));
        prop_assert!(is_held || !claim.is_terminating(), "{} does not go", claim.name());
    }
    Ok(())
}

/// No more revisions that nothing uses than the history limit.
pub(crate) fn is_trimmed(world: &World) -> bool {
    let (snapshot, status) = (world.snapshot(), world.status());
    let limit = usize::try_from(world.cloneset().spec.revision_history_limit.unwrap()).unwrap();
    let is_used = |revision: &&Arc<Revision>| {
        let name = Some(revision.name().to_owned());
        name == status.current_revision
            || name == status.update_revision
            || snapshot.pods.iter().any(|pod| pod.has_revision(revision.name()))
    };
    snapshot
        .revisions
        .iter()
        .filter(|revision| !is_used(revision))
        .count()
        <= limit
}
