//! Wire tests: the requests that are sent, and those that are not, against a small recording server.
//!
//! Time is virtual, so a quiet hour costs nothing. What a pod does is the server's simple kubelet; deciding is
//! tested elsewhere.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test is the point of a panic"
)]

mod agent;
mod catch_up;
mod claims;
mod fairness;
mod kept;
mod leadership;
mod metrics;
mod named;
mod others;
mod outage;
mod preflight;
mod refusals;
mod runaway;
mod running;
mod server;
mod stale;
mod told;
mod unknown_fields;
mod unreadable;
mod unready;
mod views;

use cloneset_controller::clock::Clock;
use cloneset_controller::run::Controller;
use cloneset_controller::telemetry::metrics::{Format, Metrics};
use cloneset_plan::Features;
use http::Method;
use running::Running;
use serde_json::{Value, json};
use server::{Fault, Recorded, Server};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A clock that stands still.
fn standing_clock() -> Clock {
    Arc::new(|| "2026-01-01T01:00:00Z".parse().unwrap())
}

/// A refusal as the API server writes it.
fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
           "reason": reason, "message": message})
}

fn cloneset(replicas: i32, image: &str, partition: i32) -> Value {
    json!({
        "apiVersion": "apps.kruise.io/v1alpha1",
        "kind": "CloneSet",
        "metadata": {"namespace": "shop", "name": "web", "uid": "u-1", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "main", "image": image}]}
            },
            "updateStrategy": {"partition": partition, "maxUnavailable": 1}
        }
    })
}

/// Changes the spec as a user would, keeping the status.
fn edit(server: &Server, spec: &Value) {
    let mut object = server.objects("clonesets")[0].clone();
    object["spec"] = spec["spec"].clone();
    let generation = object["metadata"]["generation"].as_i64().unwrap();
    object["metadata"]["generation"] = json!(generation + 1);
    server.put("clonesets", object);
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_costs_two_writes_and_a_settled_set_none() {
    let server = Server::new();
    server.put("clonesets", cloneset(5, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;

    assert_eq!(running.status()["availableReplicas"], 5);
    assert_eq!(running.count(&Method::POST, "pods"), 5);
    assert_eq!(running.count(&Method::PATCH, "pods/status"), 5);
    assert_eq!(running.count(&Method::POST, "controllerrevisions"), 1);
    let before = running.server.requests().len();
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.server.requests().len(), before, "a settled set is silent");
}

#[tokio::test(start_paused = true)]
async fn a_partition_release_costs_three_writes_for_each_pod_that_moves() {
    let server = Server::new();
    server.put("clonesets", cloneset(5, "web:v1", 3));
    let running = Running::start(&server);
    running.settle().await;
    let before = running.writes().len();
    edit(&server, &cloneset(5, "web:v2", 3));
    running.settle().await;

    let status = running.status();
    for (field, value) in [
        ("replicas", 5),
        ("readyReplicas", 5),
        ("updatedReplicas", 2),
        ("updatedReadyReplicas", 2),
        ("updatedAvailableReplicas", 2),
        ("expectedUpdatedReplicas", 2),
        ("observedGeneration", 2),
    ] {
        assert_eq!(status[field], value, "{field}");
    }
    assert_ne!(status["updateRevision"], status["currentRevision"]);
    assert_eq!(running.count(&Method::DELETE, "pods"), 2);
    let on_pods = running.writes()[before..]
        .iter()
        .filter(|write| write.path.contains("/pods") && !write.is_rehearsal())
        .count();
    assert_eq!(
        on_pods, 6,
        "and one rehearsal of the new revision, which stores nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn every_delete_is_bound_to_the_uid_of_its_pod() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let uids: BTreeSet<String> = server
        .objects("pods")
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap().to_owned())
        .collect();
    edit(&server, &cloneset(1, "web:v1", 0));
    running.settle().await;

    let deletes: Vec<Recorded> = running
        .writes()
        .into_iter()
        .filter(|write| write.writes(&Method::DELETE, "pods"))
        .collect();
    assert_eq!(deletes.len(), 3);
    for delete in deletes {
        let uid = delete.body["preconditions"]["uid"].as_str().unwrap_or_default();
        assert!(uids.contains(uid), "{delete:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_never_makes_a_second_pod_and_no_post_is_repeated_blindly() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0));
    // Every first POST of a pod is carried out and its answer lost.
    let mut lost = BTreeSet::new();
    server.fail(move |request| {
        let name = request.body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        if request.writes(&Method::POST, "pods") && lost.insert(name) {
            Fault::LoseReply
        } else {
            Fault::None
        }
    });
    let running = Running::start(&server);
    running.settle().await;

    assert_eq!(server.objects("pods").len(), 4, "no surplus pod");
    assert_eq!(running.status()["availableReplicas"], 4);
}

#[tokio::test(start_paused = true)]
async fn scenarios_237_239_while_the_view_is_behind_our_own_writes_nothing_is_decided() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    // Once the first pod is there, no event reaches the controller any more.
    while server.objects("pods").is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    server.hold_back_events(true);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        server.objects("pods").len(),
        3,
        "a blind controller makes no surplus pods"
    );
    server.hold_back_events(false);
    running.settle().await;
    assert_eq!(server.objects("pods").len(), 3);
    assert_eq!(running.status()["availableReplicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_refused_pod_is_tried_once_a_backoff_and_the_refusal_is_told_and_cleared() {
    let server = Server::new();
    server.put("clonesets", cloneset(8, "web:v1", 0));
    let refusal = refusal(403, "Forbidden", "denied by policy example");
    server.refuse_pods(refusal);
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(10)).await;

    let posts = running.count(&Method::POST, "pods");
    assert!((5..40).contains(&posts), "{posts} attempts in ten minutes");
    let told = "cannot create a pod: denied by policy example";
    assert_eq!(running.condition("FailedScale")["message"], told);
    assert_eq!(running.condition("Stalled")["reason"], "PodRefused");
    assert_eq!(running.condition("Stalled")["message"], told);

    server.fail(|_| Fault::None);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(running.status()["availableReplicas"], 8);
    assert_eq!(running.conditions(), ["Ready=True"]);
}

#[tokio::test(start_paused = true)]
async fn a_name_taken_by_somebody_else_is_passed_over_and_the_foreign_pod_left_alone() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    // Every name is refused as taken until the first one really is.
    let wanted = Arc::new(Mutex::new(None));
    let first = Arc::clone(&wanted);
    server.fail(move |request| {
        if !request.writes(&Method::POST, "pods") {
            return Fault::None;
        }
        first
            .lock()
            .unwrap()
            .get_or_insert_with(|| request.body["metadata"]["name"].clone());
        Fault::Refuse(refusal(409, "AlreadyExists", "exists"))
    });
    let running = Running::start(&server);
    while wanted.lock().unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let name = wanted.lock().unwrap().clone().unwrap();
    server.put(
        "pods",
        json!({"metadata": {"namespace": "shop", "name": name, "uid": "foreign"}}),
    );
    server.fail(|_| Fault::None);
    running.settle().await;

    let pods = server.objects("pods");
    assert_eq!(pods.len(), 3, "two of ours and the foreign one");
    assert!(pods.iter().any(|pod| pod["metadata"]["uid"] == "foreign"));
    assert_eq!(running.status()["availableReplicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_once_the_right_to_write_has_ended() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(11)).await;
    let before = running.writes().len();
    edit(&server, &cloneset(9, "web:v1", 0));
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.writes().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_given_up_and_settled_by_looking() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let mut hung = false;
    server.fail(move |request| {
        if request.writes(&Method::POST, "pods") && !hung {
            hung = true;
            return Fault::Hang;
        }
        Fault::None
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(1)).await;
    running.settle().await;
    assert_eq!(server.objects("pods").len(), 2);
    assert_eq!(running.status()["availableReplicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_field_that_cannot_be_acted_on_is_told_and_no_pod_is_changed() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let before = running
        .writes()
        .iter()
        .filter(|write| write.path.contains("/pods"))
        .count();
    let mut spec = cloneset(5, "web:v2", 0);
    spec["spec"]["volumeClaimTemplates"] = json!([{"spec": {}}]);
    edit(&server, &spec);
    running.settle().await;

    let condition = running.status()["conditions"][0].clone();
    assert_eq!(condition["type"], "Stalled");
    assert_eq!(condition["reason"], "InvalidSpec");
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("spec.volumeClaimTemplates"), "{message}");
    let after = running
        .writes()
        .iter()
        .filter(|write| write.path.contains("/pods"))
        .count();
    assert_eq!(after, before);
    assert_eq!(running.status()["observedGeneration"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_lost_its_label_gets_it_back_and_no_pod_is_made_beside_it() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    // To a watch by label this looks as if the pod had been deleted.
    let mut pod = server.objects("pods")[0].clone();
    pod["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("apps.kruise.io/cloneset-instance-id");
    server.put_out_of_sight("pods", pod.clone());
    running.settle().await;

    assert_eq!(server.objects("pods").len(), 3, "no replacement");
    let repaired = server.objects("pods")[0].clone();
    let id = &repaired["metadata"]["labels"]["apps.kruise.io/cloneset-instance-id"];
    assert!(
        repaired["metadata"]["name"]
            .as_str()
            .unwrap()
            .ends_with(id.as_str().unwrap())
    );
    assert_eq!(running.status()["availableReplicas"], 3);
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_finds_pods_that_no_watch_shows_before_it_makes_others() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let owner = json!([{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web", "uid": "u-1",
                        "controller": true}]);
    server.put_out_of_sight(
        "pods",
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"namespace": "shop", "name": "web-bcdfg", "uid": "lost", "ownerReferences": owner,
                            "labels": {"app": "web"}},
               "spec": {"nodeName": "node"}, "status": {"phase": "Running"}}),
    );
    let running = Running::start(&server);
    running.settle().await;

    let pods = server.objects("pods");
    let live: Vec<&str> = pods
        .iter()
        .map(|pod| pod["metadata"]["uid"].as_str().unwrap())
        .collect();
    assert_eq!(
        running.count(&Method::POST, "pods") + 1,
        2 + running.count(&Method::DELETE, "pods"),
        "{live:?}"
    );
    assert_eq!(running.status()["replicas"], 2);
}
