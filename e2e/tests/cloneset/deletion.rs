//! Which pods go, and that no others do.

use anyhow::Result;
use cloneset_api::names::{annotations, labels};
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{Identity, image};
use e2e::waits::{Seen, until};
use e2e::{Counters, in_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

/// An image for a second release.
const THIRD: &str = "ikubernetes/myapp:v1";

#[tokio::test]
async fn a_pod_marked_for_deletion_is_deleted_and_replaced_and_no_other_is_touched() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": 1, "maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 2, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 1,
                ..Counters::at_rest(2, 2)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 1)).await?;
        let (marked, others): (Vec<_>, Vec<_>) = ns
            .pods_of("web")
            .await?
            .into_iter()
            .partition(|pod| image(pod) == OLD);
        let victim = marked.first().map(ResourceExt::name_any).unwrap_or_default();

        let mark = Patch::Merge(json!({"metadata": {"labels": {labels::SPECIFIED_DELETE: "true"}}}));
        ns.pods().patch(&victim, &PatchParams::default(), &mark).await?;
        let after = ns
            .until_pods(
                "web",
                &format!("{victim} to be replaced by another old pod"),
                |pods| {
                    pods.len() == 2
                        && pods.iter().all(|pod| pod.name_any() != victim)
                        && pods.iter().filter(|pod| image(pod) == OLD).count() == 1
                },
            )
            .await?;
        let after = Identity::of_all(&after);
        assert!(
            Identity::of_all(&others)
                .iter()
                .all(|other| after.contains(other)),
            "another pod was touched"
        );
        ns.reaches("web", Counters::at_rest(2, 1)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn scaling_down_takes_the_pod_with_the_lowest_deletion_cost() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 3, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let pods = ns.pods_of("web").await?;
        let cheap = pods.get(1).map(ResourceExt::name_any).unwrap_or_default();
        let cost = Patch::Merge(json!({"metadata": {"annotations": {annotations::DELETION_COST: "-100"}}}));
        ns.pods().patch(&cheap, &PatchParams::default(), &cost).await?;
        // The cost alone deletes nothing; and pods and CloneSets are watched apart, so this lets the cost arrive.
        let annotated = ns.pods_of("web").await?;
        ns.leaves_alone("web", &annotated).await?;
        ns.patch("web", json!({"spec": {"replicas": 2}})).await?;
        let left = ns
            .until_pods("web", "two pods to be left", |pods| pods.len() == 2)
            .await?;
        assert!(
            left.iter().all(|pod| pod.name_any() != cheap),
            "{cheap} was the cheapest to delete"
        );
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn deleting_a_cloneset_deletes_its_pods_and_revisions() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 2, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        ns.clonesets().delete("web", &DeleteParams::default()).await?;
        until("pods and revisions to be garbage-collected", async || {
            let pods = ns.pods().list(&ListParams::default()).await?.items.len();
            let revisions = ns.revisions().list(&ListParams::default()).await?.items.len();
            Ok(Seen::when(pods + revisions == 0, || {
                format!("{pods} pods and {revisions} revisions")
            }))
        })
        .await
    })
    .await
}

#[tokio::test]
async fn scenario_63_two_clonesets_with_the_same_selector_do_not_touch_each_others_pods() -> Result<()> {
    in_namespace(async |ns| {
        let shared = json!({
            "selector": {"matchLabels": {"app": "shared"}},
            "updateStrategy": {"maxUnavailable": 1},
            "template": {
                "metadata": {"labels": {"app": "shared"}},
                "spec": {"containers": [{"name": "main", "image": OLD}]}
            }
        });
        for name in ["left", "right"] {
            ns.create_cloneset(&cloneset(name, 2, &shared)).await?;
        }
        ns.reaches("left", Counters::at_rest(2, 2)).await?;
        ns.reaches("right", Counters::at_rest(2, 2)).await?;
        let right = ns.pods_of("right").await?;

        ns.set_image("left", NEW).await?;
        ns.reaches("left", Counters::at_rest(2, 2)).await?;
        ns.patch("left", json!({"spec": {"replicas": 0}})).await?;
        ns.reaches("left", Counters::at_rest(0, 0)).await?;
        ns.clonesets().delete("left", &DeleteParams::default()).await?;
        ns.leaves_alone("right", &right).await?;
        ns.reaches("right", Counters::at_rest(2, 2)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_revisions_that_no_pod_has_only_the_newest_are_kept() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({"revisionHistoryLimit": 1, "updateStrategy": {"maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 1, &spec)).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let mut updates = Vec::new();
        for image in [NEW, THIRD] {
            ns.set_image("web", image).await?;
            let object = ns.reaches("web", Counters::at_rest(1, 1)).await?;
            updates.push(object.status.and_then(|status| status.update_revision));
        }
        until("the first revision to be deleted, and no other", async || {
            let left = ns.revisions().list(&ListParams::default()).await?.items;
            let names: Vec<_> = left.iter().map(|revision| Some(revision.name_any())).collect();
            let kept = names.len() == 2 && updates.iter().all(|update| names.contains(update));
            Ok(Seen::when(kept, || format!("{names:?}")))
        })
        .await
    })
    .await
}
