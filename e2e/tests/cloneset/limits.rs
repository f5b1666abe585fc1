//! maxUnavailable, maxSurge, partition and minReadySeconds, watched from outside during the whole rollout.

use anyhow::{Context as _, Result};
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{image, ready_since};
use e2e::witness::{Sighting, Subject, Testimony};
use e2e::{Counters, Limits, Namespace, Witness, in_namespace};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Rolls a CloneSet at rest from the old image to the new one under a witness.
async fn roll_out(ns: &Namespace, spec: &Value, rest: (i32, i32), limits: Limits) -> Result<Testimony> {
    let (replicas, updated) = rest;
    ns.create_cloneset(&cloneset("web", replicas, spec)).await?;
    ns.reaches(
        "web",
        Counters {
            expected_updated: updated,
            ..Counters::at_rest(replicas, replicas)
        },
    )
    .await?;
    let seconds = spec
        .get("minReadySeconds")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::from_secs(seconds),
    };
    let witness = Witness::start(ns, subject, limits).await?;
    ns.set_image("web", NEW).await?;
    ns.reaches("web", Counters::at_rest(replicas, updated)).await?;
    witness.finish().await
}

#[tokio::test]
async fn without_surge_a_rollout_takes_at_most_max_unavailable_pods_away_and_adds_none() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({"updateStrategy": {"maxUnavailable": 2, "partition": 1}});
        let testimony = roll_out(
            ns,
            &spec,
            (5, 4),
            Limits {
                live: 5,
                available: 3,
                updated: 4,
            },
        )
        .await?;
        assert_eq!(testimony.fewest_available(), 3, "two at a time were allowed");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_surge_and_nothing_unavailable_every_pod_is_replaced_before_it_goes() -> Result<()> {
    in_namespace(async |ns| {
        let spec = json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
        let testimony = roll_out(
            ns,
            &spec,
            (3, 3),
            Limits {
                live: 4,
                available: 3,
                updated: 3,
            },
        )
        .await?;
        assert_eq!(testimony.most_live(), 4, "surge was not used");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn surge_and_unavailability_together_stay_within_both_and_within_the_partition() -> Result<()> {
    in_namespace(async |ns| {
        // With surge, 40 % of 4 unavailable is rounded down to 1; 30 % surge is rounded up to 2.
        let spec =
            json!({"updateStrategy": {"maxUnavailable": "40%", "maxSurge": "30%", "partition": "25%"}});
        let testimony = roll_out(
            ns,
            &spec,
            (4, 3),
            Limits {
                live: 6,
                available: 3,
                updated: 3,
            },
        )
        .await?;
        assert!(testimony.most_live() > 4, "surge was not used");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_percentage_with_decimals_is_a_percentage() -> Result<()> {
    in_namespace(async |ns| {
        // 12.5 % of 2 is 0.25, and rounded up a rollout always goes on.
        let spec = json!({"updateStrategy": {"maxUnavailable": "12.5%"}});
        roll_out(
            ns,
            &spec,
            (2, 2),
            Limits {
                live: 2,
                available: 1,
                updated: 2,
            },
        )
        .await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn min_ready_seconds_holds_the_next_pod_until_the_last_one_has_proved_itself() -> Result<()> {
    const SECONDS: i64 = 5;
    in_namespace(async |ns| {
        let spec = json!({"updateStrategy": {"maxUnavailable": 1}, "minReadySeconds": SECONDS});
        let testimony = roll_out(
            ns,
            &spec,
            (2, 2),
            Limits {
                live: 2,
                available: 1,
                updated: 2,
            },
        )
        .await?;
        let sightings = &testimony.sightings;
        let proved = sightings
            .iter()
            .filter(|sighting| image(&sighting.pod) == NEW)
            .filter_map(|sighting| ready_since(&sighting.pod))
            .min()
            .context("no new pod was ever ready")?;
        let last_taken = sightings
            .iter()
            .filter_map(taken_at)
            .max()
            .context("no old pod was ever seen terminating")?;
        let waited = last_taken.duration_since(proved).as_secs();
        assert!(
            waited >= SECONDS,
            "the second old pod was taken {waited} s after the first new one was ready"
        );
        Ok(())
    })
    .await
}

/// When the deletion of an old pod was asked for: its deadline less its grace period.
fn taken_at(sighting: &Sighting) -> Option<Timestamp> {
    let metadata = &sighting.pod.metadata;
    let deadline = metadata
        .deletion_timestamp
        .as_ref()
        .filter(|_| image(&sighting.pod) == OLD)?
        .0;
    let grace = SignedDuration::from_secs(metadata.deletion_grace_period_seconds?);
    deadline.checked_sub(grace).ok()
}
