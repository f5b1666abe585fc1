//! The documented way back finds the last version that served, also when the release left no pod of it.

use anyhow::{Context as _, Result};
use cloneset_api::CloneSet;
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::image;
use e2e::{Counters, Namespace, in_namespace};
use serde_json::{Value, json};

/// There is no such image.
const MISSING: &str = "registry.local/missing:v9";

fn revisions(object: &CloneSet) -> Option<[String; 2]> {
    let status = object.status.as_ref()?;
    Some([status.current_revision.clone()?, status.update_revision.clone()?])
}

/// Puts back the template of `status.currentRevision`, as `docs/how-to/troubleshooting.md` shows it.
async fn take_back(ns: &Namespace) -> Result<()> {
    let object = ns.clonesets().get("web").await?;
    let [current, _] = revisions(&object).context("no revisions in the status")?;
    let data = ns.revisions().get(&current).await?.data.context("no data")?;
    let mut template = data.0.pointer("/spec/template").cloned().unwrap_or_default();
    template.as_object_mut().context("no template")?.remove("$patch");
    let operations = json!([{"op": "replace", "path": "/spec/template", "value": template}]);
    let patch = operations.to_string();
    ns.kubectl(&["patch", "clone", "web", "--type=json", "--patch", &patch])
        .await?;
    Ok(())
}

/// From one version that serves to one that never does, and back.
async fn goes_back(ns: &Namespace, replicas: i32, strategy: &Value) -> Result<()> {
    let spec = json!({"updateStrategy": strategy});
    ns.create_cloneset(&cloneset("web", replicas, &spec)).await?;
    let object = ns.reaches("web", Counters::at_rest(replicas, replicas)).await?;
    let [served, _] = revisions(&object).context("no revisions in the status")?;
    ns.set_image("web", MISSING).await?;
    ns.until_pods("web", "no pod that serves to be left", |pods| {
        i32::try_from(pods.len()) == Ok(replicas) && pods.iter().all(|pod| image(pod) == MISSING)
    })
    .await?;
    let object = ns
        .until_cloneset("web", "the status of the bad version", |object| {
            let reported = Counters::reported(object);
            reported.is_some_and(|counters| counters.updated == replicas && counters.ready == 0)
        })
        .await?;
    let [current, update] = revisions(&object).context("no revisions in the status")?;
    assert_eq!(current, served, "the last version that served");
    assert_ne!(update, served);

    take_back(ns).await?;
    ns.reaches("web", Counters::at_rest(replicas, replicas)).await?;
    let pods = ns.pods_of("web").await?;
    assert!(pods.iter().all(|pod| image(pod) == OLD));
    Ok(())
}

#[tokio::test]
async fn the_way_back_from_a_version_that_never_served_is_known_with_one_replica() -> Result<()> {
    in_namespace(async |ns| goes_back(ns, 1, &json!({})).await).await
}

#[tokio::test]
async fn the_way_back_is_known_when_all_pods_were_replaced_at_once() -> Result<()> {
    in_namespace(async |ns| goes_back(ns, 3, &json!({"maxUnavailable": "100%"})).await).await
}

/// Nothing of the old version may be left: also in place, and also while a new pod is Ready but not yet available.
#[tokio::test]
async fn the_current_revision_stays_until_every_pod_is_available() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({"minReadySeconds": 6, "updateStrategy": {"maxUnavailable": "100%"}});
        ns.create_cloneset(&cloneset("web", 2, &spec)).await?;
        let object = ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let [served, _] = revisions(&object).context("no revisions in the status")?;
        ns.set_image("web", NEW).await?;
        let ready = |object: &CloneSet| {
            let reported = Counters::reported(object);
            reported.is_some_and(|counters| counters.updated_ready == 2 && counters.available == 0)
        };
        let object = ns
            .until_cloneset("web", "new pods that are Ready and not available", ready)
            .await?;
        let [current, update] = revisions(&object).context("no revisions in the status")?;
        assert_eq!(current, served);
        ns.until_cloneset("web", "the update revision to be the current one", |object| {
            revisions(object) == Some([update.clone(), update.clone()])
        })
        .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        Ok(())
    })
    .await
}
