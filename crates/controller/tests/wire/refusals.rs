//! Writes that fail: what goes on meanwhile, what is told, how often it is tried.

use super::*;

/// The final state is always written, also while creation is being refused.
#[tokio::test(start_paused = true)]
async fn status_tells_the_final_state_also_while_something_is_refused() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let no = refusal(403, "Forbidden", "exceeded quota");
    server.refuse_pods(no);
    edit(&server, &cloneset(4, "web:v1", 0));
    tokio::time::sleep(Duration::from_hours(1)).await;
    // Two pods lose readiness within 200 ms.
    for pod in server.objects("pods").into_iter().take(2) {
        let mut pod = pod;
        for c in pod["status"]["conditions"].as_array_mut().unwrap() {
            if c["type"] == "Ready" {
                c["status"] = json!("False");
            }
        }
        server.put("pods", pod);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(running.status()["readyReplicas"], 1, "5 s later");
}

/// What the passing of time changes is not forgotten because another write was refused.
#[tokio::test(start_paused = true)]
async fn min_ready_seconds_pass_on_time_while_creation_is_refused() {
    let server = Server::new();
    let mut first = cloneset(3, "web:v1", 0);
    first["spec"]["minReadySeconds"] = json!(5);
    server.put("clonesets", first.clone());
    let zero = Instant::now();
    // The server says ready since 2026-01-01T00:00:01Z.
    let clock = Arc::new(move || {
        "2026-01-01T01:00:00Z".parse::<jiff::Timestamp>().unwrap()
            + jiff::SignedDuration::try_from(zero.elapsed()).unwrap()
    });
    let running = Running::start_at(&server, clock);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 3);
    let no = refusal(403, "Forbidden", "exceeded quota");
    server.refuse_pods(no);
    first["spec"]["replicas"] = json!(4);
    edit(&server, &first);
    tokio::time::sleep(Duration::from_hours(1)).await;
    // One pod became ready again just now.
    let mut pod = server.objects("pods")[0].clone();
    let now = (running.controller.clock)().to_string();
    for c in pod["status"]["conditions"].as_array_mut().unwrap() {
        if c["type"] == "Ready" {
            c["lastTransitionTime"] = json!(now);
        }
    }
    server.put("pods", pod);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(running.status()["availableReplicas"], 2, "not yet");
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(
        running.status()["availableReplicas"],
        3,
        "10 s after it became ready"
    );
}

/// A webhook that is down answers 500: somebody must be told.
#[tokio::test(start_paused = true)]
async fn a_failing_webhook_is_told() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let no = refusal(
        500,
        "InternalError",
        "Internal error occurred: failed calling webhook \"x\": connection refused",
    );
    server.refuse_pods(no);
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_hours(1)).await;
    println!(
        "{} events, conditions {}",
        server.objects("events").len(),
        running.status()["conditions"]
    );
    assert!(!running.status()["conditions"].is_null() || !server.objects("events").is_empty());
}

/// A creation that is refused must not hold the update back for ever.
#[tokio::test(start_paused = true)]
async fn a_refused_creation_does_not_stop_the_update() {
    let server = Server::new();
    let mut first = cloneset(5, "web:v1", 0);
    first["spec"]["updateStrategy"]["maxUnavailable"] = json!(2);
    server.put("clonesets", first.clone());
    // A quota of four pods.
    let inner = server.clone();
    let quota = Arc::new(Mutex::new(0_i32));
    let q = Arc::clone(&quota);
    let _ = (inner, q);
    let state = Arc::clone(&server.state);
    let made = Arc::new(Mutex::new(0_usize));
    let _ = (state, made);
    let mut live: i64 = 0;
    let no = refusal(403, "Forbidden", "exceeded quota: pods=4");
    server.fail(move |r| {
        if r.writes(&Method::DELETE, "pods") {
            live -= 1;
        }
        if r.writes(&Method::POST, "pods") {
            if live >= 4 {
                return Fault::Refuse(no.clone());
            }
            live += 1;
        }
        Fault::None
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(server.objects("pods").len(), 4);
    first["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:v2");
    edit(&server, &first);
    tokio::time::sleep(Duration::from_hours(3)).await;
    println!("{}", running.status());
    assert_eq!(
        running.count(&Method::DELETE, "pods"),
        4,
        "U=2, one pod missing: one at a time may move"
    );
}

/// A delete whose answer is lost, seen late: no second pod may go.
#[tokio::test(start_paused = true)]
async fn a_delete_whose_answer_is_lost_is_settled_before_another_pod_goes() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0)); // maxUnavailable 1
    let running = Running::start(&server);
    running.settle().await;
    let mut lost = false;
    server.fail(move |r| {
        if r.writes(&Method::DELETE, "pods") && !lost {
            lost = true;
            return Fault::LoseReply;
        }
        Fault::None
    });
    // The pod watch is behind; the others are not.
    server.state.lock().unwrap().lag = Some("pods".into());
    edit(&server, &cloneset(4, "web:v2", 0));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let deletes = |running: &Running| {
        running
            .writes()
            .into_iter()
            .filter(|w| w.writes(&Method::DELETE, "pods"))
            .map(|w| w.path)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(deletes(&running).len(), 1);
    // Meanwhile an older event of another pod gets through that puts it first in the order of update: a restart.
    let first = deletes(&running).into_iter().next().unwrap();
    let mut other = server
        .objects("pods")
        .into_iter()
        .find(|p| !first.contains(p["metadata"]["name"].as_str().unwrap()))
        .unwrap();
    other["status"]["containerStatuses"] = json!([{"restartCount": 3}]);
    server.state.lock().unwrap().lag = None;
    server.put("pods", other);
    server.state.lock().unwrap().lag = Some("pods".into());
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!("{:?}; alive {}", deletes(&running), server.objects("pods").len());
    assert_eq!(deletes(&running).len(), 1, "maxUnavailable is 1");
}

/// A lost "race" that never ends must back off.
#[tokio::test(start_paused = true)]
async fn a_conflict_that_never_ends_backs_off() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let no = refusal(409, "Conflict", "admission webhook denied the request");
    server.refuse_pods(no);
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let posts = running.count(&Method::POST, "pods");
    assert!(posts < 100, "{posts} POSTs in ten minutes");
}

/// FailedScale must stay until a creation succeeds: here a later pass only fails earlier.
#[tokio::test(start_paused = true)]
async fn failed_scale_stays_until_creating_succeeds() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let pods = refusal(403, "Forbidden", "exceeded quota");
    let busy = refusal(500, "InternalError", "etcdserver: request timed out");
    server.fail(move |r| {
        if r.writes(&Method::POST, "pods") {
            return Fault::Refuse(pods.clone());
        }
        if r.writes(&Method::POST, "controllerrevisions") && r.body.to_string().contains("web:v2") {
            return Fault::Refuse(busy.clone());
        }
        Fault::None
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(running.status()["conditions"][0]["type"], "FailedScale");
    edit(&server, &cloneset(3, "web:v2", 0));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(
        running.status()["conditions"][0]["type"],
        "FailedScale",
        "{}",
        running.status()
    );
}

/// After 429 with Retry-After nothing more is sent until then.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_wave_is_not_sent_into_a_busy_server() {
    let server = Server::new();
    server.put("clonesets", cloneset(400, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let mut busy = refusal(429, "TooManyRequests", "busy");
    busy["details"] = json!({"retryAfterSeconds": 60});
    let before = running.count(&Method::DELETE, "pods");
    server.fail(move |r| {
        if r.writes(&Method::DELETE, "pods") {
            Fault::Refuse(busy.clone())
        } else {
            Fault::None
        }
    });
    edit(&server, &cloneset(0, "web:v1", 0));
    tokio::time::sleep(Duration::from_secs(30)).await;
    let sent = running.count(&Method::DELETE, "pods") - before;
    assert!(
        sent <= 32,
        "{sent} deletes within 30 s although the server said 60 s"
    );
}

/// A CloneSet whose writes hang must not delay the others.
#[tokio::test(start_paused = true)]
async fn sets_whose_writes_hang_do_not_delay_others() {
    let server = Server::new();
    for n in 0..3 {
        let mut c = cloneset(100, "web:v1", 0);
        c["metadata"]["name"] = json!(format!("web{n}"));
        c["metadata"]["uid"] = json!(format!("u{n}"));
        server.put("clonesets", c);
    }
    let running = Running::start(&server);
    running.settle().await;
    server.fail(|r| {
        if r.writes(&Method::DELETE, "pods") {
            Fault::Hang
        } else {
            Fault::None
        }
    });
    for mut object in server.objects("clonesets") {
        object["spec"]["replicas"] = json!(0);
        object["metadata"]["generation"] = json!(2);
        server.put("clonesets", object);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let mut c = cloneset(1, "web:v1", 0);
    c["metadata"]["name"] = json!("other");
    c["metadata"]["uid"] = json!("u-other");
    server.put("clonesets", c);
    while !server
        .objects("pods")
        .iter()
        .any(|p| p["metadata"]["name"].as_str().unwrap().starts_with("other-"))
    {
        assert!(start.elapsed() < Duration::from_mins(30));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "its first pod came after {:?}",
        start.elapsed()
    );
}

/// A template that the API server refuses must not cost a healthy pod; its rehearsal is made once for a good one.
#[tokio::test(start_paused = true)]
async fn a_refused_template_costs_no_healthy_pod() {
    let server = Server::new();
    server.put("clonesets", cloneset(4, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let rehearsals = |running: &Running| {
        running
            .writes()
            .iter()
            .filter(|write| write.is_rehearsal())
            .count()
    };
    let refuse = |request: &Recorded| {
        let image = &request.body["spec"]["containers"][0]["image"];
        request.method == Method::POST && request.path.contains("/pods") && image == "web v2"
    };
    server.fail(move |request| {
        if refuse(request) {
            return Fault::Refuse(refusal(
                422,
                "Invalid",
                "spec.containers[0].image: Invalid value: \"web v2\"",
            ));
        }
        Fault::None
    });
    edit(&server, &cloneset(4, "web v2", 0));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(running.count(&Method::DELETE, "pods"), 0);
    assert!(
        (2..40).contains(&rehearsals(&running)),
        "{} rehearsals in ten minutes",
        rehearsals(&running)
    );
    for type_ in ["FailedUpdate", "Stalled"] {
        let condition = running.condition(type_);
        let message = condition["message"].as_str().unwrap();
        assert!(message.contains("Invalid value: \"web v2\""), "{condition}");
    }

    let before = rehearsals(&running);
    edit(&server, &cloneset(4, "web:v3", 0));
    running.settle().await;
    assert_eq!(running.status()["updatedAvailableReplicas"], 4);
    assert_eq!(running.conditions(), ["Ready=True"]);
    assert_eq!(rehearsals(&running), before + 1);
}

/// Nobody tells when a quota has room again, so it is asked often enough, and no oftener, however long it lasts.
#[tokio::test(start_paused = true)]
async fn a_quota_that_rises_after_hours_is_used_within_half_a_minute() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let no = refusal(
        403,
        "Forbidden",
        "pods \"web-x\" is forbidden: exceeded quota: pods, requested: pods=1, used: pods=0, limited: pods=0",
    );
    server.refuse_pods(no);
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_hours(3)).await;
    let probes = running.count(&Method::POST, "pods");
    tokio::time::sleep(Duration::from_hours(1)).await;
    let probes = running.count(&Method::POST, "pods") - probes;
    assert!(probes <= 3600 / 10, "{probes} probes in an hour");
    server.fail(|_| Fault::None);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(server.objects("pods").len(), 3);
}

/// The CloneSet goes with its namespace: there is nobody to tell and nothing to try.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_is_being_deleted_is_left_in_silence() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let mut gone = refusal(403, "Forbidden", "unable to create new content in namespace shop");
    gone["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]});
    server.fail(move |request| {
        if request.method == Method::POST {
            Fault::Refuse(gone.clone())
        } else {
            Fault::None
        }
    });
    let posts = |running: &Running| {
        let writes = running.writes();
        let posts = writes.iter().filter(|write| write.method == Method::POST);
        posts.count()
    };
    let before = posts(&running);
    edit(&server, &cloneset(5, "web:v1", 0));
    tokio::time::sleep(Duration::from_hours(1)).await;
    let told = running.status()["conditions"].clone();
    let sent = posts(&running) - before;
    assert!(sent < 12, "{sent} POSTs in an hour");
    for kind in ["Stalled", "FailedScale", "FailedUpdate"] {
        assert!(!told.to_string().contains(kind), "{told}");
    }
}

/// Two kinds of work that are both refused do not give each other a new chance.
#[tokio::test(start_paused = true)]
async fn each_kind_of_work_keeps_its_own_backoff() {
    let server = Server::new();
    let mut surging = cloneset(5, "web:v1", 0);
    surging["spec"]["updateStrategy"]["maxSurge"] = json!(1);
    server.put("clonesets", surging.clone());
    let running = Running::start(&server);
    running.settle().await;
    // A slow policy: every answer takes longer than status is held back.
    server.fail(|request| {
        if request.method == Method::POST && request.path.contains("/pods") {
            Fault::Refuse(refusal(403, "Forbidden", "denied by policy example"))
        } else {
            Fault::None
        }
    });
    surging["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:v2");
    edit(&server, &surging);
    tokio::time::sleep(Duration::from_mins(5)).await;
    let posts = |running: &Running| {
        let writes = running.writes();
        writes
            .iter()
            .filter(|w| w.method == Method::POST && w.path.contains("/pods"))
            .count()
    };
    let before = posts(&running);
    // Something else happens all the time: the last pod flaps.
    for ready in ["False", "True"].into_iter().cycle().take(600) {
        let mut pod = server.objects("pods").pop().unwrap();
        for condition in pod["status"]["conditions"].as_array_mut().unwrap() {
            if condition["type"] == "Ready" {
                condition["status"] = json!(ready);
            }
        }
        server.put("pods", pod);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let probes = posts(&running) - before;
    assert!(probes <= 24, "{probes} attempts in ten minutes");
    assert_eq!(running.condition("Stalled")["reason"], "PodRefused");
    assert_eq!(running.count(&Method::DELETE, "pods"), 0);
}

/// A busy server is left alone by status writes too, and what acting met with outlasts a status that was not taken.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_for_the_time_a_busy_server_asks_for() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    server.fail(|request| {
        if request.method == Method::GET || request.path.contains("/leases") {
            return Fault::None;
        }
        let mut busy = refusal(429, "TooManyRequests", "later");
        busy["details"] = json!({"retryAfterSeconds": 60});
        Fault::Refuse(busy)
    });
    let before = running.writes().len();
    edit(&server, &cloneset(9, "web:v1", 0));
    tokio::time::sleep(Duration::from_secs(55)).await;
    let objects = |w: &&Recorded| !w.path.contains("/events");
    let sent = running.writes().split_off(before).iter().filter(objects).count();
    assert_eq!(sent, 1, "one, and then silence");
}
