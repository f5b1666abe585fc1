//! Lifecycle hooks as their owner sees them: a pod waits until its finalizer is there to serve, and until it is gone to
//! go. The hook of an update is shown in `in_place`.

use anyhow::{Context as _, Result};
use cloneset_api::names::{labels, lifecycle};
use e2e::fixtures::cloneset;
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const FINALIZER: &str = "example.com/registered";

async fn in_state(ns: &Namespace, count: usize, state: &str) -> Result<Vec<Pod>> {
    let what = format!("{count} pods in {state}");
    let is_there = |pod: &Pod| pod.labels().get(labels::LIFECYCLE_STATE).map(String::as_str) == Some(state);
    let pods = ns
        .until_pods("web", &what, |pods| {
            pods.iter().filter(|pod| is_there(pod)).count() == count
        })
        .await?;
    Ok(pods.into_iter().filter(is_there).collect())
}

async fn set_finalizers(ns: &Namespace, pods: &[Pod], finalizers: Value) -> Result<()> {
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    for pod in pods {
        ns.pods()
            .patch(&pod.name_any(), &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}

/// Waits until so many pods are there, and so many of them available.
async fn has(ns: &Namespace, replicas: i32, available: i32) -> Result<()> {
    let what = format!("{available} of {replicas} pods available");
    ns.until_cloneset("web", &what, |object| {
        let reported = Counters::reported(object);
        reported.map(|counters| (counters.replicas, counters.available)) == Some((replicas, available))
    })
    .await
    .map(drop)
}

#[tokio::test]
async fn a_finalizer_holds_a_pod_before_it_serves_and_before_it_goes() -> Result<()> {
    in_namespace(async |ns| {
        let hook = json!({"finalizersHandler": [FINALIZER]});
        let spec = json!({"lifecycle": {"preNormal": hook, "preDelete": hook}});
        ns.create_cloneset(&cloneset("web", 2, &spec)).await?;
        let new = in_state(ns, 2, lifecycle::PREPARING_NORMAL).await?;
        has(ns, 2, 0).await?;
        ns.leaves_alone("web", &new).await?;
        set_finalizers(ns, &new, json!([FINALIZER])).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;

        ns.patch("web", json!({"spec": {"replicas": 1}})).await?;
        let going = in_state(ns, 1, lifecycle::PREPARING_DELETE).await?;
        has(ns, 2, 1).await?;
        ns.leaves_alone("web", &ns.pods_of("web").await?).await?;
        set_finalizers(ns, &going, Value::Null).await?;
        let name = going.first().context("no pod")?.name_any();
        until("the pod that nothing holds any more to be gone", async || {
            let left = ns.pods().get_opt(&name).await?;
            Ok(Seen::when(left.is_none(), || "it is there".to_owned()))
        })
        .await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        Ok(())
    })
    .await
}
