//! Objects that cannot be read: they harm their own CloneSet, and no other one.

use super::*;

const LATE: &str = "9999-12-31T23:59:59Z";

/// A CloneSet of another tenant whose template is nested deeper than JSON can be read.
fn nested(name: &str, levels: usize) -> Value {
    let mut object = cloneset(0, "web:v1", 0);
    object["metadata"] = json!({"namespace": "tenant", "name": name, "uid": name, "generation": 1});
    object["spec"]["template"]["spec"]["odd"] = (0..levels).fold(json!(1), |inside, _| json!({"x": inside}));
    object
}

fn late_managed_fields() -> Value {
    let mut object = cloneset(0, "web:v1", 0);
    object["metadata"] = json!({"namespace": "tenant", "name": "late", "uid": "late", "generation": 1,
        "managedFields": [{"manager": "kubectl", "operation": "Update", "time": LATE}]});
    object
}

fn late_pod() -> Value {
    json!({
        "metadata": {"namespace": "tenant", "name": "stray", "uid": "stray",
            "labels": {"apps.kruise.io/cloneset-instance-id": "stray"}},
        "status": {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": LATE}]}
    })
}

/// Time until an edit of `web` is carried out.
async fn time_of_an_edit(running: &Running) -> Duration {
    let observed =
        |_, generation| running.object("clonesets", "shop/web")["status"]["observedGeneration"] == generation;
    fairness::time_of_an_edit(running, observed).await
}

#[tokio::test(start_paused = true)]
async fn objects_that_cannot_be_read_at_the_start_keep_no_other_cloneset_waiting() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    server.put("clonesets", nested("deep", 300));
    server.put("clonesets", late_managed_fields());
    server.put("pods", late_pod());
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(
        running.object("clonesets", "shop/web")["status"]["availableReplicas"],
        2
    );
    assert!(time_of_an_edit(&running).await < Duration::from_secs(1));
    let events = server.objects("events");
    let about_it = |event: &&Value| event["regarding"]["name"] == "deep" && event["reason"] == "Unreadable";
    assert_eq!(events.iter().filter(about_it).count(), 1, "{events:?}");
    let page = running.metrics();
    assert!(
        page.contains("cloneset_unreadable_objects{resource=\"clonesets\"} 1"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn objects_that_cannot_be_read_end_no_watch() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let lists = running.lists();
    server.put("clonesets", nested("deep", 300));
    server.put("clonesets", late_managed_fields());
    server.put("pods", late_pod());
    assert!(time_of_an_edit(&running).await < Duration::from_secs(1));
    assert_eq!(running.lists(), lists, "no list was made again");
    server.state.lock().unwrap().vanish("clonesets", "tenant/deep");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        running
            .metrics()
            .contains("cloneset_unreadable_objects{resource=\"clonesets\"} 0")
    );
}

/// A template that the API server can read and whose ControllerRevision could not be read.
#[tokio::test(start_paused = true)]
async fn a_template_that_is_nested_too_deeply_is_reported_and_makes_no_revision() {
    let server = Server::new();
    server.put("clonesets", nested("deep", 110));
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(running.count(&Method::POST, "controllerrevisions"), 0);
    let stalled = running.condition("Stalled");
    assert_eq!(stalled["status"], "True");
    let message = stalled["message"].as_str().unwrap();
    assert!(message.contains("spec.template: nested too deeply"), "{message}");
}

/// A pod that appears in the cache with its metadata only; its CloneSet goes on with the others.
#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_be_read_is_reported_and_left_alone() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let mut broken = server.objects("pods")[0].clone();
    let name = broken["metadata"]["name"].as_str().unwrap().to_owned();
    broken["status"]["phase"] = json!({"not": "a phase"});
    server.put("pods", broken);
    running.settle().await;
    let message = running.condition("Ready")["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(&format!(
            "left alone because the controller cannot read all of it: pod {name}"
        )),
        "{message}"
    );
    let deletes = running.count(&Method::DELETE, "pods");
    assert_eq!(deletes, 0, "{message}");
}
