//! The CloneSet that goes through the faults, the operations on it, and what must be true after each.

use anyhow::{Context as _, Result, ensure};
use cloneset_api::names::labels;
use e2e::fixtures::{OLD, cloneset};
use e2e::pods::{is_live, outline};
use e2e::waits::{Seen, until};
use e2e::witness::{Sighting, Subject, Testimony};
use e2e::{Counters, Limits, Namespace, Witness};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Name of the CloneSet.
pub(crate) const WEB: &str = "web";

/// A change of the spec, and what it may and must lead to.
pub(crate) struct Operation {
    /// For people.
    pub(crate) what: String,
    /// Merged into the CloneSet.
    pub(crate) change: Value,
    /// The image that counts as updated.
    pub(crate) image: &'static str,
    /// What holds all the way.
    pub(crate) limits: Limits,
    /// Exactly so many pods are made.
    pub(crate) created: usize,
    /// How it ends.
    pub(crate) rest: Counters,
    /// Exactly so many revisions are there in the end.
    pub(crate) revisions: usize,
}

/// Creates the CloneSet and waits until it is at rest.
pub(crate) async fn create(ns: &Namespace, replicas: i32, strategy: &Value) -> Result<()> {
    let spec = json!({"updateStrategy": strategy});
    ns.create_cloneset(&cloneset(WEB, replicas, &spec)).await?;
    ns.reaches(WEB, Counters::at_rest(replicas, replicas))
        .await
        .map(drop)
}

/// The part of a change that brings another image.
pub(crate) fn template(image: &str) -> Value {
    json!({"spec": {"containers": [{"name": "main", "image": image}]}})
}

/// A witness of S1 to S3.
pub(crate) async fn witness(ns: &Namespace, image: &str, limits: Limits) -> Result<Witness> {
    let subject = Subject {
        cloneset: WEB.into(),
        updated_image: image.into(),
        min_ready: SignedDuration::ZERO,
    };
    Witness::start(ns, subject, limits).await
}

/// From rest to rest under a witness, with whatever `meanwhile` does in between; it ends when the CloneSet is at rest.
pub(crate) async fn carry_out(
    ns: &Namespace,
    operation: &Operation,
    meanwhile: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let witness = witness(ns, operation.image, operation.limits.clone()).await?;
    ns.patch(WEB, operation.change.clone()).await?;
    meanwhile().await?;
    ns.reaches(WEB, operation.rest).await?;
    let testimony = witness.finish().await?;
    nothing_is_doubled(&testimony, operation.created)?;
    is_exactly(ns, operation).await
}

/// No pod too many was ever made, and no two live ones had the same instance id.
fn nothing_is_doubled(testimony: &Testimony, created: usize) -> Result<()> {
    let mut present: BTreeMap<String, &Pod> = BTreeMap::new();
    let mut made = 0;
    for Sighting { pod, change, .. } in &testimony.sightings {
        let uid = pod.uid().context("a pod without a UID")?;
        made += usize::from(*change == "added");
        if *change == "deleted" {
            present.remove(&uid);
        } else {
            present.insert(uid, pod);
        }
        let live = present.values().copied().filter(|pod| is_live(pod));
        let mut ids = BTreeSet::new();
        for other in live {
            let id = other.labels().get(labels::INSTANCE_ID);
            ensure!(ids.insert(id), "two live pods with instance id {id:?}");
        }
    }
    ensure!(
        made == created,
        "{made} pods were made, and {created} were needed"
    );
    Ok(())
}

/// Every pod of the namespace is one of the CloneSet's, and there are exactly as many pods and revisions as there
/// should be.
pub(crate) async fn is_exactly(ns: &Namespace, operation: &Operation) -> Result<()> {
    let wanted = usize::try_from(operation.rest.replicas)?;
    let what = format!("exactly {wanted} pods in the namespace");
    let all = until(&what, async || {
        let pods = ns.pods().list(&ListParams::default()).await?.items;
        Ok(if pods.len() == wanted {
            Seen::Yes(pods)
        } else {
            Seen::NotYet(outline(&pods))
        })
    })
    .await?;
    let ours = ns.pods_of(WEB).await?;
    ensure!(
        ours.len() == wanted,
        "pods of nobody: all {}, ours {}",
        outline(&all),
        outline(&ours)
    );
    let revisions = ns.revisions().list(&ListParams::default()).await?.items;
    let contents: BTreeSet<_> = revisions
        .iter()
        .map(|revision| format!("{:?}", revision.data))
        .collect();
    ensure!(
        revisions.len() == operation.revisions && contents.len() == revisions.len(),
        "{} revisions were expected, each different: {:?}",
        operation.revisions,
        revisions.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    );
    Ok(())
}

/// A rollout of all pods, two at a time, from the first image.
pub(crate) fn of_all(replicas: u16, image: &'static str) -> Operation {
    assert_ne!(image, OLD, "the first image is there already");
    let all = usize::from(replicas);
    Operation {
        what: format!("the rollout of {image}"),
        change: json!({"spec": {"template": template(image)}}),
        image,
        limits: Limits {
            live: all,
            available: all.saturating_sub(2),
            updated: all,
        },
        created: all,
        rest: Counters::at_rest(replicas.into(), replicas.into()),
        revisions: 2,
    }
}
