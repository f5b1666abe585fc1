//! Whose pods are whose: CloneSets made again by the same name, very long names, selectors that overlap.
//!
//! Pods belong to a UID. A name or a selector that also fits somebody else's pods gives no right to them.

use crate::account;
use anyhow::{Context as _, Result, ensure};
use cloneset_api::CloneSet;
use cloneset_api::names::labels;
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{Identity, is_live};
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, failures, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// Keeps a pod from going.
const FINALIZER: &str = "e2e.example.com/hold";

async fn set_finalizers(ns: &Namespace, pod: &str, finalizers: Value) -> Result<()> {
    let merge = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    ns.pods().patch(pod, &PatchParams::default(), &merge).await?;
    Ok(())
}

/// Deletes CloneSet "web" and waits until its name is free.
async fn delete(ns: &Namespace, how: &DeleteParams) -> Result<()> {
    ns.clonesets().delete("web", how).await?;
    until("the name to be free", async || {
        let left = ns.clonesets().get_opt("web").await?;
        Ok(Seen::when(left.is_none(), || "the CloneSet is there".to_owned()))
    })
    .await
}

/// Nothing was done to this pod but what was done when it was made.
fn ensure_untouched(ns: &Namespace, pod: &str) -> Result<()> {
    let account = account::of_pod(ns, pod)?;
    let made = account.count("create pods")
        + account.count("create pods (dry run)")
        + account.count("patch pods/status");
    ensure!(account.0.values().sum::<usize>() == made, "{pod}:\n{account}");
    ensure!(account.count("patch pods/status") == 1, "{pod}:\n{account}");
    Ok(())
}

#[tokio::test]
async fn a_cloneset_made_again_by_the_same_name_has_nothing_to_do_with_pods_of_the_old_one() -> Result<()> {
    in_namespace(async |ns| {
        let web = cloneset("web", 2, &json!({}));
        ns.create_cloneset(&web).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let old: Vec<String> = (ns.pods_of("web").await?.iter())
            .map(ResourceExt::name_any)
            .collect();
        let lingering = old.first().context("no pod")?;
        set_finalizers(ns, lingering, json!([FINALIZER])).await?;
        delete(ns, &DeleteParams::background()).await?;
        ns.create_cloneset(&web).await?;
        let object = ns.reaches("web", Counters::at_rest(2, 2)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        account::reaches(ns, 4, 0).await?;
        until("the garbage collector to take the pod that may go", async || {
            let pods = ns.pods().list(&ListParams::default()).await?.items;
            Ok(Seen::when(pods.len() == 3, || e2e::pods::outline(&pods)))
        })
        .await?;
        // The one that cannot go is no pod of the new one, terminating or not.
        ns.patch("web", json!({"spec": {"replicas": 1}})).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        account::reaches(ns, 4, 1).await?;
        let serving = ns.pods_of("web").await?;
        set_finalizers(ns, lingering, Value::Null).await?;
        ns.leaves_alone("web", &serving).await?;
        for pod in &old {
            ensure_untouched(ns, pod)?;
        }
        account::rests(ns).await
    })
    .await
}

#[tokio::test]
async fn scenario_62_orphans_are_neither_adopted_nor_counted_nor_touched() -> Result<()> {
    in_namespace(async |ns| {
        let web = cloneset("web", 2, &json!({"updateStrategy": {"maxUnavailable": 1}}));
        ns.create_cloneset(&web).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let orphans = ns.pods_of("web").await?;
        delete(ns, &DeleteParams::orphan()).await?;
        account::rests(ns).await?;
        account::reaches(ns, 2, 0).await?;

        ns.create_cloneset(&web).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        ns.patch("web", json!({"spec": {"replicas": 0}})).await?;
        let object = ns.reaches("web", Counters::at_rest(0, 0)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        account::reaches(ns, 6, 4).await?;
        for orphan in &orphans {
            let name = orphan.name_any();
            let now = ns.pods().get(&name).await?;
            assert_eq!(Identity::of(&now), Identity::of(orphan));
            assert!(is_live(&now) && now.owner_references().is_empty());
            ensure_untouched(ns, &name)?;
        }
        Ok(())
    })
    .await
}

/// A CloneSet with a name too long to be a label's value.
fn long_named(name: &str, replicas: i32) -> Value {
    let labels = json!({"app": "web"});
    let spec = json!({
        "selector": {"matchLabels": labels},
        "updateStrategy": {"maxUnavailable": 1, "partition": 1},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "main", "image": OLD}]}
        }
    });
    cloneset(name, replicas, &spec)
}

fn update_revision(object: &CloneSet) -> String {
    let status = object.status.clone().unwrap_or_default();
    status.update_revision.unwrap_or_default()
}

/// Every pod carries the part of its revision's name that fits a label.
fn ensure_short_labels(pods: &[Pod], revision: &str) -> Result<usize> {
    let (_, hash) = revision.rsplit_once('-').context("a revision without a hash")?;
    let mut of_revision = 0;
    for pod in pods {
        let value = |key: &str| pod.labels().get(key).cloned().unwrap_or_default();
        ensure!(
            value(labels::REVISION).len() == hash.len()
                && value(labels::REVISION) == value(labels::POD_TEMPLATE_HASH),
            "{:?}",
            pod.labels()
        );
        of_revision += usize::from(value(labels::REVISION) == hash);
    }
    Ok(of_revision)
}

#[tokio::test]
async fn a_name_of_sixty_characters_scales_updates_and_goes_back() -> Result<()> {
    in_namespace(async |ns| {
        let name = format!("{:a<60}", "web-");
        ns.create_cloneset(&long_named(&name, 2)).await?;
        let created = ns
            .reaches(
                &name,
                Counters {
                    expected_updated: 1,
                    ..Counters::at_rest(2, 2)
                },
            )
            .await?;
        let first = update_revision(&created);
        assert!(first.starts_with(&name) && first.len() > 63, "{first}");
        assert_eq!(ensure_short_labels(&ns.pods_of(&name).await?, &first)?, 2);

        ns.set_image(&name, NEW).await?;
        let updated = ns.reaches(&name, Counters::at_rest(2, 1)).await?;
        let second = update_revision(&updated);
        assert_eq!(ensure_short_labels(&ns.pods_of(&name).await?, &second)?, 1);
        ns.kubectl(&["scale", "cloneset", &name, "--replicas=4"]).await?;
        ns.reaches(&name, Counters::at_rest(4, 3)).await?;
        assert_eq!(ensure_short_labels(&ns.pods_of(&name).await?, &second)?, 3);

        ns.set_image(&name, OLD).await?;
        ns.patch(&name, json!({"spec": {"updateStrategy": {"partition": 0}}}))
            .await?;
        let back = ns.reaches(&name, Counters::at_rest(4, 4)).await?;
        assert_eq!(
            update_revision(&back),
            first,
            "the same content is the same revision"
        );
        assert_eq!(ensure_short_labels(&ns.pods_of(&name).await?, &first)?, 4);
        assert_eq!(failures(&back), [] as [&_; 0]);
        Ok(())
    })
    .await
}

/// An object's name has at most 253 characters, and those of a CloneSet's pods are longer than its own.
#[tokio::test]
async fn a_name_too_long_for_what_is_named_after_it_is_rejected() -> Result<()> {
    in_namespace(async |ns| {
        let name = format!("{:a<248}", "web-");
        let rejected = ns.create_cloneset(&long_named(&name, 1)).await;
        let message = rejected
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default();
        assert!(
            message.contains("metadata.name") && message.contains("247"),
            "{message}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn clonesets_with_selectors_that_overlap_move_their_own_pods_only() -> Result<()> {
    in_namespace(async |ns| {
        let spec = |labels: Value, selector: Value| {
            json!({
                "selector": {"matchLabels": selector},
                "updateStrategy": {"maxUnavailable": 1},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"containers": [{"name": "main", "image": OLD}]}
                }
            })
        };
        let both = json!({"app": "shared", "tier": "a"});
        let wide = spec(both.clone(), json!({"app": "shared"}));
        let narrow = spec(both.clone(), both);
        ns.create_cloneset(&cloneset("wide", 2, &wide)).await?;
        ns.create_cloneset(&cloneset("narrow", 3, &narrow)).await?;
        ns.reaches("wide", Counters::at_rest(2, 2)).await?;
        ns.reaches("narrow", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 5, 0).await?;

        // Both at once, in different directions.
        ns.set_image("wide", NEW).await?;
        ns.patch("narrow", json!({"spec": {"replicas": 1}})).await?;
        ns.reaches("wide", Counters::at_rest(2, 2)).await?;
        ns.reaches("narrow", Counters::at_rest(1, 1)).await?;
        account::reaches(ns, 7, 4).await?;
        let narrow = ns.pods_of("narrow").await?;
        ns.patch("wide", json!({"spec": {"replicas": 0}})).await?;
        let wide = ns.reaches("wide", Counters::at_rest(0, 0)).await?;
        assert_eq!(failures(&wide), [] as [&_; 0]);
        ns.leaves_alone("narrow", &narrow).await?;
        account::reaches(ns, 7, 6).await?;
        account::rests(ns).await
    })
    .await
}
