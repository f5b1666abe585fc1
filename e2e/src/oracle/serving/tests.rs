//! The rule once kept and once broken, as histories of a few events.

use super::super::history::CloneSetFacts;
use super::*;
use jiff::SignedDuration;
use kube::core::DynamicObject;
use serde_json::json;
use std::sync::Arc;

/// Between events, unless a test says otherwise: longer than a cache may be stale.
const STEP: SignedDuration = SignedDuration::from_secs(10);
const OLD: &str = "nginx:mainline";
const NEW: &str = "nginx:alpine";

/// A history in the making, of a CloneSet that never calls a pod available.
struct Story {
    events: Vec<Event>,
    writes: Vec<Write>,
    now: Timestamp,
    step: SignedDuration,
}

impl Story {
    /// With so many Ready pods of the old image.
    fn new(replicas: i32, strategy: &Value, pods: &[&str]) -> Self {
        let mut story = Self {
            events: Vec::new(),
            writes: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            step: STEP,
        };
        story.spec(replicas, strategy);
        for name in pods {
            story.becomes(&Pod::ready(name, OLD));
        }
        story
    }

    fn happens(&mut self, change: Change) -> u64 {
        self.now += self.step;
        let version = u64::try_from(self.events.len()).unwrap() + 1;
        self.events.push(Event {
            version,
            seen: self.now,
            change,
        });
        version
    }

    fn spec(&mut self, replicas: i32, strategy: &Value) {
        let spec = json!({
            "replicas": replicas,
            "minReadySeconds": i32::MAX - 1,
            "selector": {"matchLabels": {"app": "web"}},
            "updateStrategy": strategy,
        });
        self.happens(Change::CloneSet(CloneSetFacts {
            uid: "web-uid".into(),
            name: "web".into(),
            spec: Some(Arc::new(spec)),
        }));
    }

    /// Somebody else's change.
    fn becomes(&mut self, pod: &Pod) {
        self.happens(Change::Pod(pod.facts()));
    }

    /// A write of the controller.
    fn wrote(&mut self, verb: Verb, change: Change) {
        let pod = match &change {
            Change::Pod(pod) | Change::PodGone(pod) => pod.clone(),
            Change::CloneSet(_) | Change::Gap(_) => PodFacts::default(),
        };
        let version = self.happens(change);
        self.writes.push(Write {
            verb,
            name: pod.name,
            uid: pod.uid,
            version,
            received: self.now - SignedDuration::from_millis(5),
            completed: self.now,
            bound_to: None,
        });
    }

    fn deletes(&mut self, name: &str) {
        let mut pod = Pod::ready(name, OLD).facts();
        pod.is_live = false;
        self.wrote(Verb::Delete, Change::Pod(pod.clone()));
        self.happens(Change::PodGone(pod));
    }

    fn patches(&mut self, pod: &Pod) {
        self.wrote(Verb::Patch, Change::Pod(pod.facts()));
    }

    fn verdict(self) -> Vec<String> {
        violations(&History::new(self.events, self.writes))
    }

    fn holds(self) {
        assert_eq!(self.verdict(), [""; 0]);
    }

    fn breaks(self, expected: &[&str]) {
        let verdict = self.verdict();
        let found: Vec<_> = verdict
            .iter()
            .map(|broken| broken.split(". What led").next().unwrap_or_default())
            .collect();
        assert_eq!(found, expected);
        assert!(verdict.iter().all(|broken| broken.contains("<- ")), "{verdict:?}");
    }
}

/// A pod as the API server shows it.
struct Pod {
    name: String,
    image: &'static str,
    app: &'static str,
    ready: bool,
    gate: &'static str,
}

impl Pod {
    fn ready(name: &str, image: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            image,
            app: "web",
            ready: true,
            gate: "True",
        }
    }

    fn broken(name: &str) -> Self {
        Self {
            ready: false,
            ..Self::ready(name, OLD)
        }
    }

    fn facts(&self) -> PodFacts {
        let ready = if self.ready { "True" } else { "False" };
        let pod: DynamicObject = serde_json::from_value(json!({
            "metadata": {
                "name": self.name,
                "uid": self.name,
                "labels": {"app": self.app},
                "ownerReferences": [{
                    "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web", "uid": "web-uid",
                    "controller": true
                }]
            },
            "spec": {
                "containers": [{"name": "main", "image": self.image}],
                "readinessGates": [{"conditionType": "InPlaceUpdateReady"}]
            },
            "status": {"phase": "Running", "conditions": [
                {"type": "Ready", "status": ready},
                {"type": "InPlaceUpdateReady", "status": self.gate}
            ]}
        }))
        .unwrap();
        PodFacts::of(&pod)
    }
}

#[test]
fn a_pod_that_serves_goes_only_while_enough_others_serve() {
    let strategy = json!({"maxUnavailable": 1});
    let mut one = Story::new(3, &strategy, &["a", "b", "c"]);
    one.deletes("a");
    one.holds();
    let mut two = Story::new(3, &strategy, &["a", "b", "c"]);
    two.deletes("a");
    two.deletes("b");
    two.breaks(&[
        "I1: b serves and is taken, which leaves 1 Ready pods behind the Service, at least 2 must stay",
    ]);
}

#[test]
fn the_only_serving_pod_stays_until_another_one_serves() {
    let strategy = json!({"maxUnavailable": 0, "maxSurge": 1});
    let mut early = Story::new(1, &strategy, &["old"]);
    early.becomes(&Pod::broken("new"));
    early.deletes("old");
    early.breaks(&[
        "I1: old serves and is taken, which leaves 0 Ready pods behind the Service, at least 1 must stay",
    ]);
    let mut in_time = Story::new(1, &strategy, &["old"]);
    in_time.becomes(&Pod::ready("new", NEW));
    in_time.deletes("old");
    in_time.holds();
}

#[test]
fn where_fewer_serve_than_promised_none_of_them_goes() {
    let mut story = Story::new(5, &json!({"maxUnavailable": 1}), &["a", "b"]);
    story.becomes(&Pod::broken("c"));
    story.deletes("c");
    story.deletes("a");
    story.breaks(&[
        "I1: a serves and is taken, which leaves 1 Ready pods behind the Service, at least 2 must stay",
    ]);
}

#[test]
fn a_closed_gate_takes_a_pod_and_so_does_another_image_on_a_pod_that_serves() {
    let closed = Pod {
        gate: "False",
        ..Pod::ready("a", OLD)
    };
    let taken =
        "I1: a serves and is taken, which leaves 0 Ready pods behind the Service, at least 1 must stay";
    for written in [Pod::broken("a"), closed, Pod::ready("a", NEW)] {
        let mut story = Story::new(1, &json!({"maxUnavailable": 0}), &["a"]);
        story.patches(&written);
        story.breaks(&[taken]);
    }
    let mut harmless = Story::new(1, &json!({"maxUnavailable": 0}), &["a"]);
    harmless.patches(&Pod::ready("a", OLD));
    harmless.holds();
}

#[test]
fn pods_without_the_labels_and_pods_that_are_terminating_serve_nobody() {
    let strategy = json!({"maxUnavailable": 0});
    let mut unlabelled = Story::new(1, &strategy, &["a"]);
    unlabelled.becomes(&Pod {
        app: "debugging",
        ..Pod::ready("a", OLD)
    });
    unlabelled.deletes("a");
    unlabelled.holds();
    let mut terminating = Story::new(1, &strategy, &["a", "b"]);
    let mut going = Pod::ready("b", OLD).facts();
    going.is_live = false;
    terminating.happens(Change::Pod(going));
    terminating.deletes("a");
    terminating.breaks(&[
        "I1: a serves and is taken, which leaves 0 Ready pods behind the Service, at least 1 must stay",
    ]);
}

#[test]
fn a_stale_cache_is_excused_for_two_seconds_and_its_own_writes_never() {
    let two = |step| {
        let mut story = Story::new(2, &json!({"maxUnavailable": 1}), &["a", "b"]);
        story.step = step;
        story
    };
    let mut moment_ago = two(SignedDuration::from_millis(100));
    moment_ago.becomes(&Pod::broken("b"));
    moment_ago.deletes("a");
    moment_ago.holds();
    let mut own = two(SignedDuration::from_millis(100));
    own.deletes("b");
    own.deletes("a");
    own.breaks(&[
        "I1: a serves and is taken, which leaves 0 Ready pods behind the Service, at least 1 must stay",
    ]);
    let mut scaled_out = Story::new(2, &json!({"maxUnavailable": 1}), &["a", "b"]);
    scaled_out.step = SignedDuration::from_millis(100);
    scaled_out.spec(4, &json!({"maxUnavailable": 1}));
    scaled_out.deletes("a");
    scaled_out.holds();
}

#[test]
fn selectors_are_read_as_kubernetes_reads_them() {
    let pod = Pod::ready("a", OLD).facts();
    let cases = [
        (json!({}), false),
        (json!({"matchLabels": {"app": "web"}}), true),
        (json!({"matchLabels": {"app": "web", "tier": "front"}}), false),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "x"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}),
            true,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            false,
        ),
        (
            json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
            true,
        ),
    ];
    for (selector, expected) in cases {
        assert_eq!(matches(&selector, &pod), expected, "{selector}");
    }
}
