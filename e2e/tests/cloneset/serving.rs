//! Pods that serve but are not available yet (`minReadySeconds` has not passed) are not given up for pods that prove
//! nothing.
//!
//! Watched from outside by two: a client that opens a connection for each request through the Service, and a count of the
//! old pods that are Ready after every pod event. The new version is slow to become Ready, so that a serving pod that went
//! too early is missed by the client.

use crate::service::service;
use anyhow::{Result, ensure};
use cloneset_api::names::labels;
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::pods::{image, is_live, ready_since};
use e2e::witness::{Sighting, Subject};
use e2e::{Counters, Limits, Namespace, Traffic, Witness, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What release tools write to keep every pod of a blue-green release from being available.
const NEVER_AVAILABLE: i32 = 2_147_483_646;
/// An hour, so not during a test.
const NOT_YET_AVAILABLE: i32 = 3600;
/// How long the new version takes to become Ready.
const SLOW_SECONDS: i32 = 4;
/// Until everybody who sends to a pod knows that it is terminating.
const DRAIN_SECONDS: i32 = 3;

/// A web server that finishes its requests before it ends.
fn template(image: &str, delay: i32) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {
            "terminationGracePeriodSeconds": 10,
            "containers": [{
                "name": "main",
                "image": image,
                "readinessProbe": {"tcpSocket": {"port": 80}, "periodSeconds": 1, "initialDelaySeconds": delay},
                "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_SECONDS}}}
            }]
        }
    })
}

fn old_template() -> Value {
    template(OLD, 0)
}

fn new_template() -> Value {
    template(NEW, SLOW_SECONDS)
}

/// A CloneSet whose pods serve and are not available, and a client that sends requests to them.
struct Served<'a> {
    ns: &'a Namespace,
    old: BTreeSet<String>,
    traffic: Traffic,
}

impl<'a> Served<'a> {
    async fn start(ns: &'a Namespace, replicas: i32, min_ready: i32, strategy: &Value) -> Result<Self> {
        let spec = json!({"minReadySeconds": min_ready, "updateStrategy": strategy});
        let object = changed(
            cloneset("web", replicas, &spec),
            &[("spec.template", old_template())],
        );
        ns.create_cloneset(&object).await?;
        ns.until_cloneset("web", "every pod to be Ready and none available", |object| {
            let reported = Counters::reported(object);
            reported.is_some_and(|counters| counters.ready == replicas && counters.available == 0)
        })
        .await?;
        let old = uids(&ns.pods_of("web").await?);
        let traffic = Traffic::start(service(ns).await?).await?;
        Ok(Self { ns, old, traffic })
    }

    async fn spec(&self, change: Value) -> Result<()> {
        self.ns.patch("web", json!({"spec": change})).await.map(drop)
    }

    /// Waits until so many new pods are Ready, and watches that nothing happens to any pod then.
    async fn rests_with(&self, new: usize) -> Result<()> {
        let what = format!("{new} Ready pods of the new version");
        let pods = self
            .ns
            .until_pods("web", &what, |pods| {
                let ready = |pod: &&Pod| image(pod) == NEW && ready_since(pod).is_some();
                pods.iter().filter(ready).count() == new
            })
            .await?;
        ensure!(
            pods.len() == self.old.len() + new,
            "{} pods, of which {new} are new and {} should be old",
            pods.len(),
            self.old.len()
        );
        self.ns.leaves_alone("web", &pods).await
    }

    /// Ends the release: pods are available as soon as they are Ready.
    async fn completes(&self, replicas: i32) -> Result<()> {
        self.spec(json!({"minReadySeconds": 0, "updateStrategy": {"partition": 0}}))
            .await?;
        self.ns
            .reaches("web", Counters::at_rest(replicas, replicas))
            .await?;
        Ok(())
    }

    fn lost_no_request(self) {
        let tally = self.traffic.finish();
        assert_eq!(tally.failed, [""; 0], "of {} requests", tally.answered);
    }
}

fn uids(pods: &[Pod]) -> BTreeSet<String> {
    pods.iter().filter_map(Pod::uid).collect()
}

/// Counts Ready pods, whatever minReadySeconds is.
async fn witness(ns: &Namespace, live: usize, ready: usize) -> Result<Witness> {
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    };
    let limits = Limits {
        live,
        available: ready,
        updated: live,
    };
    Witness::start(ns, subject, limits).await
}

/// The fewest of these pods that were Ready at once.
fn fewest_ready(of: &BTreeSet<String>, sightings: &[Sighting]) -> usize {
    let mut ready: BTreeMap<&str, bool> = of.iter().map(|uid| (uid.as_str(), true)).collect();
    let mut fewest = ready.len();
    for Sighting { pod, change, .. } in sightings {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        if let Some(is_ready) = ready.get_mut(uid) {
            *is_ready = *change != "deleted" && is_live(pod) && ready_since(pod).is_some();
        }
        fewest = fewest.min(ready.values().filter(|is_ready| **is_ready).count());
    }
    fewest
}

#[tokio::test]
async fn the_only_pod_serves_until_its_successor_is_available() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"maxSurge": 1, "maxUnavailable": 0});
        let served = Served::start(ns, 1, NOT_YET_AVAILABLE, &strategy).await?;
        let witness = witness(ns, 2, 1).await?;
        served.spec(json!({"template": new_template()})).await?;
        served.rests_with(1).await?;
        let testimony = witness.finish().await?;
        assert_eq!(fewest_ready(&served.old, &testimony.sightings), 1);
        served.completes(1).await?;
        served.lost_no_request();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_blue_green_release_has_both_versions_complete_until_it_is_finished() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"maxSurge": "100%", "maxUnavailable": 0});
        let served = Served::start(ns, 5, NEVER_AVAILABLE, &strategy).await?;
        let witness = witness(ns, 10, 5).await?;
        served.spec(json!({"template": new_template()})).await?;
        served.rests_with(5).await?;
        let testimony = witness.finish().await?;
        assert_eq!(fewest_ready(&served.old, &testimony.sightings), 5);
        served.completes(5).await?;
        let now = ns.pods_of("web").await?;
        assert!(uids(&now).is_disjoint(&served.old));
        served.lost_no_request();
        Ok(())
    })
    .await
}

/// The steps of a release tool: nothing moves at first, then surge grows.
#[tokio::test]
async fn a_blue_green_release_in_steps_keeps_every_old_pod() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"maxSurge": 1, "maxUnavailable": 0, "partition": "100%"});
        let served = Served::start(ns, 5, NEVER_AVAILABLE, &strategy).await?;
        let witness = witness(ns, 10, 5).await?;
        served.spec(json!({"template": new_template()})).await?;
        served.rests_with(0).await?;
        let half = json!({"updateStrategy": {"maxSurge": "50%", "partition": 0}});
        served.spec(half).await?;
        served.rests_with(3).await?;
        served
            .spec(json!({"updateStrategy": {"maxSurge": "100%"}}))
            .await?;
        served.rests_with(5).await?;
        let testimony = witness.finish().await?;
        assert_eq!(fewest_ready(&served.old, &testimony.sightings), 5);
        served.completes(5).await?;
        served.lost_no_request();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_blue_green_release_that_is_taken_back_keeps_every_old_pod_and_no_new_one() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"maxSurge": "100%", "maxUnavailable": 0});
        let served = Served::start(ns, 5, NEVER_AVAILABLE, &strategy).await?;
        let witness = witness(ns, 10, 5).await?;
        served.spec(json!({"template": new_template()})).await?;
        served.rests_with(5).await?;
        let back = json!({"template": old_template(), "updateStrategy": {"partition": "100%"}});
        served.spec(back).await?;
        served.completes(5).await?;
        let testimony = witness.finish().await?;
        assert_eq!(fewest_ready(&served.old, &testimony.sightings), 5);
        assert_eq!(uids(&ns.pods_of("web").await?), served.old);
        served.lost_no_request();
        Ok(())
    })
    .await
}

#[tokio::test]
async fn pods_marked_for_deletion_all_at_once_go_one_by_one() -> Result<()> {
    in_namespace(async |ns| {
        let served = Served::start(ns, 5, NOT_YET_AVAILABLE, &json!({"maxUnavailable": 1})).await?;
        let witness = witness(ns, 5, 4).await?;
        let mark = Patch::Merge(json!({"metadata": {"labels": {labels::SPECIFIED_DELETE: "true"}}}));
        for pod in ns.pods_of("web").await? {
            ns.pods()
                .patch_metadata(&pod.name_any(), &PatchParams::default(), &mark)
                .await?;
        }
        ns.until_pods("web", "five Ready pods that nobody marked", |pods| {
            let ready = pods.iter().filter(|pod| ready_since(pod).is_some()).count();
            ready == 5 && pods.len() == 5 && uids(pods).is_disjoint(&served.old)
        })
        .await?;
        let testimony = witness.finish().await?;
        assert_eq!(testimony.fewest_available(), 4, "one at a time was allowed");
        served.lost_no_request();
        Ok(())
    })
    .await
}
