//! An API server that takes no writes for a while: how soon everything moves again.

use super::*;

/// Every write fails in this way for so long; one edit waits. How long after the end it is carried out.
async fn recovery_after(outage: Duration, code: u16, sets: usize) -> Duration {
    let server = Server::new();
    for number in 0..sets {
        let mut object = cloneset(1, "web:v1", 0);
        object["metadata"]["name"] = json!(format!("web-{number}"));
        object["metadata"]["uid"] = json!(format!("u-{number}"));
        object["spec"]["selector"]["matchLabels"]["app"] = json!(format!("web-{number}"));
        object["spec"]["template"]["metadata"]["labels"]["app"] = json!(format!("web-{number}"));
        server.put("clonesets", object);
    }
    let running = Running::start(&server);
    running.settle().await;
    server.fail(move |request| {
        if request.method == Method::GET {
            Fault::None
        } else {
            Fault::Refuse(refusal(code, "InternalError", "etcdserver: request timed out"))
        }
    });
    for mut object in server.objects("clonesets") {
        object["spec"]["replicas"] = json!(2);
        object["metadata"]["generation"] = json!(2);
        server.put("clonesets", object);
    }
    tokio::time::sleep(outage).await;
    server.fail(|_| Fault::None);
    let end = Instant::now();
    while server.objects("pods").len() < 2 * sets {
        assert!(end.elapsed() < Duration::from_mins(10), "it never moves again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    end.elapsed()
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_moves_within_half_a_minute() {
    for code in [500, 503, 429] {
        for minutes in [1, 10] {
            let waited = recovery_after(Duration::from_mins(minutes), code, 1).await;
            assert!(
                waited <= Duration::from_secs(30),
                "{waited:?} after {minutes} min of {code}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_success_after_an_outage_ends_the_backoff_of_all() {
    let waited = recovery_after(Duration::from_mins(1), 503, 20).await;
    assert!(waited <= Duration::from_secs(30), "{waited:?}");
}

/// A pod whose deletion is denied for good, and then a single 429: creation must not wait for minutes.
#[tokio::test(start_paused = true)]
async fn a_busy_moment_does_not_inherit_the_backoff_of_a_denied_deletion() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let denied = |request: &Recorded| {
        if request.method == Method::DELETE {
            Fault::Refuse(refusal(403, "Forbidden", "denied by policy example"))
        } else {
            Fault::None
        }
    };
    server.fail(denied);
    let mut marked = server.objects("pods")[0].clone();
    marked["metadata"]["labels"]["apps.kruise.io/specified-delete"] = json!("true");
    server.put("pods", marked);
    tokio::time::sleep(Duration::from_hours(1)).await;
    let once = Arc::new(Mutex::new(true));
    server.fail(move |request| {
        if request.method == Method::POST && std::mem::take(&mut *once.lock().unwrap()) {
            return Fault::Refuse(refusal(429, "TooManyRequests", "later"));
        }
        denied(request)
    });
    let gone = server::key_of(&server.objects("pods")[1]);
    server.state.lock().unwrap().vanish("pods", &gone);
    let start = Instant::now();
    while server.objects("pods").len() < 3 {
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "creation waits with the deletion"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
