//! Why a write failed, by verb and cause.
//!
//! Classification only: nothing is sent or decided here.

use crate::chain::Chain;
use crate::live::ReadError;
use kube::core::response::Status;
use std::time::Duration;

/// What became of a write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was not sent: this replica does not lead.
    #[error("not sent: this replica is not the leader")]
    NotLeading,
    /// It was not sent: an earlier write of the same reconcile was throttled or got no answer.
    #[error("not sent: the API server does not take writes now")]
    Withheld,
    /// A conflict: the object changed or was replaced in between.
    #[error("the object has changed: {0}")]
    Conflict(String),
    /// An object of that name exists.
    #[error("an object of that name exists already")]
    AlreadyExists,
    /// The API server or a policy rejects it.
    #[error("{0}")]
    Rejected(String),
    /// The object is gone.
    #[error("it is gone: {0}")]
    Gone(String),
    /// The controller's own service account may not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// A quota is used up: nothing is wrong with the object, and there may be room at any moment.
    #[error("{0}")]
    OverQuota(String),
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// The API server is busy.
    #[error("the API server asks to come back later: {message}")]
    Throttled {
        /// What it answered.
        message: String,
        /// How long to wait.
        after: Duration,
    },
    /// No answer, or none that says whether it was done.
    #[error("no clear answer: {0}")]
    Unclear(String),
    /// The request could not be built.
    #[error("the request is malformed: {0}")]
    Malformed(String),
}

/// What a failed write means for the reconcile that sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// What follows.
    pub next: Next,
    /// What backs off.
    pub backoff: BackoffScope,
    /// Whether users see it.
    pub report: Report,
    /// Must the rest of the batch not be sent?
    pub stops_batch: bool,
    /// Is it the API server that cannot take the write now, and not the write that is wrong?
    pub is_of_server: bool,
}

/// What follows a failed write. Of several, the greatest decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// Reconcile again at once: nothing is wrong but the cache.
    Retry,
    /// Try again for as long as the quota is used up.
    AwaitQuota,
    /// Back off.
    BackOff,
    /// Wait for as long as the API server asks.
    Wait(Duration),
    /// Stop: another replica leads.
    StandDown,
}

/// What a failed write says about other writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffScope {
    /// Nothing: no write backs off by itself.
    None,
    /// Only this object is rejected.
    Object,
    /// Every write of the kind would fail.
    Kind,
    /// Every write of the kind would exceed the quota.
    Quota,
    /// The API server cannot take writes of the kind now.
    Server,
}

/// Whether a failed write is reported in conditions and events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Never: the next reconcile handles it.
    Never,
    /// Once it has failed several times in a row.
    IfRepeated,
    /// At once.
    Always,
}

/// Time after which a CloneSet in a terminating namespace is reconciled again: it is deleted with the namespace.
const TERMINATING: Duration = Duration::from_mins(10);

impl WriteError {
    /// What the error means, in one place.
    pub fn disposition(&self) -> Disposition {
        let retry = Disposition {
            next: Next::Retry,
            backoff: BackoffScope::None,
            report: Report::Never,
            stops_batch: false,
            is_of_server: false,
        };
        let back_off = Disposition {
            next: Next::BackOff,
            backoff: BackoffScope::Kind,
            report: Report::Always,
            stops_batch: false,
            is_of_server: false,
        };
        match self {
            Self::Gone(_) | Self::AlreadyExists | Self::Withheld => retry,
            Self::Conflict(_) => Disposition {
                report: Report::IfRepeated,
                ..retry
            },
            Self::NotAllowed(_) => back_off,
            Self::Rejected(_) | Self::Malformed(_) => Disposition {
                backoff: BackoffScope::Object,
                ..back_off
            },
            Self::OverQuota(_) => Disposition {
                next: Next::AwaitQuota,
                backoff: BackoffScope::Quota,
                ..back_off
            },
            Self::Unclear(_) => Disposition {
                backoff: BackoffScope::Server,
                report: Report::IfRepeated,
                stops_batch: true,
                is_of_server: true,
                ..back_off
            },
            Self::Throttled { after, .. } => Disposition {
                next: Next::Wait(*after),
                report: Report::IfRepeated,
                stops_batch: true,
                is_of_server: true,
                ..retry
            },
            Self::NamespaceTerminating => Disposition {
                next: Next::Wait(TERMINATING),
                ..retry
            },
            Self::NotLeading => Disposition {
                next: Next::StandDown,
                stops_batch: true,
                ..retry
            },
        }
    }

    /// One word for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotLeading => "not_leading",
            Self::Withheld => "withheld",
            Self::Conflict(_) => "conflict",
            Self::Gone(_) => "gone",
            Self::NotAllowed(_) => "not_allowed",
            Self::AlreadyExists => "already_exists",
            Self::Rejected(_) => "rejected",
            Self::OverQuota(_) => "over_quota",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Throttled { .. } => "throttled",
            Self::Unclear(_) => "unclear",
            Self::Malformed(_) => "malformed",
        }
    }
}

pub(super) fn classify(error: &ReadError, verb: &str) -> WriteError {
    match error.status() {
        Some(status) => classify_status(status, verb),
        // The connection broke or the answer cannot be read: the write may have been carried out.
        None => WriteError::Unclear(Chain(error).to_string()),
    }
}

/// Does the verb create an object, so that none of that name need exist?
fn makes(verb: &str) -> bool {
    matches!(verb, "create" | "dry_run")
}

fn classify_status(status: &Status, verb: &str) -> WriteError {
    let message = status.message.clone();
    let causes = status
        .details
        .as_ref()
        .map(|details| details.causes.as_slice())
        .unwrap_or_default();
    match status.code {
        404 | 410 if !makes(verb) => WriteError::Gone(message),
        409 if makes(verb) && status.is_already_exists() => WriteError::AlreadyExists,
        409 => WriteError::Conflict(message),
        // A failed precondition on the UID of a patch, and a failed `test` of a JSON patch, come as 422.
        422 if !makes(verb)
            && (causes.iter().any(|cause| cause.field == "metadata.uid") || causes.is_empty()) =>
        {
            WriteError::Conflict(message)
        }
        403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => {
            WriteError::NamespaceTerminating
        }
        429 => {
            let seconds = status
                .details
                .as_ref()
                .map_or(0, |details| details.retry_after_seconds);
            let after = Duration::from_secs(seconds.max(1).into());
            WriteError::Throttled { message, after }
        }
        // The API server gives no other sign of it (`plugin/pkg/admission/resourcequota`).
        403 if message.contains("exceeded quota") => WriteError::OverQuota(message),
        401 => WriteError::NotAllowed(message),
        // How an authorizer puts it; admission names the object: `pods "a" is forbidden: …`.
        403 if message.contains(" is forbidden: User \"") && message.contains("\" cannot ") => {
            WriteError::NotAllowed(message)
        }
        400..500 => WriteError::Rejected(message),
        _ => WriteError::Unclear(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn category(verb: &str, status: Value) -> &'static str {
        classify_status(&serde_json::from_value(status).unwrap(), verb).category()
    }

    #[test]
    fn failures_are_distinguished_by_verb_and_cause() {
        let cause = |reason: &str, field: &str| json!({"causes": [{"reason": reason, "field": field}]});
        for (verb, status, expected) in [
            (
                "create",
                json!({"code": 409, "reason": "AlreadyExists"}),
                "already_exists",
            ),
            ("patch", json!({"code": 409, "reason": "Conflict"}), "conflict"),
            ("delete", json!({"code": 409, "reason": "Conflict"}), "conflict"),
            ("delete", json!({"code": 404, "reason": "NotFound"}), "gone"),
            (
                "create",
                json!({"code": 401, "reason": "Unauthorized"}),
                "not_allowed",
            ),
            (
                "create",
                json!({"code": 403, "message": "pods is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"pods\""}),
                "not_allowed",
            ),
            (
                "create",
                json!({"code": 403, "message": "pods \"a\" is forbidden: error looking up service account b/default"}),
                "rejected",
            ),
            ("create", json!({"code": 404, "reason": "NotFound"}), "rejected"),
            (
                "patch",
                json!({"code": 422, "reason": "Invalid", "details": cause("FieldValueInvalid", "metadata.uid")}),
                "conflict",
            ),
            ("patch", json!({"code": 422, "reason": "Invalid"}), "conflict"),
            (
                "patch",
                json!({"code": 422, "reason": "Invalid", "details": cause("FieldValueInvalid", "spec.x")}),
                "rejected",
            ),
            ("create", json!({"code": 422, "reason": "Invalid"}), "rejected"),
            ("create", json!({"code": 403, "reason": "Forbidden"}), "rejected"),
            (
                "create",
                json!({"code": 403, "message": "pods \"a\" is forbidden: exceeded quota: small, used: pods=2"}),
                "over_quota",
            ),
            (
                "create",
                json!({"code": 403, "details": cause("NamespaceTerminating", "metadata.namespace")}),
                "namespace_terminating",
            ),
            ("create", json!({"code": 429}), "throttled"),
            ("create", json!({"code": 500}), "unclear"),
            ("create", json!({"code": 504}), "unclear"),
        ] {
            assert_eq!(category(verb, status.clone()), expected, "{verb} {status}");
        }
    }

    #[test]
    fn the_time_the_server_asks_for_is_kept() {
        let status = json!({"code": 429, "details": {"retryAfterSeconds": 7}});
        let error = classify_status(&serde_json::from_value(status).unwrap(), "create");
        assert!(matches!(error, WriteError::Throttled { after, .. } if after.as_secs() == 7));
    }
}
