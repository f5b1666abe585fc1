//! Pods that cannot start, and what else the events report that no write announces.

use super::*;
use crate::told::{expect, settled, told};

/// The kubelet reports that the container of the pod waits, and the pod is not ready.
fn report_waiting(server: &Server, pod: usize, reason: &str, message: &str) {
    let mut pod = server.objects("pods").remove(pod);
    pod["status"]["conditions"] = json!([
        {"type": "InPlaceUpdateReady", "status": "True"},
        {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:30:00Z"}]);
    pod["status"]["containerStatuses"] =
        json!([{"name": "main", "state": {"waiting": {"reason": reason, "message": message}}}]);
    server.put("pods", pod);
}

fn starting_with(server: &Server, beginning: &str) -> Vec<String> {
    let mut events = told(server);
    events.retain(|event| event.starts_with(beginning));
    events
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_start_is_named_and_the_event_comes_once() {
    let (server, running) = settled(cloneset(3, "web:v1", 0)).await;
    report_waiting(
        &server,
        0,
        "ErrImagePull",
        "rpc error: code = NotFound desc = web:v1: not found",
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    let ready = running.condition("Ready");
    assert_eq!(ready["reason"], "PodsNotStarting");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.starts_with("3 pods, 2 available; 3 of 3 updated; 1 pod cannot start: web-"),
        "{message}"
    );
    assert!(
        message.contains("container main: ErrImagePull (web:v1: not found); check the image name"),
        "{message}"
    );

    // The kubelet goes on trying, and words it differently each time.
    let writes = running.writes().len();
    for attempt in 1..20 {
        let (reason, message) = match attempt % 3 {
            0 => ("ErrImagePull", format!("rpc error: code = NotFound desc = web:v1: not found ({attempt})")),
            1 => ("ImagePullBackOff", "Back-off pulling image \"web:v1\"".to_owned()),
            _ => (
                "ImagePullBackOff",
                "Back-off pulling image \"web:v1\": ErrImagePull: rpc error: code = NotFound desc = web:v1: not found"
                    .to_owned(),
            ),
        };
        report_waiting(&server, 0, reason, &message);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(running.writes().len(), writes, "no write for another wording");
    report_waiting(
        &server,
        1,
        "ImagePullBackOff",
        "Back-off pulling image \"web:v1\"",
    );
    running.settle().await;
    tokio::time::sleep(Duration::from_hours(3)).await;
    let message = running.condition("Ready")["message"].clone();
    assert!(
        message
            .as_str()
            .unwrap()
            .contains("2 pods cannot start, one of them web-"),
        "{message}"
    );
    let events = starting_with(&server, "Warning PodsNotStarting: 1 pod cannot start: web-");
    assert_eq!(events.len(), 1, "{:#?}", told(&server));
    assert_eq!(starting_with(&server, "Warning PodsNotStarting").len(), 1);

    report_waiting(&server, 1, "InvalidImageName", "");
    report_waiting(&server, 0, "InvalidImageName", "");
    running.settle().await;
    assert_eq!(
        starting_with(&server, "Warning PodsNotStarting").len(),
        2,
        "another reason"
    );
}

#[tokio::test(start_paused = true)]
async fn five_updates_of_one_pod_are_five_events() {
    let in_place = |image: &str| {
        let mut object = cloneset(1, image, 0);
        object["spec"]["updateStrategy"]["type"] = json!("InPlaceIfPossible");
        object
    };
    let (server, running) = settled(in_place("web:v1")).await;
    for version in 2..=6 {
        edit(&server, &in_place(&format!("web:v{version}")));
        running.settle().await;
    }
    let events = starting_with(&server, "Normal SuccessfulUpdatePodInPlace");
    let texts: BTreeSet<&String> = events.iter().collect();
    assert_eq!((events.len(), texts.len()), (5, 5), "{events:#?}");
}

/// Equal events are one, with a count.
#[tokio::test(start_paused = true)]
async fn an_event_that_repeats_is_counted() {
    let (server, _running) = settled(cloneset(2, "web:v1", 0)).await;
    server.refuse_pods(refusal(403, "Forbidden", "denied by policy example"));
    edit(&server, &cloneset(3, "web:v1", 0));
    tokio::time::sleep(Duration::from_mins(5)).await;
    let events = server.objects("events");
    let failed: Vec<&Value> = events
        .iter()
        .filter(|event| event["reason"] == "FailedCreate")
        .collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert!(failed[0]["series"]["count"].as_i64().unwrap() > 2, "{failed:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_a_hook_holds_is_reported_with_why_it_is_to_go() {
    let with_hook = |replicas: i32| {
        let mut object = cloneset(replicas, "web:v1", 0);
        object["spec"]["lifecycle"] = json!({"preDelete": {"labelsHandler": {"example.com/drain": "true"}}});
        object["spec"]["template"]["metadata"]["labels"]["example.com/drain"] = json!("true");
        object
    };
    let (server, running) = settled(with_hook(3)).await;
    edit(&server, &with_hook(2));
    running.settle().await;
    let why = "there are more pods than spec.replicas";
    expect(
        &server,
        "Normal PreparingDelete: web-",
        &[why, "held by lifecycle hook preDelete"],
    );
    assert_eq!(running.condition("Ready")["status"], "False");

    let held = |pod: &Value| pod["metadata"]["labels"]["lifecycle.apps.kruise.io/state"] == "PreparingDelete";
    let mut pod = server.objects("pods").into_iter().find(held).unwrap();
    pod["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("example.com/drain");
    server.put("pods", pod);
    running.settle().await;
    expect(&server, "Normal SuccessfulDelete: deleted web-", &[why]);
    assert_eq!(running.conditions(), ["Ready=True"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_claim_is_reported() {
    let with_claims = |replicas: i32| {
        let mut object = cloneset(replicas, "web:v1", 0);
        object["spec"]["volumeClaimTemplates"] = json!([{
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        }]);
        object
    };
    let (server, running) = settled(with_claims(3)).await;
    edit(&server, &with_claims(2));
    running.settle().await;
    expect(
        &server,
        "Normal SuccessfulDelete: deleted PVC data-web-",
        &["no pod uses it"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_of_no_pod_is_reported_when_it_is_dropped() {
    let naming = |names: &[&str]| {
        let mut object = cloneset(3, "web:v1", 0);
        object["spec"]["scaleStrategy"] = json!({"podsToDelete": names});
        object
    };
    let (server, running) = settled(cloneset(3, "web:v1", 0)).await;
    let pods = server.objects("pods");
    let pod = pods[0]["metadata"]["name"].as_str().unwrap();
    edit(&server, &naming(&[pod]));
    running.settle().await;
    assert_eq!(
        starting_with(&server, "Warning PodsToDeleteNotFound"),
        Vec::<String>::new(),
        "it was deleted"
    );
    edit(&server, &naming(&["other-a", "web-nope"]));
    running.settle().await;
    expect(
        &server,
        "Warning PodsToDeleteNotFound: removed other-a, web-nope from spec.scaleStrategy.podsToDelete",
        &["check the name"],
    );
}

#[tokio::test(start_paused = true)]
async fn pods_that_match_and_have_no_owner_are_reported_before_others_are_made() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let pod = |name: &str, owners: Value| {
        json!({"apiVersion": "v1", "kind": "Pod",
               "metadata": {"namespace": "shop", "name": name, "uid": name, "labels": {"app": "web"},
                            "ownerReferences": owners}, "status": {"phase": "Running"}})
    };
    let other =
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": true}]);
    server.put_out_of_sight("pods", pod("web-restored", json!(null)));
    server.put_out_of_sight("pods", pod("web-of-another", other));
    let running = Running::start(&server);
    running.settle().await;
    let events = starting_with(&server, "Warning OrphanPods: ");
    assert_eq!(events.len(), 1, "{:#?}", told(&server));
    assert!(
        events[0].starts_with("Warning OrphanPods: web-restored match spec.selector but have no owner"),
        "{events:?}"
    );
    assert_eq!(running.status()["replicas"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_cloneset_that_is_deleted_in_the_foreground_says_what_it_waits_for() {
    let (server, running) = settled(cloneset(2, "web:v1", 0)).await;
    let mut object = server.objects("clonesets").remove(0);
    object["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
    object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    server.put("clonesets", object);
    running.settle().await;
    let ready = running.condition("Ready");
    assert_eq!(ready["reason"], "Deleting");
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.ends_with(
            "the CloneSet is being deleted and waits for finalizer foregroundDeletion; 2 pods are left"
        ),
        "{message}"
    );
}
