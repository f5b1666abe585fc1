//! Snapshots written down by hand, and plans read back as text.

use cloneset_api::CloneSet;
use cloneset_plan::{
    Action, Creation, DeleteReason, Desired, Features, NodeLabels, Plan, RevisionWrite, Snapshot, plan,
};
use cloneset_status::Pod;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The moment of every decision.
pub(crate) const NOW: &str = "2026-01-01T12:00:00Z";
/// When pods became ready.
const LONG_AGO: &str = "2026-01-01T08:00:00Z";

/// A snapshot in the making: CloneSet `web` at image `new`, whose current revision is `web-old`.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    cloneset: Value,
    revisions: Vec<Value>,
    pods: Vec<Value>,
    claims: Vec<Value>,
    to_delete: BTreeSet<String>,
    reserved: BTreeSet<String>,
    denied: BTreeSet<String>,
    unreadable: BTreeMap<String, String>,
    creation: Creation,
    features: Features,
    nodes: Option<NodeLabels>,
}

/// A template that runs this image.
pub(crate) fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "main", "image": image}]}
    })
}

impl Scene {
    /// A CloneSet in the midst of a release: revisions `web-old` (current) and `web-new`, no pods yet.
    pub(crate) fn of(spec: &Value) -> Self {
        Self::bare(spec)
            .revision("web-old", 1, "old")
            .revision("web-new", 2, "new")
            .current("web-old")
    }

    /// A CloneSet that nobody has looked at yet.
    pub(crate) fn bare(spec: &Value) -> Self {
        let mut whole = json!({"selector": {"matchLabels": {"app": "web"}}, "template": template("new")});
        json_patch(&mut whole, spec);
        let cloneset = json!({
            "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "generation": 2},
            "spec": whole
        });
        Self {
            cloneset,
            revisions: Vec::new(),
            pods: Vec::new(),
            claims: Vec::new(),
            to_delete: BTreeSet::new(),
            reserved: BTreeSet::new(),
            denied: BTreeSet::new(),
            unreadable: BTreeMap::new(),
            creation: Creation::Allowed,
            features: Features::default(),
            nodes: None,
        }
    }

    pub(crate) fn cloneset(mut self, change: &Value) -> Self {
        json_patch(&mut self.cloneset, change);
        self
    }

    pub(crate) fn features(mut self, features: Features) -> Self {
        self.features = features;
        self
    }

    pub(crate) fn reserve(mut self, id: &str) -> Self {
        self.reserved.insert(id.to_owned());
        self
    }

    /// The deletion of this pod was denied a moment ago.
    pub(crate) fn deny(mut self, pod: &str) -> Self {
        self.denied.insert(pod.to_owned());
        self
    }

    /// Only the metadata of this pod can be read.
    pub(crate) fn unreadable(mut self, pod: &str, error: &str) -> Self {
        self.unreadable.insert(pod.to_owned(), error.to_owned());
        self
    }

    /// The node of this name has this label.
    pub(crate) fn node(mut self, name: &str, key: &str, value: &str) -> Self {
        let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
        self.nodes
            .get_or_insert_default()
            .insert(name.to_owned(), Arc::new(labels));
        self
    }

    /// Creating pods was refused a moment ago.
    pub(crate) fn hold_creation(mut self) -> Self {
        self.creation = Creation::BackingOff;
        self
    }

    /// What was created did not become ours.
    pub(crate) fn stop_creation(mut self) -> Self {
        self.creation = Creation::Stopped;
        self
    }

    pub(crate) fn current(mut self, revision: &str) -> Self {
        let status = json!({
            "replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0,
            "updatedReadyReplicas": 0, "currentRevision": revision
        });
        json_patch(&mut self.cloneset, &json!({ "status": status }));
        self
    }

    pub(crate) fn revision(self, name: &str, number: i64, image: &str) -> Self {
        self.revision_of(name, number, &template(image))
    }

    pub(crate) fn revision_of(mut self, name: &str, number: i64, template: &Value) -> Self {
        let mut recorded = template.clone();
        recorded["$patch"] = json!("replace");
        self.revisions.push(json!({
            "metadata": {"name": name, "uid": format!("uid-of-{name}")},
            "data": {"spec": {"template": recorded}},
            "revision": number
        }));
        self
    }

    /// Sets annotations of the revision of this name.
    pub(crate) fn annotate_revision(mut self, name: &str, annotations: &Value) -> Self {
        for revision in &mut self.revisions {
            if revision["metadata"]["name"] == name {
                json_patch(revision, &json!({"metadata": {"annotations": annotations}}));
            }
        }
        self
    }

    /// Adds a pod: `"old"` or `"new"`, then any of `broken`, `starting`, `unscheduled`, `marked`, `leaving`, `taken-out`,
    /// `terminating`, `failed`, `fresh`; without a word it serves. Its name is its place: `web-0`, `web-1`, …
    pub(crate) fn pod(self, words: &str) -> Self {
        self.pod_with(words, &json!({}))
    }

    pub(crate) fn pod_with(mut self, words: &str, change: &Value) -> Self {
        let mut words = words.split_whitespace();
        let mut pod = pod(self.pods.len(), &format!("web-{}", words.next().unwrap()));
        for word in words {
            json_patch(&mut pod, &described(word));
        }
        json_patch(&mut pod, change);
        self.pods.push(pod);
        self
    }

    pub(crate) fn pods(mut self, count: usize, words: &str) -> Self {
        for _ in 0..count {
            self = self.pod(words);
        }
        self
    }

    /// Adds a PVC of template `data` for the pod with this instance id.
    pub(crate) fn claim(mut self, id: &str, change: &Value) -> Self {
        let mut claim = json!({"metadata": {
            "name": format!("data-web-{id}"), "uid": format!("claim-{id}"),
            "labels": {"app": "web", "apps.kruise.io/cloneset-instance-id": id}
        }});
        json_patch(&mut claim, change);
        self.claims.push(claim);
        self
    }

    /// The pod of the PVC with this instance id was deleted, and the PVC is to be deleted too.
    pub(crate) fn claim_to_delete(mut self, id: &str) -> Self {
        self.to_delete.insert(format!("claim-{id}"));
        self
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let read = |value: &Value| -> Pod {
            let pod: Pod = serde_json::from_value(value.clone()).unwrap();
            match self.unreadable.get(pod.name()) {
                None => pod,
                Some(error) => Pod {
                    metadata: pod.metadata,
                    unreadable: Some(error.as_str().into()),
                    ..Pod::default()
                },
            }
        };
        let cloneset: CloneSet = serde_json::from_value(self.cloneset.clone()).unwrap();
        Snapshot {
            cloneset: Arc::new(cloneset),
            pods: self.pods.iter().map(|pod| Arc::new(read(pod))).collect(),
            revisions: parse(&self.revisions),
            claims: parse(&self.claims),
            doomed_claims: self.to_delete.clone(),
            fresh_claims: BTreeSet::new(),
            reserved_ids: self.reserved.clone(),
            kept_pods: self.denied.clone(),
            creation: self.creation,
            nodes: self.nodes.clone(),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        let snapshot = self.snapshot();
        let desired = Desired::parse(&snapshot.cloneset, snapshot.active_count());
        plan(&snapshot, &desired, self.features, NOW.parse().unwrap())
    }
}

fn parse<T: DeserializeOwned>(values: &[Value]) -> Vec<Arc<T>> {
    values
        .iter()
        .map(|value| Arc::new(serde_json::from_value(value.clone()).unwrap()))
        .collect()
}

fn pod(place: usize, revision: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("web-{place}"), "uid": format!("uid-{place}"), "resourceVersion": format!("rv-{place}"),
            "creationTimestamp": LONG_AGO,
            "labels": {
                "app": "web", "apps.kruise.io/cloneset-instance-id": place.to_string(),
                "controller-revision-hash": revision, "pod-template-hash": revision.trim_start_matches("web-"),
                "lifecycle.apps.kruise.io/state": "Normal"
            }
        },
        "spec": {"nodeName": format!("node-{place}"), "readinessGates": [{"conditionType": "InPlaceUpdateReady"}]},
        "status": {"phase": "Running", "conditions": conditions("True", LONG_AGO)}
    })
}

fn conditions(ready: &str, since: &str) -> Value {
    json!([
        {"type": "Ready", "status": ready, "lastTransitionTime": since},
        {"type": "InPlaceUpdateReady", "status": "True", "lastTransitionTime": since}
    ])
}

fn described(word: &str) -> Value {
    match word {
        "broken" => json!({"status": {"conditions": conditions("False", LONG_AGO)}}),
        "fresh" => json!({"status": {"conditions": conditions("True", "2026-01-01T11:59:50Z")}}),
        "starting" => json!({
            "metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingNormal"}},
            "status": {"phase": "Pending", "conditions": []}
        }),
        "unscheduled" => json!({
            "metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingNormal"}},
            "spec": {"nodeName": null},
            "status": {"phase": "Pending", "conditions": []}
        }),
        "marked" => json!({"metadata": {"labels": {"apps.kruise.io/specified-delete": "false"}}}),
        "leaving" => json!({"metadata": {"labels": {"lifecycle.apps.kruise.io/state": "PreparingDelete"}}}),
        "taken-out" => json!({"metadata": {"labels": {"app": "debug"}}}),
        "terminating" => json!({"metadata": {"deletionTimestamp": NOW}}),
        "failed" => json!({"status": {"phase": "Failed"}}),
        _ => panic!("{word:?} describes no pod"),
    }
}

/// RFC 7386.
fn json_patch(into: &mut Value, change: &Value) {
    let Some(changes) = change.as_object() else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    for (key, value) in changes {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            json_patch(&mut into[key], value);
        }
    }
}

/// What a plan does, a line a deed, in order.
pub(crate) fn deeds(plan: &Plan) -> Vec<String> {
    let revision = plan.revision.iter().map(|write| match write {
        RevisionWrite::Create(new) => format!("record {} as number {}", new.name, new.number),
        RevisionWrite::Update(update) => {
            let (name, uid) = (&update.name, &update.uid);
            match update.number {
                Some(to) => format!("renumber {name} ({uid}) to {to}"),
                None => format!("annotate {name} ({uid})"),
            }
        }
    });
    let actions = plan.actions.iter().map(|action| match action {
        Action::CreateClaim(new) => format!("claim {}", new.name),
        Action::DeleteClaim(claim) => format!("unclaim {}", claim.name),
        Action::HandOverClaim(claim) => format!("hand over {} to {}", claim.name, claim.pod_name),
        Action::CreatePod(new) => format!("create {}", new.revision.name),
        Action::DeletePod(deletion) => {
            let why = match deletion.why {
                DeleteReason::ScaleIn => "as surplus",
                DeleteReason::Specified => "as asked",
                DeleteReason::Update => "for update",
                DeleteReason::Finished => "as finished",
            };
            format!("delete {} ({}) {why}", deletion.name, deletion.uid)
        }
        Action::PutInService(write) => format!("serve {}", write.name),
        Action::TakeOutOfService(write) => format!("take out {} ({:?})", write.name, write.why),
        Action::ChangeInPlace(change) => format!("change {}", change.name),
        Action::ReleasePod(release) => format!("release {} ({})", release.name, release.uid),
        Action::PruneNames(names) => format!("keep {:?} of {:?}", names.keep, names.read),
        Action::DeleteRevision { name, uid } => format!("forget {name} ({uid})"),
    });
    revision.chain(actions).collect()
}

/// What a plan waits for, in words for people.
pub(crate) fn waits(plan: &Plan) -> Vec<String> {
    plan.waits.iter().map(ToString::to_string).collect()
}

/// The moment of every decision.
pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}
