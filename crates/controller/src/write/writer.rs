//! The one way to send a write: only while leading, with a time-out, counted, and its failure classified.
//!
//! It sends nothing twice. What a failure means for the CloneSet is the caller's to decide.

use crate::client::FIELD_MANAGER;
use crate::leader::leadership::Leadership;
use crate::live::{ReadError, send};
use crate::telemetry::metrics::writes::WriteMetrics;
use crate::write::error::{WriteError, classify};
use crate::write::slots::Slots;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Request;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Writes under way at once: with HTTP/1.1 each is a connection. One namespace uses half of them at most.
const WRITE_SLOTS: usize = 64;
/// Time for one write; less when the right to write or the reconcile ends before.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that must be left of a reconcile for another write.
const LEAST_TIME: Duration = Duration::from_secs(2);

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

/// What the API server makes of fields that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// It rejects the object and names them.
    Strict,
    /// It drops them.
    Warn,
}

/// Sends writes.
pub struct Writer {
    client: Client,
    leadership: Arc<Leadership>,
    slots: Slots,
    metrics: WriteMetrics,
}

/// Sends the writes of one reconcile: they use slots of its namespace, and are sent only in the term in which the reconcile
/// began and before its deadline.
pub struct ReconcileWriter<'a> {
    writer: &'a Writer,
    namespace: &'a str,
    term: u64,
    deadline: Instant,
}

impl Writer {
    /// Sends with this client, while `leadership` allows it.
    pub fn new(client: Client, leadership: Arc<Leadership>, metrics: WriteMetrics) -> Self {
        Self {
            client,
            leadership,
            slots: Slots::new(WRITE_SLOTS),
            metrics,
        }
    }

    /// For a reconcile of a CloneSet in this namespace that observed the cluster in this term and ends at `deadline`.
    pub fn for_reconcile<'a>(
        &'a self,
        namespace: &'a str,
        term: u64,
        deadline: Instant,
    ) -> ReconcileWriter<'a> {
        ReconcileWriter {
            writer: self,
            namespace,
            term,
            deadline,
        }
    }
}

impl ReconcileWriter<'_> {
    /// The client, for reads that a write needs.
    pub(super) fn client(&self) -> &Client {
        &self.writer.client
    }

    /// Creates an object and returns what was stored.
    pub async fn create<T: DeserializeOwned>(
        &self,
        target: &Target,
        object: &Value,
    ) -> Result<T, WriteError> {
        self.post("create", target, object, None).await
    }

    /// Asks whether an object would be created, and returns what would be stored; nothing is.
    pub async fn dry_run<T: DeserializeOwned>(
        &self,
        target: &Target,
        object: &Value,
        validation: FieldValidation,
    ) -> Result<T, WriteError> {
        self.post("dry_run", target, object, Some(validation)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
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
        self.bounded(verb, target, answer(self.client(), request)).await
    }

    /// Patches an object, or its status when `subresource` says so, and returns what was stored.
    pub async fn patch<T: DeserializeOwned>(
        &self,
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
        self.bounded(
            "patch",
            target,
            answer(self.client(), request.map_err(malformed)?),
        )
        .await
    }

    /// Deletes exactly the object with this UID, and at this version if one is given.
    pub async fn delete(
        &self,
        target: &Target,
        name: &str,
        preconditions: Preconditions,
    ) -> Result<(), WriteError> {
        let params = DeleteParams::default().preconditions(preconditions);
        let request = Request::new(&target.path)
            .delete(name, &params)
            .map_err(malformed)?;
        self.bounded("delete", target, send(self.client(), request))
            .await
            .map(drop)
    }

    /// Sends once there is a slot, and only while leading in the same term: what was observed in an earlier one may have
    /// been changed by another leader. A future sends nothing before it is first polled.
    async fn bounded<T>(
        &self,
        verb: &'static str,
        target: &Target,
        sending: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, WriteError> {
        let Writer {
            leadership,
            slots,
            metrics,
            ..
        } = self.writer;
        let slot = tokio::time::timeout_at(self.deadline, slots.acquire(self.namespace));
        let Ok(slot) = slot.await else {
            return Err(WriteError::Withheld);
        };
        let left = leadership.time_left().filter(|_| leadership.term() == self.term);
        let Some(left) = left else {
            return Err(WriteError::NotLeading);
        };
        let until_deadline = self.deadline.saturating_duration_since(Instant::now());
        if until_deadline < LEAST_TIME {
            return Err(WriteError::Withheld);
        }
        // The end comes first: a process that was stopped in between must not go on sending.
        let result = tokio::select! {
            biased;
            () = tokio::time::sleep(left.min(WRITE_TIMEOUT).min(until_deadline)) => {
                Err(WriteError::Unclear("no answer in time".to_owned()))
            }
            result = sending => result.map_err(|error| classify(&error, verb)),
        };
        drop(slot);
        let outcome = result.as_ref().err().map_or("ok", WriteError::category);
        metrics.count(verb, target.resource, outcome);
        result
    }
}

/// Sends a request and reads the answer.
async fn answer<T: DeserializeOwned>(
    client: &Client,
    request: http::Request<Vec<u8>>,
) -> Result<T, ReadError> {
    Ok(serde_json::from_slice(&send(client, request).await?)?)
}

/// JSON as Go writes it, which the API server does when it patches. It keeps a revision's data byte for byte and rejects
/// a patch that changes them, so a template with an `&` could not be rolled back.
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

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it by value")]
fn malformed(error: kube::core::request::Error) -> WriteError {
    WriteError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
