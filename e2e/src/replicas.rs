//! Controllers of our own in the place of the installed ones, for tests that kill or stop them.
//!
//! The installed ones are put back whatever happens. Only one test at a time may do this, and no other test may run
//! meanwhile: a test binary that uses it must be called so that none runs beside it.

use crate::cluster::{Cluster, required};
use crate::install;
use crate::namespace::{Namespace, in_namespace};
use crate::replica::{Replica, Setup};
use crate::waits::{Seen, until};
use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenReview, TokenReviewSpec};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use tokio::sync::Mutex;

/// Flags that two processes of one machine cannot share.
const OWN_FLAGS: [&str; 2] = ["--metrics-addr", "--health-probe-addr"];
/// Names a token in a review and in the audit log.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";
/// Last lines of each log that a failure shows besides those about its namespace.
const OTHER_LOG_LINES: usize = 40;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Starts controllers that stand in for the installed ones.
pub struct Replicas {
    client: Client,
    folder: PathBuf,
    flags: Vec<String>,
}

/// Runs a test in a namespace of its own while no installed controller runs.
pub async fn in_place_of_the_installed(
    test: impl AsyncFnOnce(&Namespace, &Replicas) -> Result<()>,
) -> Result<()> {
    let _alone = ONE_AT_A_TIME.lock().await;
    let cluster = Cluster::connect().await?;
    required("CLONESET_CONTROLLER")?;
    install::once(&cluster).await?;
    let outcome = AssertUnwindSafe(async {
        take_away(&cluster).await?;
        let replicas = Replicas::new(&cluster).await?;
        let outcome = in_namespace(async |ns| {
            let outcome = AssertUnwindSafe(test(ns, &replicas)).catch_unwind().await;
            if !matches!(outcome, Ok(Ok(()))) {
                replicas.print_logs(&ns.name);
            }
            outcome.unwrap_or_else(|panic| resume_unwind(panic))
        });
        outcome.await
    });
    let outcome = outcome.catch_unwind().await;
    let put_back = install::with_values(&cluster, &[]).await;
    let put_back = put_back.context("no controller is installed now; `helm upgrade` brings it back");
    match outcome {
        Ok(Ok(())) => put_back,
        Ok(Err(error)) => {
            let _ = put_back.inspect_err(|error| eprintln!("besides: {error:#}"));
            Err(error)
        }
        Err(panic) => resume_unwind(panic),
    }
}

/// The chart's own way to have no controller for a while; waits until the last one is gone.
async fn take_away(cluster: &Cluster) -> Result<()> {
    install::with_values(cluster, &["manager.replicas=0"]).await?;
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), install::NAMESPACE);
    until("the installed controllers to be gone", async || {
        let left = pods.list(&ListParams::default()).await?.items.len();
        Ok(Seen::when(left == 0, || format!("{left} pods")))
    })
    .await
}

impl Replicas {
    async fn new(cluster: &Cluster) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("cloneset-e2e-{}", std::process::id()));
        // Tokens will be in it.
        DirBuilder::new()
            .recursive(false)
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let replicas = Self {
            client: cluster.client.clone(),
            folder,
            flags: installed_flags(cluster).await?,
        };
        Ok(replicas)
    }

    /// Starts one and waits until it has seen everything; whether it leads is another matter.
    pub async fn start(&self, identity: &str) -> Result<Replica> {
        self.start_program(identity, &required("CLONESET_CONTROLLER")?)
            .await
    }

    /// Starts another program than the installed one in the same way.
    pub async fn start_program(&self, identity: &str, program: &OsStr) -> Result<Replica> {
        let mut replica = self.launch_program(identity, program).await?;
        replica.is_ready().await?;
        Ok(replica)
    }

    /// Starts one and waits for nothing.
    pub async fn launch(&self, identity: &str) -> Result<Replica> {
        self.launch_program(identity, &required("CLONESET_CONTROLLER")?)
            .await
    }

    async fn launch_program(&self, identity: &str, program: &OsStr) -> Result<Replica> {
        let (token, credential) = self.token().await?;
        let kubeconfig = self.folder.join(format!("{identity}.kubeconfig"));
        write_kubeconfig(&kubeconfig, &token)?;
        let mut replica = Replica::new(Setup {
            identity: identity.to_owned(),
            credential,
            program: program.to_owned(),
            flags: self.flags.clone(),
            kubeconfig,
            log: self.folder.join(format!("{identity}.log")),
        })?;
        replica.start()?;
        Ok(replica)
    }

    /// The Lease as it is now.
    pub async fn lease(&self) -> Result<LeaseSpec> {
        let name = self.flag("--leader-election-id")?;
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), install::NAMESPACE);
        leases.get(name).await?.spec.context("a Lease without a spec")
    }

    /// Waits until this replica holds the Lease.
    pub async fn led_by(&self, replica: &Replica) -> Result<LeaseSpec> {
        let what = format!("{} to lead", replica.identity());
        until(&what, async || {
            let lease = self.lease().await?;
            Ok(if replica.holds(&lease) {
                Seen::Yes(lease)
            } else {
                Seen::NotYet(format!("{lease:?}"))
            })
        })
        .await
    }

    fn flag(&self, name: &str) -> Result<&str> {
        let mut values = self
            .flags
            .iter()
            .filter_map(|flag| flag.strip_prefix(name)?.strip_prefix('='));
        values
            .next()
            .with_context(|| format!("the installed controller has no flag {name}"))
    }

    /// A token of the installed service account, and what the API server calls it.
    async fn token(&self) -> Result<(String, String)> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), install::NAMESPACE);
        let params = PostParams::default();
        let request = TokenRequest::default();
        let token = accounts
            .create_token_request(install::RELEASE, &params, &request)
            .await?
            .status
            .and_then(|status| status.token)
            .context("a token request without an answer")?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.clone(),
                audiences: None,
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let user = reviews
            .create(&params, &review)
            .await?
            .status
            .and_then(|status| status.user);
        let user = user.context("the API server does not know its own token")?;
        ensure!(user.username.as_deref() == Some(install::USER), "{user:?}");
        let credential = user
            .extra
            .and_then(|mut extra| extra.remove(CREDENTIAL)?.into_iter().next())
            .context("the API server does not name tokens: it needs Kubernetes 1.32 or newer")?;
        Ok((token, credential))
    }

    fn print_logs(&self, namespace: &str) {
        let logs = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in logs.map(|file| file.path()) {
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| error.to_string());
            let lines: Vec<_> = text.lines().collect();
            let recent = lines.len().saturating_sub(OTHER_LOG_LINES);
            eprintln!("----- log of replica {} -----", path.display());
            for (at, line) in lines.iter().enumerate() {
                if at >= recent || line.contains(namespace) || line.contains("starting") {
                    eprintln!("  {line}");
                }
            }
        }
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        // What cannot be removed is small, and its tokens expire.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the installed controllers are started with.
async fn installed_flags(cluster: &Cluster) -> Result<Vec<String>> {
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), install::NAMESPACE);
    let deployment = deployments.get(install::RELEASE).await?;
    let pod = deployment.spec.and_then(|spec| spec.template.spec);
    let container = pod.and_then(|pod| pod.containers.into_iter().next());
    let flags = container
        .and_then(|container| container.args)
        .context("the installed Deployment starts nothing")?;
    let shared = |flag: &String| !OWN_FLAGS.iter().any(|own| flag.starts_with(own));
    Ok(flags.into_iter().filter(shared).collect())
}

/// The cluster of `KUBECONFIG`, with nothing but a token.
fn write_kubeconfig(file: &Path, token: &str) -> Result<()> {
    let administrator = Kubeconfig::read().context("KUBECONFIG cannot be read")?;
    let current = administrator
        .contexts
        .iter()
        .find(|context| Some(&context.name) == administrator.current_context.as_ref())
        .and_then(|context| context.context.as_ref())
        .context("KUBECONFIG has no current context")?;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": administrator.clusters,
        "users": [{"name": "replica", "user": {"token": token}}],
        "contexts": [{"name": "replica", "context": {"cluster": current.cluster, "user": "replica"}}],
        "current-context": "replica"
    });
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(&serde_json::to_vec(&kubeconfig)?)?;
    Ok(())
}
