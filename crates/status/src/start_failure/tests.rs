//! What the kubelet and the scheduler report, and what is made of it.

use super::*;
use serde_json::{Value, json};

const UID: &str = "0b1f6f0c-0000-4000-8000-000000000000";

fn pod(status: &Value) -> Pod {
    let mut status = status.clone();
    status["phase"] = status.get("phase").cloned().unwrap_or_else(|| json!("Pending"));
    serde_json::from_value(json!({
        "metadata": {"name": "web-x", "uid": UID}, "spec": {"nodeName": "n1"}, "status": status
    }))
    .unwrap()
}

/// A pod with one container.
fn container(status: Value) -> Pod {
    let mut status = status;
    status["name"] = json!("main");
    pod(&json!({"containerStatuses": [status]}))
}

fn waiting(reason: &str, message: &str) -> Pod {
    container(json!({"state": {"waiting": {"reason": reason, "message": message}}}))
}

/// "main: Reason (detail)".
fn told(pod: &Pod) -> String {
    let Some(failure) = StartFailure::of(pod) else {
        return "starts".to_owned();
    };
    let container = failure
        .container
        .map_or(String::new(), |name| format!("{name}: "));
    let detail = failure
        .detail
        .map_or(String::new(), |detail| format!(" ({detail})"));
    format!("{container}{}{detail}", failure.reason)
}

const NOT_FOUND: &str =
    "failed to pull and unpack image \"registry.local/web:v9\": registry.local/web:v9: not found";

#[test]
fn both_reasons_of_a_failing_pull_are_one_failure_with_one_text() {
    let grpc = format!("rpc error: code = NotFound desc = {NOT_FOUND}");
    let expected = format!("main: ErrImagePull ({NOT_FOUND})");
    assert_eq!(told(&waiting("ErrImagePull", &grpc)), expected);
    let back_off = format!("Back-off pulling image \"registry.local/web:v9\": ErrImagePull: {grpc}");
    assert_eq!(told(&waiting("ImagePullBackOff", &back_off)), expected);
    // Kubelets before 1.32 do not repeat why.
    let bare = "Back-off pulling image \"registry.local/web:v9\"";
    assert_eq!(told(&waiting("ImagePullBackOff", bare)), "main: ErrImagePull");
}

#[test]
fn what_a_container_waits_for_in_vain_is_named_with_the_kubelets_message() {
    for (reason, message) in [
        (
            "ErrImageNeverPull",
            "Container image \"web:v9\" is not present with pull policy of Never",
        ),
        (
            "InvalidImageName",
            "Failed to apply default image tag \"WEB:::\": couldn't parse image name",
        ),
        ("CreateContainerConfigError", "configmap \"settings\" not found"),
        ("CreateContainerError", "context deadline exceeded"),
    ] {
        assert_eq!(
            told(&waiting(reason, message)),
            format!("main: {reason} ({message})")
        );
    }
}

#[test]
fn pods_that_are_only_starting_have_not_failed() {
    for starting in [
        waiting("ContainerCreating", ""),
        waiting("PodInitializing", ""),
        container(json!({"state": {}})),
        container(json!({"state": null, "lastState": null})),
        container(json!({"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "started": true})),
        pod(
            &json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                                    "message": "Scheduling is blocked due to non-empty scheduling gates"}]}),
        ),
        pod(&json!({"initContainerStatuses": [
            {"name": "init", "ready": true, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}},
             "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}},
            {"name": "other", "state": {"waiting": {"reason": "PodInitializing"}}}]})),
    ] {
        assert_eq!(told(&starting), "starts", "{starting:?}");
    }
}

fn ended(code: i32, reason: &str) -> Value {
    json!({"terminated": {"exitCode": code, "reason": reason, "startedAt": "2026-01-01T00:00:10Z",
                          "message": "password=secret"}})
}

fn running() -> Value {
    json!({"running": {"startedAt": "2026-01-01T00:00:30Z"}})
}

fn back_off(time: &str) -> Value {
    json!({"waiting": {"reason": "CrashLoopBackOff", "message": format!(
        "back-off {time} restarting failed container=main pod=web-x_shop({UID})")}})
}

/// One text from the first backoff on, whatever moment of the loop the kubelet reports.
#[test]
fn a_crash_loop_reads_the_same_in_every_phase() {
    let phases = [
        (1, back_off("10s"), ended(1, "Error")),
        (2, running(), ended(1, "Error")),
        (2, ended(1, "Error"), ended(1, "Error")),
        (2, back_off("1m20s"), ended(1, "Error")),
        (7, back_off("5m0s"), ended(1, "Error")),
        (8, running(), ended(1, "Error")),
    ];
    for (restarts, state, last) in phases {
        let pod = container(json!({"restartCount": restarts, "state": state, "lastState": last}));
        assert_eq!(told(&pod), "main: CrashLoopBackOff (exit code 1)", "{pod:?}");
    }
    let first = container(json!({"restartCount": 0, "state": ended(1, "Error")}));
    assert_eq!(told(&first), "main: Error (exit code 1)");
    let again = container(json!({"restartCount": 1, "state": running(), "lastState": ended(1, "Error")}));
    assert_eq!(told(&again), "main: Error (exit code 1)");
    let killed =
        container(json!({"restartCount": 5, "state": back_off("40s"), "lastState": ended(137, "OOMKilled")}));
    assert_eq!(told(&killed), "main: OOMKilled (exit code 137)");
    let unknown = container(json!({"restartCount": 5, "state": back_off("40s")}));
    assert_eq!(told(&unknown), "main: CrashLoopBackOff");
}

/// containerd reports the start that failed and the backoff after it under two reasons.
#[test]
fn a_command_that_does_not_exist_is_named_whatever_the_phase() {
    let id = "a".repeat(64);
    let message = format!("failed to create task {id}: exec: \"nope\": executable file not found in $PATH");
    let last = json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": message}});
    let expected =
        "main: StartError (failed to create task …: exec: \"nope\": executable file not found in $PATH)";
    for state in [
        json!({"waiting": {"reason": "RunContainerError", "message": message}}),
        back_off("20s"),
    ] {
        let pod = container(json!({"restartCount": 3, "state": state, "lastState": last}));
        assert_eq!(told(&pod), expected);
    }
}

#[test]
fn init_containers_that_fail_are_named_before_what_waits_for_them() {
    let pod = pod(&json!({
        "initContainerStatuses": [
            {"name": "first", "ready": true, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
            {"name": "migrate", "restartCount": 4, "state": back_off("1m20s"), "lastState": ended(3, "Error")}],
        "containerStatuses": [{"name": "main", "state": {"waiting": {"reason": "PodInitializing"}}}]
    }));
    assert_eq!(told(&pod), "migrate: CrashLoopBackOff (exit code 3)");
    assert_eq!(
        pod.status.init_container_statuses.len(),
        1,
        "those that ended well are not kept"
    );
}

/// The kubelet ends a container whose image changes, with whatever code it gives back.
#[test]
fn an_update_in_place_is_no_crash_but_what_comes_after_it_may_be() {
    let told_after = |updated: &str, state: Value, last: Value| {
        let mut pod = container(json!({"restartCount": 1, "state": state, "lastState": last}));
        let state = json!({"revision": "r", "updateTimestamp": updated}).to_string();
        pod.metadata.annotations = Some([("apps.kruise.io/inplace-update-state".to_owned(), state)].into());
        told(&pod)
    };
    let (before, after) = ("2026-01-01T00:00:05Z", "2026-01-01T00:00:20Z");
    assert_eq!(told_after(after, running(), ended(143, "Error")), "starts");
    assert_eq!(told_after(after, ended(137, "Error"), Value::Null), "starts");
    assert_eq!(
        told_after(before, running(), ended(1, "Error")),
        "main: Error (exit code 1)"
    );
}

/// Between two attempts to pull the new image the kubelet reports `CrashLoopBackOff` and the end of the old container.
#[test]
fn after_an_update_in_place_the_end_of_the_old_container_is_not_taken_for_a_crash_of_the_new_image() {
    let backs_off_after = |updated: &str| {
        let mut pod = container(json!({"state": back_off("10s"), "lastState": ended(0, "Completed")}));
        let state = json!({"revision": "r", "updateTimestamp": updated}).to_string();
        pod.metadata.annotations = Some([("apps.kruise.io/inplace-update-state".to_owned(), state)].into());
        pod.spec.containers = serde_json::from_value(json!([{"name": "main", "image": "web:v9"}])).unwrap();
        told(&pod)
    };
    assert_eq!(
        backs_off_after("2026-01-01T00:00:20Z"),
        "main: CrashLoopBackOff (web:v9 has not started since the in-place update)"
    );
    assert_eq!(
        backs_off_after("2026-01-01T00:00:05Z"),
        "main: CrashLoopBackOff (exit code 0)",
        "the new image ended"
    );
}

#[test]
fn a_container_that_was_ready_since_it_crashed_is_not_said_to_crash() {
    let ready_since = |at: &str| {
        let mut pod =
            container(json!({"restartCount": 4, "state": running(), "lastState": ended(1, "Error")}));
        pod.status.conditions = vec![
            serde_json::from_value(
                json!({"type": "ContainersReady", "status": "False", "lastTransitionTime": at}),
            )
            .unwrap(),
        ];
        told(&pod)
    };
    assert_eq!(ready_since("2026-01-01T09:00:00Z"), "starts");
    assert_eq!(
        ready_since("2026-01-01T00:00:20Z"),
        "main: CrashLoopBackOff (exit code 1)"
    );
    let ready = container(
        json!({"ready": true, "restartCount": 4, "state": running(), "lastState": ended(1, "Error")}),
    );
    assert_eq!(told(&ready), "starts");
}

#[test]
fn the_scheduler_is_quoted_without_what_it_says_of_preemption() {
    let preemption = "preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.";
    for rest in [
        preemption.to_owned(),
        format!("no new claims to deallocate, {preemption}"),
    ] {
        let message = format!("0/3 nodes are available: 3 Insufficient cpu. {rest}");
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message});
        assert_eq!(
            told(&pod(&json!({"conditions": [condition]}))),
            "Unschedulable (0/3 nodes are available: 3 Insufficient cpu)"
        );
    }
}

#[test]
fn a_pod_that_its_node_rejects_is_named_and_one_that_ran_is_not() {
    let failed = |containers: Value| {
        pod(
            &json!({"phase": "Failed", "reason": "OutOfcpu", "message": "Node didn't have enough resource: cpu",
                    "containerStatuses": containers}),
        )
    };
    assert_eq!(
        told(&failed(Value::Null)),
        "OutOfcpu (Node didn't have enough resource: cpu)"
    );
    assert_eq!(
        told(&failed(
            json!([{"name": "main", "containerID": "containerd://1"}])
        )),
        "starts"
    );
    let mut gone = waiting("ErrImagePull", "not found");
    gone.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
        Timestamp::UNIX_EPOCH,
    ));
    assert_eq!(told(&gone), "starts", "it is going");
}

#[test]
fn what_changes_at_each_attempt_is_left_out_and_what_names_an_image_stays() {
    let digest = format!("web@sha256:{}", "b".repeat(64));
    let message = format!(
        "Get \"https://registry.local/v2/\": dial tcp: lookup registry.local on 10.96.0.10:53: read udp \
         10.244.0.7:41234->10.96.0.10:53:\n i/o timeout; {digest}"
    );
    let told = told(&waiting("ErrImagePull", &message));
    assert!(told.contains("10.244.0.7->10.96.0.10:53: i/o timeout"), "{told}");
    assert!(told.contains(&digest), "{told}");
}

#[test]
fn every_failure_comes_with_what_to_do() {
    struct Explained(StartFailure);
    impl fmt::Display for Explained {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.explain(f, "web-x")
        }
    }
    for (pod, expected) in [
        (
            waiting("ErrImagePull", "registry.local/web:v9: not found"),
            "web-x: container main: ErrImagePull (registry.local/web:v9: not found); check the image name, the registry \
             and imagePullSecrets",
        ),
        (
            waiting("CreateContainerConfigError", "secret \"key\" not found"),
            "web-x: container main: CreateContainerConfigError (secret \"key\" not found); create the missing ConfigMap \
             or Secret, or correct the template",
        ),
        (
            container(json!({"restartCount": 5, "state": back_off("40s"), "lastState": ended(1, "Error")})),
            "web-x: container main: CrashLoopBackOff (exit code 1); run: kubectl logs web-x -c main --previous",
        ),
        (
            container(json!({"restartCount": 5, "state": back_off("40s"), "lastState": ended(143, "Error")})),
            "web-x: container main: CrashLoopBackOff (exit code 143); run: kubectl describe pod web-x (a failed liveness or \
             startup probe ends containers like this), then: kubectl logs web-x -c main --previous",
        ),
        (
            waiting("SomethingNew", ""),
            "web-x: container main: SomethingNew; run: kubectl describe pod web-x",
        ),
    ] {
        assert_eq!(Explained(StartFailure::of(&pod).unwrap()).to_string(), expected);
    }
}
