//! Creation that would never end is stopped: pods that do not become ours, and pods that vanish.

use super::*;

/// Pods created, whether or not they are still there.
fn created(running: &Running) -> usize {
    running.count(&Method::POST, "pods")
}

/// A mutating policy removes what ties a pod to its CloneSet: it shows on the first pod.
#[tokio::test(start_paused = true)]
async fn a_pod_that_is_stored_otherwise_than_it_was_sent_is_the_last() {
    for (what, strip) in [
        ("without our owner reference", "/metadata/ownerReferences"),
        (
            "without label apps.kruise.io/cloneset-instance-id",
            "/metadata/labels/apps.kruise.io~1cloneset-instance-id",
        ),
        ("without label app", "/metadata/labels/app"),
    ] {
        let server = Server::new();
        server.admit(move |pod| {
            let (parent, field) = strip.rsplit_once('/').unwrap();
            let field = field.replace("~1", "/");
            pod.pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap()
                .remove(&field);
        });
        server.put("clonesets", cloneset(5, "web:v1", 0));
        let running = Running::start(&server);
        tokio::time::sleep(Duration::from_hours(3)).await;
        assert_eq!(created(&running), 1, "{what}");
        let condition = running.condition("RunawayCreation");
        assert_eq!(condition["reason"], "PodAltered", "{what}");
        assert!(
            condition["message"].as_str().unwrap().contains(what),
            "{condition}"
        );
        assert_eq!(
            running.condition("Stalled")["reason"],
            "RunawayCreation",
            "{what}"
        );

        // Another process knows it from the status, and tries no more than this one did.
        drop(running);
        let running = Running::start(&server);
        tokio::time::sleep(Duration::from_hours(1)).await;
        assert_eq!(created(&running), 1, "{what}");

        // Whoever has mended the policy says so by changing the spec.
        server.admit(|_| {});
        edit(&server, &cloneset(4, "web:v1", 0));
        running.settle().await;
        assert_eq!(running.status()["availableReplicas"], 4, "{what}");
        assert_eq!(running.conditions(), ["Ready=True"], "{what}");
    }
}

/// A label of the revision that is changed on the way would make the pod look old for ever.
#[tokio::test(start_paused = true)]
async fn no_old_pod_is_given_up_for_new_ones_that_are_altered() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    server.admit(|pod| {
        pod["metadata"]["labels"]["controller-revision-hash"] = json!("web-other");
    });
    edit(&server, &cloneset(4, "web:v2", 0));
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(created(&running), 4, "the rehearsal shows it");
    assert_eq!(running.count(&Method::DELETE, "pods"), 0);
    assert_eq!(running.status()["availableReplicas"], 4);
    assert!(
        running.condition("RunawayCreation")["message"]
            .as_str()
            .unwrap()
            .contains("another value of label controller-revision-hash (web-other)")
    );
}

/// Somebody deletes every pod the moment it is made.
#[tokio::test(start_paused = true)]
async fn pods_that_vanish_before_they_are_seen_are_not_made_for_ever() {
    let server = Server::new();
    server.fail(|request| {
        if request.writes(&Method::POST, "pods") {
            Fault::Undo
        } else {
            Fault::None
        }
    });
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert!(
        (7..=12).contains(&created(&running)),
        "{} pods made",
        created(&running)
    );
    assert_eq!(running.condition("RunawayCreation")["reason"], "PodsVanish");
    let events = server.objects("events");
    let told = events
        .iter()
        .filter(|event| event["reason"] == "RunawayCreation")
        .count();
    assert_eq!(told, 1);
}

/// Somebody takes every pod out by its labels, again and again.
#[tokio::test(start_paused = true)]
async fn pods_that_are_taken_out_one_after_the_other_are_not_replaced_for_ever() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    for _ in 0..60 {
        let ours = |pod: &&Value| pod["metadata"]["labels"]["app"] == "web";
        if let Some(mut pod) = server.objects("pods").iter().find(ours).cloned() {
            pod["metadata"]["labels"]["app"] = json!("mine");
            server.put("pods", pod);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    assert!(created(&running) <= 12, "{} pods made", created(&running));
    assert_eq!(running.condition("RunawayCreation")["reason"], "PodsVanish");
}

/// Somebody who takes the pods of a small set out to look at them is no runaway.
#[tokio::test(start_paused = true)]
async fn three_pods_of_one_that_are_taken_out_for_a_look_are_replaced() {
    let server = Server::new();
    server.put("clonesets", cloneset(1, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    for _ in 0..3 {
        let ours = |pod: &&Value| pod["metadata"]["labels"]["app"] == "web";
        let mut pod = server.objects("pods").iter().find(ours).cloned().unwrap();
        pod["metadata"]["labels"]["app"] = json!("mine");
        server.put("pods", pod);
        tokio::time::sleep(Duration::from_mins(2)).await;
    }
    assert_eq!(created(&running), 4);
    assert_eq!(running.status()["availableReplicas"], 1);
    assert_eq!(running.conditions(), ["Ready=True"]);
}

/// What another leader has stopped meanwhile stays stopped.
#[tokio::test(start_paused = true)]
async fn a_leader_that_comes_back_knows_what_another_has_stopped() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    running.controller.leadership.end();
    let mut cloneset = server.objects("clonesets").remove(0);
    let told =
        json!({"type": "RunawayCreation", "status": "True", "reason": "PodsVanish", "message": "told"});
    cloneset["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(told);
    server.put("clonesets", cloneset);
    let pod = server.objects("pods").remove(0);
    let key = format!("shop/{}", pod["metadata"]["name"].as_str().unwrap());
    server.state.lock().unwrap().vanish("pods", &key);
    tokio::time::sleep(Duration::from_secs(1)).await;
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_hours(9));
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert_eq!(created(&running), 3);
    assert_eq!(running.condition("RunawayCreation")["message"], "told");
}
