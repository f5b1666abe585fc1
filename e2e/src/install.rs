//! The controller, installed as a user would: `helm`, into a namespace that enforces the restricted Pod Security
//! level, so that every test shows that it may run there.
//!
//! `helm upgrade --install` changes nothing when nothing differs, so test binaries that run one after another
//! each make sure of the release. Only the tests of the release itself may change it, and they put it back.

use crate::cluster::{Cluster, Image};
use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::OnceCell;

/// Name of the release; also of the Deployment, the service account and everything else in it.
pub const RELEASE: &str = "cloneset";
/// Where it is installed.
pub const NAMESPACE: &str = "cloneset-system";
/// Who the controller is to the API server.
pub const USER: &str = "system:serviceaccount:cloneset-system:cloneset";

/// Makes sure of the release, once for each process. A failure is remembered: what did not work for the first
/// test would only cost the others the same wait.
pub async fn once(cluster: &Cluster) -> Result<()> {
    static OUTCOME: OnceCell<Result<(), String>> = OnceCell::const_new();
    let install = || async {
        with_values(cluster, &[])
            .await
            .map_err(|error| format!("{error:#}"))
    };
    OUTCOME
        .get_or_init(install)
        .await
        .clone()
        .map_err(|error| anyhow!("the controller is not installed: {error}"))
}

/// Installs or upgrades the release with further values, and waits until all of it is ready.
pub async fn with_values(cluster: &Cluster, values: &[&str]) -> Result<()> {
    restricted_namespace(cluster).await?;
    let Image {
        repository,
        tag,
        digest,
    } = cluster.image()?;
    let image = [
        "manager.image.registry=".to_owned(),
        format!("manager.image.repository={repository}"),
        format!("manager.image.tag={tag}"),
        format!("manager.image.digest={digest}"),
    ];
    let mut arguments = vec!["upgrade", "--install", RELEASE];
    let chart = cluster.chart().to_str().context("CLONESET_CHART is not text")?;
    arguments.extend([chart, "--namespace", NAMESPACE, "--wait", "--timeout", "3m"]);
    for value in image.iter().map(String::as_str).chain(values.iter().copied()) {
        arguments.extend(["--set", value]);
    }
    cluster.helm(arguments).await.map(drop)
}

/// Removes the release, and waits until its pods are gone.
pub async fn remove(cluster: &Cluster) -> Result<()> {
    cluster
        .helm([
            "uninstall",
            RELEASE,
            "--namespace",
            NAMESPACE,
            "--wait",
            "--timeout",
            "3m",
        ])
        .await
        .map(drop)
}

async fn restricted_namespace(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let wanted = json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
    });
    namespaces
        .patch(NAMESPACE, &PatchParams::apply("e2e"), &Patch::Apply(wanted))
        .await?;
    Ok(())
}
