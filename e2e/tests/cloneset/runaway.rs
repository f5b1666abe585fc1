//! Pods that do not become ours, because something on their way takes off what makes them so.
//!
//! A controller that only counts what it finds would make others for ever. It has to stop by itself, to say so, and
//! to go on once somebody has done something about it.

use crate::account;
use crate::policy::{self, Policy, under};
use anyhow::Result;
use cloneset_api::CloneSet;
use cloneset_api::names::conditions::{RUNAWAY_CREATION, STALLED};
use cloneset_api::names::labels;
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::image;
use e2e::waits::quietly;
use e2e::{Counters, Namespace, condition, failures, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

/// Pods wanted.
const REPLICAS: i32 = 3;
/// Pods that a controller without a brake may make: the cluster is not only ours.
const AT_MOST: &str = "20";
/// Pods made in vain that are not too many: the first one shows what is wrong.
const FEW: usize = 2;

fn is_true(object: &CloneSet, type_: &str) -> bool {
    condition(object, type_).is_some_and(|condition| condition.status == "True")
}

/// Watches that few pods are made in all.
async fn makes_few(ns: &Namespace) -> Result<()> {
    quietly("few pods are made", async || {
        let made = account::total(ns)?.count("create pods");
        Ok((!(1..=FEW).contains(&made)).then(|| format!("{made} were")))
    })
    .await
}

/// Waits until creation is stopped, and watches that it stays so with few pods made. Gives these.
async fn stops(ns: &Namespace) -> Result<Vec<Pod>> {
    let told = |object: &CloneSet| is_true(object, RUNAWAY_CREATION) && is_true(object, STALLED);
    ns.until_cloneset("web", "RunawayCreation and Stalled", told)
        .await?;
    // Other news of the CloneSet than its spec is no reason to try again.
    ns.patch(
        "web",
        json!({"metadata": {"annotations": {"seen-by": "somebody"}}}),
    )
    .await?;
    makes_few(ns).await?;
    Ok(ns.pods().list(&ListParams::default()).await?.items)
}

/// Touches the spec, as the message asks for; the pods are the same.
async fn recovers(ns: &Namespace) -> Result<()> {
    ns.patch("web", json!({"spec": {"revisionHistoryLimit": 9}}))
        .await?;
    let object = ns.reaches("web", Counters::at_rest(REPLICAS, REPLICAS)).await?;
    assert!(condition(&object, RUNAWAY_CREATION).is_none());
    assert_eq!(failures(&object), [] as [&_; 0]);
    Ok(())
}

#[tokio::test]
async fn pods_that_lose_their_owner_on_the_way_are_not_made_without_end() -> Result<()> {
    in_namespace(async |ns| {
        policy::quota(ns, AT_MOST).await?;
        let mut stray = Vec::new();
        under(ns, Policy::stripping_owners(), async || {
            ns.create_cloneset(&cloneset("web", REPLICAS, &json!({}))).await?;
            stray = stops(ns).await?;
            Ok(())
        })
        .await?;
        recovers(ns).await?;
        for pod in stray {
            let now = ns.pods().get(&pod.name_any()).await?;
            assert_eq!(
                now.metadata.uid, pod.metadata.uid,
                "nobody's pods are not ours to delete"
            );
        }
        Ok(())
    })
    .await
}

/// A running set gives up one pod to such a policy at the most.
#[tokio::test]
async fn a_release_stops_where_pods_lose_their_owner_on_the_way() -> Result<()> {
    in_namespace(async |ns| {
        policy::quota(ns, AT_MOST).await?;
        let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", REPLICAS, &strategy)).await?;
        ns.reaches("web", Counters::at_rest(REPLICAS, REPLICAS)).await?;
        under(ns, Policy::stripping_owners(), async || {
            ns.set_image("web", NEW).await?;
            ns.until_cloneset("web", "Stalled", |object| is_true(object, STALLED))
                .await?;
            let old = ns.pods_of("web").await?;
            let kept = old.iter().filter(|pod| image(pod) == OLD).count();
            assert!(kept >= 2, "{kept} pods kept, of which 2 must be available");
            account::rests(ns).await
        })
        .await?;
        recovers(ns).await
    })
    .await
}

#[tokio::test]
async fn pods_that_lose_their_instance_id_on_the_way_are_not_made_without_end() -> Result<()> {
    in_namespace(async |ns| {
        policy::quota(ns, AT_MOST).await?;
        under(ns, Policy::stripping_label(labels::INSTANCE_ID), async || {
            ns.create_cloneset(&cloneset("web", REPLICAS, &json!({}))).await?;
            stops(ns).await?;
            Ok(())
        })
        .await?;
        recovers(ns).await?;
        // Those made in vain are ours by their owner, so they count, with their label put back.
        let pods = ns.pods().list(&ListParams::default()).await?.items;
        assert_eq!(pods.len(), 3);
        assert!(
            pods.iter()
                .all(|pod| pod.labels().contains_key(labels::INSTANCE_ID))
        );
        Ok(())
    })
    .await
}

/// Without it every new pod would look like an old one, and be replaced for ever.
#[tokio::test]
async fn pods_that_lose_their_revision_on_the_way_are_not_made_without_end() -> Result<()> {
    in_namespace(async |ns| {
        policy::quota(ns, AT_MOST).await?;
        under(ns, Policy::stripping_label(labels::REVISION), async || {
            ns.create_cloneset(&cloneset("web", REPLICAS, &json!({}))).await?;
            stops(ns).await?;
            Ok(())
        })
        .await?;
        recovers(ns).await
    })
    .await
}

/// What others add to our pods is theirs: neither a runaway nor a reason to update.
#[tokio::test]
async fn pods_that_others_decorate_on_the_way_are_ours_all_the_same() -> Result<()> {
    in_namespace(async |ns| {
        under(ns, Policy::decorating("ikubernetes/myapp:v2"), async || {
            let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
            ns.create_cloneset(&cloneset("web", REPLICAS, &strategy)).await?;
            ns.reaches("web", Counters::at_rest(REPLICAS, REPLICAS)).await?;
            account::rests(ns).await?;
            ns.set_image("web", NEW).await?;
            let object = ns.reaches("web", Counters::at_rest(REPLICAS, REPLICAS)).await?;
            assert_eq!(failures(&object), [] as [&_; 0]);
            account::reaches(ns, 6, 3).await?;
            account::rests(ns).await?;
            let pods = ns.pods_of("web").await?;
            assert!(pods.iter().all(|pod| pod.labels().contains_key("mesh")));
            assert!(pods.iter().all(|pod| image(pod) == "ikubernetes/myapp:v2"));
            Ok(())
        })
        .await
    })
    .await
}
