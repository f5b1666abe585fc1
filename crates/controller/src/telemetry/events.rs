//! Events on CloneSets: sent in the background, so that reporting never delays a reconcile.
//!
//! A note names pods and reasons, never a whole object. When too many events are waiting, new ones are dropped and
//! counted: events are hints, the status is the truth.

use crate::telemetry::recorder::{Event, Recorder};
use cloneset_api::CloneSet;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::EventType;
use kube::{Client, Resource as _};
use prometheus_client::metrics::counter::Counter;
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::debug;

/// Events that may wait to be sent.
const WAITING: usize = 1024;
/// Time for one event.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a note; the API server refuses more than 1,024.
const MAX_NOTE: usize = 1000;
/// Pods named in one note; the others are counted.
const NAMED: usize = 5;

/// Where a reconcile records events.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Event>,
    dropped: Counter,
}

/// Returns both ends; `dropped` counts the events for which there was no room.
pub fn channel(dropped: Counter) -> (Events, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Events { sender, dropped }, receiver)
}

impl Events {
    /// Records an event about the CloneSet with this metadata.
    pub fn record(&self, cloneset: &ObjectMeta, event: NewEvent<'_>) {
        let NewEvent {
            type_,
            reason,
            action,
            note,
            pod,
        } = event;
        let related = pod.map(|name| ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: cloneset.namespace.clone(),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        });
        let event = Event {
            regarding: reference(cloneset),
            type_,
            reason,
            note: shortened(note),
            action,
            related,
        };
        if self.sender.try_send(event).is_err() {
            self.dropped.inc();
        }
    }
}

fn reference(cloneset: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(CloneSet::api_version(&()).into_owned()),
        kind: Some(CloneSet::kind(&()).into_owned()),
        namespace: cloneset.namespace.clone(),
        name: cloneset.name.clone(),
        uid: cloneset.uid.clone(),
        resource_version: cloneset.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// An event to record.
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// Normal or Warning.
    pub type_: EventType,
    /// One of [`cloneset_api::names::events`].
    pub reason: &'static str,
    /// What was attempted.
    pub action: &'static str,
    /// The text that users read.
    pub note: String,
    /// The pod it happened to, or the first of several.
    pub pod: Option<&'a str>,
}

fn shortened(note: String) -> String {
    if note.len() <= MAX_NOTE {
        return note;
    }
    let end = (0..=MAX_NOTE)
        .rev()
        .find(|end| note.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}…", note.get(..end).unwrap_or_default())
}

/// "a, b and 7 more".
pub fn enumerate(names: &[&str]) -> String {
    let named = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// Sends the events that arrive while `time_left` allows it; never ends.
pub async fn run(
    client: Client,
    time_left: impl Fn() -> Option<Duration>,
    identity: String,
    mut receiver: mpsc::Receiver<Event>,
) {
    let mut recorder = Recorder::new(client, identity);
    while let Some(event) = receiver.recv().await {
        let reason = event.reason;
        // A replica that does not lead sends nothing at all: the leader reports the same.
        let Some(left) = time_left() else {
            debug!(reason, "an event is dropped: this replica is not the leader");
            continue;
        };
        match tokio::time::timeout(left.min(TIMEOUT), recorder.publish(event)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(reason, %error, "an event was not taken"),
            Err(_) => debug!(reason, "an event was not taken in time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted_and_long_notes_cut_between_characters() {
        assert_eq!(enumerate(&["a", "b"]), "a, b");
        assert_eq!(
            enumerate(&["a", "b", "c", "d", "e", "f", "g"]),
            "a, b, c, d, e and 2 more"
        );
        let cut = shortened("ü".repeat(600));
        assert!(cut.len() <= MAX_NOTE + '…'.len_utf8() && cut.ends_with('…'));
        assert_eq!(shortened("short".into()), "short");
    }
}
