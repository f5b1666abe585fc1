//! The controller's requests, as the API server's audit log tells them.
//!
//! The log is the only account that the controller does not keep itself. Counts only; what is allowed is for the
//! tests to say.

use crate::install;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// Verbs that write; the log tells of the controller's reads too.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// get, list, watch, create, update, patch, delete or deletecollection.
    pub verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    stage: String,
    user: User,
    /// What it was about.
    pub object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    /// When the API server received it.
    #[serde(rename = "requestReceivedTimestamp")]
    pub received: Timestamp,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

/// What a request was about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// Plural resource.
    pub resource: String,
    /// Subresource, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ResponseStatus {
    code: u16,
}

impl Request {
    /// A rehearsal, which writes nothing.
    pub fn is_dry_run(&self) -> bool {
        self.uri.contains("dryRun=All")
    }

    /// Did the API server do it?
    pub fn succeeded(&self) -> bool {
        self.response_status
            .as_ref()
            .is_some_and(|status| status.code < 300)
    }

    /// `create pods`, `patch pods/status`.
    pub fn action(&self) -> String {
        let target = self.object_ref.clone().unwrap_or_default();
        let slash = if target.subresource.is_empty() { "" } else { "/" };
        let rehearsed = if self.uri.contains("dryRun=All") {
            " (dry run)"
        } else {
            ""
        };
        let refused = match &self.response_status {
            Some(status) if status.code >= 300 => format!(" (refused: {})", status.code),
            _ => String::new(),
        };
        format!(
            "{} {}{slash}{}{rehearsed}{refused}",
            self.verb, target.resource, target.subresource
        )
    }
}

/// The controller's writes in namespaces that the filter admits, oldest first.
pub fn controller_writes(log: &Path, admits: impl Fn(&str) -> bool) -> Result<Vec<Request>> {
    let mut writes = controller_requests(log)?;
    writes.retain(|request| {
        let namespace = request.object_ref.as_ref().map_or("", |target| &target.namespace);
        request.stage == "ResponseComplete" && WRITES.contains(&request.verb.as_str()) && admits(namespace)
    });
    Ok(writes)
}

/// All requests of the controller; a watch is told when it begins and when it ends.
pub fn controller_requests(log: &Path) -> Result<Vec<Request>> {
    let file = File::open(log).with_context(|| {
        format!(
            "cannot read {}: CLONESET_AUDIT_LOG must be the API server's audit log",
            log.display()
        )
    })?;
    let mut requests = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line?;
        // Most lines are other people's, and parsing is what costs. The last line may still be being written.
        if !line.contains(install::USER) || !line.ends_with('}') {
            continue;
        }
        let request: Request =
            serde_json::from_str(&line).with_context(|| format!("not an audit event: {line}"))?;
        if request.user.username == install::USER {
            requests.push(request);
        }
    }
    Ok(requests)
}

/// How often each action was taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Account(pub BTreeMap<String, usize>);

impl Account {
    /// Of these writes.
    pub fn of<'a>(writes: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut account = Self::default();
        for write in writes {
            *account.0.entry(write.action()).or_default() += 1;
        }
        account
    }

    /// How often one action was taken.
    pub fn count(&self, action: &str) -> usize {
        self.0.get(action).copied().unwrap_or_default()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (action, count) in &self.0 {
            writeln!(f, "{count:>6}  {action}")?;
        }
        Ok(())
    }
}

/// Accounts of single pods, by namespace and name. While the same controller leads, no name is used twice, so an
/// account is the life of one pod; a new leader may use a name again whose pod is gone.
pub fn by_pod(writes: &[Request]) -> BTreeMap<(String, String), Account> {
    let mut writes_by_pod: BTreeMap<_, Vec<&Request>> = BTreeMap::new();
    for write in writes {
        if let Some(target) = write
            .object_ref
            .as_ref()
            .filter(|target| target.resource == "pods")
        {
            let key = (target.namespace.clone(), target.name.clone());
            writes_by_pod.entry(key).or_default().push(write);
        }
    }
    writes_by_pod
        .into_iter()
        .map(|(pod, writes)| (pod, Account::of(writes)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(verb: &str, uri: &str, target: &serde_json::Value, code: u16) -> Request {
        let event = json!({
            "verb": verb,
            "requestURI": uri,
            "stage": "ResponseComplete",
            "user": {"username": install::USER},
            "objectRef": target,
            "responseStatus": {"metadata": {}, "code": code},
            "requestReceivedTimestamp": "2026-01-01T00:00:00.000001Z"
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn rehearsals_and_refusals_are_told_apart_from_writes() {
        let pod = json!({"resource": "pods", "namespace": "n", "name": "a", "apiVersion": "v1"});
        let status = json!({"resource": "pods", "subresource": "status", "namespace": "n", "name": "a"});
        let writes = [
            write("create", "/api/v1/namespaces/n/pods?dryRun=All", &pod, 201),
            write("create", "/api/v1/namespaces/n/pods?", &pod, 201),
            write("patch", "/api/v1/namespaces/n/pods/a/status?", &status, 409),
            write("patch", "/api/v1/namespaces/n/pods/a/status?", &status, 200),
        ];
        let account = by_pod(&writes).remove(&("n".into(), "a".into())).unwrap();
        let lines: Vec<_> = account
            .0
            .iter()
            .map(|(action, count)| (action.as_str(), *count))
            .collect();
        assert_eq!(
            lines,
            [
                ("create pods", 1),
                ("create pods (dry run)", 1),
                ("patch pods/status", 1),
                ("patch pods/status (refused: 409)", 1)
            ]
        );
    }
}
