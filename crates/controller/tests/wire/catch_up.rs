//! What a leader goes by when its term begins: nothing older than the term.

use super::*;

/// A settled set of four whose leader has gone; `release` has been seen, and not been acted on.
async fn between_two_leaders(server: &Server, release: &Value) -> Running {
    server.put("clonesets", cloneset(4, "web:v1", 0));
    let running = Running::start(server);
    running.settle().await;
    running.controller.leadership.end();
    edit(server, release);
    tokio::time::sleep(Duration::from_secs(1)).await;
    running
}

fn lead(running: &Running) {
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_hours(100));
}

/// The requests since so many were made.
fn since(server: &Server, before: usize) -> Vec<Recorded> {
    server.requests().split_off(before)
}

/// What the leader before it did, and what became of it, has not reached this replica.
#[tokio::test(start_paused = true)]
async fn a_new_leader_looks_at_what_its_watches_have_not_shown_it_before_it_does_anything() {
    let server = Server::new();
    let running = between_two_leaders(&server, &cloneset(4, "web:v2", 0)).await;
    server.hold_back_events(true);
    let mut broken = server.objects("pods").split_off(2);
    for pod in &mut broken {
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" {
                condition["status"] = json!("False");
            }
        }
        server.put("pods", pod.clone());
    }
    let before = server.requests().len();
    lead(&running);
    tokio::time::sleep(Duration::from_secs(8)).await;

    let requests = since(&server, before);
    let names: Vec<&str> = broken
        .iter()
        .map(|pod| pod["metadata"]["name"].as_str().unwrap())
        .collect();
    let delete = |request: &Recorded| request.writes(&Method::DELETE, "pods");
    let first = requests.iter().position(delete).unwrap();
    for name in &names {
        let is_read = |r: &Recorded| r.method == Method::GET && r.path.ends_with(name);
        assert!(requests[..first].iter().any(is_read), "{name} was not read");
    }
    let gone: Vec<&Recorded> = requests.iter().filter(|request| delete(request)).collect();
    let is_broken = |request: &&Recorded| names.iter().any(|name| request.path.contains(name));
    assert!(gone.iter().all(is_broken), "the two that serve stay: {gone:#?}");
}

/// The usual case costs four lists of metadata and no time.
#[tokio::test(start_paused = true)]
async fn a_warm_view_is_acted_on_at_once() {
    let server = Server::new();
    let running = between_two_leaders(&server, &cloneset(5, "web:v1", 0)).await;
    let before = server.requests().len();
    lead(&running);
    tokio::time::sleep(Duration::from_millis(100)).await;

    let requests = since(&server, before);
    let reads: Vec<&str> = requests
        .iter()
        .filter(|request| request.method == Method::GET && !request.path.contains("watch=true"))
        .filter_map(|request| request.path.split(['?', '/']).rfind(|part| part.ends_with('s')))
        .collect();
    assert_eq!(
        reads[..4],
        [
            "clonesets",
            "pods",
            "controllerrevisions",
            "persistentvolumeclaims"
        ],
        "{requests:#?}"
    );
    assert_eq!(running.count(&Method::POST, "pods"), 5, "the fifth pod is made");
}

/// A view that cannot be confirmed is not acted on, however long that takes.
#[tokio::test(start_paused = true)]
async fn nothing_is_done_while_the_view_cannot_be_confirmed() {
    let server = Server::new();
    let running = between_two_leaders(&server, &cloneset(5, "web:v1", 0)).await;
    let broken = refusal(500, "InternalError", "etcd is slow");
    server.fail(move |request| {
        if request.method == Method::GET && request.path.contains("/pods?") {
            Fault::Refuse(broken.clone())
        } else {
            Fault::None
        }
    });
    let before = running.writes().len();
    lead(&running);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.writes().len(), before);
    server.fail(|_| Fault::None);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 5);
}
