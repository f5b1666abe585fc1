//! The API server's audit log, and how much the controller wrote, counted from it.
//! It must not believe anything the controller says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A pod costs its create and one status patch, which carries gate and label together. To replace it costs one
/// more: its deletion. What somebody edits by hand may have to be put right.
const BUDGET: &str =
    "a create and a status patch for a new pod, a deletion to replace it, and a patch for each edit by hand";

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

/// Fails when the controller wrote more for a pod than it needs to.
pub(super) fn check_writes(events: &[Event]) -> Result<()> {
    let writes = Writes::count(events);
    ensure!(
        !writes.pods.is_empty(),
        "the audit log has no pod that a CloneSet controller wrote to, so it proves nothing"
    );
    println!("{}", writes.summary());
    let excess = writes.excess();
    ensure!(
        excess.is_empty(),
        "the controller writes more than it needs ({BUDGET}), says the audit log:\n{}",
        excess.join("\n")
    );
    Ok(())
}

/// The part of an audit event that counts.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Event {
    pub(super) verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    level: String,
    pub(super) user: User,
    pub(super) object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
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

    fn is_write(&self) -> bool {
        !READS.contains(&self.verb.as_str())
    }

    fn succeeded(&self) -> bool {
        self.response_status
            .as_ref()
            .is_some_and(|status| status.code < 300)
    }

    /// Somebody changed a pod itself; nodes and the cluster's own controllers have names that begin with "system:".
    fn is_edit_by_hand(&self) -> bool {
        let is_pod = |object: &ObjectRef| object.resource == "pods" && object.subresource.is_none();
        matches!(self.verb.as_str(), "patch" | "update")
            && self.object_ref.as_ref().is_some_and(is_pod)
            && !self.user.username.starts_with("system:")
            && self.succeeded()
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
    /// Creates that failed and may have been carried out all the same: whoever asked was killed meanwhile, or etcd hung.
    unclear: usize,
    patches: usize,
    deletes: usize,
}

/// What the controllers of CloneSets wrote.
#[derive(Debug, Default)]
struct Writes {
    pods: BTreeMap<(String, String), PodWrites>,
    /// How often people wrote to a pod.
    edits: BTreeMap<(String, String), usize>,
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
            if event.is_edit_by_hand() {
                *writes.edits.entry(event.object()).or_default() += 1;
            }
            if !controllers.contains(event.user.username.as_str())
                || !event.is_on("pods", None)
                || !event.is_write()
                || event.is_dry_run()
            {
                continue;
            }
            if !event.succeeded() {
                let code = event.response_status.as_ref().map_or(0, |status| status.code);
                *writes.refused.entry(code).or_default() += 1;
                if event.verb == "create" && code >= 500 {
                    writes.pods.entry(event.object()).or_default().unclear += 1;
                }
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
        self.pods
            .iter()
            .filter(|(object, pod)| {
                // A pod that was there before the log began has no create in it.
                let lives = (pod.creates + pod.unclear).max(1);
                let edits = self.edits.get(*object).copied().unwrap_or_default();
                pod.deletes > lives || pod.patches > lives + edits
            })
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

    fn event(user: &str, verb: &str, resource: &str, subresource: Option<&str>, name: &str) -> Event {
        let event = json!({
            "verb": verb,
            "requestURI": "/some/path?fieldManager=cloneset",
            "level": if resource == "pods" { "RequestResponse" } else { "Metadata" },
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
    fn what_somebody_edited_may_be_put_right() {
        let mut events = usual();
        let repair = || event(CONTROLLER, "patch", "pods", Some("status"), "b");
        events.push(event("admin", "patch", "pods", None, "b"));
        events.push(repair());
        assert_eq!(Writes::count(&events).excess(), Vec::<String>::new());
        events.push(repair());
        assert_eq!(Writes::count(&events).excess().len(), 1);
    }

    #[test]
    fn a_name_that_is_used_again_is_another_pod() {
        let mut events = usual();
        events.extend(usual());
        assert_eq!(Writes::count(&events).excess(), Vec::<String>::new());
    }

    #[test]
    fn a_log_without_reads_or_bodies_proves_nothing() {
        let mut events = usual();
        assert!(check_policy(&events).is_err(), "no reads");
        events.push(event(CONTROLLER, "watch", "pods", None, ""));
        assert!(check_policy(&events).is_ok());
        assert_eq!(
            Writes::count(&events).excess(),
            Vec::<String>::new(),
            "a read is no write"
        );
        if let Some(first) = events.first_mut() {
            first.level = "Metadata".to_owned();
        }
        assert!(check_policy(&events).is_err(), "no bodies");
    }

    #[test]
    fn a_create_that_failed_may_have_made_a_pod() {
        let mut events = usual();
        let mut again = usual();
        again[0].response_status = Some(ResponseStatus { code: 409 });
        events.extend(again);
        let excess = |events: &[Event]| Writes::count(events).excess().len();
        assert_eq!(excess(&events), 1, "a refused one made none");
        events[6].response_status = Some(ResponseStatus { code: 504 });
        assert_eq!(excess(&events), 0);
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
