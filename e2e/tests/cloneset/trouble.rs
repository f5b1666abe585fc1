//! Versions that do not come up: how far they get, and how they are taken back.

use anyhow::{Context as _, Result};
use cloneset_api::CloneSet;
use cloneset_api::names::conditions::PROGRESSING;
use cloneset_api::names::reasons::{CLONESET_AVAILABLE, PROGRESS_DEADLINE_EXCEEDED};
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{Identity, image};
use e2e::witness::Subject;
use e2e::{Counters, Limits, Namespace, Witness, condition, failures, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// A readiness gate that only a person opens.
const GATE: &str = "www.example.com/feature-1";

fn gated_release() -> Value {
    json!({"spec": {"template": {"spec": {
        "readinessGates": [{"conditionType": GATE}],
        "containers": [{"name": "main", "image": NEW}]
    }}}})
}

async fn witness(ns: &Namespace, limits: Limits) -> Result<Witness> {
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    };
    Witness::start(ns, subject, limits).await
}

fn to_confirm(pods: &[Pod]) -> Option<&Pod> {
    pods.iter()
        .find(|pod| image(pod) == NEW && e2e::pods::condition(pod, GATE).is_none())
}

async fn open_gate(ns: &Namespace, pod: &Pod) -> Result<()> {
    let condition = json!({"status": {"conditions": [{"type": GATE, "status": "True"}]}});
    ns.pods()
        .patch_status(
            &pod.name_any(),
            &PatchParams::default(),
            &Patch::Strategic(condition),
        )
        .await?;
    Ok(())
}

/// Opens the gate of so many new pods, one after another.
async fn confirm(ns: &Namespace, pods: usize) -> Result<()> {
    for _ in 0..pods {
        let pods = ns
            .until_pods("web", "a new pod to confirm", |pods| to_confirm(pods).is_some())
            .await?;
        let pod = to_confirm(&pods).context("it is gone")?;
        open_gate(ns, pod).await?;
    }
    Ok(())
}

/// Waits for a reason of the condition Progressing; gives its status and message.
async fn progressing(ns: &Namespace, reason: &str) -> Result<(String, String)> {
    let what = format!("Progressing with reason {reason}");
    let is_told = |object: &CloneSet| {
        condition(object, PROGRESSING).is_some_and(|told| told.reason.as_deref() == Some(reason))
    };
    let object = ns.until_cloneset("web", &what, is_told).await?;
    let told = condition(&object, PROGRESSING).context("it is gone")?;
    Ok((told.status.clone(), told.message.clone().unwrap_or_default()))
}

#[tokio::test]
async fn pods_with_a_readiness_gate_of_their_own_are_released_as_they_are_confirmed() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
        ns.create_cloneset(&cloneset("web", 2, &strategy)).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let witness = witness(
            ns,
            Limits {
                live: 3,
                available: 2,
                updated: 2,
            },
        )
        .await?;
        ns.patch("web", gated_release()).await?;
        confirm(ns, 2).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        witness.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_version_that_never_becomes_ready_stops_at_max_unavailable_and_is_taken_back() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset(
            "web",
            3,
            &json!({"updateStrategy": {"maxUnavailable": 1}}),
        ))
        .await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let witness = witness(
            ns,
            Limits {
                live: 3,
                available: 2,
                updated: 1,
            },
        )
        .await?;
        let originals = ns.pods_of("web").await?;
        ns.patch("web", gated_release()).await?;
        let stuck = Counters {
            ready: 2,
            available: 2,
            updated_ready: 0,
            updated_available: 0,
            expected_updated: 3,
            ..Counters::at_rest(3, 1)
        };
        ns.reaches("web", stuck).await?;
        let pods = ns.pods_of("web").await?;
        ns.leaves_alone("web", &pods).await?;

        ns.patch(
            "web",
            json!({"spec": {"template": {"spec": {
                "readinessGates": null,
                "containers": [{"name": "main", "image": OLD}]
            }}}}),
        )
        .await?;
        let back = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&back), [] as [&_; 0]);
        let survivors = Identity::of_all(&originals);
        let now = Identity::of_all(&ns.pods_of("web").await?);
        assert_eq!(
            now.iter().filter(|pod| survivors.contains(pod)).count(),
            2,
            "healthy pods were touched"
        );
        witness.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_release_that_misses_its_deadline_says_so_and_takes_it_back_when_it_is_done_after_all() -> Result<()>
{
    in_namespace(async |ns| {
        let spec = json!({"progressDeadlineSeconds": 4, "updateStrategy": {"maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 2, &spec)).await?;
        let (status, _) = progressing(ns, CLONESET_AVAILABLE).await?;
        assert_eq!(status, "True");
        ns.patch("web", gated_release()).await?;
        let (status, message) = progressing(ns, PROGRESS_DEADLINE_EXCEEDED).await?;
        let object = ns.clonesets().get("web").await?;
        let revision = object.status.and_then(|status| status.update_revision);
        let expected = format!(
            "CloneSet revision {} has timed out progressing",
            revision.unwrap_or_default()
        );
        assert_eq!((status.as_str(), message), ("False", expected));

        confirm(ns, 2).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let (status, message) = progressing(ns, CLONESET_AVAILABLE).await?;
        assert_eq!(
            (status.as_str(), message.as_str()),
            ("True", "CloneSet is available")
        );
        Ok(())
    })
    .await
}
