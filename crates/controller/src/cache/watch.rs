//! The list-and-watch loop: keeps one kind of objects in the index up to date.
//!
//! Our own, because kube-runtime's watcher hides bookmarks and list versions, which pending writes need, and reads a list
//! as one document, so that one object could make all of them unreadable. It decides nothing: it updates the index and
//! queues the CloneSets concerned.

use crate::backoff;
use crate::cache::decode::{Record, decode, metadata};
use crate::cache::freshness::{Freshness, SILENCE_LIMIT};
use crate::cache::index::{Index, Sink};
use crate::cache::list::{Extent, list, url_of};
use crate::cache::wake::Wake;
use crate::chain::Chain;
use crate::clock::Random;
use crate::key::Kind;
use crate::live::ReadError;
use crate::telemetry::metrics::cache::CacheMetrics;
use cloneset_api::names::labels;
use futures::io::Lines;
use futures::{AsyncBufRead, AsyncBufReadExt as _, StreamExt as _};
use http::header::{ACCEPT_ENCODING, HeaderValue};
use kube::Client;
use kube::api::WatchParams;
use kube::core::{Request, Status};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// Seconds after which the API server ends a watch.
const WATCH_SECONDS: u32 = 290;
/// A watch that lasted this long was a good one.
const STEADY: Duration = Duration::from_secs(5);
/// Time for the API server to begin a watch.
const BEGIN_TIMEOUT: Duration = Duration::from_mins(1);
/// Watches in a row that end at once, at the same version and without an event, before a new list is made.
const WITHOUT_PROGRESS: u32 = 3;

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It could not begin.
    NotBegun,
    /// The server closed it, or it broke: it can go on from the last version.
    Resume,
    /// Only a new list helps: the last version is too old, or the watch fell silent.
    Relist,
}

/// Pods are watched by this label, so that other pods never reach the controller.
pub const POD_LABEL: &str = labels::INSTANCE_ID;
/// PVCs likewise.
pub const PVC_LABEL: &str = labels::INSTANCE_ID;
/// Revisions likewise.
pub const REVISION_LABEL: &str = labels::REVISION_HASH;

/// Where every watch puts what it observes.
#[derive(Clone)]
pub struct Feed {
    /// The index to update.
    pub index: Arc<Index>,
    /// Records when each kind was last heard of.
    pub freshness: Arc<Freshness>,
    /// Queues the CloneSets concerned.
    pub wake: Wake,
    /// Counts lists.
    pub metrics: CacheMetrics,
    /// Spreads retries.
    pub random: Random,
}

/// A watch of one kind of objects.
pub struct Watch<R> {
    client: Client,
    url: String,
    labels: Option<&'static str>,
    /// The resourceVersion up to which everything is in the index.
    version: String,
    /// Names of the objects that were reported as unreadable, so that each is reported once.
    unreadable: BTreeSet<String>,
    record: PhantomData<R>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl<R: Record> Watch<R>
where
    Index: Sink<R>,
{
    /// Watches the objects of a namespace, or of all when it is empty; only those with a label, if one is given.
    pub fn new(client: Client, namespace: &str, labels: Option<&'static str>) -> Self {
        Self {
            client,
            url: url_of::<R>(namespace),
            labels,
            version: String::new(),
            unreadable: BTreeSet::new(),
            record: PhantomData,
        }
    }

    /// Lists and watches; never ends.
    pub async fn run(mut self, feed: Feed) {
        let mut failures: u32 = 0;
        loop {
            let started = Instant::now();
            match self.list(&feed).await {
                Ok(()) => {
                    self.follow(&feed).await;
                    feed.metrics.count_relist(R::KIND);
                    failures = if started.elapsed() >= STEADY {
                        0
                    } else {
                        failures.saturating_add(1)
                    };
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    warn!(resource = R::KIND.resource(), error = %Chain(&error), "{}", advice(R::KIND, &error));
                }
            }
            if failures > 0 {
                tokio::time::sleep(backoff::WATCH.delay(failures, (feed.random)())).await;
            }
        }
    }

    async fn list(&mut self, feed: &Feed) -> Result<(), ReadError> {
        let mut records = Vec::new();
        let client = self.client.clone();
        let url = self.url.clone();
        let version = list(&client, &url, self.labels, Extent::Whole, |object| {
            records.extend(self.read(object));
        })
        .await?;
        debug!(
            resource = R::KIND.resource(),
            objects = records.len(),
            version,
            "listed"
        );
        feed.freshness.record(R::KIND);
        feed.wake
            .wake(feed.index.replace(records, version.parse().unwrap_or(0)));
        self.version = version;
        Ok(())
    }

    /// Watches until only a new list helps.
    async fn follow(&mut self, feed: &Feed) {
        let (mut failures, mut without_progress): (u32, u32) = (0, 0);
        loop {
            let started = Instant::now();
            let before = self.version.clone();
            let ended = self.watch(feed).await;
            let at_once = started.elapsed() < STEADY;
            match ended {
                Ended::Relist => return,
                // The server ends every watch after a while; on a quiet one the version need not have moved.
                Ended::Resume | Ended::NotBegun if !at_once => (failures, without_progress) = (0, 0),
                Ended::Resume if self.version == before => {
                    without_progress = without_progress.saturating_add(1);
                }
                Ended::Resume | Ended::NotBegun => without_progress = 0,
            }
            if without_progress >= WITHOUT_PROGRESS {
                info!(
                    resource = R::KIND.resource(),
                    version = self.version,
                    "the watch ends again and again without an event; making a new list"
                );
                return;
            }
            if at_once {
                failures = failures.saturating_add(1);
                tokio::time::sleep(backoff::WATCH.delay(failures, (feed.random)())).await;
            }
        }
    }

    async fn watch(&mut self, feed: &Feed) -> Ended {
        let begun = tokio::time::timeout(BEGIN_TIMEOUT, self.begin()).await;
        let mut lines = match begun {
            Ok(Ok(lines)) => lines,
            Ok(Err(error)) if error.status().is_some_and(|status| status.code == 410) => {
                return Ended::Relist;
            }
            Ok(Err(error)) => {
                info!(resource = R::KIND.resource(), error = %Chain(&error), "cannot watch");
                return Ended::NotBegun;
            }
            Err(_) => return Ended::NotBegun,
        };
        loop {
            match tokio::time::timeout(SILENCE_LIMIT, lines.next()).await {
                Err(_) => {
                    info!(
                        resource = R::KIND.resource(),
                        "no event or bookmark for {SILENCE_LIMIT:?}; making a new list"
                    );
                    return Ended::Relist;
                }
                Ok(None) => return Ended::Resume,
                Ok(Some(Err(error))) => {
                    debug!(resource = R::KIND.resource(), %error, "the watch broke");
                    return Ended::Resume;
                }
                Ok(Some(Ok(line))) => {
                    if let Some(ended) = self.apply(feed, &line) {
                        return ended;
                    }
                }
            }
        }
    }

    async fn begin(&self) -> Result<Lines<impl AsyncBufRead + Unpin + use<R>>, ReadError> {
        let mut params = WatchParams::default().timeout(WATCH_SECONDS);
        params.label_selector = self.labels.map(str::to_owned);
        let request = Request::new(&self.url).watch(&params, &self.version);
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // The API server compresses each event alone, which the client cannot read.
        let identity = HeaderValue::from_static("identity");
        request.headers_mut().insert(ACCEPT_ENCODING, identity);
        let stream = self.client.request_stream(request).await?;
        Ok(Box::pin(stream).lines())
    }

    /// Applies one event to the index.
    fn apply(&mut self, feed: &Feed, line: &str) -> Option<Ended> {
        let Ok(event) = serde_json::from_str::<Event<'_>>(line) else {
            info!(
                resource = R::KIND.resource(),
                "the watch sent something that is no event"
            );
            return Some(Ended::Relist);
        };
        if event.kind == "ERROR" {
            return Some(failed(R::KIND, event.object));
        }
        feed.freshness.record(R::KIND);
        if event.kind == "BOOKMARK" {
            self.advance(metadata(event.object).ok()?.resource_version);
            feed.index.bookmark(R::KIND, self.version.parse().unwrap_or(0));
            return None;
        }
        let record = self.read(event.object)?;
        self.advance(record.metadata().resource_version.clone());
        let changed = match event.kind {
            "ADDED" | "MODIFIED" => feed.index.apply(record),
            "DELETED" => feed.index.delete(record),
            _ => Vec::new(),
        };
        feed.wake.wake(changed);
        None
    }

    fn advance(&mut self, version: Option<String>) {
        if let Some(version) = version {
            self.version = version;
        }
    }

    /// The record of an object; `None` when not even its metadata can be read. What cannot be read is logged once.
    fn read(&mut self, object: &RawValue) -> Option<R> {
        let record: R = match decode(object) {
            Ok(record) => record,
            Err(error) => {
                // An object without a name: it can be of no CloneSet.
                if self.unreadable.insert(String::new()) {
                    warn!(resource = R::KIND.resource(), %error, "an object cannot be read; it is left out");
                }
                return None;
            }
        };
        let metadata = record.metadata();
        let name = format!(
            "{}/{}",
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default()
        );
        match record.error() {
            None => _ = self.unreadable.remove(&name),
            Some(error) if !self.unreadable.contains(&name) => {
                warn!(
                    resource = R::KIND.resource(),
                    name, error, "an object cannot be read; its CloneSet leaves it alone"
                );
                self.unreadable.insert(name);
            }
            Some(_) => {}
        }
        Some(record)
    }
}

/// What an event of type ERROR means.
fn failed(kind: Kind, status: &RawValue) -> Ended {
    let status: Status = serde_json::from_str(status.get()).unwrap_or_default();
    if status.code == 410 {
        return Ended::Relist;
    }
    info!(
        resource = kind.resource(),
        status = status.message,
        "the API server ended the watch"
    );
    Ended::Resume
}

fn advice(kind: Kind, error: &ReadError) -> String {
    let resource = kind.resource();
    match error.status() {
        Some(status) if status.is_not_found() && kind == Kind::CloneSet => {
            "cannot list CloneSets: the CRD clonesets.apps.kruise.io is not installed".to_owned()
        }
        Some(status) if status.is_forbidden() => {
            format!("cannot list {resource}: the controller's role lacks a rule")
        }
        _ => format!("cannot list {resource}; trying again"),
    }
}
