//! Sends one write: only while leading, with a time-out, counted, and its failure classified by verb and cause.
//!
//! Never sends anything twice. What a failure means for the CloneSet is the caller's business.

use crate::client::FIELD_MANAGER;
use crate::run::Context;
use crate::telemetry::metrics::WriteLabels;
use kube::Resource;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::core::response::Status;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Time for one write; less when the right to write ends before.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a write that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// It was not sent: this replica does not lead.
    #[error("not sent: this replica is not the leader")]
    NotLeading,
    /// It was not sent: an earlier one of the same pass was told to come back later, or got no answer.
    #[error("not sent: the API server does not take writes now")]
    Withheld,
    /// The object changed or went away in between: look again.
    #[error("the object has changed: {0}")]
    Raced(String),
    /// An object of that name exists.
    #[error("an object of that name exists already")]
    AlreadyExists,
    /// The API server or a policy refuses it.
    #[error("{0}")]
    Refused(String),
    /// The object is not there, although it was.
    #[error("it is gone: {0}")]
    Gone(String),
    /// This controller's own account may not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// A quota is used up: nothing is wrong with the object, and room may be made at any moment.
    #[error("{0}")]
    OverQuota(String),
    /// The namespace is being deleted.
    #[error("the namespace is being deleted")]
    NamespaceTerminating,
    /// The API server is busy.
    #[error("the API server asks to come back later: {message}")]
    Throttled {
        /// What it said.
        message: String,
        /// When to come back.
        after: Duration,
    },
    /// No answer, or none that says whether it was done.
    #[error("no clear answer: {0}")]
    Unclear(String),
    /// The request could not even be put together.
    #[error("the request is malformed: {0}")]
    Malformed(String),
}

impl WriteError {
    /// One word for metrics.
    pub fn category(&self) -> &'static str {
        match self {
            Self::NotLeading => "not_leading",
            Self::Withheld => "withheld",
            Self::Raced(_) => "raced",
            Self::Gone(_) => "gone",
            Self::NotAllowed(_) => "not_allowed",
            Self::AlreadyExists => "already_exists",
            Self::Refused(_) => "refused",
            Self::OverQuota(_) => "over_quota",
            Self::NamespaceTerminating => "namespace_terminating",
            Self::Throttled { .. } => "throttled",
            Self::Unclear(_) => "unclear",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// Where a write goes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Path of the collection.
    path: String,
    /// Resource, with subresource, for metrics.
    resource: &'static str,
}

impl Target {
    /// The collection of `K` in a namespace; `resource` is its name for metrics.
    pub fn of<K: Resource<DynamicType = ()>>(namespace: Option<&str>, resource: &'static str) -> Self {
        Self {
            path: K::url_path(&(), namespace),
            resource,
        }
    }
}

/// Creates an object and gives what was stored.
pub async fn create<T: DeserializeOwned>(
    context: &Context,
    target: &Target,
    object: &Value,
) -> Result<T, WriteError> {
    post(context, "create", target, object, None).await
}

/// What the API server makes of fields that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// It rejects the object and names them.
    Strict,
    /// It drops them.
    Warn,
}

/// Asks whether an object would be created, and gives what would be stored; nothing is.
pub async fn dry_run<T: DeserializeOwned>(
    context: &Context,
    target: &Target,
    object: &Value,
    validation: FieldValidation,
) -> Result<T, WriteError> {
    post(context, "rehearse", target, object, Some(validation)).await
}

async fn post<T: DeserializeOwned>(
    context: &Context,
    verb: &'static str,
    target: &Target,
    object: &Value,
    dry_run: Option<FieldValidation>,
) -> Result<T, WriteError> {
    let params = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        dry_run: dry_run.is_some(),
    };
    let text = serde_json::to_string(object).map_err(|error| WriteError::Malformed(error.to_string()))?;
    let mut request = Request::new(&target.path)
        .create(&params, as_go_writes_it(&text).into_bytes())
        .map_err(malformed)?;
    if dry_run == Some(FieldValidation::Strict) {
        // The client has no parameter for it. The dry run made sure that there is a query.
        let uri = format!("{}&fieldValidation=Strict", request.uri());
        *request.uri_mut() = uri
            .parse()
            .map_err(|error: http::uri::InvalidUri| WriteError::Malformed(error.to_string()))?;
    }
    bounded(context, verb, target, context.client.request(request)).await
}

/// JSON as Go writes it, which the API server does when it patches. It keeps a revision's data byte for byte and refuses
/// a patch that changes them, so a template with an `&` would stand in the way of its own rollback.
fn as_go_writes_it(json: &str) -> String {
    // These characters occur in strings only.
    let mut written = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '&' => written.push_str("\\u0026"),
            '<' => written.push_str("\\u003c"),
            '>' => written.push_str("\\u003e"),
            '\u{2028}' => written.push_str("\\u2028"),
            '\u{2029}' => written.push_str("\\u2029"),
            other => written.push(other),
        }
    }
    written
}

/// Patches an object, or its status when `subresource` says so, and gives what was stored.
pub async fn patch<T: DeserializeOwned>(
    context: &Context,
    target: &Target,
    name: &str,
    subresource: Option<&str>,
    patch: &Patch<Value>,
) -> Result<T, WriteError> {
    let params = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let request = Request::new(&target.path);
    let request = match subresource {
        Some(subresource) => request.patch_subresource(subresource, name, &params, patch),
        None => request.patch(name, &params, patch),
    };
    bounded(
        context,
        "patch",
        target,
        context.client.request(request.map_err(malformed)?),
    )
    .await
}

/// Deletes exactly the object with this UID, and at this version if one is given.
pub async fn delete(
    context: &Context,
    target: &Target,
    name: &str,
    preconditions: Preconditions,
) -> Result<(), WriteError> {
    let params = DeleteParams::default().preconditions(preconditions);
    let request = Request::new(&target.path)
        .delete(name, &params)
        .map_err(malformed)?;
    bounded(context, "delete", target, context.client.request_text(request))
        .await
        .map(drop)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it by value")]
fn malformed(error: kube::core::request::Error) -> WriteError {
    WriteError::Malformed(error.to_string())
}

/// Sends once there is a slot and only while leading; a future sends nothing before it is first polled.
async fn bounded<T>(
    context: &Context,
    verb: &'static str,
    target: &Target,
    sending: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, WriteError> {
    let result = {
        let _slot = context.write_slot().await;
        match context.leadership.time_left() {
            None => Err(WriteError::NotLeading),
            // The end comes first: a process that was stopped in between must not go on sending.
            Some(left) => tokio::select! {
                biased;
                () = tokio::time::sleep(left.min(WRITE_TIMEOUT)) => {
                    Err(WriteError::Unclear("no answer in time".to_owned()))
                }
                result = sending => result.map_err(|error| classify(&error, verb)),
            },
        }
    };
    if matches!(result, Err(WriteError::NotLeading)) {
        return result;
    }
    let outcome = result.as_ref().err().map_or("ok", WriteError::category);
    let labels = WriteLabels {
        verb,
        resource: target.resource,
        result: outcome,
    };
    context.metrics.writes.get_or_create(&labels).inc();
    result
}

fn classify(error: &kube::Error, verb: &str) -> WriteError {
    match error {
        kube::Error::Api(status) => classify_status(status, verb),
        kube::Error::BuildRequest(error) => WriteError::Malformed(error.to_string()),
        // The connection broke or the answer cannot be read: the write may have been carried out.
        other => WriteError::Unclear(other.to_string()),
    }
}

/// Does the verb make an object, so that nothing of that name need be there?
fn makes(verb: &str) -> bool {
    matches!(verb, "create" | "rehearse")
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
        409 => WriteError::Raced(message),
        // A failed precondition on the UID of a patch, and a failed `test` of a JSON patch, come as 422.
        422 if !makes(verb)
            && (causes.iter().any(|cause| cause.field == "metadata.uid") || causes.is_empty()) =>
        {
            WriteError::Raced(message)
        }
        403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => {
            WriteError::NamespaceTerminating
        }
        429 => {
            let seconds = status
                .details
                .as_ref()
                .map_or(0, |details| details.retry_after_seconds);
            // An overloaded API server says so in a header that the client does not hand on; it asks for a second.
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
        400..500 => WriteError::Refused(message),
        _ => WriteError::Unclear(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn category(verb: &str, status: Value) -> &'static str {
        classify_status(&serde_json::from_value(status).unwrap(), verb).category()
    }

    #[test]
    fn failures_are_told_apart_by_verb_and_cause() {
        let cause = |reason: &str, field: &str| json!({"causes": [{"reason": reason, "field": field}]});
        for (verb, status, expected) in [
            (
                "create",
                json!({"code": 409, "reason": "AlreadyExists"}),
                "already_exists",
            ),
            ("patch", json!({"code": 409, "reason": "Conflict"}), "raced"),
            ("delete", json!({"code": 409, "reason": "Conflict"}), "raced"),
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
                "refused",
            ),
            ("create", json!({"code": 404, "reason": "NotFound"}), "refused"),
            (
                "patch",
                json!({"code": 422, "reason": "Invalid", "details": cause("FieldValueInvalid", "metadata.uid")}),
                "raced",
            ),
            ("patch", json!({"code": 422, "reason": "Invalid"}), "raced"),
            (
                "patch",
                json!({"code": 422, "reason": "Invalid", "details": cause("FieldValueInvalid", "spec.x")}),
                "refused",
            ),
            ("create", json!({"code": 422, "reason": "Invalid"}), "refused"),
            ("create", json!({"code": 403, "reason": "Forbidden"}), "refused"),
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
    fn what_go_escapes_is_escaped_and_means_the_same() {
        let object = json!({"a&b": "1 < 2 > 0 & \u{2028}\u{2029} ü"});
        let written = as_go_writes_it(&object.to_string());
        assert_eq!(
            written,
            r#"{"a\u0026b":"1 \u003c 2 \u003e 0 \u0026 \u2028\u2029 ü"}"#
        );
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), object);
    }

    #[test]
    fn the_time_the_server_asks_for_is_kept() {
        let status = json!({"code": 429, "details": {"retryAfterSeconds": 7}});
        let error = classify_status(&serde_json::from_value(status).unwrap(), "create");
        assert!(matches!(error, WriteError::Throttled { after, .. } if after.as_secs() == 7));
    }
}
