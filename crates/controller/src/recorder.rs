//! Publishes events: equal ones within a few minutes become one with a count, as in client-go.
//!
//! Equal means the same text, too. (kube's recorder compares everything but the text and shows the first: of five updates
//! of one pod it would name one revision, five times.) What is published, and when, is decided elsewhere.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Stored;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::events::EventType;
use kube::{Api, Client};
use serde_json::json;
use std::collections::HashMap;

/// Who reports.
const CONTROLLER: &str = "cloneset-controller";
/// Events that are equal within this time are one.
const SERIES: SignedDuration = SignedDuration::from_mins(6);
/// Characters of a CloneSet's name in the name of an event, which ends with a number of up to 17.
const MAX_NAME: usize = 230;

/// An event to publish.
#[derive(Clone, Debug)]
pub struct Event {
    /// The CloneSet.
    pub regarding: ObjectReference,
    /// Normal or Warning.
    pub type_: EventType,
    /// One word.
    pub reason: &'static str,
    /// What was attempted.
    pub action: &'static str,
    /// For people.
    pub note: String,
    /// The pod, if it is about one.
    pub related: Option<ObjectReference>,
}

/// What two events have in common that are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    uid: Option<String>,
    reason: &'static str,
    action: &'static str,
    note: String,
}

/// An event that was published.
#[derive(Clone, Debug)]
struct Published {
    name: String,
    times: i32,
    last: Timestamp,
}

/// Publishes events and remembers the last ones.
pub struct Recorder {
    client: Client,
    instance: String,
    published: HashMap<Key, Published>,
}

impl Recorder {
    /// Publishes as this instance of the controller.
    pub fn new(client: Client, instance: String) -> Self {
        Self {
            client,
            instance,
            published: HashMap::new(),
        }
    }

    /// Publishes an event, or counts it with an equal one.
    ///
    /// # Errors
    /// When the API server does not take it; then it is lost.
    pub async fn publish(&mut self, event: Event) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        self.published
            .retain(|_, published| now.duration_since(published.last) < SERIES);
        let namespace = event.regarding.namespace.clone().unwrap_or_default();
        let api: Api<Stored> = Api::namespaced(self.client.clone(), &namespace);
        let key = Key {
            uid: event.regarding.uid.clone(),
            reason: event.reason,
            action: event.action,
            note: event.note.clone(),
        };
        if let Some(published) = self.published.get_mut(&key) {
            published.times = published.times.saturating_add(1);
            published.last = now;
            let series = json!({"series": {"count": published.times, "lastObservedTime": MicroTime(now)}});
            let patch = Patch::Merge(series);
            let result = api.patch(&published.name, &PatchParams::default(), &patch).await;
            if result.is_err() {
                // It may have expired: the next one is published anew.
                self.published.remove(&key);
            }
            return result.map(drop);
        }
        let stored = self.stored(event, &namespace, now);
        api.create(&PostParams::default(), &stored).await?;
        let published = Published {
            name: stored.metadata.name.unwrap_or_default(),
            times: 1,
            last: now,
        };
        self.published.insert(key, published);
        Ok(())
    }

    fn stored(&self, event: Event, namespace: &str, now: Timestamp) -> Stored {
        let about: String = event
            .regarding
            .name
            .iter()
            .flat_map(|name| name.chars())
            .take(MAX_NAME)
            .collect();
        let type_ = match event.type_ {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        };
        Stored {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(format!(
                    "{}.{:x}",
                    about.trim_end_matches(['.', '-']),
                    now.as_nanosecond()
                )),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some(type_.to_owned()),
            reason: Some(event.reason.to_owned()),
            action: Some(event.action.to_owned()),
            note: Some(event.note),
            regarding: Some(event.regarding),
            related: event.related,
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            ..Stored::default()
        }
    }
}
