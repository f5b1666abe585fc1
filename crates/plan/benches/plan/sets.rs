//! CloneSets with many pods, as a controller that has run for some time knows them.
//!
//! Pods stand in the order of their UIDs, as in the controller's index, and so in no order of their names, ages or
//! places in memory. What is to be decided about them is for `cases` to say.

use cloneset_api::CloneSet;
use cloneset_plan::instance_ids::instance_ids;
use cloneset_plan::{Creation, NodeLabels, Snapshot};
use cloneset_status::{Claim, Pod, Revision};
use fastrand::Rng;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Pods on one node.
const PODS_A_NODE: usize = 30;
const ZONES: [&str; 3] = ["a", "b", "c"];
/// Revisions besides the two in use: as many as the default history keeps.
const OLD_REVISIONS: i64 = 10;

/// The moment of every decision.
pub(crate) fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

/// A template that runs this image, of a usual size.
pub(crate) fn template(image: &str) -> Value {
    let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5});
    let env: Vec<Value> = (0..20)
        .map(|number| json!({"name": format!("SETTING_{number}"), "value": "some text"}))
        .collect();
    json!({
        "metadata": {"labels": {"app": "web", "team": "shop"}, "annotations": {"example.com/owner": "shop"}},
        "spec": {
            "containers": [
                {"name": "main", "image": image, "env": env, "readinessProbe": probe, "livenessProbe": probe,
                 "ports": [{"containerPort": 8080}],
                 "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}},
                {"name": "proxy", "image": "example.com/proxy:7", "readinessProbe": probe}
            ],
            "terminationGracePeriodSeconds": 30
        }
    })
}

/// A set in the making: CloneSet `web` in the midst of a release from `web-old` to `web-new`.
pub(crate) struct Set {
    cloneset: Value,
    pods: Vec<(String, Value)>,
    claims: Vec<Value>,
    nodes: Option<NodeLabels>,
    random: Rng,
}

impl Set {
    /// With this in its spec, and no pods.
    pub(crate) fn of(spec: &Value) -> Self {
        let mut cloneset = json!({
            "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u-1", "generation": 2},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template("example.com/web:new")},
            "status": {"replicas": 0, "readyReplicas": 0, "availableReplicas": 0, "updatedReplicas": 0,
                       "updatedReadyReplicas": 0, "currentRevision": "web-old"}
        });
        merge(&mut cloneset["spec"], spec);
        Self {
            cloneset,
            pods: Vec::new(),
            claims: Vec::new(),
            nodes: None,
            random: Rng::with_seed(5),
        }
    }

    /// Adds so many pods of this revision; `change` says what is special about each, by its number.
    pub(crate) fn pods(mut self, count: usize, revision: &str, change: impl Fn(usize) -> Value) -> Self {
        let made = self.pods.len();
        let ids = instance_ids("u-1", |_| false).skip(made).take(count);
        for (number, id) in (made..).zip(ids) {
            let random = &mut self.random;
            let uid = format!("{:08x}-{:012x}", random.u32(..), random.u64(..1 << 48));
            let age = SignedDuration::from_secs(random.i64(1_000..1_000_000));
            let mut pod = pod(&id, &uid, revision, number / PODS_A_NODE, now() - age);
            merge(&mut pod, &change(number));
            self.pods.push((uid, pod));
        }
        self
    }

    /// Gives every pod a claim.
    pub(crate) fn claims(mut self) -> Self {
        let claim = |(_, pod): &(String, Value)| {
            let name = format!("data-{}", pod["metadata"]["name"].as_str().unwrap());
            json!({"metadata": {"name": name, "uid": name, "resourceVersion": "7"}})
        };
        self.claims = self.pods.iter().map(claim).collect();
        self
    }

    /// Tells the zone of each node, as where the template asks to keep pods spread over nodes and zones.
    pub(crate) fn zones(mut self) -> Self {
        let constraint =
            |key: &str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"});
        let (zone, host) = ("topology.kubernetes.io/zone", "kubernetes.io/hostname");
        let spread = json!([constraint(zone), constraint(host)]);
        self.cloneset["spec"]["template"]["spec"]["topologySpreadConstraints"] = spread;
        let node = |number: usize| {
            let name = node_name(number);
            let labels = [(zone, ZONES[number % ZONES.len()]), (host, name.as_str())];
            let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (name.clone(), Arc::new(BTreeMap::from(labels)))
        };
        self.nodes = Some((0..=self.pods.len() / PODS_A_NODE).map(node).collect());
        self
    }

    /// What deciding starts from.
    pub(crate) fn snapshot(mut self) -> Snapshot {
        // Read from text one after the other, as from the answer to a list, and then kept by UID.
        let texts = self.pods.drain(..).map(|(uid, pod)| (uid, pod.to_string()));
        let texts: Vec<(String, String)> = texts.collect();
        let parse = |(uid, text): &(String, String)| {
            let pod: Pod = serde_json::from_str(text).unwrap();
            (uid.clone(), Arc::new(pod))
        };
        let pods: BTreeMap<String, Arc<Pod>> = texts.iter().map(parse).collect();
        let claims = self.claims.drain(..).map(|claim| {
            let claim: Claim = serde_json::from_value(claim).unwrap();
            Arc::new(claim)
        });
        let cloneset: CloneSet = serde_json::from_value(self.cloneset.clone()).unwrap();
        Snapshot {
            pods: pods.into_values().collect(),
            revisions: revisions(&cloneset.spec.template.0),
            cloneset: Arc::new(cloneset),
            claims: claims.collect(),
            doomed_claims: BTreeSet::new(),
            fresh_claims: BTreeSet::new(),
            reserved_ids: BTreeSet::new(),
            kept_pods: BTreeSet::new(),
            creation: Creation::Allowed,
            nodes: self.nodes,
        }
    }
}

/// `web-new` with the template of today, `web-old` with another image, and a full history.
fn revisions(today: &Value) -> Vec<Arc<Revision>> {
    let with_image = |image: &str| {
        let mut template = today.clone();
        template["spec"]["containers"][0]["image"] = json!(image);
        template
    };
    let revision = |name: &str, number: i64, template: &Value| {
        let revision = json!({
            "metadata": {"name": name, "uid": name},
            "data": {"spec": {"template": template}},
            "revision": number
        });
        Arc::new(serde_json::from_value(revision).unwrap())
    };
    let before = |number: i64| revision(&format!("web-{number}"), number, &with_image(&number.to_string()));
    let mut revisions: Vec<Arc<Revision>> = (1..=OLD_REVISIONS).map(before).collect();
    revisions.push(revision(
        "web-old",
        OLD_REVISIONS + 1,
        &with_image("example.com/web:old"),
    ));
    revisions.push(revision("web-new", OLD_REVISIONS + 2, today));
    revisions
}

/// A pod in service, with what API server, scheduler and kubelet leave on one.
fn pod(id: &str, uid: &str, revision: &str, node: usize, since: Timestamp) -> Value {
    let condition = |type_: &str| json!({"type": type_, "status": "True", "lastTransitionTime": since});
    let conditions = [
        "PodReadyToStartContainers",
        "InPlaceUpdateReady",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ];
    let version = revision.trim_start_matches("web-");
    let container = |name: &str, image: &str| {
        json!({"name": name, "ready": true, "restartCount": 0, "image": image,
               "imageID": format!("sha256:{image}"), "containerID": format!("containerd://{uid}-{name}")})
    };
    let image = format!("example.com/web:{version}");
    json!({
        "metadata": {
            "name": format!("web-{id}"), "namespace": "shop", "uid": uid, "resourceVersion": "4711", "generation": 1,
            "creationTimestamp": since,
            "labels": {
                "app": "web", "team": "shop", "apps.kruise.io/cloneset-instance-id": id,
                "controller-revision-hash": revision, "pod-template-hash": version,
                "lifecycle.apps.kruise.io/state": "Normal"
            },
            "annotations": {"example.com/owner": "shop", "lifecycle.apps.kruise.io/timestamp": since},
            "ownerReferences": [{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web",
                                 "uid": "u-1", "controller": true, "blockOwnerDeletion": true}]
        },
        "spec": {
            "nodeName": node_name(node), "readinessGates": [{"conditionType": "InPlaceUpdateReady"}],
            "containers": [{"name": "main", "image": image}, {"name": "proxy", "image": "example.com/proxy:7"}]
        },
        "status": {
            "phase": "Running", "observedGeneration": 1, "conditions": conditions.map(condition),
            "containerStatuses": [container("main", &image), container("proxy", "example.com/proxy:7")]
        }
    })
}

fn node_name(number: usize) -> String {
    format!("node-{number}.example.internal")
}

/// Adds members of objects, and replaces everything else.
fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
