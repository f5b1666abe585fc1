//! The life of the Helm release: installed where the restricted Pod Security level is enforced, upgraded,
//! uninstalled, installed again, and no pod of a CloneSet is touched on the way.
//!
//! Cargo runs test binaries one after another in the order of their names, and this one must be the last: the
//! tests of the others need the controller that is taken away here. One test, because every step starts from
//! the one before. It ends with the release as it found it.

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{NEW, OLD, cloneset};
use e2e::pods::{image, outline};
use e2e::waits::{Seen, until};
use e2e::witness::Subject;
use e2e::{Cluster, Counters, Limits, Namespace, Witness, in_namespace, install};
use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

#[tokio::test]
async fn no_pod_is_touched_by_upgrade_uninstall_and_reinstall_of_a_release_in_a_restricted_namespace()
-> Result<()> {
    in_namespace(async |ns| {
        runs_restricted(ns).await?;
        let strategy = json!({"updateStrategy": {"partition": 1, "maxUnavailable": 1}});
        ns.create_cloneset(&cloneset("web", 2, &strategy)).await?;
        ns.reaches(
            "web",
            Counters {
                expected_updated: 1,
                ..Counters::at_rest(2, 2)
            },
        )
        .await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(2, 1)).await?;
        let before = Snapshot::take(ns).await?;

        let first_pods = controller_pods(ns).await?;
        let moving = start_a_slow_rollout(ns).await?;
        install::with_values(ns, &["manager.log.level=debug"]).await?;
        let second_pods = controller_pods(ns).await?;
        ensure!(
            first_pods.iter().all(|pod| !second_pods.contains(pod)),
            "the upgrade replaced no controller pod"
        );
        ns.reaches("moving", Counters::at_rest(3, 3)).await?;
        moving
            .finish()
            .await
            .context("the upgrade in the midst of a rollout")?;
        before.is_still_true(ns, "after the upgrade").await?;

        install::remove(ns).await?;
        nothing_of_the_release_is_left(ns).await?;
        before.is_still_true(ns, "after the uninstall").await?;

        install::with_values(ns, &[]).await?;
        answers(ns, "after-reinstall").await?;
        before.is_still_true(ns, "after the re-install").await?;
        ns.patch("web", json!({"spec": {"updateStrategy": {"partition": 0}}}))
            .await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        Ok(())
    })
    .await
}

/// Everything that must survive, as the API server has it: a resourceVersion moves with any write at all.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    crd: Option<String>,
    cloneset: (Option<String>, Option<i64>),
    pods: Vec<(String, Option<String>, Option<String>)>,
    revisions: Vec<(String, Option<String>)>,
}

impl Snapshot {
    async fn take(ns: &Namespace) -> Result<Self> {
        let crds: Api<CustomResourceDefinition> = Api::all(ns.client.clone());
        let cloneset = ns.clonesets().get("web").await?;
        let pods = ns.pods_of("web").await?;
        let mut pods: Vec<_> = pods
            .iter()
            .map(|pod| (pod.name_any(), pod.uid(), pod.resource_version()))
            .collect();
        pods.sort();
        let mut revisions = ns.revisions().list(&ListParams::default()).await?.items;
        revisions.retain(|revision| revision.name_any().starts_with("web-"));
        let mut revisions: Vec<_> = revisions
            .iter()
            .map(|revision| (revision.name_any(), revision.resource_version()))
            .collect();
        revisions.sort();
        Ok(Self {
            crd: crds.get("clonesets.apps.kruise.io").await?.uid(),
            cloneset: (cloneset.uid(), cloneset.metadata.generation),
            pods,
            revisions,
        })
    }

    async fn is_still_true(&self, ns: &Namespace, when: &str) -> Result<()> {
        let now = Self::take(ns).await?;
        ensure!(
            *self == now,
            "{when} something had been touched\nbefore: {self:#?}\nnow: {now:#?}"
        );
        Ok(())
    }
}

/// The namespace enforces the level, and all replicas run in it.
async fn runs_restricted(cluster: &Cluster) -> Result<()> {
    let namespace = Api::<v1::Namespace>::all(cluster.client.clone())
        .get(install::NAMESPACE)
        .await?;
    let level = namespace
        .labels()
        .get("pod-security.kubernetes.io/enforce")
        .map(String::as_str);
    ensure!(
        level == Some("restricted"),
        "{} enforces {level:?}",
        install::NAMESPACE
    );
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), install::NAMESPACE);
    let status = deployments
        .get(install::RELEASE)
        .await?
        .status
        .context("a Deployment without a status")?;
    ensure!(
        status.available_replicas == Some(2),
        "{:?} of 2 replicas are available",
        status.available_replicas
    );
    Ok(())
}

async fn controller_pods(cluster: &Cluster) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), install::NAMESPACE);
    let list = pods.list(&ListParams::default()).await?;
    Ok(list
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(ResourceExt::name_any)
        .collect())
}

/// Long enough for the upgrade to take the leader away in the midst of it.
async fn start_a_slow_rollout(ns: &Namespace) -> Result<Witness> {
    let spec = json!({"updateStrategy": {"maxUnavailable": 1}, "minReadySeconds": 4});
    ns.create_cloneset(&cloneset("moving", 3, &spec)).await?;
    ns.reaches("moving", Counters::at_rest(3, 3)).await?;
    let subject = Subject {
        cloneset: "moving".into(),
        updated_image: NEW.into(),
        min_ready: SignedDuration::from_secs(4),
    };
    let witness = Witness::start(
        ns,
        subject,
        Limits {
            live: 3,
            available: 2,
            updated: 3,
        },
    )
    .await?;
    ns.set_image("moving", NEW).await?;
    ns.until_pods("moving", "the first new pod", |pods| {
        pods.iter().any(|pod| image(pod) == NEW)
    })
    .await?;
    Ok(witness)
}

/// Shows that a leader is at work: whatever it would do to the older set, it would have done by then.
async fn answers(ns: &Namespace, name: &str) -> Result<()> {
    ns.create_cloneset(&cloneset(name, 1, &json!({}))).await?;
    ns.reaches(name, Counters::at_rest(1, 1)).await?;
    let pods = ns.pods_of(name).await?;
    ensure!(pods.iter().all(|pod| image(pod) == OLD), "{}", outline(&pods));
    Ok(())
}

async fn nothing_of_the_release_is_left(cluster: &Cluster) -> Result<()> {
    let (client, name) = (cluster.client.clone(), install::RELEASE);
    let pods: Api<Pod> = Api::namespaced(client.clone(), install::NAMESPACE);
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), install::NAMESPACE);
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), install::NAMESPACE);
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(client);
    let policy = format!("{name}-delete-protection");
    until("everything but the CRD to be gone", async || {
        let left = [
            ("Deployment", deployments.get_opt(name).await?.is_some()),
            ("ServiceAccount", accounts.get_opt(name).await?.is_some()),
            ("ClusterRole", roles.get_opt(name).await?.is_some()),
            ("ClusterRoleBinding", bindings.get_opt(name).await?.is_some()),
            ("Policy", policies.get_opt(&policy).await?.is_some()),
            ("Pods", !pods.list(&ListParams::default()).await?.items.is_empty()),
        ];
        let left: Vec<_> = left
            .iter()
            .filter(|(_, there)| *there)
            .map(|(kind, _)| *kind)
            .collect();
        Ok(Seen::when(left.is_empty(), || format!("{left:?} still there")))
    })
    .await
}
