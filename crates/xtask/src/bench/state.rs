//! The state of the generated cluster: changed versions and statuses, leases, and counts of the controller's writes.
//!
//! An object that nothing has changed takes no memory here. It knows no HTTP.

use super::objects::{Changing, Form, Objects};
use super::population::Item;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Writes whose bodies are kept for the report.
const EXAMPLES: usize = 3;
/// Characters of a body that are kept.
const EXAMPLE_LENGTH: usize = 600;

/// The cluster.
pub(super) struct State {
    pub(super) objects: Objects,
    inner: Mutex<Inner>,
    /// The highest resourceVersion; watches wait for it to change.
    latest: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    versions: HashMap<Item, u64>,
    statuses: HashMap<Item, String>,
    changes: Vec<Change>,
    leases: BTreeMap<String, Value>,
    traffic: Traffic,
}

/// An object changed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) item: Item,
}

/// Counts of the controller's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Writes of the status of a CloneSet.
    pub(super) statuses: u64,
    /// Other writes by verb and resource. At rest there should be none.
    pub(super) others: BTreeMap<String, u64>,
    /// Requests that this server does not support.
    pub(super) unknown: BTreeMap<String, u64>,
    /// Bodies of the first writes, other than of leases.
    pub(super) examples: Vec<String>,
    /// Bytes of all lists that were answered.
    pub(super) listed: u64,
}

impl Traffic {
    /// Keeps the body of a write for the report.
    pub(super) fn keep(&mut self, request: &str, body: &str) {
        if self.examples.len() < EXAMPLES {
            let body: String = body.chars().take(EXAMPLE_LENGTH).collect();
            self.examples.push(format!("{request}: {body}"));
        }
    }
}

/// Why a lease was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeaseError {
    NotFound,
    AlreadyExists,
    Conflict,
}

impl State {
    pub(super) fn new(objects: Objects) -> Self {
        let (latest, _) = watch::channel(objects.population.last_version());
        Self {
            objects,
            inner: Mutex::default(),
            latest,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The resourceVersion of the cluster.
    pub(super) fn version(&self) -> u64 {
        *self.latest.borrow()
    }

    /// Follows the resourceVersion of the cluster.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// The counts so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.lock().traffic.clone()
    }

    /// Counts a request.
    pub(super) fn count(&self, count: impl FnOnce(&mut Traffic)) {
        count(&mut self.lock().traffic);
    }

    /// Appends objects as they are now, each after the text that `before` appends.
    pub(super) fn render(
        &self,
        items: impl Iterator<Item = Item>,
        form: Form,
        out: &mut String,
        before: impl Fn(&mut String),
        after: &str,
    ) {
        let inner = self.lock();
        for item in items {
            before(out);
            let version = inner.versions.get(&item).copied();
            let changing = Changing {
                version: version.unwrap_or_else(|| self.objects.population.first_version(item)),
                status: inner.statuses.get(&item).map(String::as_str),
            };
            self.objects.render(item, form, changing, out);
            out.push_str(after);
        }
    }

    /// The number of changes up to a resourceVersion.
    pub(super) fn changes_up_to(&self, version: u64) -> usize {
        let inner = self.lock();
        inner.changes.partition_point(|change| change.version <= version)
    }

    /// Up to `limit` changes from that number on, and the version up to which they are complete.
    pub(super) fn changes(&self, from: usize, limit: usize) -> (Vec<Change>, u64) {
        let inner = self.lock();
        let changes = inner.changes.iter().skip(from);
        let found: Vec<Change> = changes.take(limit).copied().collect();
        let complete = match found.last() {
            Some(last) if from + found.len() < inner.changes.len() => last.version,
            _ => self.version(),
        };
        (found, complete)
    }

    /// Appends an object of a change, with the version that it got then.
    pub(super) fn render_change(&self, change: Change, form: Form, out: &mut String) {
        let inner = self.lock();
        let changing = Changing {
            version: change.version,
            status: inner.statuses.get(&change.item).map(String::as_str),
        };
        self.objects.render(change.item, form, changing, out);
    }

    /// Changes an object as another client would, in nothing that matters to the controller.
    pub(super) fn touch(&self, item: Item) {
        self.change(&mut self.lock(), item);
    }

    /// Stores the status of a CloneSet.
    pub(super) fn set_status(&self, item: Item, status: String) {
        let mut inner = self.lock();
        inner.statuses.insert(item, status);
        inner.traffic.statuses += 1;
        self.change(&mut inner, item);
    }

    fn change(&self, inner: &mut Inner, item: Item) {
        let version = self.version() + 1;
        inner.versions.insert(item, version);
        inner.changes.push(Change { version, item });
        self.latest.send_replace(version);
    }

    /// The lease of that name.
    pub(super) fn lease(&self, name: &str) -> Option<Value> {
        self.lock().leases.get(name).cloned()
    }

    /// Creates a lease, or replaces it when `replace` says so, and returns the stored one.
    pub(super) fn store_lease(
        &self,
        name: &str,
        mut lease: Value,
        replace: bool,
    ) -> Result<Value, LeaseError> {
        let mut inner = self.lock();
        let version = |lease: &Value| lease.pointer("/metadata/resourceVersion").cloned();
        match (inner.leases.get(name), replace) {
            (None, true) => return Err(LeaseError::NotFound),
            (Some(_), false) => return Err(LeaseError::AlreadyExists),
            (Some(stored), true) if version(&lease).is_some_and(|sent| Some(sent) != version(stored)) => {
                return Err(LeaseError::Conflict);
            }
            _ => {}
        }
        let version = self.version() + 1;
        if let Some(metadata) = lease.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), json!(version.to_string()));
            metadata.insert("uid".into(), json!("1ea5e000-5ba7-4d2e-9c10-000000000000"));
        }
        inner.leases.insert(name.to_owned(), lease.clone());
        self.latest.send_replace(version);
        Ok(lease)
    }
}
