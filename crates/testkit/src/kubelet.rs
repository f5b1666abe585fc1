//! The simulated scheduler and kubelet: what becomes of a pod once it is created, at which time.
//!
//! A pod's [`Fate`] says when it is scheduled and when its containers are ready; the pod is Ready when all its
//! readiness gates are True as well. It knows nothing of CloneSets.

use crate::store::{Store, whole_seconds};
use cloneset_api::names::node_labels::HOSTNAME;
use cloneset_api::names::pod_conditions::READY;
use cloneset_plan::NodeLabels;
use cloneset_status::Pod;
use cloneset_status::facts::{ContainerStatus, PodCondition};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The part of the cluster that a node is in.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The kubelet's word on the containers alone, without the gates.
const CONTAINERS_READY: &str = "ContainersReady";
/// Seconds between a delete and the end of the pod.
pub(crate) const GRACE_SECONDS: i64 = 2;

/// Nodes there are.
const NODES: u64 = 3;

/// The nodes with their labels: the first and the third are in one zone.
pub(crate) fn nodes() -> NodeLabels {
    let labels = |index: u64| {
        let zone = (ZONE.to_owned(), format!("zone-{}", index % 2));
        let name = (HOSTNAME.to_owned(), format!("node-{index}"));
        Arc::new(BTreeMap::from([zone, name]))
    };
    (0..NODES)
        .map(|index| (format!("node-{index}"), labels(index)))
        .collect()
}

/// What becomes of a new pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Seconds from its creation until it has a node; `None`: no node ever fits.
    pub scheduled_after: Option<u32>,
    /// Seconds from then until its containers are ready; `None`: they never are.
    pub ready_after: Option<u32>,
}

impl Fate {
    /// A node after one second, ready two seconds later.
    pub const PROMPT: Self = Self {
        scheduled_after: Some(1),
        ready_after: Some(2),
    };
    /// Runs, but is never ready.
    pub const BROKEN: Self = Self {
        scheduled_after: Some(1),
        ready_after: None,
    };
    /// Fits on no node.
    pub const UNSCHEDULABLE: Self = Self {
        scheduled_after: None,
        ready_after: None,
    };
}

/// Something that is going to happen to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It gets a node and runs; its containers are ready later, or never.
    Scheduled { ready_after: Option<u32> },
    /// Its containers are ready.
    ContainersReady,
    /// Its grace period is over.
    Gone,
}

/// The simulated scheduler and kubelet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kubelet {
    /// What is going to happen, by time and, at the same time, in the order it was arranged.
    due: BTreeMap<(Timestamp, u64), (String, Due)>,
    arranged: u64,
    /// Fates of the next pods, taken in turn; empty: all are prompt.
    fates: Vec<Fate>,
    born: usize,
    /// Images whose pods are never ready.
    broken_images: BTreeSet<String>,
}

impl Kubelet {
    pub(crate) fn set_fates(&mut self, fates: Vec<Fate>) {
        self.fates = fates;
        self.born = 0;
    }

    pub(crate) fn break_image(&mut self, image: &str) {
        self.broken_images.insert(image.to_owned());
    }

    /// A pod was created.
    pub(crate) fn adopt(&mut self, uid: &str, image: &str, now: Timestamp) {
        let turn = self.born.checked_rem(self.fates.len()).unwrap_or(0);
        self.born += 1;
        let mut fate = self.fates.get(turn).copied().unwrap_or(Fate::PROMPT);
        if self.broken_images.contains(image) {
            fate.ready_after = None;
        }
        if let Some(seconds) = fate.scheduled_after {
            let due = Due::Scheduled {
                ready_after: fate.ready_after,
            };
            self.arrange(uid, later(now, seconds.into()), due);
        }
    }

    /// A pod was asked to go: it will be gone at `at`.
    pub(crate) fn end(&mut self, uid: &str, at: Timestamp) {
        self.arrange(uid, at, Due::Gone);
    }

    /// The containers of a pod restart and are ready again after so many seconds; `None`: never.
    pub(crate) fn crash(&mut self, store: &mut Store, uid: &str, back_after: Option<u32>, now: Timestamp) {
        store.change_pod(uid, |pod| {
            set_condition(pod, CONTAINERS_READY, false, now);
            match pod.status.container_statuses.first_mut() {
                Some(status) => status.restart_count += 1,
                None => pod
                    .status
                    .container_statuses
                    .push(ContainerStatus { restart_count: 1 }),
            }
        });
        sync(store, uid, now);
        if let Some(seconds) = back_after {
            self.arrange(uid, later(now, seconds.into()), Due::ContainersReady);
        }
    }

    fn arrange(&mut self, uid: &str, at: Timestamp, due: Due) {
        self.arranged += 1;
        self.due.insert((at, self.arranged), (uid.to_owned(), due));
    }

    /// When something happens next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Does what is due by `now`; gives a line for each thing that happened.
    pub(crate) fn work(&mut self, store: &mut Store, now: Timestamp) -> Vec<(Timestamp, String)> {
        let mut told = Vec::new();
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            let at = entry.key().0;
            let (uid, due) = entry.remove();
            // A pod that is gone or has run to an end only ever goes away.
            let acts_on = |pod: &&Pod| due == Due::Gone || !pod.is_finished();
            let Some(name) = store
                .pod_by_uid(&uid)
                .filter(acts_on)
                .map(|pod| pod.name().to_owned())
            else {
                continue;
            };
            let line = match due {
                Due::Scheduled { ready_after } => {
                    self.schedule(store, &uid, at, ready_after);
                    "has a node"
                }
                Due::ContainersReady => {
                    store.change_pod(&uid, |pod| set_condition(pod, CONTAINERS_READY, true, at));
                    "its containers are ready"
                }
                Due::Gone => {
                    store.remove_pod(&uid);
                    "is gone"
                }
            };
            sync(store, &uid, at);
            told.push((at, format!("{name} {line}")));
        }
        told
    }

    fn schedule(&mut self, store: &mut Store, uid: &str, at: Timestamp, ready_after: Option<u32>) {
        let node = format!("node-{}", self.arranged % NODES);
        store.change_pod(uid, |pod| {
            pod.spec.node_name = Some(node);
            pod.status.phase = Some("Running".to_owned());
            set_condition(pod, CONTAINERS_READY, false, at);
            set_condition(pod, READY, false, at);
        });
        if let Some(seconds) = ready_after {
            self.arrange(uid, later(at, seconds.into()), Due::ContainersReady);
        }
    }
}

/// The kubelet's verdict follows from its containers and the gates.
pub(crate) fn sync(store: &mut Store, uid: &str, now: Timestamp) {
    store.change_pod(uid, |pod| {
        let mut gates = pod
            .spec
            .readiness_gates
            .iter()
            .map(|gate| gate.condition_type.as_str());
        let ready = pod.condition_is_true(CONTAINERS_READY) && gates.all(|gate| pod.condition_is_true(gate));
        if pod.has_node() && !pod.is_finished() {
            set_condition(pod, READY, ready, now);
        }
    });
}

/// Sets a condition; its time moves only with its status.
pub(crate) fn set_condition(pod: &mut Pod, type_: &str, status: bool, now: Timestamp) {
    if pod.condition(type_).is_some() && pod.condition_is_true(type_) == status {
        return;
    }
    pod.status.conditions.retain(|condition| condition.type_ != type_);
    pod.status.conditions.push(PodCondition {
        type_: type_.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        last_transition_time: Some(Time(whole_seconds(now))),
    });
}

pub(crate) fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
