//! The simulated scheduler and kubelet: what becomes of a pod once it is created, at which time.
//!
//! A pod's [`Fate`] says when it is scheduled and when its containers are ready; the pod is Ready when all its
//! readiness gates are True as well. It knows nothing of CloneSets.

use crate::reading::{containers, text};
use crate::store::{Store, whole_seconds};
use cloneset_api::names::node_labels::HOSTNAME;
use cloneset_api::names::pod_conditions::READY;
use cloneset_plan::NodeLabels;
use cloneset_status::Pod;
use cloneset_status::facts::{ContainerStatus, PodCondition, Resources};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;
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
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// It gets a node and runs; its containers are ready later, or never.
    Scheduled { ready_after: Option<u32> },
    /// All its containers are ready.
    ContainersReady,
    /// A container that was restarted is ready.
    ContainerReady(String),
    /// A container whose image was changed is replaced.
    Restarted(String),
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
    /// Images whose containers are never ready.
    broken_images: BTreeSet<String>,
    /// Images that are what another name says.
    same_images: BTreeMap<String, String>,
    /// Does it keep to itself which generation of a pod it has seen, as before Kubernetes 1.34?
    tells_no_generation: bool,
    containers_made: u64,
    /// What the containers of a pod are to get, by UID.
    resources: BTreeMap<String, BTreeMap<String, Resources>>,
}

/// Seconds between the change of a container's image and its restart, and from then until it is ready.
const RESTART_SECONDS: i64 = 1;
const STARTUP_SECONDS: i64 = 2;

impl Kubelet {
    pub(crate) fn set_fates(&mut self, fates: Vec<Fate>) {
        self.fates = fates;
        self.born = 0;
    }

    pub(crate) fn break_image(&mut self, image: &str) {
        self.broken_images.insert(image.to_owned());
    }

    pub(crate) fn same_image(&mut self, one: &str, other: &str) {
        self.same_images.insert(one.to_owned(), other.to_owned());
    }

    pub(crate) fn tell_no_generation(&mut self) {
        self.tells_no_generation = true;
    }

    /// A container's image was changed.
    pub(crate) fn restart(&mut self, uid: &str, container: &str, now: Timestamp) {
        self.arrange(
            uid,
            later(now, RESTART_SECONDS),
            Due::Restarted(container.to_owned()),
        );
    }

    /// Containers get what they are given at once. A pod whose image was changed by the same write is seen only when its
    /// container is replaced.
    pub(crate) fn resize(&mut self, store: &mut Store, uid: &str, resources: &BTreeMap<String, Resources>) {
        let known = self.resources.entry(uid.to_owned()).or_default();
        for (name, given) in resources {
            let into = known.entry(name.clone()).or_default();
            into.limits.extend(given.limits.clone());
            into.requests.extend(given.requests.clone());
        }
        store.change_pod(uid, |pod| {
            for status in &mut pod.status.container_statuses {
                if let Some(given) = resources.get(&status.name) {
                    let into = status.resources.get_or_insert_default();
                    into.limits.extend(given.limits.clone());
                    into.requests.extend(given.requests.clone());
                }
            }
            let runs_as_told = |status: &ContainerStatus| runs_as_told(pod, &status.name);
            if !resources.is_empty() && pod.status.container_statuses.iter().all(runs_as_told) {
                self.see(pod);
            }
        });
    }

    /// Puts down what runs in the pod now, as far as it differs from what ran.
    pub(crate) fn start(&mut self, pod: &mut Pod) {
        for container in pod.spec.containers.clone() {
            self.containers_made += 1;
            let status = ContainerStatus {
                name: container.name.clone(),
                image_id: self.image_id(&container.image),
                image: container.image,
                container_id: format!("sim://{}", self.containers_made),
                resources: self.resources_of(pod.uid(), &container.name),
                ..ContainerStatus::default()
            };
            pod.status
                .container_statuses
                .retain(|other| other.name != status.name);
            pod.status.container_statuses.push(status);
        }
        self.see(pod);
    }

    fn resources_of(&self, uid: &str, container: &str) -> Option<Resources> {
        self.resources.get(uid)?.get(container).cloned()
    }

    fn see(&self, pod: &mut Pod) {
        if !self.tells_no_generation {
            pod.status.observed_generation = pod.metadata.generation;
        }
    }

    fn image_id(&self, image: &str) -> String {
        let known_as = self.same_images.get(image).map_or(image, String::as_str);
        format!("sha256:{known_as}")
    }

    /// Containers become ready: all of a pod, or the one of that name.
    fn make_ready(&self, pod: &mut Pod, only: Option<&str>, at: Timestamp) {
        for status in &mut pod.status.container_statuses {
            let is_meant = only.is_none_or(|name| status.name == name);
            status.ready |= is_meant && !self.broken_images.contains(&status.image);
        }
        let all = pod.status.container_statuses.iter().all(|status| status.ready);
        set_condition(pod, CONTAINERS_READY, all, at);
    }

    /// A container runs another image: a new one in its place, which is ready later, or never.
    fn replace(&mut self, store: &mut Store, uid: &str, name: &str, at: Timestamp) {
        self.containers_made += 1;
        let container_id = format!("sim://{}", self.containers_made);
        store.change_pod(uid, |pod| {
            let image = pod
                .spec
                .containers
                .iter()
                .find(|container| container.name == name)
                .map(|container| container.image.clone());
            let statuses = &mut pod.status.container_statuses;
            if let (Some(image), Some(status)) =
                (image, statuses.iter_mut().find(|status| status.name == name))
            {
                // It compares what it started with what it is to run.
                if status.image == image {
                    self.see(pod);
                    return;
                }
                status.image_id = self.image_id(&image);
                status.image = image;
                status.container_id = container_id;
                status.restart_count += 1;
                status.ready = false;
            }
            set_condition(pod, CONTAINERS_READY, false, at);
            self.see(pod);
        });
        let ready = Due::ContainerReady(name.to_owned());
        self.arrange(uid, later(at, STARTUP_SECONDS), ready);
    }

    /// A pod was created.
    pub(crate) fn adopt(&mut self, uid: &str, manifest: &Value, now: Timestamp) {
        let resources = containers(manifest).filter_map(|container| {
            let given = serde_json::from_value(container.get("resources")?.clone()).ok()?;
            Some((text(container, "name").to_owned(), given))
        });
        self.resources.insert(uid.to_owned(), resources.collect());
        let turn = self.born.checked_rem(self.fates.len()).unwrap_or(0);
        self.born += 1;
        let fate = self.fates.get(turn).copied().unwrap_or(Fate::PROMPT);
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
        self.containers_made += 1;
        let container_id = format!("sim://{}", self.containers_made);
        let mut crashed = None;
        store.change_pod(uid, |pod| {
            set_condition(pod, CONTAINERS_READY, false, now);
            if let Some(status) = pod.status.container_statuses.first_mut() {
                status.restart_count += 1;
                status.container_id = container_id;
                status.ready = false;
                crashed = Some(status.name.clone());
            }
        });
        sync(store, uid, now);
        if let (Some(seconds), Some(name)) = (back_after, crashed) {
            self.arrange(uid, later(now, seconds.into()), Due::ContainerReady(name));
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
                    store.change_pod(&uid, |pod| self.make_ready(pod, None, at));
                    "its containers are ready"
                }
                Due::ContainerReady(container) => {
                    store.change_pod(&uid, |pod| self.make_ready(pod, Some(&container), at));
                    "a container is ready"
                }
                Due::Restarted(container) => {
                    if store
                        .pod_by_uid(&uid)
                        .is_none_or(|pod| !pod.has_node() || runs_as_told(pod, &container))
                    {
                        store.change_pod(&uid, |pod| self.see(pod));
                        continue;
                    }
                    self.replace(store, &uid, &container, at);
                    "restarts a container"
                }
                Due::Gone if store.pod_by_uid(&uid).is_some_and(has_finalizers) => "waits for its finalizers",
                Due::Gone => {
                    self.resources.remove(&uid);
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
        // Containers that were changed before they ever ran begin with what they are to be.
        self.due
            .retain(|_, (other, due)| other != uid || !matches!(due, Due::Restarted(_)));
        store.change_pod(uid, |pod| {
            pod.spec.node_name = Some(node);
            pod.status.phase = Some("Running".to_owned());
            set_condition(pod, CONTAINERS_READY, false, at);
            set_condition(pod, READY, false, at);
            self.start(pod);
        });
        if let Some(seconds) = ready_after {
            self.arrange(uid, later(at, seconds.into()), Due::ContainersReady);
        }
    }
}

fn has_finalizers(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().next().is_some()
}

/// Has somebody taken a change back before the kubelet saw it?
fn runs_as_told(pod: &Pod, container: &str) -> bool {
    let told = pod.spec.containers.iter().find(|told| told.name == container);
    let runs = pod
        .status
        .container_statuses
        .iter()
        .find(|runs| runs.name == container);
    told.is_some_and(|told| runs.is_some_and(|runs| runs.image == told.image))
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
        cause: None,
    });
}

pub(crate) fn later(time: Timestamp, seconds: i64) -> Timestamp {
    time.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
