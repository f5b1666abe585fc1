//! What a feature gate that is off unless asked for adds: resources changed in place.
//!
//! Turned on as a user would, by a value of the chart, so this changes the release for everybody: a binary of its own,
//! after the ordinary tests. It ends with the release as it found it.

use anyhow::{Context as _, Result};
use e2e::audit::{by_pod, controller_writes};
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::pods::Identity;
use e2e::witness::Subject;
use e2e::{Cluster, Counters, Limits, Namespace, Witness, in_namespace, install};
use futures::FutureExt as _;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, resume_unwind};

const GATE: &str = "featureGates=InPlaceWorkloadVerticalScaling=true";

#[tokio::test]
async fn resources_change_on_the_running_pod_and_nothing_restarts() -> Result<()> {
    in_namespace(async |ns| {
        install::with_values(ns, &[GATE]).await?;
        let outcome = AssertUnwindSafe(resizes(ns)).catch_unwind().await;
        install::with_values(ns, &[])
            .await
            .context("the feature gate is still on: `helm upgrade` turns it off")?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))
    })
    .await
}

fn containers(cpu: &str, memory: &str) -> Value {
    let amounts = json!({"cpu": cpu, "memory": memory});
    json!([{"name": "main", "image": OLD, "resources": {"requests": amounts, "limits": amounts}}])
}

fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()
}

/// What must stay: the pod, and the very container.
fn lives(pods: &[Pod]) -> Vec<(Option<String>, Option<String>, i32)> {
    let of = |pod: &Pod| {
        let status = main_container(pod)?;
        Some((
            pod.metadata.uid.clone(),
            status.container_id.clone(),
            status.restart_count,
        ))
    };
    pods.iter().filter_map(of).collect()
}

/// What the kubelet says the container has.
fn has(pod: &Pod) -> Result<Value> {
    let status = main_container(pod).context("no container")?;
    Ok(serde_json::to_value(&status.resources)?)
}

async fn resizes(ns: &Namespace) -> Result<()> {
    let strategy = json!({"updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 1}});
    let object = cloneset("web", 2, &strategy);
    let object = changed(
        object,
        &[("spec.template.spec.containers", containers("10m", "32Mi"))],
    );
    ns.create_cloneset(&object).await?;
    ns.reaches("web", Counters::at_rest(2, 2)).await?;
    let before = ns.pods_of("web").await?;
    // Not even out of service.
    let witness = Witness::start(ns, subject(), NOBODY_MISSING).await?;
    let larger = containers("20m", "48Mi");
    ns.patch(
        "web",
        json!({"spec": {"template": {"spec": {"containers": larger}}}}),
    )
    .await?;
    ns.reaches("web", Counters::at_rest(2, 2)).await?;
    witness.finish().await?;

    let after = ns.pods_of("web").await?;
    assert_eq!(lives(&after), lives(&before));
    assert_eq!(lives(&after).len(), 2);
    let amounts = json!({"cpu": "20m", "memory": "48Mi"});
    for pod in &after {
        assert_eq!(has(pod)?, json!({"limits": amounts, "requests": amounts}));
    }
    costs(ns, &after)
}

const NOBODY_MISSING: Limits = Limits {
    live: 2,
    available: 2,
    updated: 0,
};

fn subject() -> Subject {
    Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    }
}

/// Three writes to an updated pod and one for the resize, besides the one that put it in service.
fn costs(ns: &Namespace, pods: &[Pod]) -> Result<()> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace == ns.name)?;
    let accounts = by_pod(&writes);
    for Identity { name, .. } in Identity::of_all(pods) {
        let account = accounts.get(&(ns.name.clone(), name)).context("no writes")?;
        println!("{account}");
        assert_eq!(account.count("patch pods/resize"), 1, "{account}");
        let patches = account.count("patch pods") + account.count("patch pods/status");
        assert!(patches <= 4, "{account}");
    }
    Ok(())
}
