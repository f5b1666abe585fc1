//! Situations in which an earlier version lost pods, work or words; each was red once.
//!
//! Kept apart from the plain protocol in `main.rs`: these need a server that lags, closes watches or answers oddly.

use super::*;
use cloneset_api::CloneSet;
use cloneset_controller::index::{Index, Key, Kind, Sink as _};
use cloneset_controller::lease::{Candidate, Election};
use cloneset_status::Pod;
use kube::core::DeserializeGuard;

fn refusal(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
           "reason": reason, "message": message})
}

/// The lease lapses for a moment and is renewed late: what was queued meanwhile is lost.
#[tokio::test(start_paused = true)]
async fn an_edit_during_a_short_lapse_of_the_lease_is_acted_on_after_it() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    running
        .context
        .leadership
        .extend(Instant::now() + Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(11)).await;
    edit(&server, &cloneset(9, "web:v1", 0));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // the late renewal: what Candidate::run does
    if running
        .context
        .leadership
        .extend(Instant::now() + Duration::from_hours(100))
    {
        running.context.wake(running.context.index.keys());
    }
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(server.objects("pods").len(), 9);
}

/// The same through the production `Candidate`, with a slow renewal.
#[tokio::test(start_paused = true)]
async fn the_same_with_the_real_candidate() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    running.context.leadership.end();
    let lease: Arc<Mutex<Option<Value>>> = Arc::default();
    let slow = Arc::new(Mutex::new(Duration::ZERO));
    let (l, s) = (Arc::clone(&lease), Arc::clone(&slow));
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (l, s) = (Arc::clone(&l), Arc::clone(&s));
        async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let wait = *s.lock().unwrap();
            tokio::time::sleep(wait).await;
            let mut stored = l.lock().unwrap();
            if head.method != Method::GET {
                let mut v: Value = serde_json::from_slice(&bytes).unwrap();
                let rv = stored.as_ref().map_or(1, |o: &Value| {
                    o["metadata"]["resourceVersion"]
                        .as_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                        + 1
                });
                v["metadata"]["resourceVersion"] = json!(rv.to_string());
                *stored = Some(v);
            }
            let (code, body) = match &*stored {
                Some(v) => (200, v.clone()),
                None => (404, refusal(404, "NotFound", "no")),
            };
            let mut r = http::Response::new(axum::body::Body::from(body.to_string()));
            *r.status_mut() = http::StatusCode::from_u16(code).unwrap();
            Ok::<_, std::convert::Infallible>(r)
        }
    });
    let election = Election {
        namespace: "s".into(),
        name: "l".into(),
        identity: "me".into(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };
    let mut candidate = Candidate::new(kube::Client::new(service, "default"), election);
    let context = Arc::clone(&running.context);
    tokio::spawn(async move { candidate.run(&context).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(running.context.leadership.time_left().is_some());
    // One answer that does not come within 4 s, then one that takes 3.5 s.
    *slow.lock().unwrap() = Duration::from_millis(3_400);
    // edit while not leading
    let until = Instant::now() + Duration::from_mins(1);
    let mut lapsed = false;
    while Instant::now() < until {
        if running.context.leadership.time_left().is_none() {
            lapsed = true;
            edit(&server, &cloneset(9, "web:v1", 0));
            *slow.lock().unwrap() = Duration::ZERO;
            break;
        }
        // alternate: long outage, then an answer just in time for the attempt but after the deadline
        let left = running.context.leadership.time_left().unwrap();
        *slow.lock().unwrap() = if left > Duration::from_secs(4) {
            Duration::from_secs(5)
        } else {
            Duration::from_millis(1_900)
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("lapsed={lapsed}");
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(running.context.leadership.time_left().is_some());
    assert_eq!(server.objects("pods").len(), 9);
}

/// A watch that ends normally without events counts as a failure: gaps of up to 30 s.
#[tokio::test(start_paused = true)]
async fn a_quiet_watch_that_ends_as_agreed_is_started_again_at_once() {
    let server = Server::new();
    server.state.lock().unwrap().close_after = Some(Duration::from_secs(290));
    server.put("clonesets", cloneset(1, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let mut worst = Duration::ZERO;
    let start = Instant::now();
    while start.elapsed() < Duration::from_hours(2) {
        let open = server.state.lock().unwrap().open_watches();
        if open < 3 {
            let gap = Instant::now();
            while server.state.lock().unwrap().open_watches() < 3 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            worst = worst.max(gap.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(worst < Duration::from_secs(2), "blind for {worst:?}");
}

/// The final state is always written, also while creation is being refused.
#[tokio::test(start_paused = true)]
async fn status_tells_the_final_state_also_while_something_is_refused() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let no = refusal(403, "Forbidden", "exceeded quota");
    server.fail(move |r| {
        if r.writes(&Method::POST, "pods") {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
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
    let (events, arriving) = events::channel();
    let zero = Instant::now();
    // The server says ready since 2026-01-01T00:00:01Z.
    let clock = Arc::new(move || {
        "2026-01-01T01:00:00Z".parse::<jiff::Timestamp>().unwrap()
            + jiff::SignedDuration::try_from(zero.elapsed()).unwrap()
    });
    let context = Arc::new(Context::new(
        server.client(),
        events,
        Features::default(),
        clock,
        Arc::new(|| 7),
    ));
    let mut tasks = JoinSet::new();
    watch_all(&mut tasks, &context, "");
    let sender = events::run(Arc::clone(&context), "test".into(), arriving);
    tasks.spawn(async move {
        sender.await;
        Ok(())
    });
    let mut workers = JoinSet::new();
    for _ in 0..3 {
        workers.spawn(work(Arc::clone(&context)));
    }
    context
        .leadership
        .extend(Instant::now() + Duration::from_hours(1000));
    let running = Running {
        server: server.clone(),
        context,
        _tasks: tasks,
        _workers: workers,
    };
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 3);
    let no = refusal(403, "Forbidden", "exceeded quota");
    server.fail(move |r| {
        if r.writes(&Method::POST, "pods") {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    first["spec"]["replicas"] = json!(4);
    edit(&server, &first);
    tokio::time::sleep(Duration::from_hours(1)).await;
    // One pod became ready again just now.
    let mut pod = server.objects("pods")[0].clone();
    let now = (running.context.now()).to_string();
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
    server.fail(move |r| {
        if r.writes(&Method::POST, "pods") {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
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

fn pod(uid: &str, version: u64) -> Pod {
    serde_json::from_value(json!({"metadata": {
        "namespace": "shop", "name": uid, "uid": uid, "resourceVersion": version.to_string(),
        "ownerReferences": [{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web",
                             "uid": "u", "controller": true}]}}))
    .unwrap()
}
fn set(uid: &str, version: u64) -> DeserializeGuard<CloneSet> {
    serde_json::from_value(json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": uid, "resourceVersion": version.to_string()},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}}}))
    .unwrap()
}

/// A live read that overlaps the DELETED event brings a ghost that nothing removes.
#[test]
fn a_live_read_older_than_the_delete_does_not_bring_the_pod_back() {
    let index = Index::default();
    index.replace(vec![set("u", 1)], 1);
    index.replace(vec![pod("a", 5)], 5);
    index.delete(pod("a", 9)); // watch
    index.refresh(pod("a", 5)); // the GET was answered before
    assert_eq!(index.known_version(Kind::Pod, "a"), None);
}

/// A live read of the old incarnation must not replace the new one.
#[test]
fn a_live_read_of_the_old_cloneset_does_not_replace_the_new_one() {
    let index = Index::default();
    index.replace(vec![set("old", 1)], 1);
    index.delete(set("old", 5));
    index.apply(set("new", 6));
    index.refresh(set("old", 4));
    assert!(index.known_version(Kind::CloneSet, "new").is_some());
}

/// "Not found" about the old incarnation must not drop the new one.
#[test]
fn not_found_about_the_old_cloneset_does_not_drop_the_new_one() {
    let index = Index::default();
    index.replace(vec![set("old", 1)], 1);
    // GET -> 404 (for the mark of "old"); before it is handled the watch says:
    index.apply(set("new", 6));
    index.drop_cloneset(
        &Key {
            namespace: "shop".into(),
            name: "web".into(),
        },
        "old",
    );
    assert!(index.known_version(Kind::CloneSet, "new").is_some());
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
    server.fail(move |r| {
        if r.writes(&Method::POST, "pods") {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let posts = running.count(&Method::POST, "pods");
    assert!(posts < 100, "{posts} POSTs in ten minutes");
}

/// A pod without the instance label: nothing moves any more, and nobody is told.
#[tokio::test(start_paused = true)]
async fn a_pod_without_the_instance_label_does_not_stop_the_release() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    {
        // it leaves the label-selected watch, but lives
        let mut state = server.state.lock().unwrap();
        state.version += 1;
        let v = state.version.to_string();
        let (key, mut p) = state.objects["pods"]
            .iter()
            .next()
            .map(|(k, v)| (k.clone(), v.clone()))
            .unwrap();
        p["metadata"]["resourceVersion"] = json!(v);
        p["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove("apps.kruise.io/cloneset-instance-id");
        state.objects.get_mut("pods").unwrap().insert(key, p.clone());
        state.announce("pods", "DELETED", &p);
    }
    tokio::time::sleep(Duration::from_mins(5)).await;
    edit(&server, &cloneset(3, "web:v2", 0));
    tokio::time::sleep(Duration::from_hours(1)).await;
    println!("{} events {}", running.status(), server.objects("events").len());
    assert!(
        running.count(&Method::DELETE, "pods") > 0,
        "not one pod moved in an hour"
    );
}

/// A server that answers 410 to every watch must not be listed in a tight loop.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_too_old_at_once_does_not_list_in_a_loop() {
    let server = Server::new();
    server.put("clonesets", cloneset(1, "web:v1", 0));
    let no = refusal(410, "Expired", "too old resource version");
    let n = Arc::new(Mutex::new(0_u32));
    let m = Arc::clone(&n);
    server.fail(move |r| {
        if r.path.contains("watch=true") && r.path.contains("/pods") {
            let mut n = m.lock().unwrap();
            *n += 1;
            if *n < 5_000 {
                return Fault::Refuse(no.clone());
            }
        }
        Fault::None
    });
    let _running = Running::start(&server);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        *n.lock().unwrap() < 20,
        "{} lists in one second",
        n.lock().unwrap()
    );
}

/// One failed look at the Lease must not start the wait for its expiry anew.
#[tokio::test(start_paused = true)]
async fn a_dead_leaders_lease_is_taken_although_single_reads_fail() {
    let reads = Arc::new(Mutex::new(0_u32));
    let lease: Arc<Mutex<Value>> = Arc::new(Mutex::new(
        json!({"metadata": {"name": "l", "namespace": "s", "resourceVersion": "5"},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15}}),
    ));
    let (r, l) = (Arc::clone(&reads), Arc::clone(&lease));
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (r, l) = (Arc::clone(&r), Arc::clone(&l));
        async move {
            let (head, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap();
            let mut n = r.lock().unwrap();
            *n += 1;
            let (code, body) = if head.method == Method::GET && *n % 6 == 0 {
                (500, refusal(500, "InternalError", "etcd leader changed"))
            } else {
                if head.method != Method::GET {
                    *l.lock().unwrap() = serde_json::from_slice(&bytes).unwrap();
                }
                (200, l.lock().unwrap().clone())
            };
            let mut r = http::Response::new(axum::body::Body::from(body.to_string()));
            *r.status_mut() = http::StatusCode::from_u16(code).unwrap();
            Ok::<_, std::convert::Infallible>(r)
        }
    });
    let election = Election {
        namespace: "s".into(),
        name: "l".into(),
        identity: "me".into(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    };
    let server = Server::new();
    let running = Running::start(&server);
    running.context.leadership.end();
    let mut candidate = Candidate::new(kube::Client::new(service, "default"), election);
    let context = Arc::clone(&running.context);
    tokio::spawn(async move { candidate.run(&context).await });
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(
        running.context.leadership.time_left().is_some(),
        "no leader ten minutes after the old one died"
    );
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

/// A revision that lost its hash label: written again in every pass?
#[tokio::test(start_paused = true)]
async fn a_revision_without_its_label_is_not_posted_in_every_pass() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    {
        let mut state = server.state.lock().unwrap();
        state.version += 1;
        let v = state.version.to_string();
        let (key, mut p) = state.objects["controllerrevisions"]
            .iter()
            .next()
            .map(|(k, v)| (k.clone(), v.clone()))
            .unwrap();
        p["metadata"]["resourceVersion"] = json!(v);
        p["metadata"]["labels"]
            .as_object_mut()
            .unwrap()
            .remove("controller.kubernetes.io/hash");
        state
            .objects
            .get_mut("controllerrevisions")
            .unwrap()
            .insert(key, p.clone());
        state.announce("controllerrevisions", "DELETED", &p);
    }
    let before = running.count(&Method::POST, "controllerrevisions");
    for i in 0..50 {
        let mut p = server.objects("pods")[0].clone();
        p["metadata"]["annotations"]["tick"] = json!(i.to_string());
        server.put("pods", p);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let posts = running.count(&Method::POST, "controllerrevisions") - before;
    assert!(posts < 5, "{posts} POSTs of the same revision for 50 pod events");
}
