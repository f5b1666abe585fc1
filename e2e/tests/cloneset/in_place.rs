//! Pods that are changed in place keep what makes them the same pod, and only the containers that change restart.

use crate::notes;
use anyhow::{Context as _, Result};
use cloneset_api::names::{annotations, labels};
use e2e::audit::{by_pod, controller_writes};
use e2e::fixtures::{NEW, OLD, OLD_BY_ANOTHER_NAME, changed, cloneset};
use e2e::pods::condition;
use e2e::{Cluster, Counters, Namespace, failures, in_namespace};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const FINALIZER: &str = "example.com/drain";

/// What stays: UID, node and address, by name.
fn selves(pods: &[Pod]) -> BTreeMap<String, [Option<String>; 3]> {
    let of = |pod: &Pod| {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let address = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        (pod.name_any(), [pod.metadata.uid.clone(), node, address])
    };
    pods.iter().map(of).collect()
}

fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

fn restarts(pods: &[Pod], name: &str) -> Vec<i32> {
    let of = |pod: &Pod| container(pod, name).map_or(-1, |status| status.restart_count);
    pods.iter().map(of).collect()
}

/// Only one of the two can have the port.
fn containers(main: &str) -> Value {
    let sleep = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"];
    let mounts = json!([{"name": "data", "mountPath": notes::PLACE}]);
    json!([
        {"name": "main", "image": main, "volumeMounts": mounts},
        {"name": "side", "image": OLD, "command": sleep}
    ])
}

/// Two containers and a volume, updated in place one pod at a time.
fn in_place(replicas: i32, more: &Value) -> Value {
    let mut strategy = json!({"type": "InPlaceIfPossible", "maxUnavailable": 1});
    if let (Some(fields), Some(more)) = (strategy.as_object_mut(), more.as_object()) {
        fields.extend(more.clone());
    }
    let object = cloneset("web", replicas, &json!({"updateStrategy": strategy}));
    let volumes = json!([{"name": "data", "emptyDir": {}}]);
    let changes = [
        ("spec.template.spec.containers", containers(OLD)),
        ("spec.template.spec.volumes", volumes),
    ];
    changed(object, &changes)
}

async fn release(ns: &Namespace) -> Result<()> {
    ns.patch(
        "web",
        json!({"spec": {"template": {"spec": {"containers": containers(NEW)}}}}),
    )
    .await?;
    Ok(())
}

/// Writes of the controller to each pod that were not made when it was created.
fn later_writes(ns: &Namespace, pods: &[Pod]) -> Result<Vec<usize>> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace == ns.name)?;
    let accounts = by_pod(&writes);
    let of = |pod: &Pod| {
        let account = accounts.get(&(ns.name.clone(), pod.name_any()));
        let count = |action| account.map_or(0, |account| account.count(action));
        // One of them has put the new pod in service.
        (count("patch pods") + count("patch pods/status") + count("delete pods")).saturating_sub(1)
    };
    Ok(pods.iter().map(of).collect())
}

#[tokio::test]
async fn an_image_changes_on_the_running_pod_in_three_writes_and_its_data_stays() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&in_place(3, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let before = ns.pods_of("web").await?;
        for pod in &before {
            notes::write(ns, &pod.name_any(), &pod.name_any()).await?;
        }
        release(ns).await?;
        let done = ns.reaches("web", Counters::at_rest(3, 3)).await?;
        assert_eq!(failures(&done), [] as [&_; 0]);
        let after = ns.pods_of("web").await?;
        assert_eq!(selves(&after), selves(&before));
        assert_eq!(restarts(&after, "main"), [1, 1, 1]);
        assert_eq!(restarts(&after, "side"), [0, 0, 0]);
        let images = after.iter().map(|pod| e2e::pods::image(pod).to_owned());
        assert_eq!(images.collect::<Vec<_>>(), [NEW, NEW, NEW]);
        assert_eq!(later_writes(ns, &after)?, [3, 3, 3]);
        for pod in &after {
            assert_eq!(notes::read(ns, &pod.name_any()).await?, pod.name_any());
        }
        Ok(())
    })
    .await
}

/// The image id says nothing then; with Kruise such an update may never end.
#[tokio::test]
async fn an_image_that_only_has_another_tag_is_done_too() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&in_place(1, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let before = ns.pods_of("web").await?;
        ns.set_image("web", OLD_BY_ANOTHER_NAME).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let after = ns.pods_of("web").await?;
        assert_eq!(selves(&after), selves(&before));
        let images = after.iter().map(e2e::pods::image);
        assert_eq!(images.collect::<Vec<_>>(), [OLD_BY_ANOTHER_NAME]);
        let image_ids = |pods: &[Pod]| -> Vec<_> {
            let main = pods.iter().filter_map(|pod| container(pod, "main"));
            main.map(|status| status.image_id.clone()).collect()
        };
        assert_eq!(image_ids(&after), image_ids(&before), "the very same image");
        assert_eq!(restarts(&after, "main"), [1]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_change_of_metadata_restarts_nothing() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&in_place(2, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let before = ns.pods_of("web").await?;
        let metadata = json!({"labels": {"team": "shop"}, "annotations": {"note": "new"}});
        ns.patch("web", json!({"spec": {"template": {"metadata": metadata}}}))
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let after = ns.pods_of("web").await?;
        assert_eq!(selves(&after), selves(&before));
        assert_eq!(restarts(&after, "main"), [0, 0]);
        for pod in &after {
            assert_eq!(pod.labels().get("team").map(String::as_str), Some("shop"));
            assert_eq!(pod.annotations().get("note").map(String::as_str), Some("new"));
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_container_restarts_when_its_pod_has_been_out_of_service_for_the_grace_period() -> Result<()> {
    in_namespace(async |ns| {
        let grace = json!({"inPlaceUpdateStrategy": {"gracePeriodSeconds": 4}});
        ns.create_cloneset(&in_place(1, &grace)).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        release(ns).await?;
        // A kubelet that has not seen the closed gate yet may write Ready once more.
        let is_out = |pod: &Pod| {
            let is_false = |type_| condition(pod, type_).is_some_and(|condition| condition.status == "False");
            is_false("InPlaceUpdateReady") && is_false("Ready")
        };
        let drained = ns
            .until_pods("web", "a pod out of service with its change before it", |pods| {
                pods.iter()
                    .any(|pod| pod.annotations().contains_key(annotations::IN_PLACE_GRACE) && is_out(pod))
            })
            .await?;
        for pod in &drained {
            assert_eq!(e2e::pods::image(pod), OLD);
        }
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let pods = ns.pods_of("web").await?;
        let pod = pods.first().context("no pod")?;
        let state: Value = serde_json::from_str(
            pod.annotations()
                .get(annotations::IN_PLACE_STATE)
                .context("no state")?,
        )?;
        let out: Timestamp = state["updateTimestamp"].as_str().context("no time")?.parse()?;
        let started = container(pod, "main")
            .and_then(|status| status.state.as_ref()?.running.as_ref()?.started_at.clone())
            .context("it does not run")?;
        assert!(started.0.duration_since(out) >= SignedDuration::from_secs(4));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_finalizer_holds_an_update_before_and_after() -> Result<()> {
    in_namespace(async |ns| {
        let hook = json!({"finalizersHandler": [FINALIZER]});
        let changes = [
            ("spec.lifecycle.inPlaceUpdate", hook),
            ("spec.template.metadata.finalizers", json!([FINALIZER])),
        ];
        ns.create_cloneset(&changed(in_place(1, &json!({})), &changes))
            .await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let before = ns.pods_of("web").await?;
        release(ns).await?;
        let held = in_state(ns, "PreparingUpdate").await?;
        assert_eq!(held.iter().map(e2e::pods::image).collect::<Vec<_>>(), [OLD]);
        set_finalizers(ns, &held, json!(null)).await?;
        let updated = in_state(ns, "Updated").await?;
        assert_eq!(updated.iter().map(e2e::pods::image).collect::<Vec<_>>(), [NEW]);
        set_finalizers(ns, &updated, json!([FINALIZER])).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let after = ns.pods_of("web").await?;
        assert_eq!(selves(&after), selves(&before));
        assert_eq!(later_writes(ns, &after)?, [5]);
        Ok(())
    })
    .await
}

async fn in_state(ns: &Namespace, state: &str) -> Result<Vec<Pod>> {
    ns.until_pods("web", &format!("a pod in {state}"), |pods| {
        pods.iter()
            .all(|pod| pod.labels().get(labels::LIFECYCLE_STATE).map(String::as_str) == Some(state))
    })
    .await
}

async fn set_finalizers(ns: &Namespace, pods: &[Pod], finalizers: Value) -> Result<()> {
    for pod in pods {
        let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
        ns.pods()
            .patch(&pod.name_any(), &PatchParams::default(), &patch)
            .await?;
    }
    Ok(())
}
