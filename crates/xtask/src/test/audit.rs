//! How much the controller wrote, counted from outside: the API server's audit log.
//! It must not believe anything the controller says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A pod costs its create and one status patch, which carries gate and label together. To replace it costs one
/// more: its deletion.
const BUDGET: &str = "a create and a status patch for a new pod, and a deletion to replace it";

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

    /// Fails when the controller wrote more for a pod than it needs to.
    pub(super) fn check(&self) -> Result<()> {
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
        let writes = Writes::count(&events);
        ensure!(
            !writes.pods.is_empty(),
            "the audit log {} has no pod that a CloneSet controller wrote to, so it proves nothing",
            self.file.display()
        );
        println!("{}", writes.summary());
        let excess = writes.excess();
        ensure!(
            excess.is_empty(),
            "the controller writes more than it needs ({BUDGET}):\n{}\nthe requests: grep in {}",
            excess.join("\n"),
            self.file.display()
        );
        Ok(())
    }
}

/// The part of an audit event that counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct ObjectRef {
    resource: String,
    subresource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    code: u16,
}

impl Event {
    fn is_on(&self, resource: &str, subresource: Option<&str>) -> bool {
        self.object_ref.as_ref().is_some_and(|object| {
            object.resource == resource
                && (subresource.is_none() || object.subresource.as_deref() == subresource)
        })
    }

    fn is_dry_run(&self) -> bool {
        self.request_uri.contains("dryRun=All")
    }

    fn succeeded(&self) -> bool {
        self.response_status
            .as_ref()
            .is_some_and(|status| status.code < 300)
    }

    /// Namespace and name.
    fn object(&self) -> (String, String) {
        let object = self.object_ref.as_ref();
        let text = |part: fn(&ObjectRef) -> &Option<String>| object.and_then(|object| part(object).clone());
        (
            text(|object| &object.namespace).unwrap_or_default(),
            text(|object| &object.name).unwrap_or_default(),
        )
    }
}

/// Writes to pods of one name. Most names are used once; a later pod may get the name of one that is gone.
#[derive(Debug, Default, PartialEq, Eq)]
struct PodWrites {
    creates: usize,
    patches: usize,
    deletes: usize,
}

/// What the controllers of CloneSets wrote.
#[derive(Debug, Default)]
struct Writes {
    pods: BTreeMap<(String, String), PodWrites>,
    /// How often the server answered so, by status code.
    refused: BTreeMap<u16, usize>,
}

impl Writes {
    fn count(events: &[Event]) -> Self {
        // Nobody else writes the status of a CloneSet, whatever release and namespace it runs in.
        let controllers: BTreeSet<&str> = events
            .iter()
            .filter(|event| event.is_on("clonesets", Some("status")))
            .map(|event| event.user.username.as_str())
            .filter(|name| name.starts_with("system:serviceaccount:"))
            .collect();
        let mut writes = Self::default();
        for event in events {
            if !controllers.contains(event.user.username.as_str())
                || !event.is_on("pods", None)
                || event.is_dry_run()
            {
                continue;
            }
            if !event.succeeded() {
                let code = event.response_status.as_ref().map_or(0, |status| status.code);
                *writes.refused.entry(code).or_default() += 1;
                continue;
            }
            let pod = writes.pods.entry(event.object()).or_default();
            match event.verb.as_str() {
                "create" => pod.creates += 1,
                "delete" | "deletecollection" => pod.deletes += 1,
                _ => pod.patches += 1,
            }
        }
        writes
    }

    fn total(&self, part: fn(&PodWrites) -> usize) -> usize {
        self.pods.values().map(part).sum()
    }

    fn summary(&self) -> String {
        let mut summary = format!(
            "audit log: {} pods created, {} patches, {} deletions",
            self.total(|pod| pod.creates),
            self.total(|pod| pod.patches),
            self.total(|pod| pod.deletes),
        );
        for (code, times) in &self.refused {
            // Writing to a String cannot fail.
            let _ = write!(summary, ", {times} refused with {code}");
        }
        summary
    }

    /// One line for each pod that cost too much.
    fn excess(&self) -> Vec<String> {
        // A pod that was there before the log began has no create in it.
        let too_much = |pod: &PodWrites| pod.patches.max(pod.deletes) > pod.creates.max(1);
        self.pods
            .iter()
            .filter(|(_, pod)| too_much(pod))
            .map(|((namespace, name), pod)| {
                format!(
                    "  {namespace}/{name}: {} creates, {} patches, {} deletions",
                    pod.creates, pod.patches, pod.deletes
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const CONTROLLER: &str = "system:serviceaccount:cloneset-system:cloneset";

    fn event(user: &str, verb: &str, resource: &str, subresource: Option<&str>, name: &str) -> Event {
        let event = json!({
            "verb": verb,
            "requestURI": "/some/path?fieldManager=cloneset",
            "user": { "username": user },
            "objectRef": { "resource": resource, "subresource": subresource, "namespace": "n", "name": name },
            "responseStatus": { "code": 200 },
        });
        serde_json::from_value(event).expect("an event")
    }

    /// A new pod, its replacement, and one status of the CloneSet.
    fn usual() -> Vec<Event> {
        vec![
            event(CONTROLLER, "create", "pods", None, "a"),
            event(CONTROLLER, "patch", "pods", Some("status"), "a"),
            event(CONTROLLER, "patch", "clonesets", Some("status"), "sample"),
            event(CONTROLLER, "delete", "pods", None, "a"),
            event(CONTROLLER, "create", "pods", None, "b"),
            event(CONTROLLER, "patch", "pods", Some("status"), "b"),
        ]
    }

    #[test]
    fn two_writes_for_a_new_pod_and_three_for_a_replaced_one_are_right() {
        let writes = Writes::count(&usual());
        assert_eq!(writes.excess(), Vec::<String>::new());
        assert!(
            writes
                .summary()
                .contains("2 pods created, 2 patches, 1 deletions")
        );
    }

    #[test]
    fn a_second_patch_is_one_too_many() {
        let mut events = usual();
        events.push(event(CONTROLLER, "patch", "pods", None, "b"));
        let excess = Writes::count(&events).excess();
        assert_eq!(excess, ["  n/b: 1 creates, 2 patches, 0 deletions"]);
    }

    #[test]
    fn a_name_that_is_used_again_is_another_pod() {
        let mut events = usual();
        events.extend(usual());
        assert_eq!(Writes::count(&events).excess(), Vec::<String>::new());
    }

    #[test]
    fn others_dry_runs_and_refusals_do_not_count() {
        let mut events = usual();
        for _ in 0..5 {
            events.push(event("system:node:local", "patch", "pods", Some("status"), "a"));
            let mut dry = event(CONTROLLER, "create", "pods", None, "a");
            dry.request_uri.push_str("&dryRun=All");
            events.push(dry);
        }
        let mut refused = event(CONTROLLER, "create", "pods", None, "b");
        refused.response_status = Some(ResponseStatus { code: 409 });
        events.push(refused);
        let writes = Writes::count(&events);
        assert_eq!(writes.excess(), Vec::<String>::new());
        assert_eq!(writes.refused, BTreeMap::from([(409, 1)]));
        assert!(writes.summary().ends_with("1 refused with 409"));
    }

    #[test]
    fn a_log_without_a_controller_counts_nothing() {
        let events = [event("admin", "patch", "pods", None, "a")];
        assert!(Writes::count(&events).pods.is_empty());
    }
}
