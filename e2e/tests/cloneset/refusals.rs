//! What the API server refuses: templates, by its own rules and by an administrator's, and pods beyond a quota.
//!
//! A refusal costs no healthy pod and one probe a backoff, is told in the server's own words, and is forgotten when
//! it is over.

use crate::account;
use crate::policy::{DENIAL, Policy, quota, under};
use anyhow::Result;
use cloneset_api::CloneSet;
use cloneset_api::names::conditions::{FAILED_SCALE, STALLED};
use cloneset_api::names::events::FAILED_CREATE;
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::waits::{Seen, until};
use e2e::witness::Subject;
use e2e::{Counters, Limits, Namespace, Witness, condition, failures, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// A CloneSet "web" of three at rest, and somebody who watches that it keeps two of them.
async fn three(ns: &Namespace) -> Result<Witness> {
    let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
    ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
    ns.reaches("web", Counters::at_rest(3, 3)).await?;
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    };
    let limits = Limits {
        live: 3,
        available: 2,
        updated: 3,
    };
    Witness::start(ns, subject, limits).await
}

/// Is it stalled, in these words?
fn stalled_by(object: &CloneSet, words: &[&str]) -> bool {
    condition(object, STALLED).is_some_and(|stalled| {
        let message = stalled.message.as_deref().unwrap_or_default();
        stalled.status == "True" && words.iter().all(|words| message.contains(words))
    })
}

async fn until_stalled(ns: &Namespace, words: &[&str]) -> Result<CloneSet> {
    let what = format!("Stalled=True with {words:?}");
    ns.until_cloneset("web", &what, |object| stalled_by(object, words))
        .await
}

/// The container with a port of this name.
fn with_port(image: &str, port: Option<&str>) -> Value {
    let ports = port.map(|name| json!([{"name": name, "containerPort": 80}]));
    json!({"spec": {"template": {"spec": {"containers": [{"name": "main", "image": image, "ports": ports}]}}}})
}

#[tokio::test]
async fn a_bad_port_name_costs_no_pod_and_is_named_until_the_template_is_mended() -> Result<()> {
    in_namespace(async |ns| {
        let witness = three(ns).await?;
        let before = ns.pods_of("web").await?;
        ns.patch("web", with_port(NEW, Some("Not a port"))).await?;
        until_stalled(ns, &["spec.containers[0].ports[0].name", "Not a port"]).await?;
        ns.leaves_alone("web", &before).await?;
        let total = account::total(ns)?;
        assert_eq!(total.count("delete pods"), 0, "{total}");

        ns.patch("web", with_port(NEW, Some("http"))).await?;
        let mended = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&mended), [] as [&_; 0]);
        account::reaches(ns, 6, 3).await?;
        witness.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_refused_template_that_is_taken_back_leaves_every_pod_as_it_was() -> Result<()> {
    in_namespace(async |ns| {
        let witness = three(ns).await?;
        let before = ns.pods_of("web").await?;
        ns.patch("web", with_port(NEW, Some("Not a port"))).await?;
        until_stalled(ns, &["Not a port"]).await?;
        ns.patch("web", with_port(OLD, None)).await?;
        let back = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&back), [] as [&_; 0]);
        ns.leaves_alone("web", &before).await?;
        account::reaches(ns, 3, 0).await?;
        witness.finish().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_new_cloneset_that_no_pod_of_would_be_taken_says_so_and_starts_once_it_is_mended() -> Result<()> {
    in_namespace(async |ns| {
        let mut web = cloneset("web", 2, &json!({}));
        let bad = with_port(OLD, Some("Not a port"));
        web["spec"]["template"]["spec"] = bad["spec"]["template"]["spec"].clone();
        ns.create_cloneset(&web).await?;
        until_stalled(ns, &["Not a port"]).await?;
        ns.patch("web", with_port(OLD, Some("http"))).await?;
        let mended = ns.reaches("web", Counters::at_rest(2, 2)).await?;
        assert_eq!(failures(&mended), [] as [&_; 0]);
        account::reaches(ns, 2, 0).await
    })
    .await
}

#[tokio::test]
async fn an_administrators_denial_costs_no_pod_and_the_release_goes_on_when_it_is_lifted() -> Result<()> {
    in_namespace(async |ns| {
        let witness = three(ns).await?;
        let before = ns.pods_of("web").await?;
        under(ns, Policy::denying_image(NEW), async || {
            ns.set_image("web", NEW).await?;
            until_stalled(ns, &[DENIAL]).await?;
            ns.leaves_alone("web", &before).await?;
            let total = account::total(ns)?;
            assert_eq!(total.count("delete pods"), 0, "{total}");
            Ok(())
        })
        .await?;
        let object = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        account::reaches(ns, 6, 3).await?;
        witness.finish().await?;
        Ok(())
    })
    .await
}

/// Warnings about "web".
async fn warnings(ns: &Namespace) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(ns.client.clone(), &ns.name);
    let mut warnings = events.list(&ListParams::default()).await?.items;
    warnings.retain(|event| {
        let about = event.regarding.as_ref().and_then(|object| object.kind.as_deref());
        event.type_.as_deref() == Some("Warning") && about == Some("CloneSet")
    });
    Ok(warnings)
}

/// Waves of 1, 2 and 4: with room for three, all of the last are refused.
const FIRST_WAVE: usize = 4;
/// Probes after it.
const PROBES: usize = 5;
/// The shortest first delay, half of the whole; each is at least twice the one before.
const FIRST_DELAY: Duration = Duration::from_millis(250);

#[tokio::test]
async fn a_quota_is_probed_once_a_backoff_told_by_one_event_and_used_as_soon_as_it_rises() -> Result<()> {
    in_namespace(async |ns| {
        let quotas = quota(ns, "3").await?;
        let start = Instant::now();
        ns.create_cloneset(&cloneset("web", 8, &json!({}))).await?;
        until("probes", async || {
            let total = account::total(ns)?;
            let enough = total.count("create pods (refused: 403)") >= FIRST_WAVE + PROBES;
            Ok(Seen::when(enough, || format!("\n{total}")))
        })
        .await?;
        let shortest = FIRST_DELAY * ((1 << PROBES) - 1);
        assert!(
            start.elapsed() >= shortest,
            "{PROBES} probes in {:?}; backing off, they take {shortest:?} at least",
            start.elapsed()
        );

        let object = ns
            .until_cloneset("web", "FailedScale to name the quota", |object| {
                let failed = condition(object, FAILED_SCALE);
                let message = failed.and_then(|failed| failed.message.as_deref());
                message.is_some_and(|message| message.contains("exceeded quota: pods"))
            })
            .await?;
        assert_eq!(object.status.map(|status| status.available_replicas), Some(3));
        let warnings = warnings(ns).await?;
        let reasons: Vec<_> = warnings
            .iter()
            .filter_map(|event| event.reason.as_deref())
            .collect();
        assert_eq!(reasons, [FAILED_CREATE], "one event, however many refusals");

        let raised = Patch::Merge(json!({"spec": {"hard": {"pods": "20"}}}));
        quotas.patch("pods", &PatchParams::default(), &raised).await?;
        let start = Instant::now();
        account::reaches(ns, 8, 0).await?;
        assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
        let object = ns.reaches("web", Counters::at_rest(8, 8)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        Ok(())
    })
    .await
}
