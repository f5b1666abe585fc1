//! Random moments that can be found again: "after so many changes", drawn from a printed seed.
//!
//! A moment counted in changes falls between the same two writes in a replay, which one measured in milliseconds
//! would not. What is done at a moment is none of this file's business.

use anyhow::{Context as _, Result};
use e2e::Namespace;
use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::env;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// Somewhere in a rollout of eight pods, which makes more than 50 changes.
pub(crate) const IN_THE_MIDDLE: RangeInclusive<usize> = 5..=30;

const SEED: &str = "CLONESET_E2E_SEED";

/// Counts what is written in a namespace, by anybody, to CloneSets, revisions and pods.
pub(crate) struct Moments {
    random: fastrand::Rng,
    changes: UnboundedReceiver<()>,
    pods: Arc<Mutex<BTreeSet<String>>>,
    _watches: Watches,
}

impl Moments {
    /// Starts counting. The seed is the environment's, or a new one, and is printed.
    pub(crate) async fn of(ns: &Namespace) -> Result<Self> {
        let seed = match env::var(SEED) {
            Ok(text) => text
                .parse()
                .with_context(|| format!("{SEED} must be a number, but is {text:?}"))?,
            Err(_) => Timestamp::now().as_millisecond().unsigned_abs(),
        };
        println!("{SEED}={seed}");
        let (sender, changes) = unbounded_channel();
        let mut watches = Watches::default();
        watches.open(ns.clonesets(), &sender, |_| {});
        watches.open(ns.revisions(), &sender, |_| {});
        let pods = Arc::new(Mutex::new(BTreeSet::new()));
        let known = Arc::clone(&pods);
        watches.open(ns.pods(), &sender, move |pod: &Pod| {
            lock(&known).extend(pod.uid());
        });
        watches.have_seen_what_is_there().await?;
        Ok(Self {
            random: fastrand::Rng::with_seed(seed),
            changes,
            pods,
            _watches: watches,
        })
    }

    /// A number of changes.
    pub(crate) fn draw(&mut self, from: RangeInclusive<usize>) -> usize {
        self.random.usize(from)
    }

    /// Forgets what has changed so far.
    pub(crate) fn forget_the_past(&mut self) {
        while self.changes.try_recv().is_ok() {}
    }

    /// Waits for so many further changes.
    pub(crate) async fn after(&mut self, changes: usize) -> Result<()> {
        for _ in 0..changes {
            self.changes
                .recv()
                .await
                .context("nobody counts changes any more")?;
        }
        Ok(())
    }

    /// How many pods there ever were.
    pub(crate) fn pods_seen(&self) -> usize {
        lock(&self.pods).len()
    }
}

fn lock(pods: &Mutex<BTreeSet<String>>) -> MutexGuard<'_, BTreeSet<String>> {
    pods.lock().unwrap_or_else(PoisonError::into_inner)
}

/// kube's watcher may skip what happened while its watch was down, which a witness must not; here it is welcome,
/// because it finds its way back after any outage.
#[derive(Default)]
struct Watches {
    running: JoinSet<()>,
    begun: Vec<oneshot::Receiver<()>>,
}

impl Watches {
    fn open<K>(&mut self, api: Api<K>, changes: &UnboundedSender<()>, see: impl Fn(&K) + Send + 'static)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
        K: Clone + Debug + DeserializeOwned + Send + 'static,
    {
        let (begins, begun) = oneshot::channel();
        self.begun.push(begun);
        self.running.spawn(watch(api, changes.clone(), see, begins));
    }

    async fn have_seen_what_is_there(&mut self) -> Result<()> {
        for begun in self.begun.drain(..) {
            begun.await.context("a watch ended before it began")?;
        }
        Ok(())
    }
}

async fn watch<K>(api: Api<K>, changes: UnboundedSender<()>, see: impl Fn(&K), begins: oneshot::Sender<()>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut begins = Some(begins);
    let mut events = watcher(api, Config::default()).default_backoff().boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(object)) => see(&object),
            Ok(Event::InitDone) => {
                // Only the first time does somebody wait for it.
                let _ = begins.take().map(|begins| begins.send(()));
            }
            Ok(Event::Apply(object) | Event::Delete(object)) => {
                see(&object);
                // Nobody listens any more when the test has ended.
                let _ = changes.send(());
            }
            // The watcher tries again by itself.
            Ok(Event::Init) | Err(_) => {}
        }
    }
}
