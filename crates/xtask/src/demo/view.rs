//! What the cluster shows of the demo at one moment: the CloneSet and its pods, as numbers and as a table.
//! It must not judge them (see `expect.rs`).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use cloneset_api::names::{KIND, labels};
use cloneset_api::{CloneSet, CloneSetStatus};
use jiff::Timestamp;
use serde_json::Value;

use super::install::NAMESPACE;
use super::session::Session;

const POD_IMAGE: &str = "/spec/containers/0/image";
const TEMPLATE_IMAGE: &str = "/spec/template/spec/containers/0/image";

/// The CloneSet and its pods.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// The CloneSet; none before it is applied.
    pub(super) clone: Option<CloneSet>,
    /// Oldest first.
    pub(super) pods: Vec<Pod>,
}

/// What a pod keeps as long as it is the same pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    name: String,
    uid: String,
    address: String,
}

/// One pod.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) name: String,
    uid: String,
    pub(super) image: String,
    /// Of the revision that the CloneSet moves to.
    pub(super) is_new: bool,
    pub(super) is_ready: bool,
    pub(super) is_leaving: bool,
    /// Of its container.
    pub(super) restarts: i64,
    revision: String,
    phase: String,
    address: String,
    created: Option<Timestamp>,
}

impl View {
    /// Looks at the cluster.
    pub(super) fn look(session: &Session) -> Result<Self> {
        let list = session.json(&["get", "clonesets,pods", "--namespace", NAMESPACE])?;
        Self::of_list(list.unwrap_or_default())
    }

    fn of_list(mut list: Value) -> Result<Self> {
        let items = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        };
        let (clones, pods): (Vec<Value>, Vec<Value>) = items
            .into_iter()
            .partition(|item| item.get("kind").and_then(Value::as_str) == Some(KIND));
        let image = clones.first().map(|clone| text(clone, TEMPLATE_IMAGE));
        let clone: Option<CloneSet> = clones
            .into_iter()
            .next()
            .map(serde_json::from_value)
            .transpose()
            .context("the CloneSet in the cluster is not one")?;
        let revision = clone.as_ref().and_then(observed_revision);
        let is_new = |pod: &Value| match &revision {
            Some(revision) => is_revision(revision_of(pod), revision),
            // The controller has not seen the last change yet, so its status speaks of the version before.
            None => image.as_ref() == Some(&text(pod, POD_IMAGE)),
        };
        let mut pods: Vec<Pod> = pods.iter().map(|pod| Pod::new(pod, is_new(pod))).collect();
        pods.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(Self { clone, pods })
    }

    /// The CloneSet's status, all zeros before the controller has seen it.
    pub(super) fn status(&self) -> CloneSetStatus {
        let status = self.clone.as_ref().and_then(|clone| clone.status.clone());
        status.unwrap_or_default()
    }

    /// Pods that are not on their way out.
    pub(super) fn staying(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(|pod| !pod.is_leaving)
    }

    /// Pods in service.
    pub(super) fn ready(&self) -> usize {
        self.staying().filter(|pod| pod.is_ready).count()
    }

    /// Pods of the revision that the CloneSet moves to.
    pub(super) fn updated(&self) -> usize {
        self.staying().filter(|pod| pod.is_new).count()
    }

    /// Which pods there are: a pod that is replaced is another one.
    pub(super) fn identities(&self) -> BTreeSet<Identity> {
        let identity = |pod: &Pod| Identity {
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            address: pod.address.clone(),
        };
        self.staying().map(identity).collect()
    }

    /// One line, the same as long as nothing changes.
    pub(super) fn line(&self) -> String {
        let desired = self.clone.as_ref().and_then(|clone| clone.spec.replicas);
        let mut line = format!(
            "{} of {} ready",
            self.ready(),
            desired.map_or("?".to_owned(), |desired| desired.to_string())
        );
        for (word, is_new) in [("old", false), ("new", true)] {
            let pods: Vec<&Pod> = self.staying().filter(|pod| pod.is_new == is_new).collect();
            let ready = pods.iter().filter(|pod| pod.is_ready).count();
            // Writing to a String cannot fail.
            let _ = write!(line, ", {} {word}", pods.len());
            if ready < pods.len() {
                let _ = write!(line, " ({ready} ready)");
            }
        }
        let leaving = self.pods.len() - self.staying().count();
        if leaving > 0 {
            let _ = write!(line, ", {leaving} leaving");
        }
        line
    }

    /// The pods, and the CloneSet's columns as `kubectl get clone` has them.
    pub(super) fn table(&self, now: Timestamp) -> String {
        let head = [
            "POD", "REVISION", "IMAGE", "READY", "STATUS", "RESTARTS", "AGE", "IP",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.pods.iter().map(|pod| pod.row(now)));
        let mut text = aligned(&rows);
        if let Some(clone) = &self.clone {
            let status = self.status();
            let head = [
                "DESIRED",
                "UPDATED",
                "UPDATED_READY",
                "UPDATED_AVAILABLE",
                "READY",
                "TOTAL",
            ];
            let numbers = [
                clone.spec.replicas.unwrap_or_default(),
                status.updated_replicas,
                status.updated_ready_replicas,
                status.updated_available_replicas,
                status.ready_replicas,
                status.replicas,
            ];
            let rows = [
                head.map(str::to_owned).to_vec(),
                numbers.map(|number| number.to_string()).to_vec(),
            ];
            text.push('\n');
            text.push_str(&aligned(&rows));
        }
        text
    }
}

impl Pod {
    fn new(pod: &Value, is_new: bool) -> Self {
        let is_ready = pod
            .pointer("/status/conditions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .any(|condition| text(condition, "/type") == "Ready" && text(condition, "/status") == "True");
        Self {
            name: text(pod, "/metadata/name"),
            uid: text(pod, "/metadata/uid"),
            image: text(pod, POD_IMAGE),
            is_new,
            is_ready,
            is_leaving: pod.pointer("/metadata/deletionTimestamp").is_some(),
            revision: short(revision_of(pod)).to_owned(),
            phase: waiting_for(pod).unwrap_or_else(|| text(pod, "/status/phase")),
            address: text(pod, "/status/podIP"),
            restarts: pod
                .pointer("/status/containerStatuses/0/restartCount")
                .and_then(Value::as_i64)
                .unwrap_or_default(),
            created: text(pod, "/metadata/creationTimestamp").parse().ok(),
        }
    }

    fn row(&self, now: Timestamp) -> Vec<String> {
        let age = self
            .created
            .map_or(0, |created| now.duration_since(created).as_secs().max(0));
        let word = if self.is_new { "new" } else { "old" };
        let status = if self.is_leaving {
            "Terminating"
        } else {
            &self.phase
        };
        vec![
            self.name.clone(),
            format!("{} ({word})", self.revision),
            self.image.clone(),
            if self.is_ready { "yes" } else { "no" }.to_owned(),
            status.to_owned(),
            self.restarts.to_string(),
            format!("{age}s"),
            self.address.clone(),
        ]
    }
}

fn text(object: &Value, pointer: &str) -> String {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default().to_owned()
}

/// The revision that the CloneSet moves to, once the controller has seen the CloneSet as it is now.
fn observed_revision(clone: &CloneSet) -> Option<String> {
    let status = clone.status.as_ref()?;
    let is_current = status.observed_generation == clone.metadata.generation;
    is_current.then(|| status.update_revision.clone()).flatten()
}

fn revision_of(pod: &Value) -> &str {
    pod.pointer("/metadata/labels")
        .and_then(|all| all.get(labels::REVISION)?.as_str())
        .unwrap_or_default()
}

/// Why the container does not run, as the kubelet says it.
fn waiting_for(pod: &Value) -> Option<String> {
    let state = pod.pointer("/status/containerStatuses/0/state")?;
    let waiting = state.get("waiting").or_else(|| state.get("terminated"))?;
    Some(waiting.get("reason")?.as_str()?.to_owned())
}

/// A pod carries its revision's name in full or only the hash at its end.
fn is_revision(label: &str, revision: &str) -> bool {
    !label.is_empty() && short(label) == short(revision)
}

fn short(revision: &str) -> &str {
    revision.rsplit('-').next().unwrap_or(revision)
}

/// Columns as wide as their widest cell.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(String::len)
                .max()
                .unwrap_or_default()
        })
        .collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let line = row
            .iter()
            .zip(&widths)
            .fold(String::new(), |mut line, (cell, width)| {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:<width$}   ");
                line
            });
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::json;

    /// A pod in the words of the API.
    pub(crate) fn pod(name: &str, revision: &str, ready: &str, leaving: bool) -> Value {
        let mut pod = json!({
            "kind": "Pod",
            "metadata": {
                "name": name, "uid": name, "creationTimestamp": "2026-01-02T03:04:05Z",
                "labels": { "controller-revision-hash": revision },
            },
            "spec": { "containers": [{ "name": "nginx", "image": "nginx:alpine" }] },
            "status": {
                "phase": "Running", "podIP": "10.0.0.7", "conditions": [{ "type": "Ready", "status": ready }],
            },
        });
        if leaving {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:06Z");
        }
        pod
    }

    /// A view with these pods, of a CloneSet of 3 that moves to `sample-b`.
    pub(crate) fn view(pods: &[Value]) -> View {
        let clone = json!({
            "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet",
            "metadata": { "name": "sample", "generation": 2 },
            "spec": { "replicas": 3, "selector": {}, "template": { "spec": {} } },
            "status": {
                "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
                "updatedReplicas": 1, "updatedReadyReplicas": 1, "updatedAvailableReplicas": 1,
                "expectedUpdatedReplicas": 1, "updateRevision": "sample-b", "currentRevision": "sample-a",
            },
        });
        let items: Vec<Value> = std::iter::once(clone).chain(pods.iter().cloned()).collect();
        View::of_list(json!({ "kind": "List", "items": items })).expect("a view")
    }

    #[test]
    fn a_moment_as_a_line_and_as_a_table() {
        let view = view(&[
            pod("sample-1", "sample-a", "True", false),
            pod("sample-2", "a", "False", true),
            pod("sample-3", "b", "False", false),
        ]);
        assert_eq!(view.line(), "1 of 3 ready, 1 old, 1 new (0 ready), 1 leaving");
        let now = "2026-01-02T03:04:15Z".parse().expect("a time");
        assert_eq!(
            view.table(now),
            "POD        REVISION   IMAGE          READY   STATUS        RESTARTS   AGE   IP\n\
             sample-1   a (old)    nginx:alpine   yes     Running       0          10s   10.0.0.7\n\
             sample-2   a (old)    nginx:alpine   no      Terminating   0          10s   10.0.0.7\n\
             sample-3   b (new)    nginx:alpine   no      Running       0          10s   10.0.0.7\n\
             \n\
             DESIRED   UPDATED   UPDATED_READY   UPDATED_AVAILABLE   READY   TOTAL\n\
             3         1         1               1                   3       3\n"
        );
    }

    #[test]
    fn until_the_controller_has_seen_a_new_image_no_pod_is_of_it() {
        let mut clone = serde_json::to_value(view(&[]).clone).expect("a CloneSet");
        clone["kind"] = json!(KIND);
        clone["metadata"]["generation"] = json!(3);
        clone["spec"]["template"] = json!({ "spec": { "containers": [{ "image": "nginx:newest" }] } });
        let pod = pod("sample-1", "sample-b", "True", false);
        let view = View::of_list(json!({ "items": [clone, pod] })).expect("a view");
        assert_eq!(view.updated(), 0);
    }

    #[test]
    fn before_the_cloneset_is_applied_there_is_nothing() {
        let view = View::of_list(json!({ "items": [] })).expect("a view");
        assert_eq!(view.line(), "0 of ? ready, 0 old, 0 new");
        assert!(view.clone.is_none());
    }
}
