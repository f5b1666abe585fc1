//! Pods that somebody asks to go, by label and by `scaleStrategy.podsToDelete`: replaced first where surge says so, and the
//! names leave the spec with their pods.

use anyhow::{Context as _, Result};
use cloneset_api::CloneSet;
use cloneset_api::names::labels;
use e2e::fixtures::{NEW, cloneset};
use e2e::pods::is_live;
use e2e::waits::{Seen, until};
use e2e::witness::Subject;
use e2e::{Counters, Limits, Namespace, Witness, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::json;

fn named(object: &CloneSet) -> Vec<String> {
    let scale = object.spec.scale_strategy.clone();
    scale.and_then(|scale| scale.pods_to_delete).unwrap_or_default()
}

async fn live_names(ns: &Namespace) -> Result<Vec<String>> {
    let pods = ns.pods_of("web").await?;
    let mut names: Vec<String> = pods
        .iter()
        .filter(|pod| is_live(pod))
        .map(Pod::name_any)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Waits until these pods are gone and as many others serve in their place.
async fn until_replaced(ns: &Namespace, gone: &[&String]) -> Result<()> {
    until("the pods that were asked for to be replaced", async || {
        let names = live_names(ns).await?;
        let replaced = names.len() == 3 && gone.iter().all(|name| !names.contains(name));
        Ok(Seen::when(replaced, || format!("{names:?}")))
    })
    .await?;
    ns.reaches("web", Counters::at_rest(3, 3)).await.map(drop)
}

#[tokio::test]
async fn pods_named_in_the_spec_or_labelled_are_replaced_before_they_go() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}});
        ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let subject = Subject {
            cloneset: "web".into(),
            updated_image: NEW.into(),
            min_ready: SignedDuration::ZERO,
        };
        let limits = Limits {
            live: 4,
            available: 3,
            updated: 0,
        };
        let witness = Witness::start(ns, subject, limits).await?;
        let names = live_names(ns).await?;
        let [first, second, third] = names.as_slice() else {
            anyhow::bail!("not three pods: {names:?}");
        };

        let list = json!({"spec": {"scaleStrategy": {"podsToDelete": [first, second, "web-nobody"]}}});
        ns.patch("web", list).await?;
        ns.until_cloneset("web", "podsToDelete to be empty", |object| {
            named(object).is_empty()
        })
        .await?;
        until_replaced(ns, &[first, second]).await?;
        assert!(live_names(ns).await?.contains(third));

        let mark = Patch::Merge(json!({"metadata": {"labels": {labels::SPECIFIED_DELETE: "true"}}}));
        ns.pods()
            .patch_metadata(third, &PatchParams::default(), &mark)
            .await?;
        until_replaced(ns, &[third]).await?;
        let testimony = witness.finish().await?;
        assert_eq!(testimony.most_live(), 4, "surge was not used");
        Ok(())
    })
    .await
}

/// What a person writes while the controller takes names off is never lost.
#[tokio::test]
async fn a_name_added_meanwhile_stays_until_its_pod_is_gone_too() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let names = live_names(ns).await?;
        for name in &names {
            let present = named(&ns.clonesets().get("web").await?);
            let list: Vec<&String> = present.iter().chain([name]).collect();
            ns.patch("web", json!({"spec": {"scaleStrategy": {"podsToDelete": list}}}))
                .await?;
        }
        ns.until_cloneset("web", "podsToDelete to be empty", |object| {
            named(object).is_empty()
        })
        .await?;
        until_replaced(ns, &names.iter().collect::<Vec<_>>()).await?;
        let object = ns.clonesets().get("web").await?;
        let status = object.status.context("no status")?;
        assert_eq!(status.observed_generation, object.metadata.generation);
        Ok(())
    })
    .await
}
