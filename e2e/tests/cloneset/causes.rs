//! Why pods do not start, in the words of the kubelet and the scheduler: `kubectl describe` of the CloneSet names the pod
//! and the reason soon after they did.

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{OLD, changed, cloneset};
use e2e::waits::{Seen, until};
use e2e::{Namespace, in_namespace};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt as _;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From the report on the pod to the report on the CloneSet.
const SOON: Duration = Duration::from_secs(10);

/// A way not to start.
struct Failure {
    /// Of the CloneSet.
    name: &'static str,
    /// What is wrong with its pods.
    spec: Value,
    /// Does the pod's status report it?
    is_reported: fn(&Pod) -> bool,
    /// The kubelet's event, where the pod's status says less.
    event: Option<&'static str>,
    /// What the line that names the pod says.
    words: &'static [&'static str],
}

fn container(fields: &Value) -> Value {
    let container = json!({"name": "main", "image": OLD});
    json!({"containers": [e2e::fixtures::with(container, fields)]})
}

fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let statuses = status.and_then(|status| status.container_statuses.as_ref());
    statuses.into_iter().flatten()
}

/// A container waits, and this is the reason.
fn waits_for(pod: &Pod, reason: &str) -> bool {
    statuses(pod).any(|status| {
        let waiting = status.state.as_ref().and_then(|state| state.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some(reason))
    })
}

fn was_killed_for_memory(pod: &Pod) -> bool {
    statuses(pod).any(|status| {
        let states = [&status.state, &status.last_state];
        let ends = states
            .into_iter()
            .flatten()
            .filter_map(|state| state.terminated.as_ref());
        ends.into_iter()
            .any(|end| end.reason.as_deref() == Some("OOMKilled"))
    })
}

fn runs_and_is_not_ready(pod: &Pod) -> bool {
    statuses(pod).any(|status| status.started == Some(true) && !status.ready)
}

fn is_unschedulable(pod: &Pod) -> bool {
    e2e::pods::condition(pod, "PodScheduled")
        .is_some_and(|condition| condition.reason.as_deref() == Some("Unschedulable"))
}

fn failures() -> Vec<Failure> {
    let missing = json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]);
    let probe = json!({"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1});
    vec![
        Failure {
            name: "pull",
            spec: container(&json!({"image": "registry.local/missing:v9"})),
            is_reported: |pod| waits_for(pod, "ErrImagePull") || waits_for(pod, "ImagePullBackOff"),
            event: None,
            words: &["ErrImagePull", "ImagePullBackOff"],
        },
        Failure {
            name: "crash",
            spec: container(&json!({"command": ["sh", "-c", "exit 3"]})),
            is_reported: |pod| waits_for(pod, "CrashLoopBackOff"),
            event: None,
            words: &["CrashLoopBackOff"],
        },
        Failure {
            name: "config",
            spec: container(&json!({"env": missing})),
            is_reported: |pod| waits_for(pod, "CreateContainerConfigError"),
            event: None,
            words: &["CreateContainerConfigError"],
        },
        Failure {
            name: "probe",
            spec: container(&json!({"readinessProbe": probe})),
            is_reported: runs_and_is_not_ready,
            event: Some("Unhealthy"),
            words: &["readiness probe"],
        },
        Failure {
            name: "memory",
            spec: container(&json!({
                "command": ["tail", "/dev/zero"], "resources": {"limits": {"memory": "24Mi"}}
            })),
            is_reported: was_killed_for_memory,
            event: None,
            words: &["OOMKilled"],
        },
        Failure {
            name: "nowhere",
            spec: e2e::fixtures::with(
                container(&json!({})),
                &json!({"nodeSelector": {"example.com/none": "here"}}),
            ),
            is_reported: is_unschedulable,
            event: None,
            words: &["Unschedulable", "node"],
        },
    ]
}

/// Waits for the report on the pod; its name.
async fn reported(ns: &Namespace, failure: &Failure) -> Result<String> {
    let what = format!("a pod of {} that fails as it should", failure.name);
    let pods = ns
        .until_pods(failure.name, &what, |pods| pods.iter().any(failure.is_reported))
        .await?;
    let pod = pods.iter().find(|pod| (failure.is_reported)(pod));
    let pod = pod.context("it is gone")?.name_any();
    if let Some(reason) = failure.event {
        until(&format!("event {reason} of {pod}"), async || {
            let selector = format!("involvedObject.name={pod},reason={reason}");
            let found = ns
                .kubectl(&["get", "events", "--output=name", "--field-selector", &selector])
                .await?;
            Ok(Seen::when(!found.trim().is_empty(), || "no event".to_owned()))
        })
        .await?;
    }
    Ok(pod)
}

/// Waits for a line of `kubectl describe` that names the pod and the reason.
async fn described(ns: &Namespace, failure: &Failure, pod: &str) -> Result<()> {
    let what = format!("a line about {pod} with one of {:?}", failure.words);
    until(&what, async || {
        let text = ns.kubectl(&["describe", "clone", failure.name]).await?;
        let explains =
            |line: &str| line.contains(pod) && failure.words.iter().any(|word| line.contains(word));
        Ok(Seen::when(text.lines().any(explains), || text.clone()))
    })
    .await
}

async fn is_explained(ns: &Namespace, failure: &Failure) -> Result<()> {
    let object = cloneset(failure.name, 1, &json!({}));
    let object = changed(object, &[("spec.template.spec", failure.spec.clone())]);
    ns.create_cloneset(&object).await?;
    let pod = reported(ns, failure).await?;
    let since = Instant::now();
    described(ns, failure, &pod).await?;
    let took = since.elapsed();
    ensure!(took <= SOON, "{}: after {took:?}", failure.name);
    Ok(())
}

#[tokio::test]
async fn describe_names_the_pod_that_does_not_start_and_the_reason() -> Result<()> {
    in_namespace(async |ns| {
        let failures = failures();
        let outcomes =
            futures::future::join_all(failures.iter().map(|failure| is_explained(ns, failure))).await;
        let broken: Vec<_> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .map(|error| format!("{error:#}"))
            .collect();
        assert_eq!(broken, [""; 0]);
        Ok(())
    })
    .await
}
