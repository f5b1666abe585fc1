//! The state a failed test leaves behind, printed before it is cleaned up.
//!
//! Whatever cannot be read is said and skipped: a dump must never hide the failure it explains.

use crate::install;
use crate::namespace::Namespace;
use anyhow::Result;
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, LogParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lines of each controller pod's log in which this test's namespace does not occur.
const OTHER_LOG_LINES: usize = 15;

/// Prints all that helps to understand a failure.
pub(crate) async fn to_stderr(namespace: &Namespace) {
    let parts: [(&str, BoxFuture<'_, Result<String>>); 5] = [
        ("CloneSets", Box::pin(clonesets(namespace))),
        ("Pods", Box::pin(pods(namespace))),
        ("Revisions", Box::pin(revisions(namespace))),
        ("Events", Box::pin(events(namespace))),
        ("Controller logs", Box::pin(controller_logs(namespace))),
    ];
    eprintln!("\n===== state of namespace {} =====", namespace.name);
    for (title, part) in parts {
        match part.await {
            Ok(text) => eprintln!("----- {title} -----\n{text}"),
            Err(error) => eprintln!("----- {title}: cannot be read: {error:#} -----"),
        }
    }
    eprintln!("===== end of state of namespace {} =====\n", namespace.name);
}

async fn clonesets(namespace: &Namespace) -> Result<String> {
    let mut text = String::new();
    for mut object in namespace.clonesets().list(&ListParams::default()).await? {
        object.metadata.managed_fields = None;
        writeln!(text, "---\n{}", serde_saphyr::to_string(&object)?)?;
    }
    Ok(text)
}

async fn pods(namespace: &Namespace) -> Result<String> {
    let mut text = String::new();
    for pod in namespace.pods().list(&ListParams::default()).await? {
        writeln!(text, "---\n{}", serde_saphyr::to_string(&essence(&pod))?)?;
    }
    Ok(text)
}

/// What matters about a pod that is not as it should be; the whole would bury it.
fn essence(pod: &Pod) -> Value {
    let status = pod.status.clone().unwrap_or_default();
    let spec = pod.spec.clone().unwrap_or_default();
    json!({
        "name": pod.name_any(),
        "uid": pod.metadata.uid,
        "resourceVersion": pod.metadata.resource_version,
        "created": pod.metadata.creation_timestamp,
        "terminatingBy": pod.metadata.deletion_timestamp,
        "labels": pod.metadata.labels,
        "annotations": pod.metadata.annotations,
        "owners": pod.metadata.owner_references,
        "node": spec.node_name,
        "readinessGates": spec.readiness_gates,
        "images": spec.containers.iter().map(|container| &container.image).collect::<Vec<_>>(),
        "phase": status.phase,
        "reason": status.reason,
        "message": status.message,
        "conditions": status.conditions,
        "containers": status.container_statuses,
    })
}

async fn revisions(namespace: &Namespace) -> Result<String> {
    let mut text = String::new();
    for revision in namespace.revisions().list(&ListParams::default()).await? {
        let data = serde_json::to_string(&revision.data)?;
        writeln!(
            text,
            "{} number {} {data}",
            revision.name_any(),
            revision.revision
        )?;
    }
    Ok(text)
}

async fn events(namespace: &Namespace) -> Result<String> {
    namespace
        .kubectl(&["get", "events", "--sort-by=.metadata.creationTimestamp"])
        .await
}

async fn controller_logs(namespace: &Namespace) -> Result<String> {
    let pods: Api<Pod> = Api::namespaced(namespace.client.clone(), install::NAMESPACE);
    let mut text = String::new();
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.name_any();
        let log = pods
            .logs(&name, &LogParams::default())
            .await
            .unwrap_or_else(|error| format!("no log: {error}"));
        let lines: Vec<_> = log.lines().collect();
        let recent = lines.len().saturating_sub(OTHER_LOG_LINES);
        writeln!(
            text,
            "{name}: lines about this namespace, and the last {OTHER_LOG_LINES}"
        )?;
        for (at, line) in lines.iter().enumerate() {
            if at >= recent || line.contains(&namespace.name) {
                writeln!(text, "  {line}")?;
            }
        }
    }
    Ok(text)
}
