//! The situations that are measured, each with what a plan for it must hold.
//!
//! No clock here.

use crate::sets::{Set, now, template};
use cloneset_plan::{Action, Desired, Features, OutReason, Plan, Snapshot, plan};
use cloneset_status::Wait;
use serde_json::{Value, json};
use std::time::Duration;

/// What pods are told apart by where the order of updates asks for it.
const COLOURS: [&str; 3] = ["red", "green", "blue"];

/// What is timed.
pub(crate) enum Subject {
    /// Deciding.
    Plan,
    /// The status, once it is decided.
    Status,
    /// Reading the spec, before it is decided.
    Parse,
}

/// One situation.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) subject: Subject,
    pub(crate) features: Features,
    /// What it may take with 10,000 pods.
    pub(crate) aim: Option<Duration>,
    set: fn(usize) -> Set,
    holds: fn(&Plan) -> bool,
}

impl Case {
    /// A set of so many pods in this situation.
    pub(crate) fn set(&self, pods: usize) -> Snapshot {
        (self.set)(pods).snapshot()
    }

    /// Stops a benchmark that would measure something else.
    pub(crate) fn check(&self, set: &Snapshot) {
        let desired = Desired::parse(&set.cloneset, set.active_count());
        assert!(
            desired.problems.is_empty(),
            "{}: {:?}",
            self.name,
            desired.problems
        );
        let plan = plan(set, &desired, self.features, now());
        let shown: Vec<&Action> = plan.actions.iter().take(3).collect();
        assert!((self.holds)(&plan), "{}: {shown:?} {:?}", self.name, plan.waits);
    }
}

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let case = |name, aim: u64, set, holds| Case {
        name,
        subject: Subject::Plan,
        features: Features::default(),
        aim: Some(Duration::from_millis(aim)),
        set,
        holds,
    };
    let about = |subject, name, set, holds| Case {
        subject,
        aim: None,
        ..case(name, 0, set, holds)
    };
    vec![
        case("at rest", 5, at_rest, |plan| {
            plan.actions.is_empty() && plan.waits.is_empty()
        }),
        case("at rest, with claims", 5, claims_at_rest, |plan| {
            plan.actions.is_empty()
        }),
        case("release held by the partition", 5, held, |plan| {
            plan.actions.is_empty()
        }),
        case("update under a partition", 5, update, |plan| {
            deletions(plan) >= 20
        }),
        case("update while pods are being replaced", 5, replacing, |plan| {
            plan.creates_pods()
        }),
        case("update in the order of weights", 5, priority, |plan| {
            deletions(plan) >= 20
        }),
        case("update in place", 5, in_place, |plan| {
            let begins = |action: &&Action| matches!(action, Action::TakeOutOfService(write) if write.why == OutReason::InPlaceUpdate);
            plan.actions.iter().filter(begins).count() >= 20
        }),
        case("update in place, pods restarting", 5, restarting, |plan| {
            plan.waits
                .iter()
                .any(|wait| matches!(wait, Wait::Restarting { .. }))
        }),
        case("update with scatter", 30, scatter, |plan| deletions(plan) >= 20),
        case("scale-out", 5, scale_out, Plan::creates_pods),
        case("scale-in with deletion cost", 5, scale_in, |plan| {
            deletions(plan) >= 10
        }),
        case("scale-in with topology spread", 30, topology, |plan| {
            deletions(plan) >= 10
        }),
        about(
            Subject::Parse,
            "spec parsed (update under a partition)",
            update,
            |_| true,
        ),
        about(
            Subject::Status,
            "status computed (update under a partition)",
            update,
            |_| true,
        ),
    ]
}

fn deletions(plan: &Plan) -> usize {
    let deletes = |action: &&Action| matches!(action, Action::DeletePod(_));
    plan.actions.iter().filter(deletes).count()
}

fn plain(_: usize) -> Value {
    json!({})
}

fn at_rest(pods: usize) -> Set {
    Set::of(&json!({"replicas": pods})).pods(pods, "web-new", plain)
}

fn claims_at_rest(pods: usize) -> Set {
    let template = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    Set::of(&json!({"replicas": pods, "volumeClaimTemplates": [template]}))
        .pods(pods, "web-new", plain)
        .claims()
}

fn held(pods: usize) -> Set {
    Set::of(&json!({"replicas": pods, "updateStrategy": {"partition": "50%"}}))
        .pods(pods / 2, "web-old", plain)
        .pods(pods - pods / 2, "web-new", plain)
}

/// In the middle: three quarters are old, half are to be, a fifth may go at a time.
fn releasing(pods: usize, strategy: &Value) -> Set {
    let mut strategy = strategy.clone();
    strategy["partition"] = json!("50%");
    let colour = |number: usize| json!({"metadata": {"labels": {"colour": COLOURS[number % COLOURS.len()]}}});
    Set::of(&json!({"replicas": pods, "updateStrategy": strategy}))
        .pods(pods / 4 * 3, "web-old", colour)
        .pods(pods - pods / 4 * 3, "web-new", colour)
}

fn update(pods: usize) -> Set {
    releasing(pods, &json!({}))
}

/// A tenth of the pods is gone for the update, and surge pods are there.
fn replacing(pods: usize) -> Set {
    Set::of(&json!({"replicas": pods, "updateStrategy": {"partition": "25%", "maxSurge": "10%"}}))
        .pods(pods / 2, "web-old", plain)
        .pods(pods / 2, "web-new", plain)
        .pods(
            pods / 20,
            "web-old",
            |_| json!({"metadata": {"deletionTimestamp": now()}}),
        )
}

fn priority(pods: usize) -> Set {
    let weight = |colour: &str, weight: i32| json!({"weight": weight, "matchSelector": {"matchLabels": {"colour": colour}}});
    let weights = json!([weight("red", 20), weight("green", 50)]);
    releasing(pods, &json!({"priorityStrategy": {"weightPriority": weights}}))
}

fn scatter(pods: usize) -> Set {
    let terms = json!([{"key": "colour", "value": "red"}, {"key": "colour", "value": "green"}]);
    releasing(pods, &json!({"scatterStrategy": terms}))
}

fn in_place(pods: usize) -> Set {
    releasing(pods, &json!({"type": "InPlaceIfPossible"}))
}

/// A fifth has been changed and has not started again.
fn restarting(pods: usize) -> Set {
    let state =
        json!({"revision": "web-new", "updateTimestamp": "2026-01-01T11:59:00Z", "updateImages": true,
        "lastContainerStatuses": {"main": {"imageID": "sha256:example.com/web:new"}},
        "containerBatchesRecord": [{"timestamp": "2026-01-01T11:59:00Z", "containers": ["main"]}]})
        .to_string();
    let closed =
        |type_: &str| json!({"type": type_, "status": "False", "lastTransitionTime": "2026-01-01T11:59:00Z"});
    let changed = json!({
        "metadata": {"generation": 2, "labels": {"lifecycle.apps.kruise.io/state": "Updating"},
                     "annotations": {"apps.kruise.io/inplace-update-state": state}},
        "status": {"conditions": [closed("Ready"), closed("InPlaceUpdateReady"), closed("ContainersReady")]}
    });
    let strategy = json!({"type": "InPlaceIfPossible", "partition": "25%"});
    Set::of(&json!({"replicas": pods, "updateStrategy": strategy}))
        .pods(pods / 2, "web-old", plain)
        .pods(pods / 5, "web-new", |_| changed.clone())
        .pods(pods - pods / 2 - pods / 5, "web-new", plain)
}

fn scale_out(pods: usize) -> Set {
    Set::of(&json!({"replicas": pods + pods / 10})).pods(pods, "web-new", plain)
}

fn surplus(pods: usize) -> Set {
    let cost = |number: usize| {
        let cost = (number * 7919 % 1_000).to_string();
        json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": cost}}})
    };
    Set::of(&json!({"replicas": pods - pods / 10, "template": template("example.com/web:new")}))
        .pods(pods, "web-new", cost)
}

fn scale_in(pods: usize) -> Set {
    surplus(pods)
}

fn topology(pods: usize) -> Set {
    surplus(pods).zones()
}
