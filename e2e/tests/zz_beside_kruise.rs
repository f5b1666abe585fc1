//! What Kruise has, or left behind, that a release cannot live with: `helm install` fails with what to do. Done what the
//! message says, it installs, and no pod was touched.
//!
//! Kruise itself is not here, but what shows it: its deployment, its webhook configurations, its way to store
//! CloneSets. That the controller looks too is shown in `zx_faults`. Like `zz_helm` this takes the controller away from everybody, so it is one of the last. One test,
//! because the release is one. It ends with the release as it found it.
#![allow(clippy::indexing_slicing, reason = "a failed test is the point of a panic")]

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::cloneset;
use e2e::waits::{Seen, until};
use e2e::{Cluster, Counters, Namespace, crd, in_namespace, install};
use futures::FutureExt as _;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, resume_unwind};

const KRUISE: &str = "kruise-system";
const MANAGER: &str = "kruise-controller-manager";
const MUTATING: &str = "kruise-mutating-webhook-configuration";
const VALIDATING: &str = "kruise-validating-webhook-configuration";

#[tokio::test]
async fn a_release_beside_kruise_says_what_to_do_and_installs_once_it_is_done() -> Result<()> {
    in_namespace(async |ns| {
        let two = cloneset("web", 2, &json!({}));
        ns.create_cloneset(&two).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let before = ns.pods_of("web").await?;
        install::remove(ns).await?;

        let versions = versions(ns).await?;
        let outcome = AssertUnwindSafe(async {
            is_refused_beside_the_manager(ns).await?;
            is_refused_beside_webhooks(ns).await?;
            is_refused_over_another_storage(ns, &versions).await?;
            is_refused_over_a_conversion(ns).await
        });
        let outcome = outcome.catch_unwind().await;
        takes_kruise_away(ns, &versions)
            .await
            .context("Kruise's objects may be left: start a new cluster")?;
        install::with_values(ns, &[]).await?;
        outcome.unwrap_or_else(|panic| resume_unwind(panic))?;

        ns.leaves_alone("web", &before).await
    })
    .await
}

/// The words with which the installation fails; nothing of it is there.
async fn refusal(cluster: &Cluster) -> Result<String> {
    let installed = install::with_values(cluster, &[]).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), install::NAMESPACE);
    ensure!(
        deployments.get_opt(install::RELEASE).await?.is_none(),
        "it was installed"
    );
    match installed {
        Ok(()) => anyhow::bail!("helm did not fail"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

fn says(message: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(message.contains(word), "no {word:?} in: {message}");
    }
    Ok(())
}

/// Runs the commands in a message.
async fn does_what_it_says(cluster: &Cluster, message: &str) -> Result<()> {
    for line in message.lines() {
        if let Some(command) = line.strip_prefix("  kubectl ") {
            cluster.kubectl(command.split(' ')).await?;
        }
    }
    Ok(())
}

async fn is_refused_beside_the_manager(ns: &Namespace) -> Result<()> {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": KRUISE}});
    Api::<v1::Namespace>::all(ns.client.clone())
        .patch(KRUISE, &PatchParams::apply("e2e"), &Patch::Apply(namespace))
        .await?;
    let labels = json!({"app": MANAGER});
    let manager = json!({
        "metadata": {"name": MANAGER},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "manager", "image": "nginx:alpine"}]}
            }
        }
    });
    creates::<Deployment>(&Api::namespaced(ns.client.clone(), KRUISE), &manager).await?;
    let message = refusal(ns).await?;
    says(
        &message,
        &[
            "Kruise's manager runs in this cluster",
            "migration.acknowledgeKruise=true",
        ],
    )?;
    // Somebody who knows better gets as far as a rehearsal of the API server goes.
    let chart = ns.chart().to_str().context("CLONESET_CHART is not text")?;
    let acknowledged = ["--set", "migration.acknowledgeKruise=true", "--dry-run=server"];
    let install = [
        "install",
        install::RELEASE,
        chart,
        "--namespace",
        install::NAMESPACE,
    ];
    ns.helm(install.iter().chain(&acknowledged)).await?;
    does_what_it_says(ns, &message).await
}

/// The manager is stopped by now; what it registered stays behind.
async fn is_refused_beside_webhooks(ns: &Namespace) -> Result<()> {
    let client = &ns.client;
    let mutating = json!({"metadata": {"name": MUTATING}});
    creates::<MutatingWebhookConfiguration>(&Api::all(client.clone()), &mutating).await?;
    let validating = json!({"metadata": {"name": VALIDATING}});
    creates::<ValidatingWebhookConfiguration>(&Api::all(client.clone()), &validating).await?;
    let message = refusal(ns).await?;
    says(&message, &["admission webhooks are still in this cluster"])?;
    does_what_it_says(ns, &message).await
}

async fn is_refused_over_another_storage(ns: &Namespace, versions: &Value) -> Result<()> {
    let mut older = versions.pointer("/0").context("no version")?.clone();
    let mut newer = older.clone();
    older["storage"] = json!(false);
    newer["name"] = json!("v1beta1");
    crd::merge(ns, json!({"spec": {"versions": [older, newer]}})).await?;
    let message = refusal(ns).await?;
    says(
        &message,
        &["stored as v1beta1", "storedVersions: v1alpha1, v1beta1"],
    )?;
    is_stored_as_before(ns, versions).await
}

/// Nobody wrote a CloneSet meanwhile, so none is stored by the other version.
async fn is_stored_as_before(cluster: &Cluster, versions: &Value) -> Result<()> {
    let mut older = versions.pointer("/0").context("no version")?.clone();
    let mut newer = older.clone();
    newer["name"] = json!("v1beta1");
    newer["storage"] = json!(false);
    older["storage"] = json!(true);
    crd::merge(cluster, json!({"spec": {"versions": [older, newer]}})).await?;
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let told = Patch::Merge(json!({"status": {"storedVersions": ["v1alpha1"]}}));
    crds.patch_status(crd::NAME, &PatchParams::default(), &told)
        .await?;
    crd::merge(cluster, json!({"spec": {"versions": versions}})).await
}

async fn is_refused_over_a_conversion(ns: &Namespace) -> Result<()> {
    let webhook =
        json!({"clientConfig": {"url": "https://127.0.0.1:1/"}, "conversionReviewVersions": ["v1"]});
    let conversion = json!({"strategy": "Webhook", "webhook": webhook});
    crd::merge(ns, json!({"spec": {"conversion": conversion}})).await?;
    let message = refusal(ns).await?;
    says(
        &message,
        &[
            "converted between versions by a webhook",
            r#"{"strategy": "None"}"#,
        ],
    )?;
    converts_nothing(ns).await
}

async fn converts_nothing(ns: &Namespace) -> Result<()> {
    let none = json!({"strategy": "None", "webhook": null});
    crd::merge(ns, json!({"spec": {"conversion": none}})).await
}

async fn creates<K>(api: &Api<K>, object: &Value) -> Result<()>
where
    K: Clone + DeserializeOwned + serde::Serialize + Debug,
{
    let object = serde_json::from_value(object.clone())?;
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}

/// The versions of the CRD, raw.
async fn versions(cluster: &Cluster) -> Result<Value> {
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    Ok(serde_json::to_value(crds.get(crd::NAME).await?.spec.versions)?)
}

/// Whatever became of the test, and whether or not it had come that far.
async fn takes_kruise_away(ns: &Namespace, versions: &Value) -> Result<()> {
    converts_nothing(ns).await?;
    is_stored_as_before(ns, versions).await?;
    let client = &ns.client;
    let now = DeleteParams::default();
    Api::<MutatingWebhookConfiguration>::all(client.clone())
        .delete_collection(
            &now,
            &ListParams::default().fields(&format!("metadata.name={MUTATING}")),
        )
        .await?;
    Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .delete_collection(
            &now,
            &ListParams::default().fields(&format!("metadata.name={VALIDATING}")),
        )
        .await?;
    let namespaces: Api<v1::Namespace> = Api::all(client.clone());
    if namespaces.get_opt(KRUISE).await?.is_some() {
        namespaces.delete(KRUISE, &now).await?;
    }
    until("Kruise's namespace to be gone", async || {
        let left = namespaces.get_opt(KRUISE).await?;
        Ok(Seen::when(left.is_none(), || format!("{left:?}")))
    })
    .await
}
