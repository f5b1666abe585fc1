//! A controller that starts while Kruise's manager is alive, because Helm could not look: GitOps, `helm template`.
//!
//! The manager is played by its Lease: that it is renewed is what the controller goes by.

use anyhow::{Result, ensure};
use e2e::fixtures::cloneset;
use e2e::waits::{Seen, quietly, until};
use e2e::{Cluster, Counters, Namespace, Replicas, in_place_of_the_installed};
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use tokio::task::JoinHandle;

const NAMESPACE: &str = "kruise-system";
const LEASE: &str = "kruise-manager";

#[tokio::test]
async fn while_kruise_is_alive_it_says_so_and_does_nothing_and_goes_on_once_kruise_is_not() -> Result<()> {
    in_place_of_the_installed(async |ns, replicas| {
        let alive = is_alive(ns).await?;
        let outcome = AssertUnwindSafe(is_held_and_goes_on(ns, replicas, &alive));
        let outcome = outcome.catch_unwind().await;
        alive.abort();
        is_gone(ns).await?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    })
    .await
}

async fn is_held_and_goes_on(ns: &Namespace, replicas: &Replicas, alive: &JoinHandle<()>) -> Result<()> {
    ns.create_cloneset(&cloneset("web", 1, &json!({}))).await?;
    let mut replica = replicas.launch("late").await?;
    replica
        .is_held("Kruise's manager seems to be alive: kruise-0")
        .await?;
    quietly("it must not act", async || {
        let web = ns.clonesets().get("web").await?;
        // The schema gives a status that no controller has written.
        let written = web.status.filter(|status| status.observed_generation != Some(-1));
        Ok(written.map(|status| format!("{status:?}")))
    })
    .await?;
    ensure!(ns.pods_of("web").await?.is_empty());

    alive.abort();
    // By itself, and not by a new start.
    ns.reaches("web", Counters::at_rest(1, 1)).await?;
    replicas.led_by(&replica).await?;
    replica.is_ready().await?;
    replica.ends_well().await
}

/// Renews the Lease until it is aborted.
async fn is_alive(cluster: &Cluster) -> Result<JoinHandle<()>> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    Api::<v1::Namespace>::all(cluster.client.clone())
        .patch(NAMESPACE, &PatchParams::apply("e2e"), &Patch::Apply(namespace))
        .await?;
    let leases: Api<Lease> = Api::namespaced(cluster.client.clone(), NAMESPACE);
    let renew = async move || {
        let renewed = format!("{:.6}", Timestamp::now());
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": LEASE},
            "spec": {"holderIdentity": "kruise-0", "leaseDurationSeconds": 15, "renewTime": renewed}
        });
        let renewal = Patch::Apply(lease);
        leases.patch(LEASE, &PatchParams::apply("e2e"), &renewal).await
    };
    renew().await?;
    Ok(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_secs(2));
        loop {
            ticks.tick().await;
            if let Err(error) = renew().await {
                eprintln!("a renewal failed: {error}");
            }
        }
    }))
}

/// What is left would hold back every later start for a while.
async fn is_gone(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<v1::Namespace> = Api::all(cluster.client.clone());
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    until("Kruise's namespace to be gone", async || {
        let left = namespaces.get_opt(NAMESPACE).await?;
        Ok(Seen::when(left.is_none(), || format!("{left:?}")))
    })
    .await
}
