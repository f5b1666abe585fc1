//! The right to write: lapses, late renewals, a dead leader.

use super::*;
use cloneset_controller::leader::lease::{Candidate, Election};
use cloneset_controller::telemetry::events::NewEvent;
use kube::runtime::events::EventType;

/// The default times.
fn election() -> Election {
    Election {
        namespace: "s".into(),
        name: "l".into(),
        identity: "me".into(),
        lease_duration: Duration::from_secs(15),
        renew_deadline: Duration::from_secs(10),
        retry_period: Duration::from_secs(2),
    }
}

/// The Lease lapses for a moment and is renewed late: what was queued meanwhile must not be lost.
#[tokio::test(start_paused = true)]
async fn an_edit_during_a_short_lapse_of_the_lease_is_acted_on_after_it() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(11)).await;
    edit(&server, &cloneset(9, "web:v1", 0));
    tokio::time::sleep(Duration::from_millis(500)).await;
    // the late renewal: what Candidate::run does
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_hours(100));
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
    running.controller.leadership.end();
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
    let mut candidate = Candidate::new(kube::Client::new(service, "default"), election());
    let controller = Arc::clone(&running.controller);
    tokio::spawn(async move {
        candidate
            .run(&controller.leadership, &controller.clock, &|| true)
            .await;
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(running.controller.leadership.time_left().is_some());
    // One answer that does not come within 4 s, then one that takes 3.5 s.
    *slow.lock().unwrap() = Duration::from_millis(3_400);
    // edit while not leading
    let until = Instant::now() + Duration::from_mins(1);
    let mut lapsed = false;
    while Instant::now() < until {
        if running.controller.leadership.time_left().is_none() {
            lapsed = true;
            edit(&server, &cloneset(9, "web:v1", 0));
            *slow.lock().unwrap() = Duration::ZERO;
            break;
        }
        // alternate: long outage, then an answer just in time for the attempt but after the deadline
        let left = running.controller.leadership.time_left().unwrap();
        *slow.lock().unwrap() = if left > Duration::from_secs(4) {
            Duration::from_secs(5)
        } else {
            Duration::from_millis(1_900)
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("lapsed={lapsed}");
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(running.controller.leadership.time_left().is_some());
    assert_eq!(server.objects("pods").len(), 9);
}

/// What was done before the right to write ended is not told after it: a replica that does not lead sends nothing.
#[tokio::test(start_paused = true)]
async fn an_event_that_waits_when_the_right_to_write_ends_is_dropped() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let owner = serde_json::from_value(cloneset(3, "web:v1", 0)).unwrap();
    let leave = async |pod: &str| {
        let event = NewEvent {
            type_: EventType::Normal,
            reason: "SuccessfulCreate",
            action: "create",
            note: format!("created {pod}"),
            pod: Some(pod),
        };
        running.controller.events.record(&owner, event);
        running.settle().await;
        server.objects("events").len()
    };
    let before = leave("web-1").await;
    assert!(before > 0);
    running.controller.leadership.end();
    assert_eq!(leave("web-2").await, before);
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
    let server = Server::new();
    let running = Running::start(&server);
    running.controller.leadership.end();
    let mut candidate = Candidate::new(kube::Client::new(service, "default"), election());
    let controller = Arc::clone(&running.controller);
    tokio::spawn(async move {
        candidate
            .run(&controller.leadership, &controller.clock, &|| true)
            .await;
    });
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(
        running.controller.leadership.time_left().is_some(),
        "no leader ten minutes after the old one died"
    );
}

/// A Lease, and nothing else, behind an API.
#[derive(Clone)]
struct StoredLease(Arc<Mutex<Value>>);

impl StoredLease {
    fn of(holder: &str) -> Self {
        Self(Arc::new(Mutex::new(
            json!({"metadata": {"name": "l", "namespace": "s", "resourceVersion": "1"},
                   "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15}}),
        )))
    }

    /// Its holder renews it, or gives it up.
    fn written(&self, holder: &str) {
        let mut lease = self.0.lock().unwrap();
        let version: u64 = lease["metadata"]["resourceVersion"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        lease["metadata"]["resourceVersion"] = json!((version + 1).to_string());
        lease["spec"]["holderIdentity"] = json!(holder);
    }

    fn holder(&self) -> String {
        self.0.lock().unwrap()["spec"]["holderIdentity"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// What the API server makes of an update.
    fn replace(&self, mut new: Value) -> (u16, Value) {
        let mut lease = self.0.lock().unwrap();
        let version = lease["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        if new["metadata"]["resourceVersion"] != version.as_str() {
            return (409, refusal(409, "Conflict", "the object has been modified"));
        }
        new["metadata"]["resourceVersion"] = json!((version.parse::<u64>().unwrap() + 1).to_string());
        *lease = new.clone();
        (200, new)
    }

    fn client(&self) -> kube::Client {
        let stored = self.clone();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let stored = stored.clone();
            async move {
                let (head, body) = request.into_parts();
                let bytes = body.collect_bytes().await.unwrap();
                let (code, answer) = if head.method == Method::GET {
                    (200, stored.0.lock().unwrap().clone())
                } else {
                    stored.replace(serde_json::from_slice(&bytes).unwrap())
                };
                let mut answer = http::Response::new(axum::body::Body::from(answer.to_string()));
                *answer.status_mut() = http::StatusCode::from_u16(code).unwrap();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        kube::Client::new(service, "default")
    }
}

/// How long after the last renewal a standby leads, when the leader's last act is `last`: at every phase in which the
/// two can be to each other.
async fn nobody_leads_for(last: impl Fn(&StoredLease)) -> Vec<Duration> {
    let mut gaps = Vec::new();
    for phase in 0..20 {
        let server = Server::new();
        let running = Running::start(&server);
        running.controller.leadership.end();
        let lease = StoredLease::of("leader");
        let mut standby = Candidate::new(lease.client(), election());
        let controller = Arc::clone(&running.controller);
        tokio::spawn(async move {
            standby
                .run(&controller.leadership, &controller.clock, &|| true)
                .await;
        });
        tokio::time::sleep(Duration::from_millis(100 * phase)).await;
        for _ in 0..10 {
            lease.written("leader");
            tokio::time::sleep(election().retry_period).await;
        }
        last(&lease);
        let gone = Instant::now();
        while running.controller.leadership.time_left().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        gaps.push(gone.elapsed());
    }
    gaps
}

#[tokio::test(start_paused = true)]
async fn a_dead_leader_is_followed_within_a_second_of_the_end_of_its_lease_and_not_before() {
    let gaps = nobody_leads_for(|lease| lease.written("leader")).await;
    let range = Duration::from_secs(15)..=Duration::from_secs(16);
    assert!(gaps.iter().all(|gap| range.contains(gap)), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_given_up_is_taken_within_a_second() {
    let gaps = nobody_leads_for(|lease| lease.written("")).await;
    assert!(gaps.iter().all(|gap| *gap <= Duration::from_secs(1)), "{gaps:?}");
}

/// A candidate at a Lease without a holder, which is fit while `fit` is true.
fn candidate(lease: &StoredLease, fit: &Arc<Mutex<bool>>) -> (Server, Running) {
    let server = Server::new();
    let running = Running::start(&server);
    running.controller.leadership.end();
    let mut candidate = Candidate::new(lease.client(), election());
    let (controller, fit) = (Arc::clone(&running.controller), Arc::clone(fit));
    tokio::spawn(async move {
        let is_fit = || *fit.lock().unwrap();
        candidate
            .run(&controller.leadership, &controller.clock, &is_fit)
            .await;
    });
    (server, running)
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_cache_is_not_filled_or_too_old_leaves_the_lease_to_others() {
    let (lease, fit) = (StoredLease::of(""), Arc::new(Mutex::new(false)));
    let (_server, running) = candidate(&lease, &fit);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(lease.holder(), "");
    *fit.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lease.holder(), "me");
    *fit.lock().unwrap() = false;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(lease.holder(), "", "it is released");
    assert!(running.controller.leadership.time_left().is_none());
}

/// The clock of a virtual machine that was paused stands still, so its right to write seems intact.
#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_another_replica_took_stops_at_its_next_renewal() {
    let (lease, fit) = (StoredLease::of(""), Arc::new(Mutex::new(true)));
    let (_server, running) = candidate(&lease, &fit);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(running.controller.leadership.time_left().is_some());
    lease.written("other");
    let taken = Instant::now();
    while running.controller.leadership.time_left().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(taken.elapsed() <= election().retry_period + Duration::from_millis(20));
}
