//! The list-and-watch loop: keeps one kind of objects in the index up to date.
//!
//! Our own, because kube-runtime's watcher hides bookmarks and list versions, which pending writes need. It decides
//! nothing: it updates the index and queues the CloneSets concerned.

use crate::backoff;
use crate::cache::index::{Index, Sink};
use crate::cache::wake::Wake;
use crate::clock::Random;
use crate::key::Kind;
use crate::telemetry::metrics::cache::CacheMetrics;
use cloneset_api::names::labels;
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Seconds after which the API server ends a watch.
const WATCH_SECONDS: u32 = 290;
/// Bookmarks come about once a minute; a watch silent for longer than two of them is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(150);
/// A watch that lasted this long was a good one.
const STEADY: Duration = Duration::from_secs(5);
/// Time for a complete list.
const LIST_TIMEOUT: Duration = Duration::from_mins(1);

/// Why a watch ended.
enum Ended {
    /// The server closed it, or it broke: it can go on from the last version.
    Resume,
    /// The last version is too old: only a new list helps.
    Relist,
}

/// Pods are watched by this label, so that other pods never reach the controller.
pub const POD_LABEL: &str = labels::INSTANCE_ID;
/// PVCs likewise.
pub const PVC_LABEL: &str = labels::INSTANCE_ID;
/// Revisions likewise.
pub const REVISION_LABEL: &str = labels::REVISION_HASH;

/// The objects of a namespace, or of all when it is empty.
pub fn collection<K>(client: Client, namespace: &str) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope>,
    K::DynamicType: Default,
{
    if namespace.is_empty() {
        Api::all(client)
    } else {
        Api::namespaced(client, namespace)
    }
}

/// Where every watch puts what it observes.
#[derive(Clone)]
pub struct Feed {
    /// The index to update.
    pub index: Arc<Index>,
    /// Queues the CloneSets concerned.
    pub wake: Wake,
    /// Counts lists and events that cannot be read.
    pub metrics: CacheMetrics,
    /// Spreads retries.
    pub random: Random,
}

/// What is watched, and by which labels.
pub struct Watch<K> {
    /// The collection.
    pub api: Api<K>,
    /// The kind of its objects.
    pub kind: Kind,
    /// Only objects with this label, if set.
    pub labels: Option<&'static str>,
}

impl<K> Watch<K>
where
    K: Clone + DeserializeOwned + Debug + Resource + Send + Sync + 'static,
    Index: Sink<K>,
{
    /// Lists and watches; never ends.
    pub async fn run(self, feed: Feed) {
        let mut failures: u32 = 0;
        loop {
            match self.list(&feed).await {
                Ok(version) => {
                    let started = Instant::now();
                    self.follow(&feed, version).await;
                    feed.metrics.count_relist(self.kind);
                    if started.elapsed() >= STEADY {
                        failures = 0;
                        continue;
                    }
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(backoff::WATCH.delay(failures, (feed.random)())).await;
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let delay = backoff::WATCH.delay(failures, (feed.random)());
                    warn!(resource = self.kind.resource(), %error, retry_in = ?delay, "{}", self.advice(&error));
                    tokio::time::sleep(delay).await;
                }
            }
        }
    }

    fn advice(&self, error: &ListError) -> &'static str {
        match (error, self.kind) {
            (ListError::Api(kube::Error::Api(status)), Kind::CloneSet) if status.is_not_found() => {
                "CloneSets cannot be listed: the CRD clonesets.apps.kruise.io is not installed"
            }
            (ListError::Api(kube::Error::Api(status)), _) if status.is_forbidden() => {
                "cannot list: the controller's role lacks a rule"
            }
            _ => "cannot list",
        }
    }

    /// A consistent list (no resourceVersion): nothing older than now.
    async fn list(&self, feed: &Feed) -> Result<String, ListError> {
        let mut params = ListParams::default();
        if let Some(labels) = self.labels {
            params = params.labels(labels);
        }
        let list = tokio::time::timeout(LIST_TIMEOUT, self.api.list(&params))
            .await
            .map_err(|_| ListError::Timeout)??;
        let version = list.metadata.resource_version.unwrap_or_default();
        debug!(
            resource = self.kind.resource(),
            objects = list.items.len(),
            version,
            "listed"
        );
        feed.wake
            .wake(feed.index.replace(list.items, version.parse().unwrap_or(0)));
        Ok(version)
    }

    /// Watches from `version` until only a new list helps.
    async fn follow(&self, feed: &Feed, mut version: String) {
        let mut failures: u32 = 0;
        loop {
            let started = Instant::now();
            match self.watch(feed, &mut version).await {
                Ended::Relist => return,
                // The server ends every watch after a while; on a quiet one the version need not have moved.
                Ended::Resume if started.elapsed() >= STEADY => failures = 0,
                Ended::Resume => {
                    failures = failures.saturating_add(1);
                    tokio::time::sleep(backoff::WATCH.delay(failures, (feed.random)())).await;
                }
            }
        }
    }

    async fn watch(&self, feed: &Feed, version: &mut String) -> Ended {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        if let Some(labels) = self.labels {
            params = params.labels(labels);
        }
        let stream = match tokio::time::timeout(LIST_TIMEOUT, self.api.watch(&params, version)).await {
            Ok(Ok(stream)) => stream.into_stream(),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => return Ended::Relist,
            Ok(Err(error)) => {
                info!(resource = self.kind.resource(), %error, "cannot watch");
                return Ended::Resume;
            }
            Err(_) => return Ended::Resume,
        };
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match tokio::time::timeout(SILENCE_LIMIT, stream.next()).await {
                Err(_) => {
                    info!(
                        resource = self.kind.resource(),
                        "a watch fell silent; starting it again"
                    );
                    return Ended::Resume;
                }
                Ok(None) => return Ended::Resume,
                Ok(Some(event)) => event,
            };
            if let Some(ended) = self.apply(feed, event, version) {
                return ended;
            }
        }
    }

    /// Applies one event to the index.
    fn apply(
        &self,
        feed: &Feed,
        event: Result<WatchEvent<K>, kube::Error>,
        version: &mut String,
    ) -> Option<Ended> {
        let mut advance = |object: &K| {
            if let Some(latest) = &object.meta().resource_version {
                version.clone_from(latest);
            }
        };
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                advance(&object);
                feed.wake.wake(feed.index.apply(object));
            }
            Ok(WatchEvent::Deleted(object)) => {
                advance(&object);
                feed.wake.wake(feed.index.delete(object));
            }
            Ok(WatchEvent::Bookmark(bookmark)) => {
                version.clone_from(&bookmark.metadata.resource_version);
                feed.index.bookmark(self.kind, version.parse().unwrap_or(0));
            }
            Ok(WatchEvent::Error(status)) if status.code == 410 => return Some(Ended::Relist),
            Ok(WatchEvent::Error(status)) => {
                info!(
                    resource = self.kind.resource(),
                    status = status.message,
                    "the server ended a watch"
                );
                return Some(Ended::Resume);
            }
            Err(kube::Error::SerdeError(error)) => {
                // One event that cannot be read must not stop the others; what it was about shows at the next list.
                feed.metrics.count_unreadable(self.kind);
                warn!(resource = self.kind.resource(), %error, "an event cannot be read");
                return Some(Ended::Relist);
            }
            Err(error) => {
                debug!(resource = self.kind.resource(), %error, "a watch broke");
                return Some(Ended::Resume);
            }
        }
        None
    }
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("no answer within {LIST_TIMEOUT:?}")]
    Timeout,
    #[error(transparent)]
    Api(#[from] kube::Error),
}
