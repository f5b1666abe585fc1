//! `policy.kruise.io/delete-protection`: what the API server refuses to delete, what it lets pass, and that its message
//! names the object, the label and the command that lifts it.
//!
//! The CRD is only ever deleted in a dry run: policies judge that too.

use anyhow::{Context as _, Result, ensure};
use cloneset_api::CloneSet;
use e2e::fixtures::{Change, changed, cloneset};
use e2e::waits::{Seen, quietly, until};
use e2e::{Cluster, Namespace, in_namespace};
use k8s_openapi::api::core::v1;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

const LABEL: &str = "policy.kruise.io/delete-protection";
const CRD: &str = "clonesets.apps.kruise.io";

/// A CloneSet with the label.
fn protected(name: &str, replicas: i32, protection: &str) -> Value {
    let labels: Change = ("metadata.labels", json!({(LABEL): protection}));
    changed(cloneset(name, replicas, &json!({})), &[labels])
}

async fn creates(ns: &Namespace, name: &str, replicas: i32, protection: &str) -> Result<()> {
    ns.create_cloneset(&protected(name, replicas, protection)).await
}

/// The API server's words for refusing a deletion.
fn refusal<T>(deleted: Result<T, kube::Error>) -> Result<String> {
    match deleted {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(status.message),
        Err(other) => Err(other).context("another answer than a refusal"),
        Ok(_) => anyhow::bail!("it was deleted"),
    }
}

/// Tries in earnest once rehearsals are refused: a policy is in force a moment after it was installed.
async fn refused(ns: &Namespace, name: &str) -> Result<String> {
    until(&format!("deletion of {name} to be refused"), async || {
        let rehearsed = ns
            .clonesets()
            .delete(name, &DeleteParams::default().dry_run())
            .await;
        Ok(Seen::when(refusal(rehearsed).is_ok(), || {
            "it would be deleted".to_owned()
        }))
    })
    .await?;
    refusal(ns.clonesets().delete(name, &DeleteParams::default()).await)
}

fn says(message: &str, words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(message.contains(word), "no {word:?} in: {message}");
    }
    Ok(())
}

/// Runs the command at the end of a refusal.
async fn does_what_it_says(cluster: &Cluster, message: &str) -> Result<()> {
    let (_, command) = message.rsplit_once("kubectl ").context("no command in it")?;
    cluster.kubectl(command.split(' ')).await.map(drop)
}

/// It can be deleted, and goes.
async fn goes(ns: &Namespace, name: &str) -> Result<()> {
    ns.clonesets().delete(name, &DeleteParams::default()).await?;
    is_gone(&ns.clonesets(), name).await
}

async fn is_gone(api: &Api<CloneSet>, name: &str) -> Result<()> {
    until(&format!("CloneSet {name} to be gone"), async || {
        let object = api.get_opt(name).await?;
        Ok(Seen::when(object.is_none(), || format!("{object:?}")))
    })
    .await
}

#[tokio::test]
async fn always_means_until_the_label_is_gone() -> Result<()> {
    in_namespace(async |ns| {
        // Not even without pods.
        creates(ns, "web", 0, "Always").await?;
        let message = refused(ns, "web").await?;
        let object = format!("CloneSet {}/web is labelled {LABEL}=Always", ns.name);
        says(&message, &[&object, "never deleted"])?;
        let all = ns
            .clonesets()
            .delete_collection(&DeleteParams::default(), &ListParams::default())
            .await;
        says(&refusal(all).context("all at once")?, &[&object])?;
        does_what_it_says(ns, &message).await?;
        goes(ns, "web").await
    })
    .await
}

#[tokio::test]
async fn cascading_means_while_replicas_is_above_0() -> Result<()> {
    in_namespace(async |ns| {
        creates(ns, "lifted", 2, "Cascading").await?;
        creates(ns, "scaled", 1, "Cascading").await?;
        let message = refused(ns, "lifted").await?;
        let object = format!("CloneSet {}/lifted is labelled {LABEL}=Cascading", ns.name);
        says(&message, &[&object, "spec.replicas is above 0; it is 2"])?;
        does_what_it_says(ns, &message).await?;
        goes(ns, "lifted").await?;

        refused(ns, "scaled").await?;
        ns.patch("scaled", json!({"spec": {"replicas": 0}})).await?;
        goes(ns, "scaled").await
    })
    .await
}

#[tokio::test]
async fn any_other_value_means_nothing() -> Result<()> {
    in_namespace(async |ns| {
        for (name, value) in [("other", "Sometimes"), ("empty", ""), ("lower", "always")] {
            creates(ns, name, 1, value).await?;
            goes(ns, name).await?;
        }
        Ok(())
    })
    .await
}

/// It is on its way out: refusing would help nobody, and break whoever asks twice.
#[tokio::test]
async fn what_is_terminating_already_passes() -> Result<()> {
    in_namespace(async |ns| {
        let held = changed(
            cloneset("held", 1, &json!({})),
            &[("metadata.finalizers", json!(["example.com/held"]))],
        );
        ns.create_cloneset(&held).await?;
        let again = async {
            ns.clonesets().delete("held", &DeleteParams::default()).await?;
            let label = json!({"metadata": {"labels": {(LABEL): "Always"}}});
            let terminating = ns.patch("held", label).await?;
            ensure!(terminating.metadata.deletion_timestamp.is_some());
            ns.clonesets().delete("held", &DeleteParams::default()).await?;
            Ok(())
        };
        let again = again.await;
        // Whatever happened, or its namespace would never go.
        ns.patch("held", json!({"metadata": {"finalizers": null}}))
            .await?;
        again?;
        is_gone(&ns.clonesets(), "held").await
    })
    .await
}

#[tokio::test]
async fn the_end_of_its_namespace_passes() -> Result<()> {
    in_namespace(async |ns| {
        let namespaces: Api<v1::Namespace> = Api::all(ns.client.clone());
        let (_, run) = ns.name.rsplit_once('-').context("a name without a run")?;
        let name = format!("e2e-protected-{run}");
        let new = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        namespaces.create(&PostParams::default(), &new).await?;
        let clonesets: Api<CloneSet> = Api::namespaced(ns.client.clone(), &name);
        for (cloneset, protection) in [("a", "Always"), ("b", "Cascading")] {
            let new = serde_json::from_value(protected(cloneset, 1, protection))?;
            clonesets.create(&PostParams::default(), &new).await?;
        }
        namespaces.delete(&name, &DeleteParams::default()).await?;
        until(&format!("namespace {name} to be gone"), async || {
            let left = namespaces.get_opt(&name).await?;
            Ok(Seen::when(left.is_none(), || format!("{left:?}")))
        })
        .await
    })
    .await
}

/// The garbage collector is who deletes in cascade: refusing it is what the label is for.
#[tokio::test]
async fn its_owners_deletion_does_not_take_it_along_until_the_label_is_gone() -> Result<()> {
    in_namespace(async |ns| {
        let owners: Api<ConfigMap> = Api::namespaced(ns.client.clone(), &ns.name);
        let owner = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
        let owner = owners.create(&PostParams::default(), &owner).await?;
        let reference =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.uid()}]);
        for (name, protection) in [("kept", "Always"), ("taken", "none")] {
            let owned = changed(
                protected(name, 1, protection),
                &[("metadata.ownerReferences", reference.clone())],
            );
            ns.create_cloneset(&owned).await?;
        }
        refused(ns, "kept").await?;
        owners.delete("owner", &DeleteParams::background()).await?;
        is_gone(&ns.clonesets(), "taken").await?;
        quietly("the garbage collector must leave it", async || {
            let kept = ns.clonesets().get("kept").await?;
            let gone = kept.metadata.deletion_timestamp.is_some();
            Ok(gone.then(|| format!("{kept:?}")))
        })
        .await?;
        ns.patch("kept", json!({"metadata": {"labels": {(LABEL): null}}}))
            .await?;
        is_gone(&ns.clonesets(), "kept").await
    })
    .await
}

#[tokio::test]
async fn the_crd_is_guarded_by_the_same_label() -> Result<()> {
    in_namespace(async |ns| {
        let crds: Api<CustomResourceDefinition> = Api::all(ns.client.clone());
        let rehearsal = DeleteParams::default().dry_run();
        let label = async |value: Value| {
            let merge = Patch::Merge(json!({"metadata": {"labels": {(LABEL): value}}}));
            crds.patch(CRD, &PatchParams::default(), &merge).await
        };
        let outcome = async {
            let mut message = String::new();
            for (value, words) in [("Always", "To lift that"), ("Cascading", "kubectl get clonesets")] {
                label(json!(value)).await?;
                message = until("deletion of the CRD to be refused", async || {
                    let refused = refusal(crds.delete(CRD, &rehearsal).await);
                    Ok(refused.map_or_else(|error| Seen::NotYet(format!("{error:#}")), Seen::Yes))
                })
                .await?;
                let object = format!("CustomResourceDefinition {CRD} is labelled {LABEL}={value}");
                says(&message, &[&object, words])?;
            }
            let only = ListParams::default().fields(&format!("metadata.name={CRD}"));
            refusal(crds.delete_collection(&rehearsal, &only).await).context("all at once")?;
            does_what_it_says(ns, &message).await
        };
        let outcome = outcome.await;
        label(Value::Null).await?;
        outcome?;
        crds.delete(CRD, &rehearsal).await.context("without the label")?;
        Ok(())
    })
    .await
}
