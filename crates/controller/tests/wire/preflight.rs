//! Before the first term: what is in the way, what is not, and that nothing is written meanwhile.

use super::*;
use cloneset_controller::run::Controller;
use cloneset_controller::telemetry::admin::pages;
use jiff::{SignedDuration, Timestamp};

const START: &str = "2026-01-01T01:00:00Z";

/// The wall clock, as far as the virtual time has come.
fn wall(start: Instant) -> Timestamp {
    let began: Timestamp = START.parse().unwrap();
    began + SignedDuration::try_from(start.elapsed()).unwrap()
}

fn crd(stored: &[&str], strategy: &str) -> Value {
    json!({
        "metadata": {"name": "clonesets.apps.kruise.io"},
        "spec": {"conversion": {"strategy": strategy}, "versions": [{"name": "v1alpha1", "served": true}]},
        "status": {"storedVersions": stored}
    })
}

pub(crate) fn our_crd() -> Value {
    crd(&["v1alpha1"], "None")
}

fn kruise_lease(renewed: Timestamp) -> Value {
    json!({
        "metadata": {"namespace": "kruise-system", "name": "kruise-manager"},
        "spec": {"holderIdentity": "kruise-0", "leaseDurationSeconds": 15, "renewTime": format!("{renewed:.6}")}
    })
}

/// Like production: leading begins with a look around.
fn start(server: &Server, acknowledged: bool) -> Running {
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let began = Instant::now();
    let running = Running::start_at(server, Arc::new(move || wall(began)));
    running.controller.leadership.end();
    let controller = Arc::clone(&running.controller);
    tokio::spawn(async move { controller.lead(acknowledged, None).await });
    running
}

/// What is in the way after five minutes in which nothing was written.
async fn stays_away(running: &Running) -> String {
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(running.writes(), [], "something was written");
    assert!(running.controller.leadership.time_left().is_none());
    running.controller.preflight.blocker().unwrap()
}

/// It leads within a minute, and has done its work in another one.
async fn goes_ahead(running: &Running) {
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.controller.preflight.blocker(), None);
    assert_eq!(running.server.objects("pods").len(), 2);
}

fn looks(server: &Server, resource: &str) -> usize {
    let requests = server.requests();
    requests
        .iter()
        .filter(|request| request.path.contains(resource))
        .count()
}

async fn readyz(controller: &Controller) -> (u16, String) {
    let request = http::Request::get("/readyz")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = tower::Service::call(&mut pages(Arc::new(controller.admin())), request)
        .await
        .unwrap();
    let code = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_crd_that_cannot_be_written_through_is_waited_for_and_told() {
    let mut unserved = our_crd();
    unserved["spec"]["versions"][0]["served"] = json!(false);
    for (found, words) in [
        (Some(crd(&["v1alpha1", "v1beta1"], "None")), "stored as v1beta1"),
        (Some(crd(&["v1alpha1"], "Webhook")), "converted by a webhook"),
        (Some(unserved), "does not serve v1alpha1"),
        (None, "there is no CRD"),
    ] {
        let server = Server::new();
        if let Some(found) = found {
            server.put("customresourcedefinitions", found);
        }
        let running = start(&server, true);
        let told = stays_away(&running).await;
        assert!(told.contains(words), "{told}");
        let (code, page) = readyz(&running.controller).await;
        assert!(code == 503 && page.starts_with(&told), "{code} {page}");
        let looks = looks(&server, "customresourcedefinitions");
        assert!((9..=12).contains(&looks), "{looks} looks in five minutes");
        server.put("customresourcedefinitions", our_crd());
        goes_ahead(&running).await;
        assert_eq!(readyz(&running.controller).await, (200, "ok\n".to_owned()));
    }
}

#[tokio::test(start_paused = true)]
async fn while_kruise_is_alive_nothing_is_written_and_soon_after_its_end_it_goes_on() {
    let server = Server::new();
    server.put("customresourcedefinitions", our_crd());
    let began = Instant::now();
    server.put("leases", kruise_lease(wall(began)));
    let renewing = {
        let server = server.clone();
        tokio::spawn(async move {
            loop {
                server.put("leases", kruise_lease(wall(began)));
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        })
    };
    let running = start(&server, false);
    let told = stays_away(&running).await;
    assert!(
        told.contains("kruise-0") && told.contains("--replicas=0"),
        "{told}"
    );
    renewing.abort();
    goes_ahead(&running).await;
    let before = looks(&server, "kruise-manager");
    tokio::time::sleep(Duration::from_mins(5)).await;
    let after = looks(&server, "kruise-manager");
    assert_eq!(after, before, "who leads does not look any more");
}

/// The other side's clock may be wrong: what counts is that it goes on renewing.
#[tokio::test(start_paused = true)]
async fn a_lease_from_the_future_that_nobody_renews_delays_by_a_minute_at_most() {
    let server = Server::new();
    server.put("customresourcedefinitions", our_crd());
    let ahead: Timestamp = "2026-01-01T09:00:00Z".parse().unwrap();
    server.put("leases", kruise_lease(ahead));
    goes_ahead(&start(&server, false)).await;
    assert_eq!(looks(&server, "kruise-manager"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_manager_long_gone_or_never_there_or_that_gave_up_its_lease_costs_no_time() {
    let mut given_up = kruise_lease(START.parse().unwrap());
    given_up["spec"]["holderIdentity"] = json!("");
    let long_gone = kruise_lease("2025-12-24T00:00:00Z".parse().unwrap());
    for lease in [None, Some(given_up), Some(long_gone)] {
        let server = Server::new();
        server.put("customresourcedefinitions", our_crd());
        if let Some(lease) = lease {
            server.put("leases", lease);
        }
        goes_ahead(&start(&server, false)).await;
        assert_eq!(looks(&server, "kruise-manager"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_read_is_not_in_the_way() {
    let server = Server::new();
    server.fail(|request| {
        if request.path.contains("customresourcedefinitions") || request.path.contains("leases") {
            Fault::Refuse(refusal(403, "Forbidden", "no right"))
        } else {
            Fault::None
        }
    });
    goes_ahead(&start(&server, false)).await;
    assert_eq!(looks(&server, "customresourcedefinitions"), 1);
    assert_eq!(looks(&server, "kruise-manager"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_clear_answer_nothing_is_written() {
    for fault in [
        Fault::Refuse(refusal(503, "ServiceUnavailable", "starting")),
        Fault::Hang,
    ] {
        let server = Server::new();
        server.put("customresourcedefinitions", our_crd());
        server.fail(move |request| {
            if request.path.contains("leases") {
                fault.clone()
            } else {
                Fault::None
            }
        });
        let running = start(&server, false);
        let told = stays_away(&running).await;
        assert!(told.contains("cannot tell yet"), "{told}");
        server.fail(|_| Fault::None);
        goes_ahead(&running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kruise_that_was_acknowledged_is_not_looked_for() {
    let server = Server::new();
    server.put("customresourcedefinitions", our_crd());
    server.put("leases", kruise_lease(START.parse().unwrap()));
    goes_ahead(&start(&server, true)).await;
    assert_eq!(looks(&server, "kruise-manager"), 0);
}
