//! What one replica asked the API server to write, and when, as the audit log tells it: the installed service account
//! is the same for all, so replicas are told apart by their tokens.
//!
//! Only what happened since the log was opened; nothing is judged here.

use crate::cluster::Cluster;
use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

/// Verbs that write; the log tells of reads too.
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// The audit log from some moment on.
pub struct SentLog {
    file: PathBuf,
    from: u64,
}

/// One request that wanted to write, whether or not it was granted.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// When the API server received it.
    #[serde(rename = "requestReceivedTimestamp")]
    pub at: Timestamp,
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    response_status: Option<Answer>,
}

#[derive(Clone, Debug, Deserialize)]
struct Answer {
    code: u16,
}

impl Sent {
    /// About the Lease, and no object of anybody else.
    pub fn is_about_leading(&self) -> bool {
        self.uri.contains("/leases")
    }

    /// Done, and not only rehearsed.
    pub fn was_done(&self) -> bool {
        let granted = self
            .response_status
            .as_ref()
            .is_some_and(|answer| answer.code < 300);
        granted && !self.uri.contains("dryRun=All")
    }

    /// Asked for a new pod and got one.
    pub fn made_a_pod(&self) -> bool {
        let path = self.uri.split('?').next().unwrap_or_default();
        self.verb == "create" && path.ends_with("/pods") && self.was_done()
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.response_status.as_ref().map_or(0, |answer| answer.code);
        write!(f, "{} {} {} -> {code}", self.at, self.verb, self.uri)
    }
}

impl SentLog {
    /// What is sent from now on.
    pub fn from_now() -> Result<Self> {
        let file = Cluster::audit_log()?;
        let from = std::fs::metadata(&file)
            .with_context(|| format!("CLONESET_AUDIT_LOG: cannot read {}", file.display()))?
            .len();
        Ok(Self { file, from })
    }

    /// The writes that were asked for with this credential, in the order in which the API server received it.
    pub fn with(&self, credential: &str) -> Result<Vec<Sent>> {
        let mut file = File::open(&self.file).with_context(|| format!("{}", self.file.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut sent = Vec::new();
        for line in BufReader::new(file).lines() {
            let line = line?;
            // Most lines are other people's. The last may still be being written.
            if line.contains(credential) && line.ends_with('}') {
                let one = serde_json::from_str::<Sent>(&line);
                sent.push(one.with_context(|| format!("not an audit event: {line}"))?);
            }
        }
        sent.retain(|one: &Sent| WRITES.contains(&one.verb.as_str()));
        sent.sort_by_key(|one| one.at);
        Ok(sent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sent(verb: &str, uri: &str, code: u16) -> Sent {
        let event = json!({
            "verb": verb,
            "requestURI": uri,
            "requestReceivedTimestamp": "2026-01-01T00:00:00.123456Z",
            "responseStatus": {"metadata": {}, "code": code}
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn pods_made_are_told_from_pods_refused_rehearsed_and_written_to() {
        let pods = "/api/v1/namespaces/n/pods";
        assert!(sent("create", &format!("{pods}?fieldManager=x"), 201).made_a_pod());
        assert!(!sent("create", &format!("{pods}?dryRun=All"), 201).made_a_pod());
        assert!(!sent("create", pods, 409).made_a_pod());
        assert!(!sent("patch", &format!("{pods}/a/status"), 200).made_a_pod());
        assert!(
            sent(
                "update",
                "/apis/coordination.k8s.io/v1/namespaces/n/leases/l",
                409
            )
            .is_about_leading()
        );
    }
}
