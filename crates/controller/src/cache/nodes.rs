//! Labels of nodes, for CloneSets whose template has `topologySpreadConstraints`. Nodes are watched from the first such
//! CloneSet on, so that a cluster without one does not pay for it.
//!
//! Only the names and labels of nodes are kept. A node event queues no CloneSet: labels matter only when a pod has to be
//! chosen. Where the controller may not read nodes (a Role cannot allow it) it goes on without them.

use crate::backoff;
use crate::clock::Random;
use cloneset_plan::NodeLabels;
use futures::{Stream, TryStreamExt as _};
use k8s_openapi::api::core::v1::Node;
use kube::api::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// Time for the first list; a reconcile that needs labels waits no longer.
const FIRST_LOOK: Duration = Duration::from_secs(5);
/// Time until the next list after the API server denied reading nodes.
const AFTER_DENIAL: Duration = Duration::from_mins(10);

/// A node without what we do not read.
type NodeMeta = PartialObjectMeta<Node>;

/// Whether labels are needed, and whether they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No CloneSet needs labels yet.
    Idle,
    /// A reconcile waits for the first list.
    Asked,
    /// The first list is complete, was denied, or took too long.
    Answered,
}

/// The labels of nodes.
#[derive(Debug)]
pub struct Nodes {
    stage: watch::Sender<Stage>,
    /// `None` before the first list, and while nodes may not be read.
    known: Mutex<Option<NodeLabels>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Idle),
            known: Mutex::default(),
        }
    }
}

impl Nodes {
    fn lock(&self) -> MutexGuard<'_, Option<NodeLabels>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The labels of these nodes; `None` when they are not known. The first call waits for the first list.
    pub async fn labels<'a>(&self, nodes: impl Iterator<Item = &'a str>) -> Option<NodeLabels> {
        self.stage.send_if_modified(|stage| {
            let is_first = *stage == Stage::Idle;
            if is_first {
                *stage = Stage::Asked;
            }
            is_first
        });
        let mut stage = self.stage.subscribe();
        let answered = stage.wait_for(|stage| *stage == Stage::Answered);
        if tokio::time::timeout(FIRST_LOOK, answered).await.is_err() {
            warn!(
                "nodes were not listed within {FIRST_LOOK:?}; pods are chosen without their topology until they are"
            );
            self.stage.send_replace(Stage::Answered);
        }
        let known = self.lock();
        let known = known.as_ref()?;
        Some(
            nodes
                .filter_map(|name| Some((name.to_owned(), Arc::clone(known.get(name)?))))
                .collect(),
        )
    }

    fn know(&self, known: Option<NodeLabels>) {
        *self.lock() = known;
        self.stage.send_replace(Stage::Answered);
    }

    fn apply(&self, node: NodeMeta) {
        if let (Some(known), Some(name)) = (self.lock().as_mut(), node.metadata.name.clone()) {
            known.insert(name, labels_of(node));
        }
    }

    fn forget(&self, node: &NodeMeta) {
        if let (Some(known), Some(name)) = (self.lock().as_mut(), &node.metadata.name) {
            known.remove(name);
        }
    }
}

fn labels_of(node: NodeMeta) -> Arc<BTreeMap<String, String>> {
    Arc::new(node.metadata.labels.unwrap_or_default())
}

/// Watches nodes once a CloneSet needs their labels; never ends.
pub async fn run(nodes: Arc<Nodes>, client: Client, random: Random) {
    let mut asked = nodes.stage.subscribe();
    // Cannot fail while `nodes` lives.
    let _ = asked.wait_for(|stage| *stage != Stage::Idle).await;
    drop(asked);
    info!("a template has topologySpreadConstraints: nodes are watched from now on, their metadata only");
    let events = watch(client);
    let mut events = pin!(events);
    let mut listed = NodeLabels::new();
    let mut failures: u32 = 0;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                failures = 0;
                follow(&nodes, &mut listed, event);
            }
            // kube's watcher never ends.
            Ok(None) => std::future::pending().await,
            Err(error) => {
                failures = failures.saturating_add(1);
                let delay =
                    denied(&nodes, &error).unwrap_or_else(|| backoff::WATCH.delay(failures, random()));
                warn!(%error, retry_in = ?delay, "cannot watch nodes");
                tokio::time::sleep(delay).await;
            }
        }
    }
}

fn watch(client: Client) -> impl Stream<Item = watcher::Result<Event<NodeMeta>>> {
    watcher(Api::all(client), watcher::Config::default())
}

/// A list replaces what is known only once it is complete.
fn follow(nodes: &Nodes, listed: &mut NodeLabels, event: Event<NodeMeta>) {
    match event {
        Event::Init => listed.clear(),
        Event::InitApply(node) => {
            if let Some(name) = node.metadata.name.clone() {
                listed.insert(name, labels_of(node));
            }
        }
        Event::InitDone => nodes.know(Some(std::mem::take(listed))),
        Event::Apply(node) => nodes.apply(node),
        Event::Delete(node) => nodes.forget(&node),
    }
}

/// Returns the delay after the API server denied reading nodes. Drops what is known, which would never be corrected.
fn denied(nodes: &Nodes, error: &watcher::Error) -> Option<Duration> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
            if status.code == 403 =>
        {
            nodes.know(None);
            Some(AFTER_DENIAL)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(name: &str, zone: &str) -> NodeMeta {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": name, "labels": {"zone": zone}}
        }))
        .unwrap()
    }

    async fn zones(nodes: &Nodes, names: &[&str]) -> Value {
        json!(nodes.labels(names.iter().copied()).await.map(|known| {
            known
                .iter()
                .map(|(name, labels)| format!("{name} in {}", labels["zone"]))
                .collect::<Vec<_>>()
        }))
    }

    #[tokio::test]
    async fn a_list_counts_once_it_is_complete_and_events_change_it() {
        let (nodes, mut listed) = (Nodes::default(), NodeLabels::new());
        for event in [
            Event::Init,
            Event::InitApply(node("a", "x")),
            Event::InitApply(node("b", "y")),
            Event::InitDone,
        ] {
            follow(&nodes, &mut listed, event);
        }
        assert_eq!(zones(&nodes, &["a", "nobody"]).await, json!(["a in x"]));
        follow(&nodes, &mut listed, Event::Apply(node("a", "z")));
        follow(&nodes, &mut listed, Event::Delete(node("b", "y")));
        assert_eq!(zones(&nodes, &["a", "b"]).await, json!(["a in z"]));
        for event in [Event::Init, Event::InitApply(node("c", "x"))] {
            follow(&nodes, &mut listed, event);
            assert_eq!(zones(&nodes, &["a", "c"]).await, json!(["a in z"]));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_not_read_nodes_or_gets_no_answer_goes_on_without_and_waits_once() {
        let nodes = Nodes::default();
        let started = tokio::time::Instant::now();
        assert_eq!(zones(&nodes, &["a"]).await, Value::Null);
        assert_eq!(started.elapsed(), FIRST_LOOK);
        assert_eq!(zones(&nodes, &["a"]).await, Value::Null);
        assert_eq!(started.elapsed(), FIRST_LOOK, "nobody waits again");

        let status = serde_json::from_value(json!({"code": 403, "reason": "Forbidden"})).unwrap();
        let forbidden = watcher::Error::InitialListFailed(kube::Error::Api(status));
        nodes.know(Some(NodeLabels::new()));
        assert_eq!(denied(&nodes, &forbidden), Some(AFTER_DENIAL));
        assert_eq!(zones(&nodes, &["a"]).await, Value::Null);
    }
}
