//! What the metrics page says after something happened.

use super::*;
use cloneset_controller::telemetry::metrics::Format;
use std::collections::BTreeMap;

impl Running {
    /// The samples of the page, by name and labels as they stand there.
    fn samples(&self) -> BTreeMap<String, f64> {
        (self.controller.admin().metrics)(Format::Classic)
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (series, value) = line.rsplit_once(' ').unwrap();
                (series.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    /// The sum of a metric over the series that have all of these labels.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        self.samples()
            .iter()
            .filter(|(series, _)| {
                let (of, with) = series.split_once('{').unwrap_or((series, ""));
                of == name && labels.iter().all(|label| with.contains(label))
            })
            .map(|(_, value)| value)
            .sum()
    }
}

fn near(value: f64, expected: usize) -> bool {
    (value - f64::from(u32::try_from(expected).unwrap())).abs() < 0.5
}

#[tokio::test(start_paused = true)]
async fn a_pass_is_observed_once_and_the_queue_is_empty_afterwards() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;

    let passes = running.metric("cloneset_reconcile_total", &[]);
    assert!(passes >= 2.0, "{passes} passes made three pods");
    for metric in [
        "controller_runtime_reconcile_total",
        "controller_runtime_reconcile_time_seconds_count",
        "workqueue_work_duration_seconds_count",
        "workqueue_queue_duration_seconds_count",
        "workqueue_adds_total",
    ] {
        let value = running.metric(metric, &["controller=\"cloneset-controller\""]);
        assert!(
            (value - passes).abs() < 0.5,
            "{metric} is {value} after {passes} passes"
        );
    }
    for (metric, labels) in [
        ("workqueue_depth", "name=\"cloneset-controller\""),
        ("workqueue_unfinished_work_seconds", ""),
        ("workqueue_longest_running_processor_seconds", ""),
        ("controller_runtime_active_workers", ""),
        ("controller_runtime_reconcile_errors_total", ""),
    ] {
        assert!(running.samples().keys().any(|series| series.starts_with(metric)));
        assert!(near(running.metric(metric, &[labels]), 0), "{metric}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_by_code_and_method_refused_ones_too() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let no = refusal(403, "Forbidden", "exceeded quota: pods=0");
    server.refuse_pods(no);
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(1)).await;

    let refused = running.count(&Method::POST, "pods");
    let host = "host=\"server:6443\"";
    let counted = running.metric(
        "rest_client_requests_total",
        &["code=\"403\"", "method=\"POST\"", host],
    );
    assert!(refused >= 2 && near(counted, refused), "{counted} of {refused}");
    let by_us = running.metric(
        "cloneset_writes_total",
        &["result=\"over_quota\"", "verb=\"create\""],
    );
    assert!(near(by_us, refused), "{by_us} of {refused}");

    let requests = server.requests();
    let sent = running.metric("rest_client_requests_total", &[host]);
    assert!(near(sent, requests.len()), "{sent} of {}", requests.len());
    let watches = requests
        .iter()
        .filter(|request| request.path.contains("watch=true"))
        .count();
    let timed = running.metric("rest_client_request_duration_seconds_count", &[host]);
    assert!(watches >= 3 && near(timed, requests.len() - watches), "{timed}");

    let failed = running.metric("controller_runtime_reconcile_total", &["result=\"error\""]);
    let retries = running.metric("workqueue_retries_total", &[]);
    assert!(failed >= 2.0, "{failed}");
    assert!(retries >= failed, "{retries} retries after {failed} failures");
}

/// A server that hangs shows, although no answer ever comes.
#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_counted_when_it_is_given_up() {
    let server = Server::new();
    server.put("clonesets", cloneset(1, "web:v1", 0));
    let mut hung = false;
    server.fail(move |request| {
        if request.writes(&Method::POST, "pods") && !hung {
            hung = true;
            return Fault::Hang;
        }
        Fault::None
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let under_way = running.metric("workqueue_longest_running_processor_seconds", &[]);
    assert!((4.0..6.0).contains(&under_way), "{under_way}");
    assert!(near(running.metric("controller_runtime_active_workers", &[]), 1));
    let given_up = || {
        running.metric(
            "rest_client_requests_total",
            &["code=\"<error>\"", "method=\"POST\""],
        )
    };
    assert!(near(given_up(), 0));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(near(given_up(), 1), "{}", given_up());
    let longest = running.metric("rest_client_request_duration_seconds_sum", &["verb=\"POST\""]);
    assert!(
        (9.0..11.0).contains(&longest),
        "given up after ten seconds: {longest}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_shows_as_waits_and_leaks_until_the_cloneset_is_gone() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    let leaks = || {
        running.metric(
            "cloneset_scale_expectation_leakage",
            &["namespace=\"shop\"", "name=\"web\""],
        )
    };
    running.settle().await;
    assert!(near(leaks(), 0));
    server.state.lock().unwrap().lag = Some("pods".into());
    edit(&server, &cloneset(3, "web:v1", 0));
    tokio::time::sleep(Duration::from_mins(1)).await;

    let stale = running.metric("cloneset_reconcile_total", &["outcome=\"cache_stale\""]);
    assert!(stale >= 1.0, "{stale}");
    let live = running.metric("cloneset_live_reads_total", &["resource=\"pods\""]);
    assert!(
        live >= 1.0 && (leaks() - live).abs() < 0.5,
        "{} leaks, {live} live reads",
        leaks()
    );

    let gone = server.objects("clonesets")[0].clone();
    server.put_out_of_sight("clonesets", gone);
    running.settle().await;
    let page = (running.controller.admin().metrics)(Format::OpenMetrics);
    assert!(!page.contains("leakage"), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_may_not_write_says_so_at_once_and_its_queue_stays_empty() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    assert!(near(running.metric("kruise_manager_is_leader", &[]), 1));
    running
        .controller
        .leadership
        .extend(Instant::now() + Duration::from_secs(10));
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(
        near(running.metric("kruise_manager_is_leader", &[]), 0),
        "nobody had to say it"
    );
    let passes = running.metric("cloneset_reconcile_total", &[]);
    let adds = running.metric("workqueue_adds_total", &[]);
    edit(&server, &cloneset(9, "web:v1", 0));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let added = running.metric("workqueue_adds_total", &[]) - adds;
    assert!(near(added, 0), "{added} CloneSets queued on a standby");
    tokio::time::sleep(Duration::from_mins(30)).await;
    assert!(near(running.metric("workqueue_depth", &[]), 0));
    let after = running.metric("cloneset_reconcile_total", &[]);
    assert!((after - passes).abs() < 0.5, "{} passes", after - passes);
}
