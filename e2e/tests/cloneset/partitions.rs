//! How many pods a partition holds back, written in all the ways it can be, and which way pods may move.

use anyhow::Result;
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::pods::{Identity, image, revision};
use e2e::{Counters, in_namespace};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

#[tokio::test]
async fn a_percent_partition_holds_back_its_share_and_is_reckoned_anew_when_replicas_change() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": "40%", "maxUnavailable": 2}});
        ns.create_cloneset(&cloneset("web", 5, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 3,
                ..Counters::at_rest(5, 5)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(5, 3)).await?;
        // 40 % of 2 is 0.8, so one pod stays old.
        ns.patch("web", json!({"spec": {"replicas": 2}})).await?;
        ns.reaches("web", Counters::at_rest(2, 1)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn ninety_nine_percent_of_three_updates_one_pod_and_a_hundred_percent_none() -> Result<()> {
    in_namespace(async |ns| {
        let all_but_one = json!({"updateStrategy": {"partition": "99%", "maxUnavailable": 1}});
        let all = json!({"updateStrategy": {"partition": "100%", "maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("nearly", 3, &all_but_one)).await?;
        ns.create_cloneset(&cloneset("fully", 2, &all)).await?;
        ns.reaches(
            "nearly",
            Counters {
                expected_updated: 1,
                ..Counters::at_rest(3, 3)
            },
        )
        .await?;
        ns.reaches(
            "fully",
            Counters {
                expected_updated: 0,
                ..Counters::at_rest(2, 2)
            },
        )
        .await?;
        let before = ns.pods_of("fully").await?;
        ns.set_image("nearly", NEW).await?;
        ns.set_image("fully", NEW).await?;
        ns.reaches("nearly", Counters::at_rest(3, 1)).await?;
        ns.reaches("fully", Counters::at_rest(2, 0)).await?;
        ns.leaves_alone("fully", &before).await
    })
    .await
}

#[tokio::test]
async fn raising_the_partition_moves_no_pod_back() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": 1, "maxUnavailable": 2}});
        ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 2,
                ..Counters::at_rest(3, 3)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(3, 2)).await?;
        let before = ns.pods_of("web").await?;
        ns.patch("web", json!({"spec": {"updateStrategy": {"partition": 3}}}))
            .await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 0,
                ..Counters::at_rest(3, 2)
            },
        )
        .await?;
        ns.leaves_alone("web", &before).await
    })
    .await
}

#[tokio::test]
async fn going_back_to_the_old_template_reuses_its_revision_and_moves_only_the_new_pods() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": 2, "maxUnavailable": 1}});
        // Characters that JSON may be written with in two ways: the revision must be the same in both.
        let note = (
            "spec.template.metadata.annotations",
            json!({"note": "a & b < c > d"}),
        );
        ns.create_cloneset(&changed(cloneset("web", 3, &strategy), &[note]))
            .await?;
        let created = ns
            .reaches(
                "web",
                Counters {
                    expected_updated: 1,
                    ..Counters::at_rest(3, 3)
                },
            )
            .await?;
        ns.set_image("web", NEW).await?;
        let moved = ns.reaches("web", Counters::at_rest(3, 1)).await?;
        let mut untouched = ns.pods_of("web").await?;
        untouched.retain(|pod| image(pod) == OLD);

        ns.set_image("web", OLD).await?;
        ns.patch("web", json!({"spec": {"updateStrategy": {"partition": 0}}}))
            .await?;
        let back = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let revision_of =
            |object: &cloneset_api::CloneSet| object.status.clone().and_then(|s| s.update_revision);
        assert_eq!(
            revision_of(&back),
            revision_of(&created),
            "the same content is the same revision"
        );
        assert_ne!(revision_of(&moved), revision_of(&created));
        let now = Identity::of_all(&ns.pods_of("web").await?);
        for pod in Identity::of_all(&untouched) {
            assert!(
                now.contains(&pod),
                "{} had the old template all along, but is not as it was",
                pod.name
            );
        }
        let revisions = ns.revisions().list(&ListParams::default()).await?;
        assert_eq!(revisions.items.len(), 2, "going back made a revision");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_deleted_by_hand_is_replaced_with_the_revision_that_restores_the_partition() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"partition": 2, "maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 1,
                ..Counters::at_rest(3, 3)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(3, 1)).await?;
        for lost in [OLD, NEW] {
            let before = ns.pods_of("web").await?;
            let victim = before
                .iter()
                .find(|pod| image(pod) == lost)
                .map(ResourceExt::name_any)
                .unwrap_or_default();
            ns.pods().delete(&victim, &DeleteParams::default()).await?;
            let what = format!("a pod with image {lost} in the place of {victim}");
            let after = ns
                .until_pods("web", &what, |pods| {
                    pods.len() == 3
                        && pods.iter().all(|pod| pod.name_any() != victim)
                        && pods.iter().filter(|pod| image(pod) == NEW).count() == 1
                })
                .await?;
            let known: Vec<_> = before.iter().map(revision).collect();
            assert!(
                after.iter().all(|pod| known.contains(&revision(pod))),
                "no third revision"
            );
            ns.reaches("web", Counters::at_rest(3, 1)).await?;
        }
        Ok(())
    })
    .await
}
