//! Why a pod is not resized in place, from what its kubelet reports.
//!
//! Nothing here counts pods, nor decides whether a resize is over.

use crate::facts::{Cause, Pod};
use crate::start_failure::steady;
use cloneset_api::names::pod_conditions;
use std::fmt;

/// A resize that the kubelet does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckResize {
    /// The pod.
    pub pod: String,
    /// Its node.
    pub node: String,
    /// `Infeasible`, `Deferred` or `Error`.
    pub reason: String,
    /// What the kubelet says; `None` where that is no more than the reason.
    pub detail: Option<String>,
}

impl StuckResize {
    /// Of a pod whose kubelet reports that it cannot apply the new amounts, now or ever.
    pub fn of(pod: &Pod) -> Option<Self> {
        let cause = |type_| pod.condition(type_)?.cause.as_deref();
        let cause =
            cause(pod_conditions::RESIZE_PENDING).or_else(|| cause(pod_conditions::RESIZE_IN_PROGRESS))?;
        Some(Self {
            pod: pod.name().to_owned(),
            node: pod.node().unwrap_or_default().to_owned(),
            reason: cause.reason().to_owned(),
            detail: detail(cause),
        })
    }

    fn advice(&self) -> String {
        let Self {
            pod, node, reason, ..
        } = self;
        match reason.as_str() {
            "Infeasible" => {
                "lower the resources in the template, or delete the pod if other nodes have more".to_owned()
            }
            "Deferred" => format!("lower the resources in the template, or make room on node {node}"),
            _ => format!("run: kubectl describe pod {pod}"),
        }
    }
}

impl fmt::Display for StuckResize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pod, node, reason, ..
        } = self;
        write!(f, "{pod}: node {node} cannot resize it: {reason}")?;
        if let Some(detail) = &self.detail {
            write!(f, " ({detail})")?;
        }
        write!(f, "; {}", self.advice())
    }
}

/// The kubelet's message without what is in use on the node: that changes whenever another pod comes or goes.
fn detail(cause: &Cause) -> Option<String> {
    let message = cause.message.as_deref()?;
    let Some((before, used)) = message.split_once(", used: ") else {
        return steady(message);
    };
    let after = used.split_once(',').map(|(_, after)| after);
    steady(&after.map_or(before.to_owned(), |after| format!("{before},{after}")))
}

#[cfg(test)]
mod tests;
