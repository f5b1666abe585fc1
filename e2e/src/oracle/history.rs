//! What happened to the pods and CloneSets of a namespace, in the order in which the API server committed it, and
//! which of it the controller did.
//!
//! Facts only: what was promised is for [`super::promise`] to say, whether it was kept for [`super::judge`].

use cloneset_api::names::{KIND, annotations, labels};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Who the controller is in the managed fields of what it writes.
pub(super) const FIELD_MANAGER: &str = "cloneset-controller";

/// A pod, as far as promises go.
#[derive(Clone, Debug, Default)]
pub(super) struct PodFacts {
    pub(super) name: String,
    pub(super) uid: String,
    /// UID of the CloneSet that controls it.
    pub(super) owner: Option<String>,
    pub(super) instance_id: Option<String>,
    /// The revision that it is said to have, or is to have once it is updated in place; empty without the label.
    pub(super) revision: String,
    /// Has it been given all that it is to have? Not while it is taken out of service first.
    pub(super) is_changed: bool,
    /// Neither terminating nor finished.
    pub(super) is_live: bool,
    /// Marked for deletion by somebody.
    pub(super) is_named: bool,
    /// In service, and since when it has been ready.
    pub(super) ready_since: Option<Timestamp>,
    /// Condition Ready is True, and no readiness gate is closed: a Service sends it traffic.
    pub(super) is_ready: bool,
    /// Did nobody but the controller write it so far?
    pub(super) is_written_by_us_alone: bool,
    /// Its labels, annotations and spec, to be compared with templates.
    pub(super) made: Arc<Value>,
}

impl PodFacts {
    pub(super) fn of(pod: &DynamicObject) -> Self {
        let metadata = &pod.metadata;
        let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
        let phase = pod.data.pointer("/status/phase").and_then(Value::as_str);
        let managers: BTreeSet<_> = metadata
            .managed_fields
            .iter()
            .flatten()
            .filter_map(|entry| entry.manager.as_deref())
            .collect();
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            owner: owner(metadata),
            instance_id: label(labels::INSTANCE_ID),
            revision: label(labels::REVISION).unwrap_or_default(),
            is_changed: annotation(metadata, annotations::IN_PLACE_GRACE).is_none(),
            is_live: metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed")),
            is_named: label(labels::SPECIFIED_DELETE).is_some(),
            ready_since: ready_since(pod).filter(|_| {
                phase == Some("Running")
                    && matches!(
                        label(labels::LIFECYCLE_STATE).as_deref(),
                        None | Some("" | "Normal")
                    )
            }),
            is_ready: is_ready(pod),
            is_written_by_us_alone: managers == BTreeSet::from([FIELD_MANAGER]),
            made: Arc::new(json!({
                "metadata": {"labels": metadata.labels, "annotations": metadata.annotations},
                "spec": pod.data.get("spec"),
            })),
        }
    }

    /// Serves, and has been ready for so long.
    pub(super) fn is_available(&self, min_ready: SignedDuration, at: Timestamp) -> bool {
        self.is_live
            && self
                .ready_since
                .is_some_and(|since| min_ready.is_zero() || at.duration_since(since) >= min_ready)
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a String> {
    metadata.annotations.as_ref()?.get(key)
}

fn owner(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_ref()?;
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    (owner.kind == KIND).then(|| owner.uid.clone())
}

/// Ready, with the gate for updates in place open or absent.
fn ready_since(pod: &DynamicObject) -> Option<Timestamp> {
    let conditions = pod.data.pointer("/status/conditions")?.as_array()?;
    let condition = |name: &str| conditions.iter().find(|condition| condition["type"] == name);
    if condition("InPlaceUpdateReady").is_some_and(|gate| gate["status"] != "True") {
        return None;
    }
    let ready = condition("Ready").filter(|ready| ready["status"] == "True")?;
    let since = ready["lastTransitionTime"].as_str();
    // Without a time it has been ready for ever.
    Some(since.map_or(Timestamp::MIN, |since| since.parse().unwrap_or(Timestamp::MIN)))
}

/// What the endpoint controller looks at. A gate that was closed a moment ago counts too: the kubelet sets Ready to False
/// because of it.
fn is_ready(pod: &DynamicObject) -> bool {
    let conditions = pod.data.pointer("/status/conditions").and_then(Value::as_array);
    let status_of = |name: &Value| {
        let condition = conditions?.iter().find(|condition| condition["type"] == *name)?;
        condition["status"].as_str()
    };
    let gates = pod.data.pointer("/spec/readinessGates").and_then(Value::as_array);
    let a_gate_is_closed = gates
        .into_iter()
        .flatten()
        .any(|gate| status_of(&gate["conditionType"]) == Some("False"));
    status_of(&json!("Ready")) == Some("True") && !a_gate_is_closed
}

/// A CloneSet, as far as promises go.
#[derive(Clone, Debug)]
pub(super) struct CloneSetFacts {
    pub(super) uid: String,
    pub(super) name: String,
    /// Nothing once it is being deleted: then nothing is promised and nothing may be done.
    pub(super) spec: Option<Arc<Value>>,
}

impl CloneSetFacts {
    pub(super) fn of(cloneset: &DynamicObject) -> Self {
        let metadata = &cloneset.metadata;
        let spec = cloneset
            .data
            .get("spec")
            .filter(|_| metadata.deletion_timestamp.is_none());
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            spec: spec.cloned().map(Arc::new),
        }
    }
}

/// What an event changed.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A pod was created or changed.
    Pod(PodFacts),
    /// A pod is no more.
    PodGone(PodFacts),
    /// A CloneSet was created, changed or deleted.
    CloneSet(CloneSetFacts),
    /// From the version named here to that of the event, changes may have gone unseen.
    Gap(u64),
}

/// One change, as a watch showed it.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// resourceVersion: etcd numbers its commits, whatever is in them.
    pub(super) version: u64,
    /// When the watch showed it, which is a little after it was committed.
    pub(super) seen: Timestamp,
    pub(super) change: Change,
}

impl Event {
    /// The pod it is about.
    pub(super) fn pod(&self) -> Option<&PodFacts> {
        match &self.change {
            Change::Pod(pod) | Change::PodGone(pod) => Some(pod),
            Change::CloneSet(_) | Change::Gap(_) => None,
        }
    }
}

/// How a pod was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Create,
    Patch,
    Delete,
}

/// One write of the controller to a pod, which the API server carried out.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) verb: Verb,
    pub(super) name: String,
    pub(super) uid: String,
    /// resourceVersion of what came of it.
    pub(super) version: u64,
    pub(super) received: Timestamp,
    pub(super) completed: Timestamp,
    /// The UID that a deletion was bound to.
    pub(super) bound_to: Option<String>,
}

/// Everything, in order.
#[derive(Debug, Default)]
pub(super) struct History {
    events: Vec<(Event, Option<Write>)>,
    gaps: Vec<(u64, u64)>,
    /// Writes that no watch showed.
    pub(super) unseen: Vec<Write>,
}

impl History {
    /// Joins events with writes.
    pub(super) fn new(mut events: Vec<Event>, writes: Vec<Write>) -> Self {
        events.sort_by_key(|event| event.version);
        let gaps = events
            .iter()
            .filter_map(|event| match event.change {
                Change::Gap(from) => Some((from, event.version)),
                _ => None,
            })
            .collect();
        let sightings = Sightings::of(&events);
        let mut history = Self {
            events: Vec::new(),
            gaps,
            unseen: Vec::new(),
        };
        let mut joined: BTreeMap<(String, u64), Write> = BTreeMap::new();
        for write in writes {
            match sightings.became(&write) {
                // Of two writes that became one event the first one made it.
                Became::Event(version) => drop(joined.entry((write.uid.clone(), version)).or_insert(write)),
                Became::Nothing => {}
                Became::Unknown if write.verb == Verb::Patch || in_gap(&history.gaps, write.version) => {}
                Became::Unknown => history.unseen.push(write),
            }
        }
        let mut known = BTreeSet::new();
        for event in events {
            let write = event.pod().and_then(|pod| {
                let is_new = known.insert(pod.uid.clone());
                joined
                    .remove(&(pod.uid.clone(), event.version))
                    .or_else(|| unlogged_create(&event, pod).filter(|_| is_new))
            });
            history.events.push((event, write));
        }
        history
    }

    /// Events with the write of ours that each was, if it was one.
    pub(super) fn events(&self) -> &[(Event, Option<Write>)] {
        &self.events
    }

    /// Did all go seen before this version?
    pub(super) fn is_complete_at(&self, version: u64) -> bool {
        !in_gap(&self.gaps, version)
    }
}

/// What a write became.
enum Became {
    /// The event of this version.
    Event(u64),
    /// None: it changed nothing.
    Nothing,
    /// Nobody knows: no watch showed it.
    Unknown,
}

/// By UID and version: when it was seen, and whether the pod was ending then.
struct Sightings<'a>(BTreeMap<(&'a str, u64), (Timestamp, bool)>);

impl<'a> Sightings<'a> {
    fn of(events: &'a [Event]) -> Self {
        let sighting = |event: &'a Event| {
            let pod = event.pod()?;
            let is_ending = !pod.is_live || matches!(event.change, Change::PodGone(_));
            Some(((pod.uid.as_str(), event.version), (event.seen, is_ending)))
        };
        Self(events.iter().filter_map(sighting).collect())
    }

    /// The event of the same version of the same pod. A patch that changes nothing names the version of somebody's event,
    /// which was seen before. A deletion without grace is two events, and names the second.
    fn became(&self, write: &Write) -> Became {
        let key = (write.uid.as_str(), write.version);
        let Some((seen, _)) = self.0.get(&key) else {
            return Became::Unknown;
        };
        if *seen < write.received {
            return Became::Nothing;
        }
        let first = self
            .0
            .range((write.uid.as_str(), 0)..=key)
            .find(|(_, (seen, is_ending))| *is_ending && *seen >= write.received)
            .filter(|_| write.verb == Verb::Delete);
        Became::Event(first.map_or(write.version, |((_, version), _)| *version))
    }
}

fn in_gap(gaps: &[(u64, u64)], version: u64) -> bool {
    gaps.iter().any(|(from, to)| *from < version && version <= *to)
}

/// The log of an API server that was killed lacks the writes under way: a new pod that only the controller has written
/// to was created by it all the same.
fn unlogged_create(event: &Event, pod: &PodFacts) -> Option<Write> {
    pod.is_written_by_us_alone.then(|| Write {
        verb: Verb::Create,
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        version: event.version,
        received: event.seen,
        completed: event.seen,
        bound_to: None,
    })
}
