//! The controller's writes to the pods of a namespace, from the API server's audit log.
//!
//! Needs the bodies of requests and responses, as `e2e/cluster/config/audit-policy.yaml` has them recorded. Joins
//! nothing and judges nothing.

use super::history::{Verb, Write};
use crate::install;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

/// Our writes to pods.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) writes: Vec<Write>,
    /// Of so many the log holds no body, so nobody can say what they did.
    pub(super) without_bodies: usize,
    /// Was the marker found?
    pub(super) is_complete: bool,
}

impl Requests {
    /// From an offset in the log on, up to the request that ends with `marker`.
    pub(super) fn read(log: &Path, from: u64, namespace: &str, marker: &str) -> Result<Self> {
        let mut file =
            File::open(log).with_context(|| format!("cannot read the audit log {}", log.display()))?;
        file.seek(SeekFrom::Start(from))?;
        let mut found = Self::default();
        for line in BufReader::new(file).lines() {
            let line = line?;
            // Parsing is what costs. The last line may still be being written.
            if !line.contains(namespace) || !line.ends_with('}') {
                continue;
            }
            found.is_complete |= line.contains(marker);
            if line.contains(install::USER) && line.contains(r#""resource":"pods""#) {
                let entry: Entry =
                    serde_json::from_str(&line).with_context(|| format!("not an audit event: {line}"))?;
                found.add(entry, namespace);
            }
        }
        Ok(found)
    }

    fn add(&mut self, entry: Entry, namespace: &str) {
        let verb = match entry.verb.as_str() {
            "create" => Verb::Create,
            "patch" | "update" => Verb::Patch,
            "delete" | "deletecollection" => Verb::Delete,
            _ => return,
        };
        let carried_out = entry.stage == "ResponseComplete"
            && entry.user.username == install::USER
            && entry.object_ref.namespace == namespace
            && !entry.request_uri.contains("dryRun=All")
            && entry.response_status.is_some_and(|status| status.code < 300);
        if !carried_out {
            return;
        }
        let Some(Object { metadata }) = entry.response_object else {
            self.without_bodies += 1;
            return;
        };
        let Ok(version) = metadata.resource_version.parse() else {
            self.without_bodies += 1;
            return;
        };
        self.writes.push(Write {
            verb,
            name: metadata.name,
            uid: metadata.uid,
            version,
            received: entry.request_received_timestamp,
            completed: entry.stage_timestamp,
            bound_to: entry
                .request_object
                .and_then(|object| object.preconditions)
                .and_then(|preconditions| preconditions.uid),
        });
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    stage: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    request_object: Option<Options>,
    response_object: Option<Object>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
struct ObjectRef {
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

/// What a deletion is told; in the body of any other request there is none of it.
#[derive(Deserialize)]
struct Options {
    preconditions: Option<Preconditions>,
}

#[derive(Deserialize)]
struct Preconditions {
    uid: Option<String>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: String,
    resource_version: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn request(verb: &str, uri: &str, code: u16, body: &Value, response: &Value) -> Entry {
        let request = json!({
            "verb": verb, "requestURI": uri, "stage": "ResponseComplete",
            "user": {"username": install::USER},
            "objectRef": {"resource": "pods", "namespace": "n", "name": "a"},
            "responseStatus": {"code": code}, "requestObject": body, "responseObject": response,
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000001Z",
            "stageTimestamp": "2026-01-01T00:00:00.000002Z"
        });
        serde_json::from_value(request).unwrap()
    }

    #[test]
    fn only_what_was_carried_out_counts_and_a_missing_body_is_noticed() {
        let pod = json!({"kind": "Pod", "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}});
        let uid = json!({"kind": "DeleteOptions", "preconditions": {"uid": "u"}});
        let mut found = Requests::default();
        found.add(request("delete", "/pods/a?", 200, &uid, &pod), "n");
        found.add(
            request("delete", "/pods/a?", 409, &uid, &json!({"kind": "Status"})),
            "n",
        );
        found.add(request("create", "/pods?dryRun=All", 201, &pod, &pod), "n");
        found.add(request("get", "/pods/a", 200, &Value::Null, &pod), "n");
        found.add(request("create", "/pods?", 201, &pod, &pod), "another");
        found.add(request("create", "/pods?", 201, &Value::Null, &Value::Null), "n");
        assert_eq!(found.without_bodies, 1);
        let [write] = found.writes.as_slice() else {
            unreachable!("{:?}", found.writes)
        };
        assert_eq!((write.verb, write.version), (Verb::Delete, 7));
        assert_eq!(write.bound_to.as_deref(), Some("u"));
    }
}
