//! In-place updates of pods that are not as the controller left them, and of pods that an in-place update cannot do
//! justice: their annotations were removed, a container reads metadata, the readiness gate is missing.

use crate::notes;
use crate::policy::{Policy, under};
use anyhow::{Context as _, Result};
use cloneset_api::CloneSet;
use cloneset_api::names::annotations;
use cloneset_api::names::pod_conditions::IN_PLACE_UPDATE_READY;
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::pods::{condition, image};
use e2e::witness::{Sighting, Subject};
use e2e::{Counters, Limits, Namespace, Witness, failures, in_namespace};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How long a container takes to end.
const SLOW_END_SECONDS: i32 = 6;

fn strategy(type_: &str, grace: i32) -> Value {
    json!({"updateStrategy": {
        "type": type_, "maxUnavailable": 1, "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace}
    }})
}

fn uids(pods: &[Pod]) -> BTreeSet<Option<String>> {
    pods.iter().map(|pod| pod.metadata.uid.clone()).collect()
}

/// Removes all annotations of a pod, as a tool that restores "the" manifest does.
async fn strip(ns: &Namespace, pod: &Pod) -> Result<()> {
    let operations = json!([{"op": "remove", "path": "/metadata/annotations"}]);
    let remove = Patch::<()>::Json(serde_json::from_value(operations)?);
    ns.pods()
        .patch(&pod.name_any(), &PatchParams::default(), &remove)
        .await
        .context("the annotations cannot be removed")?;
    Ok(())
}

fn main_container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == "main")
}

/// Does the container run what the spec says?
fn runs_its_image(pod: &Pod) -> bool {
    main_container(pod).is_some_and(|status| status.image.ends_with(image(pod)))
}

/// The pod's spec has the new image, and its container still runs the old one.
fn is_restarting(pod: &Pod) -> bool {
    image(pod) == NEW && !runs_its_image(pod)
}

/// The readiness gate is open: the kubelet reports Ready as soon as it looks at the pod again.
fn is_put_in_service(pod: &Pod) -> bool {
    condition(pod, IN_PLACE_UPDATE_READY).is_some_and(|gate| gate.status == "True")
}

#[tokio::test]
async fn a_pod_that_loses_its_annotations_in_the_grace_period_is_updated_all_the_same() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 2, &strategy("InPlaceIfPossible", 4)))
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        ns.set_image("web", NEW).await?;
        let waits = |pod: &Pod| pod.annotations().contains_key(annotations::IN_PLACE_GRACE);
        let pods = ns
            .until_pods("web", "a pod in its grace period", |pods| pods.iter().any(waits))
            .await?;
        strip(ns, pods.iter().find(|pod| waits(pod)).context("no pod")?).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let pods = ns.pods_of("web").await?;
        let images: Vec<_> = pods.iter().map(image).collect();
        assert_eq!(images, [NEW, NEW], "reported as updated");
        assert!(pods.iter().all(runs_its_image), "{pods:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_that_loses_its_annotations_before_its_restart_is_in_service_only_after_it() -> Result<()> {
    in_namespace(async |ns| {
        let preparation = json!({"preStop": {"sleep": {"seconds": SLOW_END_SECONDS}}});
        let containers = json!([{"name": "main", "image": OLD, "lifecycle": preparation}]);
        let object = cloneset("web", 2, &strategy("InPlaceIfPossible", 0));
        let object = changed(object, &[("spec.template.spec.containers", containers)]);
        ns.create_cloneset(&object).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let witness = witness(ns).await?;
        ns.set_image("web", NEW).await?;
        let pods = ns
            .until_pods("web", "a pod before its restart", |pods| {
                pods.iter().any(is_restarting)
            })
            .await?;
        strip(ns, pods.iter().find(|pod| is_restarting(pod)).context("no pod")?).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let seen = witness.finish().await?.sightings;
        let too_early = seen
            .iter()
            .find(|Sighting { pod, .. }| is_restarting(pod) && is_put_in_service(pod));
        assert!(
            too_early.is_none(),
            "in service before its restart: {too_early:?}"
        );
        let pods = ns.pods_of("web").await?;
        assert!(pods.iter().all(runs_its_image), "{pods:?}");
        let restarts: Vec<_> = pods.iter().filter_map(main_container).collect();
        assert!(
            restarts.iter().all(|status| status.restart_count <= 2),
            "{restarts:?}"
        );
        Ok(())
    })
    .await
}

async fn witness(ns: &Namespace) -> Result<Witness> {
    let subject = Subject {
        cloneset: "web".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::ZERO,
    };
    let limits = Limits {
        live: 2,
        available: 1,
        updated: 2,
    };
    Witness::start(ns, subject, limits).await
}

/// An init container and a native sidecar that write what an annotation said when they began.
fn reader(type_: &str) -> Value {
    let data =
        json!([{"name": "DATA", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['data']"}}}]);
    let mounts = json!([{"name": "data", "mountPath": notes::PLACE}]);
    let init = json!([{
        "name": "configure", "image": OLD, "env": data, "volumeMounts": mounts,
        "command": ["sh", "-c", format!("echo $DATA > {}/note", notes::PLACE)]
    }]);
    let containers = json!([{"name": "main", "image": OLD, "volumeMounts": mounts}]);
    let changes = [
        ("spec.template.metadata.annotations", json!({"data": "one"})),
        ("spec.template.spec.initContainers", init),
        ("spec.template.spec.containers", containers),
        (
            "spec.template.spec.volumes",
            json!([{"name": "data", "emptyDir": {}}]),
        ),
    ];
    changed(cloneset("web", 2, &strategy(type_, 0)), &changes)
}

async fn annotate(ns: &Namespace) -> Result<()> {
    let two = json!({"spec": {"template": {"metadata": {"annotations": {"data": "two"}}}}});
    ns.patch("web", two).await.map(drop)
}

async fn notes_of(ns: &Namespace) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for pod in ns.pods_of("web").await? {
        all.push(notes::read(ns, &pod.name_any()).await?);
    }
    Ok(all)
}

#[tokio::test]
async fn a_pod_whose_init_container_reads_an_annotation_is_re_created_when_it_changes() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&reader("InPlaceIfPossible")).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        assert_eq!(notes_of(ns).await?, ["one", "one"]);
        annotate(ns).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        assert_eq!(notes_of(ns).await?, ["two", "two"], "reported as updated");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_in_place_only_it_stays_and_the_status_names_the_container() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&reader("InPlaceOnly")).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let before = uids(&ns.pods_of("web").await?);
        annotate(ns).await?;
        fails_naming(ns, "configure").await?;
        assert_eq!(uids(&ns.pods_of("web").await?), before);
        assert_eq!(notes_of(ns).await?, ["one", "one"]);
        Ok(())
    })
    .await
}

/// Waits until a condition reports a failure whose message holds a word, and no pod is updated.
async fn fails_naming(ns: &Namespace, word: &str) -> Result<CloneSet> {
    ns.until_cloneset("web", &format!("a failure that names {word:?}"), |object| {
        let told = failures(object)
            .iter()
            .any(|failure| failure.message.as_deref().unwrap_or_default().contains(word));
        told && Counters::reported(object).is_some_and(|counters| counters.updated == 0)
    })
    .await
}

async fn without_gates(ns: &Namespace, type_: &str) -> Result<BTreeSet<Option<String>>> {
    under(ns, Policy::stripping_gates(), async || {
        ns.create_cloneset(&cloneset("web", 2, &strategy(type_, 0)))
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await.map(drop)
    })
    .await?;
    Ok(uids(&ns.pods_of("web").await?))
}

fn gates(pod: &Pod) -> Vec<&str> {
    let spec = pod.spec.as_ref();
    let gates = spec.and_then(|spec| spec.readiness_gates.as_ref());
    gates
        .into_iter()
        .flatten()
        .map(|gate| gate.condition_type.as_str())
        .collect()
}

#[tokio::test]
async fn a_pod_without_the_readiness_gate_is_re_created_and_not_restarted_while_it_serves() -> Result<()> {
    in_namespace(async |ns| {
        let before = without_gates(ns, "InPlaceIfPossible").await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let pods = ns.pods_of("web").await?;
        assert!(uids(&pods).is_disjoint(&before), "updated in place");
        assert!(pods.iter().all(|pod| gates(pod) == ["InPlaceUpdateReady"]));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn with_in_place_only_a_pod_without_the_readiness_gate_stays_and_the_status_says_why() -> Result<()> {
    in_namespace(async |ns| {
        let before = without_gates(ns, "InPlaceOnly").await?;
        ns.set_image("web", NEW).await?;
        fails_naming(ns, "InPlaceUpdateReady").await?;
        assert_eq!(uids(&ns.pods_of("web").await?), before);
        Ok(())
    })
    .await
}
