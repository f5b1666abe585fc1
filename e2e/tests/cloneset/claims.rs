//! Claims with real volumes: data outlives a pod that somebody deletes, and goes with one that the controller deletes.

use crate::notes;
use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{NEW, cloneset, with};
use e2e::pods::image;
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, failures, in_namespace};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

/// A CloneSet "web" at rest, whose pods mount a claim each; `spec` adds fields.
async fn at_rest(ns: &Namespace, replicas: i32, spec: &Value) -> Result<Vec<Pod>> {
    let claims = json!({"volumeClaimTemplates": [{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    }]});
    let mut manifest = cloneset("web", replicas, &with(claims, spec));
    let mount = json!([{"name": "data", "mountPath": notes::PLACE}]);
    let container = manifest.pointer_mut("/spec/template/spec/containers/0");
    container.context("no container")?["volumeMounts"] = mount;
    ns.create_cloneset(&manifest).await?;
    ns.reaches("web", Counters::at_rest(replicas, replicas)).await?;
    ns.pods_of("web").await
}

fn claims(ns: &Namespace) -> Api<PersistentVolumeClaim> {
    Api::namespaced(ns.pods().into_client(), &ns.name)
}

/// Waits until the claims are those of these pods.
async fn are_those_of(ns: &Namespace, pods: &[Pod]) -> Result<()> {
    let mut wanted: Vec<String> = pods
        .iter()
        .map(|pod| format!("data-{}", pod.name_any()))
        .collect();
    wanted.sort();
    until("the claims to be those of the pods", async || {
        let found = claims(ns).list(&ListParams::default()).await?.items;
        let found: Vec<String> = found.iter().map(ResourceExt::name_any).collect();
        Ok(Seen::when(found == wanted, || {
            format!("{found:?}, not {wanted:?}")
        }))
    })
    .await
}

#[tokio::test]
async fn data_outlives_a_pod_that_somebody_deletes() -> Result<()> {
    in_namespace(async |ns| {
        let before = at_rest(ns, 2, &json!({})).await?;
        for pod in &before {
            notes::write(ns, &pod.name_any(), &pod.name_any()).await?;
        }
        let held = claims(ns).list(&ListParams::default()).await?.items;
        let victim = before.first().context("no pod")?;
        let name = victim.name_any();
        ns.pods().delete(&name, &DeleteParams::default()).await?;
        ns.until_pods("web", &format!("another pod named {name}"), |pods| {
            let is_next = |pod: &Pod| pod.name_any() == name && pod.metadata.uid != victim.metadata.uid;
            pods.len() == 2 && pods.iter().any(is_next)
        })
        .await?;
        let rested = ns.reaches("web", Counters::at_rest(2, 2)).await?;
        assert_eq!(failures(&rested), [] as [&_; 0]);
        assert_eq!(notes::read(ns, &name).await?, name);
        let now = claims(ns).list(&ListParams::default()).await?.items;
        let uids = |claims: &[PersistentVolumeClaim]| -> Vec<_> {
            claims.iter().map(|claim| claim.metadata.uid.clone()).collect()
        };
        assert_eq!(uids(&now), uids(&held), "the very same claims");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn claims_go_with_the_pods_that_the_controller_deletes() -> Result<()> {
    in_namespace(async |ns| {
        for pod in at_rest(ns, 3, &json!({"updateStrategy": {"maxUnavailable": 1}})).await? {
            notes::write(ns, &pod.name_any(), "old").await?;
        }
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let released = ns
            .until_pods("web", "three pods of the new image", |pods| {
                pods.len() == 3 && pods.iter().all(|pod| image(pod) == NEW)
            })
            .await?;
        are_those_of(ns, &released).await?;
        for pod in &released {
            let note = notes::read(ns, &pod.name_any()).await?;
            ensure!(note.is_empty(), "{} begins with {note:?}", pod.name_any());
        }
        ns.patch("web", json!({"spec": {"replicas": 1}})).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let left = ns.until_pods("web", "one pod", |pods| pods.len() == 1).await?;
        are_those_of(ns, &left).await
    })
    .await
}

#[tokio::test]
async fn without_reuse_a_pod_takes_its_claim_along() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({"scaleStrategy": {"disablePVCReuse": true}});
        let before = at_rest(ns, 2, &spec).await?;
        let victim = before.first().context("no pod")?.name_any();
        ns.pods().delete(&victim, &DeleteParams::default()).await?;
        let now = ns
            .until_pods("web", &format!("another pod in the place of {victim}"), |pods| {
                pods.len() == 2 && pods.iter().all(|pod| pod.name_any() != victim)
            })
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        are_those_of(ns, &now).await
    })
    .await
}

#[tokio::test]
async fn claims_go_with_their_cloneset() -> Result<()> {
    in_namespace(async |ns| {
        at_rest(ns, 2, &json!({})).await?;
        ns.clonesets().delete("web", &DeleteParams::default()).await?;
        are_those_of(ns, &[]).await
    })
    .await
}
