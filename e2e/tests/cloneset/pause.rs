//! A paused rollout stands still, and goes on where it stopped.

use anyhow::Result;
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::image;
use e2e::{Counters, failures, in_namespace};
use serde_json::json;

#[tokio::test]
async fn a_paused_rollout_moves_nothing_still_scales_and_resumes() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"maxUnavailable": 2}});
        ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let before = ns.pods_of("web").await?;

        ns.patch("web", json!({"spec": {"updateStrategy": {"paused": true}}}))
            .await?;
        ns.set_image("web", NEW).await?;
        let paused = ns
            .reaches(
                "web",
                Counters {
                    expected_updated: 3,
                    ..Counters::at_rest(3, 0)
                },
            )
            .await?;
        assert_eq!(failures(&paused), [] as [&_; 0], "paused is not failed");
        ns.leaves_alone("web", &before).await?;

        // A pod that is missing is created, and with partition 0 it is a new one.
        ns.patch("web", json!({"spec": {"replicas": 4}})).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 4,
                ..Counters::at_rest(4, 1)
            },
        )
        .await?;
        let scaled = ns.pods_of("web").await?;
        assert_eq!(scaled.iter().filter(|pod| image(pod) == OLD).count(), 3);

        ns.patch("web", json!({"spec": {"updateStrategy": {"paused": false}}}))
            .await?;
        ns.reaches("web", Counters::at_rest(4, 4)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollout_paused_half_way_stops_where_it_is() -> Result<()> {
    in_namespace(async |ns| {
        // The new pods have to prove themselves for longer than it takes to pause.
        let spec = json!({"updateStrategy": {"maxUnavailable": 1}, "minReadySeconds": 6});
        ns.create_cloneset(&cloneset("web", 3, &spec)).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        ns.set_image("web", NEW).await?;
        ns.until_pods("web", "one new pod beside two old ones", |pods| {
            pods.len() == 3 && pods.iter().filter(|pod| image(pod) == NEW).count() == 1
        })
        .await?;
        ns.patch("web", json!({"spec": {"updateStrategy": {"paused": true}}}))
            .await?;
        // All available again, so that nothing but the pause holds the rest back.
        ns.reaches(
            "web",
            Counters {
                expected_updated: 3,
                ..Counters::at_rest(3, 1)
            },
        )
        .await?;
        let stopped = ns.pods_of("web").await?;
        ns.leaves_alone("web", &stopped).await?;
        ns.patch("web", json!({"spec": {"updateStrategy": {"paused": false}}}))
            .await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        Ok(())
    })
    .await
}
