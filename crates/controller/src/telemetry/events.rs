//! Events on CloneSets: sent in the background, so that telling never delays doing.
//!
//! Texts name pods and reasons, never a whole object. When too many are waiting, new ones are dropped and counted:
//! events are hints, the status is the truth.

use crate::run::Context;
use crate::telemetry::recorder::{Event, Recorder};
use cloneset_api::CloneSet;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource as _;
use kube::runtime::events::EventType;
use std::sync::Arc;
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

/// Where reconciling leaves events.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::Sender<Event>,
}

/// Makes the two ends.
pub fn channel() -> (Events, mpsc::Receiver<Event>) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Events { sender }, receiver)
}

impl Events {
    /// Leaves an event; `false` when it had to be dropped.
    #[must_use]
    pub fn leave(&self, cloneset: &CloneSet, what: Happening<'_>) -> bool {
        let Happening {
            type_,
            reason,
            action,
            note,
            pod,
        } = what;
        let related = pod.map(|name| ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            namespace: cloneset.metadata.namespace.clone(),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        });
        let event = Event {
            regarding: cloneset.object_ref(&()),
            type_,
            reason,
            note: shortened(note),
            action,
            related,
        };
        self.sender.try_send(event).is_ok()
    }
}

/// What an event tells.
#[derive(Clone, Debug)]
pub struct Happening<'a> {
    /// Normal or Warning.
    pub type_: EventType,
    /// One of [`cloneset_api::names::events`].
    pub reason: &'static str,
    /// What was attempted.
    pub action: &'static str,
    /// For people.
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

/// Sends what arrives, for ever.
pub async fn run(context: Arc<Context>, identity: String, mut receiver: mpsc::Receiver<Event>) {
    let mut recorder = Recorder::new(context.client.clone(), identity);
    while let Some(event) = receiver.recv().await {
        let reason = event.reason;
        // A replica that does not lead sends nothing at all: by the time it goes on, another one tells.
        let Some(left) = context.leadership.time_left() else {
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
