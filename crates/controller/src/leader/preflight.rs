//! What must be out of the way before this process takes part in the election: a CRD that it cannot write through,
//! and Kruise's manager, which would handle the same CloneSets.
//!
//! Helm looks for the same when it installs, but not with `helm template` or GitOps. Looked at before the first term
//! only: who has led may go on. Reads, and never writes; what it may not read it takes to be fine, with a warning.

use crate::leader::lease::{holder, time_to_expiry};
use crate::live::{self, ReadError};
use crate::run::Context;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use serde::Deserialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info, warn};

const CRD: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/clonesets.apps.kruise.io";
/// The version that we speak.
const VERSION: &str = "v1alpha1";
/// Where Kruise's manager has its Lease unless told otherwise.
const KRUISE_NAMESPACE: &str = "kruise-system";
const KRUISE_LEASE: &str = "kruise-manager";
/// Between two looks at something that is in the way.
const AGAIN: Duration = Duration::from_secs(30);
/// Between two looks of which the first got no answer.
const SOON: Duration = Duration::from_secs(5);
/// A Lease this old is not worth watching: no clock that a certificate is judged by is that wrong.
const LONG_DEAD: SignedDuration = SignedDuration::from_mins(10);

/// Whether the way is clear, and if not, what is in it.
#[derive(Debug)]
pub struct Clearance(Mutex<Option<String>>);

impl Default for Clearance {
    fn default() -> Self {
        Self(Mutex::new(Some("nobody has looked yet".to_owned())))
    }
}

impl Clearance {
    /// What is in the way.
    pub fn obstacle(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, obstacle: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = obstacle;
    }

    /// Waits until the way is clear. `acknowledged`: Kruise's manager may be alive.
    pub async fn wait(&self, context: &Context, acknowledged: bool) {
        let mut lookout = Lookout {
            client: context.client.clone(),
            acknowledged,
            lease: None,
        };
        loop {
            let pause = match lookout.look(Instant::now(), context.now()).await {
                Ok(None) => break,
                Ok(Some(obstacle)) => {
                    error!(%obstacle, "not taking part in the election, writing nothing");
                    self.set(Some(obstacle.to_string()));
                    AGAIN
                }
                Err(reason) => {
                    warn!(%reason, "cannot tell yet whether this controller may write");
                    self.set(Some(format!(
                        "cannot tell yet whether this controller may write: {reason}"
                    )));
                    SOON
                }
            };
            tokio::time::sleep(pause).await;
        }
        info!("nothing is in the way of taking part in the election");
        self.set(None);
    }
}

/// Something in the way, with what to do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Obstacle {
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

/// The few fields of the CRD that matter: one with others than we know must not keep us from starting.
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
    fn obstacle(&self) -> Option<Obstacle> {
        let others = self.status.stored_versions.iter().filter(|it| *it != VERSION);
        let others: Vec<&str> = others.map(String::as_str).collect();
        let serves = |version: &CrdVersion| version.name == VERSION && version.served;
        if !others.is_empty() {
            Some(Obstacle::Stored(others.join(", ")))
        } else if self.spec.conversion.strategy == "Webhook" {
            Some(Obstacle::Converted)
        } else if !self.spec.versions.iter().any(serves) {
            Some(Obstacle::NotServed)
        } else {
            None
        }
    }
}

/// What an answer told.
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

/// Looks, and remembers since when Kruise's Lease stands as it does.
struct Lookout {
    client: Client,
    acknowledged: bool,
    lease: Option<(Option<String>, Instant)>,
}

impl Lookout {
    async fn look(&mut self, now: Instant, wall: Timestamp) -> Result<Option<Obstacle>, ReadError> {
        let crd = self.crd().await?;
        if crd.is_some() || self.acknowledged {
            return Ok(crd);
        }
        self.kruise(now, wall).await
    }

    async fn crd(&self) -> Result<Option<Obstacle>, ReadError> {
        let request = http::Request::get(CRD).body(Vec::new());
        let request = request.map_err(|error| ReadError::Api(Box::new(kube::Error::HttpError(error))))?;
        let read = live::within(self.client.request::<Crd>(request)).await;
        match Answer::of(read)? {
            Answer::Found(crd) => Ok(crd.obstacle()),
            Answer::Nothing => Ok(Some(Obstacle::NoCrd)),
            Answer::Forbidden => {
                warn!(
                    "no right to read the CRD clonesets.apps.kruise.io, as is normal with one namespace only. It \
                     must store {VERSION} alone and convert nothing: {GUIDE}"
                );
                Ok(None)
            }
        }
    }

    async fn kruise(&mut self, now: Instant, wall: Timestamp) -> Result<Option<Obstacle>, ReadError> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), KRUISE_NAMESPACE);
        let read = live::within(leases.get(KRUISE_LEASE)).await;
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

    /// A Lease that was renewed lately counts as that of a living manager until it has stood unchanged, on our own
    /// clock, for as long as it lasts. Kruise does not give it up when it ends.
    fn alive(&mut self, lease: &Lease, now: Instant, wall: Timestamp) -> Option<Obstacle> {
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
        Some(Obstacle::Kruise {
            holder: holder.to_owned(),
            renewed: renewed.map_or_else(|| "an unknown time".to_owned(), |time| time.to_string()),
        })
    }
}
