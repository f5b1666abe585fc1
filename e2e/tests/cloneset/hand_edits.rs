//! Pods whose labels and owner references people edit: which stay ours, which are repaired, which are replaced.
//!
//! A pod is ours by its controller reference with our UID and by nothing else; a pod that is not ours is neither
//! counted nor touched, whatever its name and labels are.

use crate::account;
use anyhow::{Context as _, Result, ensure};
use cloneset_api::names::{labels, lifecycle};
use e2e::fixtures::{NEW, cloneset};
use e2e::pods::{Identity, is_live};
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, failures, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// A CloneSet "web" of three at rest, and one of its pods.
async fn three(ns: &Namespace) -> Result<Pod> {
    let strategy = json!({"updateStrategy": {"maxUnavailable": 1}});
    ns.create_cloneset(&cloneset("web", 3, &strategy)).await?;
    ns.reaches("web", Counters::at_rest(3, 3)).await?;
    account::reaches(ns, 3, 0).await?;
    let pods = ns.pods_of("web").await?;
    pods.into_iter().next().context("no pod")
}

async fn edit(ns: &Namespace, pod: &Pod, metadata: Value) -> Result<()> {
    let merge = Patch::Merge(json!({"metadata": metadata}));
    ns.pods()
        .patch(&pod.name_any(), &PatchParams::default(), &merge)
        .await?;
    Ok(())
}

async fn label(ns: &Namespace, pod: &Pod, key: &str, value: Value) -> Result<()> {
    edit(ns, pod, json!({"labels": {(key): value}})).await
}

/// Waits until `gone` no longer counts and another pod does in its place.
async fn until_replaced(ns: &Namespace, gone: &Pod) -> Result<Vec<Pod>> {
    let what = format!("another pod in the place of {}", gone.name_any());
    ns.until_pods("web", &what, |pods| {
        pods.len() == 3 && pods.iter().all(|pod| pod.metadata.uid != gone.metadata.uid)
    })
    .await
}

/// It is there, and nobody has taken its place.
async fn lives_on(ns: &Namespace, pod: &Pod) -> Result<()> {
    let now = ns.pods().get(&pod.name_any()).await?;
    ensure!(
        now.metadata.uid == pod.metadata.uid && is_live(&now),
        "{} was not left alone",
        pod.name_any()
    );
    Ok(())
}

#[tokio::test]
async fn labels_of_ours_that_are_taken_away_are_put_back_in_one_write_and_the_pod_not_replaced() -> Result<()>
{
    in_namespace(async |ns| {
        let edited = three(ns).await?;
        let before = ns.pods_of("web").await?;
        let both = json!({"labels": {(labels::INSTANCE_ID): null, (labels::POD_TEMPLATE_HASH): null}});
        edit(ns, &edited, both).await?;
        let repaired = |pods: &[Pod]| Identity::of_all(pods) == Identity::of_all(&before);
        ns.until_pods("web", "all pods to be as they were", repaired)
            .await?;
        account::rests(ns).await?;
        ns.leaves_alone("web", &before).await?;
        account::reaches(ns, 3, 0).await?;
        let of_edited = account::of_pod(ns, &edited.name_any())?;
        assert_eq!(of_edited.count("patch pods/status"), 2, "{of_edited}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_instance_id_that_is_changed_does_not_make_its_old_one_free() -> Result<()> {
    in_namespace(async |ns| {
        let edited = three(ns).await?;
        label(ns, &edited, labels::INSTANCE_ID, json!("zzzzz")).await?;
        ns.patch("web", json!({"spec": {"replicas": 5}})).await?;
        ns.reaches("web", Counters::at_rest(5, 5)).await?;
        account::reaches(ns, 5, 0).await?;
        let total = account::total(ns)?;
        assert_eq!(total.count("create pods (refused: 409)"), 0, "{total}");
        lives_on(ns, &edited).await
    })
    .await
}

#[tokio::test]
async fn a_pod_of_an_unknown_revision_is_an_old_one_and_updated_like_any_other() -> Result<()> {
    in_namespace(async |ns| {
        let mut edited = three(ns).await?;
        for (replaced, revision) in [Value::Null, json!("web-0000000000")].into_iter().enumerate() {
            ns.patch("web", json!({"spec": {"updateStrategy": {"paused": true}}}))
                .await?;
            let others: Vec<Pod> = (ns.pods_of("web").await?.into_iter())
                .filter(|pod| pod.metadata.uid != edited.metadata.uid)
                .collect();
            label(ns, &edited, labels::REVISION, revision).await?;
            let paused = Counters {
                expected_updated: 3,
                replicas: 3,
                ready: 3,
                available: 3,
                ..Counters::at_rest(2, 2)
            };
            ns.reaches("web", paused).await?;
            account::reaches(ns, 3 + replaced, replaced).await?;

            ns.patch("web", json!({"spec": {"updateStrategy": {"paused": false}}}))
                .await?;
            let now = until_replaced(ns, &edited).await?;
            ns.reaches("web", Counters::at_rest(3, 3)).await?;
            account::reaches(ns, 4 + replaced, 1 + replaced).await?;
            let still = Identity::of_all(&now);
            assert!(
                Identity::of_all(&others)
                    .iter()
                    .all(|other| still.contains(other)),
                "a pod of the right revision was touched"
            );
            edited = others.into_iter().next().context("no other pod")?;
        }
        let revisions = ns.revisions().list(&kube::api::ListParams::default()).await?;
        assert_eq!(revisions.items.len(), 1, "no revision comes of a label");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_lifecycle_state_written_by_hand_takes_a_pod_out_of_service_and_no_further() -> Result<()> {
    in_namespace(async |ns| {
        let edited = three(ns).await?;
        let set = async |state: Value| label(ns, &edited, labels::LIFECYCLE_STATE, state).await;
        let out_of_service = Counters {
            available: 2,
            updated_available: 2,
            ..Counters::at_rest(3, 3)
        };
        // A state nobody defined: not available, and not touched for it.
        set(json!("Nowhere")).await?;
        ns.reaches("web", out_of_service).await?;
        account::rests(ns).await?;
        // No label is as good as the right one.
        set(Value::Null).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::rests(ns).await?;
        // New again, or about to be deleted although it is wanted: put in service again.
        for state in [lifecycle::PREPARING_NORMAL, lifecycle::PREPARING_DELETE] {
            set(json!(state)).await?;
            until("the pod to be put in service again", async || {
                let pod = ns.pods().get(&edited.name_any()).await?;
                let state = pod.labels().get(labels::LIFECYCLE_STATE).cloned();
                Ok(Seen::when(state.as_deref() == Some(lifecycle::NORMAL), || {
                    format!("{state:?}")
                }))
            })
            .await?;
            ns.reaches("web", Counters::at_rest(3, 3)).await?;
            account::reaches(ns, 3, 0).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_the_selector_no_longer_matches_is_released_and_replaced_once() -> Result<()> {
    in_namespace(async |ns| {
        let edited = three(ns).await?;
        label(ns, &edited, "app", json!("debugging")).await?;
        until_replaced(ns, &edited).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 4, 0).await?;
        let released = ns.pods().get(&edited.name_any()).await?;
        assert!(is_live(&released), "it is somebody's to look at");
        assert_eq!(released.metadata.owner_references.unwrap_or_default(), []);
        account::rests(ns).await?;
        // Matching again does not make it ours again.
        label(ns, &edited, "app", json!("web")).await?;
        account::rests(ns).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_without_our_controller_reference_is_nobodys_and_replaced_once() -> Result<()> {
    in_namespace(async |ns| {
        let removed = three(ns).await?;
        let owners = removed.metadata.owner_references.clone().unwrap_or_default();
        edit(ns, &removed, json!({"ownerReferences": null})).await?;
        let now = until_replaced(ns, &removed).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 4, 0).await?;

        // Ours, but not as its controller: no more than a word to the garbage collector.
        let demoted = now.into_iter().next().context("no pod")?;
        let mut reference = serde_json::to_value(&demoted.metadata.owner_references)?;
        reference[0]["controller"] = json!(false);
        edit(ns, &demoted, json!({"ownerReferences": reference})).await?;
        until_replaced(ns, &demoted).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 5, 0).await?;

        // A release moves our pods and passes by the others.
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        account::reaches(ns, 8, 3).await?;
        lives_on(ns, &removed).await?;
        lives_on(ns, &demoted).await?;

        // Given back, it is one too many, and of the old revision: it goes first.
        edit(ns, &removed, json!({"ownerReferences": owners})).await?;
        account::reaches(ns, 8, 4).await?;
        let of_given_back = account::of_pod(ns, &removed.name_any())?;
        assert_eq!(of_given_back.count("delete pods"), 1, "{of_given_back}");
        let object = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&object), [] as [&_; 0]);
        account::rests(ns).await
    })
    .await
}

#[tokio::test]
async fn a_pod_with_a_stranger_of_our_name_as_its_controller_is_replaced_and_not_touched() -> Result<()> {
    in_namespace(async |ns| {
        let edited = three(ns).await?;
        let mut reference = serde_json::to_value(&edited.metadata.owner_references)?;
        reference[0]["uid"] = json!("11111111-2222-3333-4444-555555555555");
        edit(ns, &edited, json!({"ownerReferences": reference})).await?;
        until_replaced(ns, &edited).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        // Its owner does not exist, so the garbage collector takes it, not we.
        until("the garbage collector to take the pod", async || {
            let left = ns.pods().get_opt(&edited.name_any()).await?;
            Ok(Seen::when(left.is_none(), || "it is there".to_owned()))
        })
        .await?;
        account::reaches(ns, 4, 0).await?;
        let of_edited = account::of_pod(ns, &edited.name_any())?;
        assert_eq!(
            of_edited.count("patch pods/status"),
            1,
            "before it was taken from us: {of_edited}"
        );
        Ok(())
    })
    .await
}
