//! Pods that a node rejects as soon as they are created: the controller creates others after pauses that grow, keeps few
//! of the failed ones, and reports the kubelet's reason.

use anyhow::{Context as _, Result};
use e2e::audit::controller_writes;
use e2e::fixtures::{OLD, changed, cloneset};
use e2e::waits::{Seen, until};
use e2e::{Cluster, Counters, Namespace, in_namespace};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

const REPLICAS: i32 = 2;
/// Creations that are closer together belong to one wave.
const WAVE: SignedDuration = SignedDuration::from_secs(3);
/// Waves that are waited for.
const WAVES: usize = 3;
/// Failed pods that may stay, for people to look at.
const FEW: usize = 5;

/// A node with real containers, by name: only a kubelet rejects pods.
async fn node(ns: &Namespace) -> Result<String> {
    let nodes: Api<Node> = Api::all(ns.client.clone());
    let real = ListParams::default().labels("type!=kwok");
    let list = nodes.list(&real).await?;
    Ok(list.items.first().context("no node")?.name_any())
}

/// When each wave of creation began.
fn waves(ns: &Namespace) -> Result<Vec<Timestamp>> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace == ns.name)?;
    let mut waves: Vec<Timestamp> = Vec::new();
    let mut last = None;
    for write in writes.iter().filter(|write| write.action() == "create pods") {
        let is_later = last.is_none_or(|last| write.received.duration_since(last) > WAVE);
        last = Some(write.received);
        waves.extend(is_later.then_some(write.received));
    }
    Ok(waves)
}

async fn failed_pods(ns: &Namespace) -> Result<Vec<String>> {
    let failed = ListParams::default().fields("status.phase=Failed");
    let list = ns.pods().list(&failed).await?;
    Ok(list.iter().map(kube::ResourceExt::name_any).collect())
}

/// Waits until a line of `kubectl describe` names one of the failed pods and the kubelet's reason.
async fn is_explained(ns: &Namespace) -> Result<()> {
    until(
        "a line that names a pod and the reason NodeAffinity",
        async || {
            let failed = failed_pods(ns).await?;
            let text = ns.kubectl(&["describe", "clone", "web"]).await?;
            let explains = |line: &str| {
                line.contains("NodeAffinity") && failed.iter().any(|pod| line.contains(pod.as_str()))
            };
            Ok(Seen::when(text.lines().any(explains), || text.clone()))
        },
    )
    .await
}

#[tokio::test]
async fn pods_that_fail_at_once_are_created_after_growing_pauses_and_few_are_kept() -> Result<()> {
    in_namespace(async |ns| {
        let rejected = json!({
            "nodeName": node(ns).await?,
            "nodeSelector": {"example.com/none": "here"},
            "containers": [{"name": "main", "image": OLD}]
        });
        let object = cloneset("web", REPLICAS, &json!({}));
        ns.create_cloneset(&changed(object, &[("spec.template.spec", rejected)]))
            .await?;
        is_explained(ns).await?;
        let waves = until(&format!("{WAVES} waves of creation"), async || {
            let waves = waves(ns)?;
            Ok(if waves.len() >= WAVES {
                Seen::Yes(waves)
            } else {
                Seen::NotYet(format!("{waves:?}"))
            })
        })
        .await?;
        let pauses: Vec<f64> = waves
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.duration_since(*pair.first()?).as_secs_f64()))
            .collect();
        assert!(
            pauses
                .windows(2)
                .all(|pair| pair.last() > pair.first().map(|first| first * 1.5).as_ref()),
            "{pauses:?}"
        );
        until("few failed pods to be left", async || {
            let failed = failed_pods(ns).await?;
            Ok(Seen::when(failed.len() <= FEW, || format!("{failed:?}")))
        })
        .await?;

        // Nothing waits for the pause of a version that is not wanted any more.
        let corrected = json!({"nodeName": null, "nodeSelector": null});
        ns.patch("web", json!({"spec": {"template": {"spec": corrected}}}))
            .await?;
        ns.reaches("web", Counters::at_rest(REPLICAS, REPLICAS)).await?;
        Ok(())
    })
    .await
}
