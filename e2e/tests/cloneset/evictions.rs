//! Pods that leave by other hands than ours, and pods that cannot leave.

use crate::account;
use anyhow::{Context as _, Result};
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{Identity, image};
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, failures, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// Keeps a pod from going.
const FINALIZER: &str = "e2e.example.com/hold";

/// A CloneSet "web" at rest.
async fn at_rest(ns: &Namespace, replicas: i32) -> Result<Vec<Pod>> {
    let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
    ns.create_cloneset(&cloneset("web", replicas, &strategy)).await?;
    ns.reaches("web", Counters::at_rest(replicas, replicas)).await?;
    ns.pods_of("web").await
}

async fn set_finalizers(ns: &Namespace, pod: &Pod, finalizers: Value) -> Result<()> {
    let merge = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    ns.pods()
        .patch(&pod.name_any(), &PatchParams::default(), &merge)
        .await?;
    Ok(())
}

/// Lets all go that were kept, and waits until only live pods are left.
async fn let_go(ns: &Namespace, held: &[Pod]) -> Result<()> {
    for pod in held {
        set_finalizers(ns, pod, Value::Null).await?;
    }
    until("pods that were held to go", async || {
        let pods = ns.pods().list(&ListParams::default()).await?.items;
        let leaving = pods
            .iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_some());
        let leaving: Vec<String> = leaving.map(ResourceExt::name_any).collect();
        Ok(Seen::when(leaving.is_empty(), || format!("{leaving:?}")))
    })
    .await
}

#[tokio::test]
async fn an_evicted_pod_is_replaced_once() -> Result<()> {
    in_namespace(async |ns| {
        let before = at_rest(ns, 3).await?;
        let victim = before.first().map(ResourceExt::name_any).context("no pod")?;
        ns.pods().evict(&victim, &EvictParams::default()).await?;
        let now = ns
            .until_pods("web", &format!("another pod in the place of {victim}"), |pods| {
                pods.len() == 3 && pods.iter().all(|pod| pod.name_any() != victim)
            })
            .await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 4, 0).await?;
        let now = Identity::of_all(&now);
        let kept = Identity::of_all(&before)
            .into_iter()
            .filter(|pod| now.contains(pod));
        assert_eq!(kept.count(), 2, "a pod was touched that nobody evicted");
        account::rests(ns).await
    })
    .await
}

/// What the kubelet leaves of a pod that it evicted itself.
#[tokio::test]
async fn a_pod_that_its_node_evicted_is_replaced_once_and_left_for_people_to_read() -> Result<()> {
    in_namespace(async |ns| {
        let before = at_rest(ns, 3).await?;
        let victim = before.first().map(ResourceExt::name_any).context("no pod")?;
        let evicted = json!({"status": {
            "phase": "Failed",
            "reason": "Evicted",
            "message": "The node was low on resource: memory.",
        }});
        ns.pods()
            .patch_status(&victim, &PatchParams::default(), &Patch::Merge(evicted))
            .await?;
        ns.until_pods("web", &format!("another pod in the place of {victim}"), |pods| {
            pods.len() == 3 && pods.iter().all(|pod| pod.name_any() != victim)
        })
        .await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 4, 0).await?;
        account::rests(ns).await?;

        // It is no replica, so scaling in and updating pass it by.
        ns.patch("web", json!({"spec": {"replicas": 2}})).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        account::reaches(ns, 6, 3).await?;
        let left = ns.pods().get(&victim).await?;
        // The node, which knows nothing of an eviction, has taken the reason back by now, and may call the end of the
        // containers a success: the pod is there, and stays finished.
        let phase = left.status.and_then(|status| status.phase);
        assert!(
            matches!(phase.as_deref(), Some("Failed" | "Succeeded")),
            "{phase:?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn pods_that_a_finalizer_holds_stop_neither_the_release_nor_scaling_and_are_deleted_once() -> Result<()>
{
    in_namespace(async |ns| {
        let held = at_rest(ns, 2).await?;
        for pod in &held {
            set_finalizers(ns, pod, json!([FINALIZER])).await?;
        }
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        account::reaches(ns, 4, 2).await?;
        // Two that leave and two that stay: one of two is surplus, not three of four.
        ns.patch("web", json!({"spec": {"replicas": 1}})).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        account::reaches(ns, 4, 3).await?;
        ns.patch("web", json!({"spec": {"replicas": 3}})).await?;
        let object = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        account::reaches(ns, 6, 3).await?;
        account::rests(ns).await?;
        for pod in &held {
            let account = account::of_pod(ns, &pod.name_any())?;
            assert_eq!(account.count("delete pods"), 1, "{account}");
            let there = ns.pods().get(&pod.name_any()).await?;
            assert_eq!(image(&there), OLD);
        }
        let serving = ns.pods_of("web").await?;
        let_go(ns, &held).await?;
        ns.leaves_alone("web", &serving).await?;
        account::rests(ns).await
    })
    .await
}

#[tokio::test]
async fn a_pod_deleted_by_hand_that_cannot_go_is_replaced_at_once_and_once() -> Result<()> {
    in_namespace(async |ns| {
        let before = at_rest(ns, 2).await?;
        let held = before.into_iter().next().context("no pod")?;
        set_finalizers(ns, &held, json!([FINALIZER])).await?;
        ns.pods()
            .delete(&held.name_any(), &DeleteParams::default())
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        account::reaches(ns, 3, 0).await?;
        account::rests(ns).await?;
        let serving = ns.pods_of("web").await?;
        let_go(ns, &[held]).await?;
        ns.leaves_alone("web", &serving).await?;
        account::reaches(ns, 3, 0).await
    })
    .await
}
