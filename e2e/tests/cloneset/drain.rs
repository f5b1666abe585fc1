//! Nobody notices an update in place: no request fails that is sent through the Service meanwhile, and a pod that is out
//! of service gets none, which its server's own log says.
//!
//! All that is between client and server is real: endpoints, kube-proxy, container. The client has a connection for each
//! request, so none is kept alive into a server's end, and the server is gone the moment it is told to end.

use crate::account;
use crate::service::service;
use anyhow::{Context as _, Result, ensure};
use cloneset_api::names::pod_conditions::IN_PLACE_UPDATE_READY;
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::pods::{condition, ready_since};
use e2e::witness::{Sighting, Subject};
use e2e::{Counters, Limits, Namespace, Traffic, Witness, in_namespace};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::LogParams;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const PODS: i32 = 3;
const GRACE_SECONDS: i64 = 3;
/// One rollout each.
const ROLLOUTS: [&str; 3] = [NEW, OLD, NEW];
/// Until everybody who sends to a pod has heard that it is out of service.
const WORD_SPREADS: SignedDuration = SignedDuration::from_secs(2);

/// Web servers, updated in place one after another once nobody sends to them.
fn servers() -> Value {
    let strategy = json!({
        "type": "InPlaceIfPossible", "maxUnavailable": 1,
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": GRACE_SECONDS}
    });
    // A container that runs does not listen yet. Whoever only connects is not in the server's log.
    let listens = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1});
    let containers = json!([{"name": "main", "image": OLD, "readinessProbe": listens}]);
    let object = cloneset("web", PODS, &json!({"updateStrategy": strategy}));
    changed(object, &[("spec.template.spec.containers", containers)])
}

/// When each pod's server was asked for something, by its own log.
type Heard = BTreeMap<String, BTreeSet<Timestamp>>;

/// Adds what the logs of the present or of the previous containers tell.
async fn hear(ns: &Namespace, previous: bool, heard: &mut Heard) -> Result<()> {
    let parameters = LogParams {
        previous,
        timestamps: true,
        ..LogParams::default()
    };
    for pod in ns.pods_of("web").await? {
        let log = ns.pods().logs(&pod.name_any(), &parameters).await?;
        let moments = heard.entry(pod.name_any()).or_default();
        for line in log.lines().filter(|line| line.contains("response:")) {
            let (moment, _) = line.split_once(' ').context("a line without a time")?;
            moments.insert(moment.parse()?);
        }
    }
    Ok(())
}

/// A time that a pod was out of service.
#[derive(Debug)]
struct Outage {
    pod: String,
    from: Timestamp,
    until: Timestamp,
}

/// From when the gate was seen closed until the kubelet called the pod ready again.
fn outages(sightings: &[Sighting]) -> Vec<Outage> {
    let mut open: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut outages = Vec::new();
    for Sighting { pod, seen, .. } in sightings {
        let name = pod.name_any();
        let gate = condition(pod, IN_PLACE_UPDATE_READY).map(|gate| gate.status.as_str());
        if gate == Some("False") {
            open.entry(name).or_insert(*seen);
        } else if let Some(until) = ready_since(pod)
            && let Some(from) = open.remove(&name)
        {
            let pod = name;
            outages.push(Outage { pod, from, until });
        }
    }
    outages
}

/// No pod was asked for anything while it was out of service, once word had spread.
fn were_left_in_peace(outages: &[Outage], heard: &Heard) -> Result<()> {
    for outage in outages {
        let (from, until) = (outage.from.checked_add(WORD_SPREADS)?, outage.until);
        ensure!(from < until, "too short to tell anything: {outage:?}");
        let moments = heard.get(&outage.pod).context("a pod without a log")?;
        let asked: Vec<_> = moments.range(from..until).collect();
        ensure!(asked.is_empty(), "asked at {asked:?} in {outage:?}");
    }
    Ok(())
}

/// Rolls out all images under a witness; what it saw, and what the servers heard.
async fn roll_out(ns: &Namespace) -> Result<(Vec<Sighting>, Heard)> {
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    };
    let limits = Limits {
        live: 3,
        available: 2,
        updated: 3,
    };
    let witness = Witness::start(ns, subject, limits).await?;
    let mut heard = Heard::new();
    for image in ROLLOUTS {
        ns.set_image("web", image).await?;
        ns.reaches("web", Counters::at_rest(PODS, PODS)).await?;
        // The kubelet keeps the log of one container that has ended.
        hear(ns, true, &mut heard).await?;
    }
    Ok((witness.finish().await?.sightings, heard))
}

fn uids(pods: &[Pod]) -> BTreeSet<Option<String>> {
    pods.iter().map(|pod| pod.metadata.uid.clone()).collect()
}

#[tokio::test]
async fn three_rollouts_in_place_cost_no_request_and_a_pod_out_of_service_gets_none() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&servers()).await?;
        ns.reaches("web", Counters::at_rest(PODS, PODS)).await?;
        let before = ns.pods_of("web").await?;
        let traffic = Traffic::start(service(ns).await?).await?;
        let (sightings, mut heard) = roll_out(ns).await?;
        let tally = traffic.finish();
        hear(ns, false, &mut heard).await?;

        assert_eq!(tally.failed, [""; 0], "of {} requests", tally.answered);
        assert_eq!(uids(&ns.pods_of("web").await?), uids(&before));
        let outages = outages(&sightings);
        assert_eq!(outages.len(), before.len() * ROLLOUTS.len(), "{outages:?}");
        were_left_in_peace(&outages, &heard)?;
        let in_logs: usize = heard.values().map(BTreeSet::len).sum();
        assert!(
            in_logs >= tally.answered,
            "{} requests were answered, and only {in_logs} are in the servers' logs",
            tally.answered
        );
        for pod in &before {
            let account = account::of_pod(ns, &pod.name_any())?;
            // One of each rollout's, and one that has put the new pod in service.
            assert_eq!(account.count("patch pods"), ROLLOUTS.len(), "{account}");
            assert_eq!(
                account.count("patch pods/status"),
                1 + 2 * ROLLOUTS.len(),
                "{account}"
            );
        }
        println!("{} requests answered, none failed", tally.answered);
        Ok(())
    })
    .await
}
