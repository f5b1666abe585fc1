//! Why pods of a set are not ready: those that cannot start, and those that run without passing their probes.
//!
//! Of each kind one pod stands for all: one of the update revision before others, and the oldest of these, so that the
//! message stays the same while pods come and go. Pods that are only starting are not mentioned.

use crate::facts::{ContainerStatus, Pod};
use crate::start_failure::StartFailure;
use crate::why::Wait;
use cloneset_api::names::{labels, pod_conditions};
use jiff::{SignedDuration, Timestamp};
use std::fmt;

/// A container that has run for so long without being ready is mentioned: early enough for the status to name it within 10
/// seconds of the kubelet's report. Most probes take longer to fail, but the message is information, not an alarm.
const UNREADY_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// A container that has not been created for so long after its pod got a node is mentioned: a volume may be missing, of
/// which the kubelet says nothing in the pod's status.
const CREATING_AFTER: SignedDuration = SignedDuration::from_secs(60);
/// A pod that a node has rejected explains for so long why others are missing.
const REJECTED_FOR: SignedDuration = SignedDuration::from_mins(10);

/// A pod and whether it has the update revision.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// Does it have the update revision?
    pub is_new: bool,
}

/// Pods that cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarting {
    /// How many.
    pub pods: i32,
    /// The name of one of them.
    pub pod: String,
    /// Its revision, as its label says.
    pub revision: String,
    /// Why it cannot start.
    pub failure: StartFailure,
}

impl fmt::Display for NotStarting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pods {
            1 => f.write_str("1 pod cannot start: ")?,
            pods => write!(f, "{pods} pods cannot start, one of them ")?,
        }
        self.failure.explain(f, &self.pod)
    }
}

/// Pods that run, or should by now, and are not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotReady {
    /// How many.
    pub pods: i32,
    /// The name of one of them.
    pub pod: String,
    /// What of it is not ready, as a sentence, and what to do.
    pub cause: String,
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pods, pod, cause } = self;
        match pods {
            1 => write!(f, "1 pod is not ready: {pod}: {cause}"),
            pods => write!(f, "{pods} pods are not ready, one of them {pod}: {cause}"),
        }
    }
}

/// What of a pod is not ready.
enum Unready {
    /// Nothing that could be said, or something that is explained elsewhere (a readiness gate).
    Unknown,
    /// It may only be starting: look again then.
    Starting(Timestamp),
    /// As a sentence.
    Because(String),
}

/// What keeps pods from being ready. `pods` are those that should serve and do not, and those that nodes have rejected.
pub fn waits<'a>(pods: impl Iterator<Item = Candidate<'a>>, now: Timestamp) -> Vec<Wait> {
    let mut not_starting = Group::default();
    let mut not_ready = Group::default();
    let (mut starting, mut until) = (0_i32, None);
    for candidate in pods {
        let pod = candidate.pod;
        if pod.is_finished() && rejected_long_ago(pod, now) {
            continue;
        }
        if let Some(failure) = StartFailure::of(pod) {
            not_starting.add(candidate, failure);
            continue;
        }
        match unready(pod, now) {
            Unready::Unknown => {}
            Unready::Because(cause) => not_ready.add(candidate, cause),
            Unready::Starting(at) => {
                starting = starting.saturating_add(1);
                until = Some(until.map_or(at, |earlier: Timestamp| earlier.min(at)));
            }
        }
    }
    let mut waits = Vec::new();
    waits.extend(not_starting.first.map(|(candidate, failure)| {
        Wait::NotStarting(NotStarting {
            pods: not_starting.pods,
            pod: candidate.pod.name().to_owned(),
            revision: candidate
                .pod
                .label(labels::REVISION)
                .unwrap_or_default()
                .to_owned(),
            failure,
        })
    }));
    waits.extend(not_ready.first.map(|(candidate, cause)| {
        Wait::NotReady(NotReady {
            pods: not_ready.pods,
            pod: candidate.pod.name().to_owned(),
            cause,
        })
    }));
    waits.extend(until.map(|until| Wait::Starting {
        pods: starting,
        until,
    }));
    waits
}

/// Pods with the same kind of trouble, and the one that stands for them.
struct Group<'a, T> {
    pods: i32,
    first: Option<(Candidate<'a>, T)>,
}

impl<T> Default for Group<'_, T> {
    fn default() -> Self {
        Self { pods: 0, first: None }
    }
}

impl<'a, T> Group<'a, T> {
    fn add(&mut self, candidate: Candidate<'a>, trouble: T) {
        self.pods = self.pods.saturating_add(1);
        let comes_first = |first: &(Candidate<'a>, T)| rank(candidate) < rank(first.0);
        if self.first.as_ref().is_none_or(comes_first) {
            self.first = Some((candidate, trouble));
        }
    }
}

/// The lowest stands for the others: pods there are, of the update revision, oldest first.
fn rank(candidate: Candidate<'_>) -> (bool, bool, Option<Timestamp>, &str) {
    let pod = candidate.pod;
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (pod.is_finished(), !candidate.is_new, created, pod.name())
}

fn rejected_long_ago(pod: &Pod, now: Timestamp) -> bool {
    let created = pod.metadata.creation_timestamp.as_ref();
    let until = created.and_then(|created| created.0.checked_add(REJECTED_FOR).ok());
    until.is_none_or(|until| until <= now)
}

fn unready(pod: &Pod, now: Timestamp) -> Unready {
    if pod.is_terminating() || pod.is_finished() || !pod.has_node() {
        return Unready::Unknown;
    }
    if pod.condition_is_true(pod_conditions::CONTAINERS_READY) {
        return off_its_node(pod);
    }
    let statuses = pod.status.container_statuses.iter();
    let mut first = Unready::Unknown;
    for status in statuses.filter(|status| !status.ready) {
        match of_container(pod, status, now) {
            because @ Unready::Because(_) => return because,
            Unready::Unknown => {}
            Unready::Starting(at) => {
                first = match first {
                    Unready::Starting(earlier) => Unready::Starting(earlier.min(at)),
                    _ => Unready::Starting(at),
                };
            }
        }
    }
    first
}

fn of_container(pod: &Pod, status: &ContainerStatus, now: Timestamp) -> Unready {
    let (name, pod_name) = (&status.name, pod.name());
    let after = |since: Option<Timestamp>, time: SignedDuration, cause: String| {
        let due = since.and_then(|since| since.checked_add(time).ok());
        match due {
            Some(due) if due > now => Unready::Starting(due),
            Some(_) => Unready::Because(cause),
            None => Unready::Unknown,
        }
    };
    if let Some(running) = status.state.running {
        let probe = if status.started == Some(false) {
            "startup"
        } else {
            "readiness"
        };
        let cause = format!(
            "container {name} runs but does not pass its {probe} probe; run: kubectl describe pod {pod_name}"
        );
        // It was ready since it started, and is no more: that needs no patience.
        let lost = pod.containers_unready_since() > running.started_at && running.started_at.is_some();
        return if lost {
            Unready::Because(cause)
        } else {
            after(running.started_at, UNREADY_AFTER, cause)
        };
    }
    let waiting = status.state.waiting.as_deref();
    if waiting.is_none_or(|waiting| waiting.reason() != "ContainerCreating") {
        return Unready::Unknown;
    }
    let scheduled = pod.condition(pod_conditions::SCHEDULED);
    let since = scheduled.and_then(|condition| condition.last_transition_time.as_ref());
    let cause = format!(
        "container {name} is still being created, an image or a volume may be missing; run: kubectl describe pod \
         {pod_name}"
    );
    after(since.map(|time| time.0), CREATING_AFTER, cause)
}

/// All its containers are ready and every gate is open, and the pod became unready after that: its node is what is not
/// ready.
fn off_its_node(pod: &Pod) -> Unready {
    let since = |type_: &str| {
        let condition = pod.condition(type_)?;
        condition.last_transition_time.as_ref().map(|time| time.0)
    };
    let ready = pod.condition(pod_conditions::READY);
    let Some(unready_since) = ready
        .filter(|ready| ready.status == "False")
        .and_then(|_| since(pod_conditions::READY))
    else {
        return Unready::Unknown;
    };
    let gates = pod
        .spec
        .readiness_gates
        .iter()
        .map(|gate| gate.condition_type.as_str());
    let mut needed = gates.chain([pod_conditions::CONTAINERS_READY]);
    let held_before =
        |type_: &str| pod.condition_is_true(type_) && since(type_).is_some_and(|at| at < unready_since);
    if !needed.all(held_before) {
        return Unready::Unknown;
    }
    let node = pod.spec.node_name.as_deref().unwrap_or_default();
    Unready::Because(format!(
        "its containers are ready, but node {node} is not; run: kubectl describe node {node}"
    ))
}

#[cfg(test)]
mod tests;
