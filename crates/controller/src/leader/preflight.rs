//! The preflight check before leader election: the CRD must be one that this controller can write through, and
//! kruise-manager, which would reconcile the same CloneSets, must not be running.
//!
//! The Helm chart checks the same when it is installed, but not with `helm template` or GitOps. The check runs before
//! the first term only. It reads and never writes; what the controller may not read is assumed to be fine, with a warning.

use crate::clock::Clock;
use crate::leader::lease::{holder, time_to_expiry};
use crate::live::{self, ReadError};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clonesets.apps.kruise.io";
/// The version that this controller serves.
const VERSION: &str = "v1alpha1";
/// Where kruise-manager has its Lease by default.
const KRUISE_NAMESPACE: &str = "kruise-system";
const KRUISE_LEASE: &str = "kruise-manager";
/// Time between two checks while something blocks the controller.
const RECHECK: Duration = Duration::from_secs(30);
/// Time between two checks when the first got no answer.
const RETRY: Duration = Duration::from_secs(5);
/// A Lease this old is not worth watching: a clock that far off would fail to verify certificates.
const LONG_DEAD: SignedDuration = SignedDuration::from_mins(10);

/// What blocks this replica from leader election, if anything.
#[derive(Debug)]
pub struct Preflight(Mutex<Option<String>>);

impl Default for Preflight {
    fn default() -> Self {
        Self(Mutex::new(Some("nobody has looked yet".to_owned())))
    }
}

impl Preflight {
    /// What blocks this replica.
    pub fn blocker(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, blocker: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = blocker;
    }

    /// Waits until nothing blocks this replica. `acknowledged`: kruise-manager may be running.
    pub async fn wait(&self, client: Client, clock: &Clock, acknowledged: bool) {
        let mut check = Check {
            client,
            acknowledged,
            lease: None,
        };
        loop {
            let pause = match check.run(Instant::now(), clock()).await {
                Ok(None) => break,
                Ok(Some(blocker)) => {
                    error!(%blocker, "not taking part in the election, writing nothing");
                    self.set(Some(blocker.to_string()));
                    RECHECK
                }
                Err(reason) => {
                    warn!(%reason, "cannot tell yet whether this controller may write");
                    self.set(Some(format!(
                        "cannot tell yet whether this controller may write: {reason}"
                    )));
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
        info!("nothing is in the way of taking part in the election");
        self.set(None);
    }
}

/// What blocks this replica, and what to do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Blocker {
    #[error(
        "there is no CRD clonesets.apps.kruise.io. Install it: helm upgrade with crds.install=true, or the chart \
         cloneset-crds"
    )]
    NoCrd,
    #[error(
        "the CRD clonesets.apps.kruise.io does not serve {VERSION}, the version this controller speaks. Install the \
         CRD of this version: helm upgrade with crds.install=true, or the chart cloneset-crds"
    )]
    NotServed,
    #[error(
        "CloneSets may be stored as {0} (status.storedVersions of the CRD clonesets.apps.kruise.io), and this \
         controller speaks {VERSION} only. While Kruise still runs, have them stored as {VERSION}: {GUIDE}"
    )]
    Stored(String),
    #[error(
        "the CRD clonesets.apps.kruise.io has its objects converted by a webhook (spec.conversion.strategy: \
         Webhook), so without Kruise they can neither be read nor written. Set the strategy to None: {GUIDE}"
    )]
    Converted,
    #[error(
        "Kruise's manager seems to be alive: {holder} renewed the Lease {KRUISE_NAMESPACE}/{KRUISE_LEASE} at \
         {renewed}, and two controllers would fight over the same pods. Stop it: kubectl scale deployment \
         kruise-controller-manager --namespace {KRUISE_NAMESPACE} --replicas=0. If it does not handle CloneSets, \
         start this controller with --acknowledge-kruise. {GUIDE}"
    )]
    Kruise { holder: String, renewed: String },
}

const GUIDE: &str = "https://github.com/cloneset/cloneset/blob/main/docs/how-to/replace-kruise.md";

/// The few fields of the CRD that matter: unknown fields must not keep the controller from starting.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Crd {
    spec: CrdSpec,
    status: CrdStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrdSpec {
    versions: Vec<CrdVersion>,
    conversion: Conversion,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CrdVersion {
    name: String,
    served: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Conversion {
    strategy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CrdStatus {
    stored_versions: Vec<String>,
}

impl Crd {
    fn blocker(&self) -> Option<Blocker> {
        let others = self.status.stored_versions.iter().filter(|it| *it != VERSION);
        let others: Vec<&str> = others.map(String::as_str).collect();
        let serves = |version: &CrdVersion| version.name == VERSION && version.served;
        if !others.is_empty() {
            Some(Blocker::Stored(others.join(", ")))
        } else if self.spec.conversion.strategy == "Webhook" {
            Some(Blocker::Converted)
        } else if !self.spec.versions.iter().any(serves) {
            Some(Blocker::NotServed)
        } else {
            None
        }
    }
}

/// The answer to a read.
enum Answer<T> {
    Found(T),
    Nothing,
    Forbidden,
}

impl<T> Answer<T> {
    fn of(read: Result<T, ReadError>) -> Result<Self, ReadError> {
        match read {
            Ok(found) => Ok(Self::Found(found)),
            Err(ReadError::Api(error)) => match *error {
                kube::Error::Api(status) if status.code == 404 => Ok(Self::Nothing),
                kube::Error::Api(status) if status.code == 403 => Ok(Self::Forbidden),
                other => Err(ReadError::Api(Box::new(other))),
            },
            Err(timeout) => Err(timeout),
        }
    }
}

/// One check after another; remembers since when kruise-manager's Lease has been unchanged.
struct Check {
    client: Client,
    acknowledged: bool,
    lease: Option<(Option<String>, Instant)>,
}

impl Check {
    async fn run(&mut self, now: Instant, wall: Timestamp) -> Result<Option<Blocker>, ReadError> {
        let crd = self.crd().await?;
        if crd.is_some() || self.acknowledged {
            return Ok(crd);
        }
        self.kruise(now, wall).await
    }

    async fn crd(&self) -> Result<Option<Blocker>, ReadError> {
        let request = http::Request::get(CRD).body(Vec::new());
        let request = request.map_err(|error| ReadError::Api(Box::new(kube::Error::HttpError(error))))?;
        let read = live::within(live::TIMEOUT, self.client.request::<Crd>(request)).await;
        match Answer::of(read)? {
            Answer::Found(crd) => Ok(crd.blocker()),
            Answer::Nothing => Ok(Some(Blocker::NoCrd)),
            Answer::Forbidden => {
                warn!(
                    "no right to read the CRD clonesets.apps.kruise.io, as is normal with one namespace only. It \
                     must store {VERSION} alone and convert nothing: {GUIDE}"
                );
                Ok(None)
            }
        }
    }

    async fn kruise(&mut self, now: Instant, wall: Timestamp) -> Result<Option<Blocker>, ReadError> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), KRUISE_NAMESPACE);
        let read = live::within(live::TIMEOUT, leases.get(KRUISE_LEASE)).await;
        match Answer::of(read)? {
            Answer::Found(lease) => Ok(self.alive(&lease, now, wall)),
            Answer::Nothing => Ok(None),
            Answer::Forbidden => {
                warn!(
                    "no right to read the Lease {KRUISE_NAMESPACE}/{KRUISE_LEASE}, as is normal with one namespace \
                     only. Kruise's manager must not handle CloneSets here: {GUIDE}"
                );
                Ok(None)
            }
        }
    }

    /// A Lease that was renewed lately counts as that of a running manager until it has been unchanged for its duration
    /// on our own clock. Kruise does not release it when it ends.
    fn alive(&mut self, lease: &Lease, now: Instant, wall: Timestamp) -> Option<Blocker> {
        let holder = holder(lease)?;
        let renewed = lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0);
        if renewed.is_some_and(|time| wall.duration_since(time) > LONG_DEAD) {
            return None;
        }
        let version = lease.metadata.resource_version.clone();
        let since = match &self.lease {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        self.lease = Some((version, since));
        if now.duration_since(since) > time_to_expiry(lease) {
            return None;
        }
        Some(Blocker::Kruise {
            holder: holder.to_owned(),
            renewed: renewed.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string()),
        })
    }
}
