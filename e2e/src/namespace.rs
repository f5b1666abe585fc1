//! One fresh namespace for each test, and what a test does in it.
//!
//! The namespace carries the test's name, goes with the test, and stays with `CLONESET_E2E_KEEP=1`. A failed test
//! has its state dumped before anything is cleaned up.

use crate::cluster::Cluster;
use crate::oracle::Oracle;
use crate::pods::{Identity, is_live, outline};
use crate::status::{Counters, failures};
use crate::waits::{Seen, quietly, until};
use crate::{dump, install, pods};
use anyhow::{Context as _, Result};
use cloneset_api::CloneSet;
use futures::FutureExt as _;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::{env, thread};

/// Prefix of every test's namespace.
const PREFIX: &str = "e2e-";
/// A namespace is a DNS label.
const NAME_LIMIT: usize = 63;

/// The namespace of one test. Dereferences to the [`Cluster`].
pub struct Namespace {
    cluster: Cluster,
    /// Its name.
    pub name: String,
}

impl Deref for Namespace {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

/// Runs a test in a namespace of its own, with the controller installed.
pub async fn in_namespace(test: impl AsyncFnOnce(&Namespace) -> Result<()>) -> Result<()> {
    let cluster = Cluster::connect().await?;
    install::once(&cluster).await?;
    let namespace = Namespace::create(cluster).await?;
    let oracle = Oracle::watch(&namespace, &namespace.name).await?;
    let outcome = AssertUnwindSafe(test(&namespace)).catch_unwind().await;
    let verdict = match oracle {
        Some(oracle) => oracle.verdict().await,
        None => Ok(()),
    };
    if !matches!((&outcome, &verdict), (Ok(Ok(())), Ok(()))) {
        dump::to_stderr(&namespace).await;
    }
    let outcome = with_verdict(outcome, verdict);
    if env::var_os("CLONESET_E2E_KEEP").is_some_and(|keep| keep == "1") {
        eprintln!("kept namespace {}", namespace.name);
    } else {
        namespace.delete().await?;
    }
    match outcome {
        Ok(result) => result,
        Err(panic) => resume_unwind(panic),
    }
}

/// A broken promise fails a test that saw nothing wrong, and is told beside whatever else failed.
fn with_verdict(outcome: thread::Result<Result<()>>, verdict: Result<()>) -> thread::Result<Result<()>> {
    match (outcome, verdict) {
        (Ok(Ok(())), verdict) => Ok(verdict),
        (outcome, Ok(())) => outcome,
        (outcome, Err(broken)) => {
            eprintln!("besides: {broken:#}");
            outcome
        }
    }
}

/// `module::a_test_does_this` becomes `e2e-a-test-does-this-1x2y3z`; the end tells runs apart, because the last
/// run's namespace may still be terminating.
fn name_of_this_test() -> String {
    let run = Timestamp::now().as_millisecond().unsigned_abs() % 0x0100_0000;
    namespace_name(thread::current().name().unwrap_or("unnamed"), run)
}

fn namespace_name(test: &str, run: u64) -> String {
    let test = test.rsplit("::").next().unwrap_or_default();
    let suffix = format!("-{run:06x}");
    let words: String = test
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let room = NAME_LIMIT - PREFIX.len() - suffix.len();
    let words = words.get(..room).unwrap_or(&words).trim_matches('-');
    format!("{PREFIX}{words}{suffix}")
}

impl Namespace {
    async fn create(cluster: Cluster) -> Result<Self> {
        let name = name_of_this_test();
        let namespace: v1::Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(cluster.client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        Ok(Self { cluster, name })
    }

    /// Lets go of pods that a test holds: a namespace that never ends would disturb the tests that wait for quiet.
    async fn delete(&self) -> Result<()> {
        let namespaces: Api<v1::Namespace> = Api::all(self.client.clone());
        let parameters = DeleteParams::background();
        namespaces.delete(&self.name, &parameters).await?;
        let nobody = Patch::Merge(json!({"metadata": {"finalizers": null}}));
        let pods = self.pods();
        let mut held = pods.list(&ListParams::default()).await?.items;
        held.retain(|pod| !pod.finalizers().is_empty());
        for pod in held {
            match pods
                .patch(&pod.name_any(), &PatchParams::default(), &nobody)
                .await
            {
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                outcome => drop(outcome?),
            }
        }
        Ok(())
    }

    /// CloneSets in here.
    pub fn clonesets(&self) -> Api<CloneSet> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Pods in here.
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Revisions in here.
    pub fn revisions(&self) -> Api<ControllerRevision> {
        Api::namespaced(self.client.clone(), &self.name)
    }

    /// Runs `kubectl` in here.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.cluster
            .kubectl(["--namespace", &self.name].iter().chain(arguments))
            .await
    }

    /// Sends a CloneSet byte for byte as it stands, as a client in any language might write it, and gives what the
    /// API server made of it.
    pub async fn send(&self, method: http::Method, path: &str, body: &Value) -> Result<Value> {
        let path = format!(
            "/apis/apps.kruise.io/v1alpha1/namespaces/{}/clonesets{path}",
            self.name
        );
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(serde_json::to_vec(body)?)?;
        Ok(self.client.request(request).await?)
    }

    /// Creates a CloneSet.
    pub async fn create_cloneset(&self, manifest: &Value) -> Result<()> {
        self.send(http::Method::POST, "", manifest)
            .await
            .context("a CloneSet was not accepted")
            .map(drop)
    }

    /// Merges something into a CloneSet.
    pub async fn patch(&self, cloneset: &str, merge: Value) -> Result<CloneSet> {
        let patched = self
            .clonesets()
            .patch(cloneset, &PatchParams::default(), &Patch::Merge(merge))
            .await?;
        Ok(patched)
    }

    /// Sets the image of the first container.
    pub async fn set_image(&self, cloneset: &str, image: &str) -> Result<CloneSet> {
        let field = "/spec/template/spec/containers/0/image";
        let operations = json!([{"op": "replace", "path": field, "value": image}]);
        let replace = Patch::<()>::Json(serde_json::from_value(operations)?);
        Ok(self
            .clonesets()
            .patch(cloneset, &PatchParams::default(), &replace)
            .await?)
    }

    /// Pods that a CloneSet of this name controls, terminating and finished ones too.
    async fn all_pods_of(&self, cloneset: &str) -> Result<Vec<Pod>> {
        let owner = self.clonesets().get(cloneset).await?;
        let mut found = self.pods().list(&ListParams::default()).await?.items;
        found.retain(|pod| pods::controller_uid(pod) == owner.metadata.uid.as_deref());
        Ok(found)
    }

    /// Live pods of a CloneSet.
    pub async fn pods_of(&self, cloneset: &str) -> Result<Vec<Pod>> {
        let mut found = self.all_pods_of(cloneset).await?;
        found.retain(is_live);
        Ok(found)
    }

    /// Waits until the status for the present generation has exactly these counters.
    pub async fn reaches(&self, cloneset: &str, counters: Counters) -> Result<CloneSet> {
        let what = format!("CloneSet {cloneset} to report {counters:?}");
        self.until_cloneset(cloneset, &what, |object| {
            Counters::reported(object) == Some(counters)
        })
        .await
    }

    /// Waits until a CloneSet is as asked for.
    pub async fn until_cloneset(
        &self,
        cloneset: &str,
        what: &str,
        holds: impl Fn(&CloneSet) -> bool,
    ) -> Result<CloneSet> {
        let api = self.clonesets();
        until(what, async || {
            let object = api.get(cloneset).await?;
            Ok(if holds(&object) {
                Seen::Yes(object)
            } else {
                Seen::NotYet(self.outline(&object).await)
            })
        })
        .await
    }

    /// Waits until the live pods of a CloneSet are as asked for.
    pub async fn until_pods(
        &self,
        cloneset: &str,
        what: &str,
        holds: impl Fn(&[Pod]) -> bool,
    ) -> Result<Vec<Pod>> {
        until(what, async || {
            let found = self.pods_of(cloneset).await?;
            Ok(if holds(&found) {
                Seen::Yes(found)
            } else {
                Seen::NotYet(outline(&found))
            })
        })
        .await
    }

    /// Watches that a CloneSet's live pods stay as they were: none added, removed or changed. Pods that were on
    /// their way out already may go.
    pub async fn leaves_alone(&self, cloneset: &str, before: &[Pod]) -> Result<()> {
        let before = Identity::of_all(before);
        let what = format!("no pod of CloneSet {cloneset} may change");
        quietly(&what, async || {
            let now = Identity::of_all(&self.pods_of(cloneset).await?);
            Ok((now != before).then(|| format!("before: {before:#?}\nnow: {now:#?}")))
        })
        .await
    }

    /// Status and pods in a few lines, for messages.
    async fn outline(&self, cloneset: &CloneSet) -> String {
        let counters = Counters::reported(cloneset);
        let generation = cloneset.metadata.generation;
        let failures = failures(cloneset);
        let pods = match self.all_pods_of(&cloneset.name_any()).await {
            Ok(pods) => outline(&pods),
            Err(error) => format!("pods unknown ({error:#})"),
        };
        let status = match counters {
            Some(counters) => format!("{counters:?}"),
            None => format!("no status for generation {generation:?}: {:?}", cloneset.status),
        };
        format!("{status}; failures {failures:?}; {pods}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_called_like_its_test_as_far_as_a_dns_label_reaches() {
        assert_eq!(namespace_name("limits::A_b__c", 0xab), "e2e-a-b--c-0000ab");
        let long = namespace_name(&"word_".repeat(30), 1);
        assert!(
            long.len() <= NAME_LIMIT && long.starts_with("e2e-word-word"),
            "{long}"
        );
        assert!(!long.contains("--"), "{long}");
    }
}
