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
    /// The text that users read.
    pub note: String,
    /// The pod, if it is about one.
    pub related: Option<ObjectReference>,
}

/// Characters that follow a CloneSet's name and a dash in the name of its pods.
const POD_SUFFIX: usize = 5;

/// What a text is compared by. Of failures the names of pods are left out: each attempt is made under another one.
fn comparable(event: &Event) -> String {
    let name = event.regarding.name.as_deref().unwrap_or_default();
    if !matches!(event.type_, EventType::Warning) || name.is_empty() {
        return event.note.clone();
    }
    let prefix = format!("{name}-");
    let mut parts = event.note.split(prefix.as_str());
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(&prefix);
        let suffix = part.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let rest = if suffix == POD_SUFFIX {
            part.get(suffix..)
        } else {
            Some(part)
        };
        text.push_str(rest.unwrap_or_default());
    }
    text
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
            note: comparable(&event),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(type_: EventType, note: &str) -> String {
        comparable(&Event {
            regarding: ObjectReference {
                name: Some("web".to_owned()),
                ..ObjectReference::default()
            },
            type_,
            reason: "FailedCreate",
            action: "Create",
            note: note.to_owned(),
            related: None,
        })
    }

    #[test]
    fn failures_of_pods_with_other_names_are_equal_and_revisions_are_not() {
        let refused = |pod: &str| format!("pods \"{pod}\" is forbidden: exceeded quota");
        let warning = |note: &str| text(EventType::Warning, note);
        assert_eq!(warning(&refused("web-ml78l")), warning(&refused("web-9sk2p")));
        assert_ne!(
            warning("revision web-6qbw5mmgp6"),
            warning("revision web-dl9v89b984")
        );
        let normal = |note: &str| text(EventType::Normal, note);
        assert_ne!(normal("created web-ml78l"), normal("created web-9sk2p"));
    }
}
