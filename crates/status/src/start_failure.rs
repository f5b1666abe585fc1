//! Why one pod cannot start, from what its kubelet and the scheduler report.
//!
//! The answer is the same in every phase of one failure: a container in a crash loop is waiting, running and ended in
//! turn, and a pull is repeated under two reasons. Numbers that change by themselves (restarts, seconds of backoff, ports,
//! ids) are left out, because a message that changes costs a status write. Nothing here counts pods.

use crate::facts::{Cause, ContainerStatus, Pod, Termination};
use cloneset_api::names::{annotations, pod_conditions};
use jiff::Timestamp;
use serde::Deserialize;
use std::fmt;

/// Hexadecimal digits from which a word is taken for an id that is another one at each attempt.
const ID_DIGITS: usize = 32;

/// Why a pod cannot start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartFailure {
    /// The container, if it is one that fails.
    pub container: Option<String>,
    /// One word, as in `kubectl get pods`.
    pub reason: String,
    /// What the kubelet or the scheduler says; `None` where that is no more than the reason.
    pub detail: Option<String>,
}

impl StartFailure {
    /// Of a pod that has not ended, or that a node has rejected. `None` while it starts as it should.
    pub fn of(pod: &Pod) -> Option<Self> {
        if pod.is_terminating() {
            return None;
        }
        if pod.is_finished() {
            return rejected_by_node(pod);
        }
        let init = pod.status.init_container_statuses.iter();
        let main = pod.status.container_statuses.iter();
        unschedulable(pod).or_else(|| init.chain(main).find_map(|status| of_container(pod, status)))
    }

    /// What a person can do about it.
    fn advice(&self, pod: &str) -> String {
        let container = self.container.as_deref().unwrap_or_default();
        match self.reason.as_str() {
            "ErrImagePull" | "RegistryUnavailable" | "SignatureValidationFailed" | "ImageInspectError" => {
                "check the image name, the registry and imagePullSecrets".to_owned()
            }
            "ErrImageNeverPull" => "load the image on the node, or change imagePullPolicy".to_owned(),
            "InvalidImageName" => "correct the image name".to_owned(),
            "CreateContainerConfigError" => {
                "create the missing ConfigMap or Secret, or correct the template".to_owned()
            }
            "CreateContainerError" | "RunContainerError" | "StartError" | "ContainerCannotRun" => {
                "check command, args and mounts of the container".to_owned()
            }
            "OOMKilled" => "raise the memory limit of the container, or reduce what it uses".to_owned(),
            "Unschedulable" => {
                "add nodes that fit, or change requests, node selector, affinity or tolerations of the template".to_owned()
            },
            _ if self.container.is_some() && self.may_be_killed() => format!(
                "run: kubectl describe pod {pod} (a failed liveness or startup probe ends containers like this), then: \
                 kubectl logs {pod} -c {container} --previous"
            ),
            _ if self.container.is_some() && self.is_exit() => {
                format!("run: kubectl logs {pod} -c {container} --previous")
            }
            _ => format!("run: kubectl describe pod {pod}"),
        }
    }

    fn is_exit(&self) -> bool {
        self.detail
            .as_deref()
            .is_some_and(|detail| detail.starts_with(EXIT_CODE))
    }

    /// Did it end as after SIGTERM or SIGKILL, which is how the kubelet ends a container whose probe fails?
    fn may_be_killed(&self) -> bool {
        let code = self
            .detail
            .as_deref()
            .and_then(|detail| detail.strip_prefix(EXIT_CODE));
        matches!(code, Some("0" | "137" | "143"))
    }

    /// The failure of the pod of this name, and what to do about it.
    pub(crate) fn explain(&self, f: &mut fmt::Formatter<'_>, pod: &str) -> fmt::Result {
        write!(f, "{pod}: ")?;
        if let Some(container) = &self.container {
            write!(f, "container {container}: ")?;
        }
        f.write_str(&self.reason)?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        write!(f, "; {}", self.advice(pod))
    }
}

/// How a detail about an exit begins.
const EXIT_CODE: &str = "exit code ";

/// A pod that a node has failed before any of its containers ran. One that ran and was evicted has started.
fn rejected_by_node(pod: &Pod) -> Option<StartFailure> {
    let has_run =
        |status: &ContainerStatus| !status.container_id.is_empty() || status.state.terminated.is_some();
    let failed = pod.status.phase.as_deref() == Some("Failed");
    if !failed || pod.status.container_statuses.iter().any(has_run) {
        return None;
    }
    Some(StartFailure {
        container: None,
        reason: pod.status.reason.clone()?,
        detail: pod.status.message.as_deref().and_then(steady),
    })
}

/// A pod whose scheduling is only held by a gate is not unschedulable.
fn unschedulable(pod: &Pod) -> Option<StartFailure> {
    let condition = pod.condition(pod_conditions::SCHEDULED)?;
    let cause = condition
        .cause
        .as_deref()
        .filter(|cause| cause.reason() == "Unschedulable")?;
    // Whether devices could be freed and other pods preempted is said after what is missing.
    let message = cause.message.as_deref().unwrap_or_default();
    let ends = [" preemption:", " no new claims to deallocate"];
    let end = ends.iter().filter_map(|end| message.find(end)).min();
    let message = message.get(..end.unwrap_or(message.len())).unwrap_or_default();
    Some(StartFailure {
        container: None,
        reason: cause.reason().to_owned(),
        detail: steady(message.trim_end_matches('.')),
    })
}

fn of_container(pod: &Pod, status: &ContainerStatus) -> Option<StartFailure> {
    let last = status.last_state.terminated.as_deref();
    if let Some(waiting) = status.state.waiting.as_deref() {
        return match waiting.reason() {
            "" | "ContainerCreating" | "PodInitializing" => None,
            "CrashLoopBackOff" if last.is_some_and(|last| was_updated_since(pod, last)) => {
                Some(not_started_since_update(pod, status))
            }
            "CrashLoopBackOff" | "RunContainerError" => {
                let ended = last.map(|last| ended(status, last));
                Some(ended.unwrap_or_else(|| waits(status, waiting)))
            }
            _ => Some(waits(status, waiting)),
        };
    }
    if let Some(now) = status.state.terminated.as_deref() {
        return (!was_updated_since(pod, now)).then(|| ended(status, now));
    }
    // It runs again, and is not ready yet. One that was ready in the meantime has lost that for another reason.
    let last = last.filter(|last| !status.ready && !was_updated_since(pod, last))?;
    let lost_ready = status
        .state
        .running
        .and_then(|running| running.started_at)
        .is_some_and(|since| pod.containers_unready_since().is_some_and(|at| at > since));
    (!lost_ready).then(|| ended(status, last))
}

/// A container that waits for something which does not come.
fn waits(status: &ContainerStatus, waiting: &Cause) -> StartFailure {
    let (reason, message) = (waiting.reason(), waiting.message.as_deref());
    let (reason, detail) = match reason {
        // The kubelet alternates between the two.
        "ErrImagePull" | "ImagePullBackOff" => ("ErrImagePull", message.and_then(pull_error)),
        "CrashLoopBackOff" => (reason, None),
        _ => (reason, message.and_then(steady)),
    };
    StartFailure {
        container: Some(status.name.clone()),
        reason: reason.to_owned(),
        detail,
    }
}

/// A container that has ended, or that runs again after it has. What it printed is not shown: it may hold secrets.
fn ended(status: &ContainerStatus, how: &Termination) -> StartFailure {
    let waiting = status.state.waiting.as_deref().map(Cause::reason);
    let in_crash_loop = waiting == Some("CrashLoopBackOff") || status.restart_count > 1;
    let code = || Some(format!("{EXIT_CODE}{}", how.exit_code));
    let (reason, detail) = match how.reason.as_deref() {
        Some(reason @ ("StartError" | "ContainerCannotRun")) => {
            (reason, how.message.as_deref().and_then(steady))
        }
        Some("OOMKilled") => ("OOMKilled", code()),
        _ if in_crash_loop => ("CrashLoopBackOff", code()),
        Some(reason) => (reason, code()),
        None => ("Error", code()),
    };
    StartFailure {
        container: Some(status.name.clone()),
        reason: reason.to_owned(),
        detail,
    }
}

/// The kubelet backs off from starting the new image of a pod that was updated in place, and reports the end of the old
/// one. That container did what it should: its logs say nothing about the failure.
fn not_started_since_update(pod: &Pod, status: &ContainerStatus) -> StartFailure {
    let mut containers = pod.spec.containers.iter();
    let spec = containers.find(|container| container.name == status.name);
    let image = spec.map_or("its new image", |container| container.image.as_str());
    StartFailure {
        container: Some(status.name.clone()),
        reason: "CrashLoopBackOff".to_owned(),
        detail: Some(format!("{image} has not started since the in-place update")),
    }
}

/// Did the container start before the pod was last updated in place? Then it was the update that ended it.
fn was_updated_since(pod: &Pod, ended: &Termination) -> bool {
    /// The field of the annotation that matters here.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Updated {
        update_timestamp: Timestamp,
    }
    let written = [annotations::IN_PLACE_STATE, annotations::LEGACY_IN_PLACE_STATE];
    let written = written.into_iter().find_map(|key| pod.annotation(key));
    let updated = written.and_then(|text| serde_json::from_str::<Updated>(text).ok());
    let started = ended.started_at;
    updated.is_some_and(|updated| started.is_some_and(|started| started < updated.update_timestamp))
}

/// Why an image could not be pulled: `None` where the kubelet says only that it waits before it tries again.
fn pull_error(message: &str) -> Option<String> {
    let rest = match message.strip_prefix("Back-off pulling image \"") {
        Some(rest) => rest.split_once('"')?.1,
        None => message,
    };
    let rest = rest.trim_start_matches(": ");
    steady(rest.strip_prefix("ErrImagePull: ").unwrap_or(rest))
}

/// A message on one line and without what changes at each attempt; `None` when nothing is left.
pub(crate) fn steady(message: &str) -> Option<String> {
    let words: Vec<String> = without_grpc(message)
        .split_whitespace()
        .map(steady_word)
        .collect();
    let text = words.join(" ");
    (!text.is_empty()).then_some(text)
}

/// Without `rpc error: code = NotFound desc = `, which says nothing to a person.
fn without_grpc(message: &str) -> String {
    let mut parts = message.split("rpc error: code = ");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once(" desc = ").map_or(part, |(_, after)| after));
    }
    text
}

/// A word without the port a connection comes from (`10.0.0.7:41234->10.96.0.10:53`) and without ids. Digests of images
/// are no ids: they stay.
fn steady_word(word: &str) -> String {
    let word = match word.split_once("->") {
        Some((from, to)) => {
            let from = from.rsplit_once(':').map_or(from, |(host, _)| host);
            format!("{from}->{to}")
        }
        None => word.to_owned(),
    };
    if word.contains("sha256:") {
        return word;
    }
    let mut steady = String::with_capacity(word.len());
    for part in word.split_inclusive(|c: char| !c.is_ascii_hexdigit()) {
        let end = part.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if end.len() >= ID_DIGITS {
            steady.push('…');
            steady.push_str(part.get(end.len()..).unwrap_or_default());
        } else {
            steady.push_str(part);
        }
    }
    steady
}

#[cfg(test)]
mod tests;
