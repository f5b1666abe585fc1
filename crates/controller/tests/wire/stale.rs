//! A cache that is older than the cluster: what is not done on it, and what ends it.

use super::*;
use cloneset_controller::leader::leadership::Leadership;
use cloneset_controller::write::error::WriteError;
use cloneset_controller::write::writer::{Target, Writer};
use cloneset_status::Pod;

fn lose_ready(server: &Server, pod: &str) {
    let mut state = server.state.lock().unwrap();
    let mut object = state.objects["pods"][pod].clone();
    for condition in object["status"]["conditions"].as_array_mut().unwrap() {
        if condition["type"] == "Ready" {
            condition["status"] = json!("False");
        }
    }
    state.store("pods", object);
}

/// The watch of pods hangs, and so does every list of them: three of four pods are lost, and the controller does not know.
#[tokio::test(start_paused = true)]
async fn the_last_serving_pod_is_not_deleted_while_the_watch_hangs() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0));
    server.put("customresourcedefinitions", preflight::our_crd());
    let running = Running::start(&server);
    let controller = Arc::clone(&running.controller);
    tokio::spawn(async move { controller.lead(true, None).await });
    running.settle().await;
    assert_eq!((running.controller.admin().not_ready)(), None);
    server.state.lock().unwrap().lag = Some("pods".to_owned());
    server.fail(|request| {
        let reads_pods = request.method == Method::GET && request.path.contains("/pods?");
        if reads_pods { Fault::Hang } else { Fault::None }
    });
    let pods: Vec<String> = server.objects("pods").iter().map(server::key_of).collect();
    for pod in &pods[1..] {
        lose_ready(&server, pod);
    }
    tokio::time::sleep(Duration::from_hours(6)).await;
    edit(&server, &cloneset(4, "web:v2", 0));
    tokio::time::sleep(Duration::from_mins(30)).await;

    assert_eq!(running.count(&Method::DELETE, "pods"), 0);
    let message = running.condition("Ready")["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("sends the controller no events for pods"),
        "{message}"
    );
    let not_ready = (running.controller.admin().not_ready)().unwrap();
    assert!(not_ready.contains("nothing about pods for"), "{not_ready}");

    // The watch works again: now it knows, and goes on as far as it may.
    server.fail(|_| Fault::None);
    server.state.lock().unwrap().lag = None;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!((running.controller.admin().not_ready)(), None);
    assert_eq!(running.status()["updatedReplicas"], 4);
}

/// Events stop right after an edit: what the controller wrote itself is read live, as soon as it is overdue.
#[tokio::test(start_paused = true)]
async fn a_write_that_no_event_shows_is_read_live_after_five_seconds() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    server.state.lock().unwrap().lag = Some("pods".to_owned());
    let before = server.requests().len();
    edit(&server, &cloneset(3, "web:v1", 0));
    tokio::time::sleep(Duration::from_secs(6)).await;
    let requests = server.requests();
    let is_live_read = |request: &&Recorded| request.method == Method::GET && request.path.contains("/pods/");
    assert_eq!(requests[before..].iter().filter(is_live_read).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_plan_of_an_earlier_term_is_not_carried_out() {
    let server = Server::new();
    let metrics = Metrics::default();
    let leadership = Arc::new(Leadership::default());
    let an_hour = || Instant::now() + Duration::from_hours(1);
    leadership.extend(an_hour());
    let writer = Writer::new(
        server.client(&metrics.requests),
        Arc::clone(&leadership),
        metrics.writes.clone(),
    );
    let planned = writer.for_reconcile("shop", leadership.term(), an_hour());
    leadership.end();
    leadership.extend(an_hour());
    let target = Target::of::<k8s_openapi::api::core::v1::Pod>(Some("shop"), "pods");
    let pod = json!({"metadata": {"name": "web-a", "namespace": "shop"}});
    let written = planned.create::<Pod>(&target, &pod).await;
    assert!(matches!(written, Err(WriteError::NotLeading)), "{written:?}");
    assert!(server.requests().is_empty());
}
