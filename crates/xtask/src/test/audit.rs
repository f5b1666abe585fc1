//! The API server's audit log: who asked for what, and what became of it.
//! It must not judge what it reads.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// Who the controller of the end-to-end tests is to the API server.
pub(super) const CONTROLLER: &str = "system:serviceaccount:cloneset-system:cloneset";

/// Verbs that change nothing.
const READS: [&str; 3] = ["get", "list", "watch"];

/// An audit log, from some point on.
pub(super) struct AuditLog {
    file: PathBuf,
    from: u64,
}

impl AuditLog {
    /// Only what is logged from now on counts.
    pub(super) fn from_now(file: &Path) -> Result<Self> {
        let from = std::fs::metadata(file)
            .with_context(|| format!("cannot read the audit log {}", file.display()))?
            .len();
        Ok(Self {
            file: file.to_owned(),
            from,
        })
    }

    /// What was logged since, by anybody.
    pub(super) fn events(&self) -> Result<Vec<Event>> {
        let mut log = File::open(&self.file)
            .with_context(|| format!("cannot read the audit log {}", self.file.display()))?;
        log.seek(SeekFrom::Start(self.from))?;
        let mut events = Vec::new();
        for line in BufReader::new(log).lines() {
            // The server may be writing the last line right now.
            if let Ok(event) = serde_json::from_str(&line?) {
                events.push(event);
            }
        }
        Ok(events)
    }
}

/// Fails when the API server does not log what the tests judge by: without bodies the oracle of the tests can only warn,
/// and without reads no right seems to be used.
pub(super) fn check_policy(events: &[Event]) -> Result<()> {
    let by_controller = || events.iter().filter(|event| event.user.username == CONTROLLER);
    let tells_of_reads = by_controller().any(|event| event.verb == "watch");
    let tells_of_bodies = by_controller()
        .filter(|event| event.is_on("pods", None) && event.is_write())
        .all(|event| event.level == "RequestResponse");
    ensure!(
        tells_of_reads && tells_of_bodies,
        "the API server was started with an older audit policy than e2e/cluster/config/audit-policy.yaml: end the cluster \
         (cargo xtask cluster down) and run the tests again"
    );
    Ok(())
}

/// The part of an audit event that counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) verb: String,
    #[serde(rename = "requestURI")]
    pub(super) request_uri: String,
    pub(super) level: String,
    pub(super) user: User,
    pub(super) object_ref: Option<ObjectRef>,
    pub(super) response_status: Option<ResponseStatus>,
    /// What was sent, and what was stored then: only of the controller's writes of pods.
    request_object: Option<Sent>,
    response_object: Option<Stored>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct User {
    pub(super) username: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    pub(super) resource: String,
    pub(super) subresource: Option<String>,
    pub(super) api_group: Option<String>,
    namespace: Option<String>,
    pub(super) name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ResponseStatus {
    pub(super) code: u16,
}

#[derive(Debug, Deserialize)]
struct Sent {
    spec: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Stored {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl Event {
    pub(super) fn is_on(&self, resource: &str, subresource: Option<&str>) -> bool {
        self.object_ref.as_ref().is_some_and(|object| {
            object.resource == resource
                && (subresource.is_none() || object.subresource.as_deref() == subresource)
        })
    }

    pub(super) fn is_dry_run(&self) -> bool {
        self.request_uri.contains("dryRun=All")
    }

    pub(super) fn is_write(&self) -> bool {
        !READS.contains(&self.verb.as_str())
    }

    pub(super) fn succeeded(&self) -> bool {
        self.response_status
            .as_ref()
            .is_some_and(|status| status.code < 300)
    }

    /// Somebody changed a pod itself; nodes and the cluster's own controllers have names that begin with "system:".
    pub(super) fn is_edit_by_hand(&self) -> bool {
        let is_pod = |object: &ObjectRef| object.resource == "pods" && object.subresource.is_none();
        matches!(self.verb.as_str(), "patch" | "update")
            && self.object_ref.as_ref().is_some_and(is_pod)
            && !self.user.username.starts_with("system:")
            && self.succeeded()
    }

    /// The status code of the answer, 0 for none.
    pub(super) fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }

    /// What the request gave for the object's spec.
    pub(super) fn sent_spec(&self) -> Option<&Value> {
        self.request_object.as_ref()?.spec.as_ref()
    }

    /// A label of the object as it was stored.
    pub(super) fn stored_label(&self, key: &str) -> Option<&str> {
        let label = self.response_object.as_ref()?.metadata.labels.get(key)?;
        Some(label)
    }

    /// Covered by a right, whatever became of it afterwards.
    pub(super) fn is_authorized(&self) -> bool {
        self.decision() == Some("allow")
    }

    /// Refused for want of a right, and not by admission or a quota, which answer with the same code.
    pub(super) fn is_forbidden(&self) -> bool {
        self.decision() == Some("forbid")
    }

    fn decision(&self) -> Option<&str> {
        let decision = self.annotations.get("authorization.k8s.io/decision")?;
        Some(decision)
    }

    /// Namespace and name.
    pub(super) fn object(&self) -> (String, String) {
        let object = self.object_ref.as_ref();
        let text = |part: fn(&ObjectRef) -> &Option<String>| object.and_then(|object| part(object).clone());
        (
            text(|object| &object.namespace).unwrap_or_default(),
            text(|object| &object.name).unwrap_or_default(),
        )
    }
}
