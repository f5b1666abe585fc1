//! Records every change to the pods and CloneSets of a namespace.
//!
//! Not kube's watcher, which skips what happened before a relist without a word. Here a watch that cannot go on where
//! the last one ended leaves a [`Change::Gap`] behind, and nothing is judged inside of it. Judges nothing itself.

use super::history::{Change, CloneSetFacts, Event, PodFacts};
use crate::waits::{Seen, until};
use anyhow::{Context as _, Result};
use cloneset_api::names::{GROUP, KIND};
use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Seconds after which a watch is opened anew; well below the client's read time-out.
const WATCH_SECONDS: u32 = 30;
/// Between attempts to watch while the API server is away.
const RETRY: Duration = Duration::from_millis(100);
/// No such version any more, or no such resource.
const GONE: [u16; 2] = [410, 404];

/// What is watched.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Pods,
    CloneSets,
}

impl Kind {
    fn api(self, client: Client, namespace: &str) -> Api<DynamicObject> {
        let kind = match self {
            Self::Pods => GroupVersionKind::gvk("", "v1", "Pod"),
            Self::CloneSets => GroupVersionKind::gvk(GROUP, "v1alpha1", KIND),
        };
        Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind))
    }

    fn change(self, object: &DynamicObject, is_gone: bool) -> Change {
        match self {
            Self::Pods if is_gone => Change::PodGone(PodFacts::of(object)),
            Self::Pods => Change::Pod(PodFacts::of(object)),
            Self::CloneSets => {
                let mut facts = CloneSetFacts::of(object);
                facts.spec = facts.spec.filter(|_| !is_gone);
                Change::CloneSet(facts)
            }
        }
    }
}

/// Records until dropped.
pub(super) struct Recorder {
    tapes: [Tape; 2],
}

impl Recorder {
    /// Begins with what is there now: what happens from here on is recorded.
    pub(super) async fn start(client: &Client, namespace: &str) -> Result<Self> {
        let tape = async |kind: Kind| Tape::start(kind, kind.api(client.clone(), namespace)).await;
        Ok(Self {
            tapes: [tape(Kind::Pods).await?, tape(Kind::CloneSets).await?],
        })
    }

    /// Waits until everything there is now has been recorded.
    pub(super) async fn catch_up(&self) -> Result<()> {
        for tape in &self.tapes {
            tape.catch_up().await?;
        }
        Ok(())
    }

    /// What has been recorded so far.
    pub(super) fn events(&self) -> Vec<Event> {
        let tapes = self.tapes.iter();
        tapes.flat_map(|tape| tape.recorded().events.clone()).collect()
    }
}

/// The record of one kind.
struct Tape {
    api: Api<DynamicObject>,
    record: Arc<Mutex<Record>>,
    recording: JoinHandle<()>,
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

impl Tape {
    async fn start(kind: Kind, api: Api<DynamicObject>) -> Result<Self> {
        let mut record = Record::new(kind);
        if let Some(listing) = Listing::take(&api).await? {
            record.start_over(&listing);
        }
        let record = Arc::new(Mutex::new(record));
        let recording = tokio::spawn(watch(api.clone(), Arc::clone(&record)));
        Ok(Self {
            api,
            record,
            recording,
        })
    }

    fn recorded(&self) -> MutexGuard<'_, Record> {
        lock(&self.record)
    }

    /// Waits until what is there now has been recorded.
    async fn catch_up(&self) -> Result<()> {
        until("every change of the test to have been recorded", async || {
            let listing = Listing::take(&self.api).await?;
            let missing = listing.map_or_else(Vec::new, |listing| self.recorded().missing(&listing));
            Ok(Seen::when(missing.is_empty(), || {
                format!("{missing:?} not recorded")
            }))
        })
        .await
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All objects at one moment.
struct Listing {
    version: u64,
    objects: Vec<DynamicObject>,
}

impl Listing {
    /// Nothing where the resource is not installed.
    async fn take(api: &Api<DynamicObject>) -> Result<Option<Self>> {
        match api.list(&ListParams::default()).await {
            Ok(list) => Ok(Some(Self {
                version: number(list.metadata.resource_version.as_deref())?,
                objects: list.items,
            })),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn number(version: Option<&str>) -> Result<u64> {
    let version = version.context("an object without a resourceVersion")?;
    version
        .parse()
        .with_context(|| format!("resourceVersion {version:?} is not a number"))
}

async fn watch(api: Api<DynamicObject>, record: Arc<Mutex<Record>>) {
    let mut turns = interval(RETRY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let Some(version) = lock(&record).position else {
            // The API server may be away for a while; whoever waits for the record says so.
            if let Ok(Some(listing)) = Listing::take(&api).await {
                lock(&record).start_over(&listing);
            }
            continue;
        };
        if follow(&api, version, &record).await == Followed::Lost {
            lock(&record).position = None;
        }
    }
}

#[derive(PartialEq, Eq)]
enum Followed {
    /// The next watch goes on where this one ended.
    Ended,
    /// The API server does not know the version any more.
    Lost,
}

async fn follow(api: &Api<DynamicObject>, version: u64, record: &Mutex<Record>) -> Followed {
    let parameters = WatchParams::default().timeout(WATCH_SECONDS);
    let mut events = match api.watch(&parameters, &version.to_string()).await {
        Ok(events) => events.boxed(),
        Err(kube::Error::Api(status)) if GONE.contains(&status.code) => return Followed::Lost,
        Err(_) => return Followed::Ended,
    };
    while let Ok(Some(event)) = events.try_next().await {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => lock(record).add(&object, false),
            WatchEvent::Deleted(object) => lock(record).add(&object, true),
            WatchEvent::Bookmark(bookmark) => {
                if let Ok(version) = number(Some(&bookmark.metadata.resource_version)) {
                    lock(record).go_on_from(version);
                }
            }
            WatchEvent::Error(status) if GONE.contains(&status.code) => return Followed::Lost,
            WatchEvent::Error(_) => return Followed::Ended,
        }
    }
    Followed::Ended
}

struct Record {
    kind: Kind,
    events: Vec<Event>,
    /// The newest version of each object, and whether it is gone.
    newest: BTreeMap<String, (u64, Option<DynamicObject>)>,
    /// Where the next watch begins; nothing before the first list, or when that version is forgotten.
    position: Option<u64>,
    /// All before was recorded.
    complete_to: u64,
}

impl Record {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            events: Vec::new(),
            newest: BTreeMap::new(),
            position: None,
            complete_to: 0,
        }
    }

    fn add(&mut self, object: &DynamicObject, is_gone: bool) {
        // Every object has a version; one that is not a number cannot be put in order, and the gap shows it.
        let Ok(version) = number(object.resource_version().as_deref()) else {
            self.position = None;
            return;
        };
        self.push(version, object, is_gone);
        self.go_on_from(version);
    }

    fn go_on_from(&mut self, version: u64) {
        self.position = Some(version);
        self.complete_to = version;
    }

    fn push(&mut self, version: u64, object: &DynamicObject, is_gone: bool) {
        let uid = object.uid().unwrap_or_default();
        let kept = (!is_gone).then(|| object.clone());
        self.newest.insert(uid, (version, kept));
        self.events.push(Event {
            version,
            seen: Timestamp::now(),
            change: self.kind.change(object, is_gone),
        });
    }

    /// Goes on from a list, with a gap before it.
    fn start_over(&mut self, listing: &Listing) {
        self.events.push(Event {
            version: listing.version,
            seen: Timestamp::now(),
            change: Change::Gap(self.complete_to),
        });
        let gone: Vec<_> = self
            .newest
            .iter()
            .filter(|(uid, _)| {
                !listing
                    .objects
                    .iter()
                    .any(|object| object.uid().as_ref() == Some(*uid))
            })
            .filter_map(|(_, (_, object))| object.clone())
            .collect();
        for object in gone {
            self.push(listing.version, &object, true);
        }
        for object in &listing.objects {
            let version = number(object.resource_version().as_deref()).unwrap_or(listing.version);
            let uid = object.uid().unwrap_or_default();
            if self.newest.get(&uid).is_none_or(|(newest, _)| *newest < version) {
                self.push(version, object, false);
            }
        }
        self.go_on_from(listing.version);
    }

    /// Objects of which the list knows more than the record.
    fn missing(&self, listing: &Listing) -> Vec<String> {
        let stale = listing.objects.iter().filter(|object| {
            let version = number(object.resource_version().as_deref()).unwrap_or_default();
            let newest = self.newest.get(&object.uid().unwrap_or_default());
            newest.is_none_or(|(newest, _)| *newest < version)
        });
        let gone = self.newest.values().filter_map(|(version, object)| {
            object.as_ref().filter(|object| {
                *version <= listing.version
                    && !listing.objects.iter().any(|listed| listed.uid() == object.uid())
            })
        });
        stale.chain(gone).map(kube::ResourceExt::name_any).collect()
    }
}
