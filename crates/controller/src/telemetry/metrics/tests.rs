//! The page against its reference in the docs.

use super::cache::KindSample;
use super::*;
use crate::key::{Key, Kind};
use reconciles::ReconcileResult;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tower::{Layer as _, ServiceExt as _};

const REFERENCE: &str = include_str!("../../../../../docs/reference/signals.md");

/// A page on which every metric has a series.
async fn full_page(format: Format) -> String {
    let metrics = Metrics::default();
    let (reason, resource, verb, result) = ("x", "x", "x", "x");
    metrics
        .reconciles
        .count("done", ReconcileResult::Success, Duration::ZERO);
    metrics.waits.get_or_create(&ReasonLabel { reason }).inc();
    metrics.writes.count(verb, resource, result);
    let key = Key {
        namespace: "n".into(),
        name: "x".into(),
    };
    metrics.cache.count_relist(Kind::Pod);
    metrics.cache.count_live_read(Kind::Pod, &key);
    metrics.lease.set("l".into()).unwrap();
    let answer = |_: http::Request<()>| async { Ok::<_, std::fmt::Error>(http::Response::new(())) };
    let server = "https://server:6443".parse().unwrap();
    let service = metrics.requests.layer(&server).layer(tower::service_fn(answer));
    service.oneshot(http::Request::new(())).await.unwrap();
    let sample = Sample {
        process: Process::look(),
        cache: CacheSample {
            is_synced: true,
            kinds: vec![KindSample {
                kind: Kind::Pod,
                objects: 2,
                unreadable: 1,
                age: Some(std::time::Duration::from_secs(3)),
            }],
        },
        ..Sample::default()
    };
    metrics.page(&sample, format)
}

/// The labels of a sample, but for those that belong to histograms.
fn labels(sample: &str) -> BTreeSet<&str> {
    let inside = sample
        .split_once('{')
        .and_then(|(_, rest)| rest.rsplit_once('}'))
        .map_or("", |(inside, _)| inside);
    inside
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(label, _)| label)
        .filter(|label| *label != "le")
        .collect()
}

/// The metrics of a page in the older format, whose types are said of the names as they are, with their labels.
fn metrics_of(page: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut metrics: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut current = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            current = rest.split(' ').next().unwrap();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(current), "{line} is not of {current}");
            metrics.entry(current).or_default().extend(labels(line));
        }
    }
    metrics
}

#[tokio::test]
async fn every_metric_is_in_the_reference_with_its_labels_and_every_one_there_exists() {
    let page = full_page(Format::Classic).await;
    let (_, tables) = REFERENCE.split_once("## Metrics").unwrap();
    let documented: BTreeMap<&str, BTreeSet<&str>> = tables
        .lines()
        .filter_map(|line| {
            let mut columns = line.strip_prefix("| `")?.split(" | ");
            let name = columns.next()?.trim_end_matches('`');
            let quoted = columns.next()?.split('`').skip(1).step_by(2).collect();
            Some((name, quoted))
        })
        .collect();
    assert_eq!(documented, metrics_of(&page));
}

#[tokio::test]
async fn the_formats_differ_in_what_scrapers_of_each_expect() {
    let open = full_page(Format::OpenMetrics).await;
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE cloneset_build info\n"));
    assert_eq!(open.matches("# EOF").count(), 1);
    let classic = full_page(Format::Classic).await;
    assert!(!classic.contains("# EOF") && classic.contains("# TYPE cloneset_build_info gauge\n"));

    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.1";
    assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
    assert_eq!(
        Format::accepted("text/plain;version=0.0.4;q=0.4,*/*;q=0.1"),
        Format::Classic
    );
    assert_eq!(Format::accepted("*/*"), Format::Classic);
}

#[test]
fn who_leads_is_said_by_lease_only_where_there_is_an_election() {
    let metrics = Metrics::default();
    let leads = |leads| Sample {
        leads,
        ..Sample::default()
    };
    let page = metrics.page(&leads(true), Format::Classic);
    assert!(page.contains("\nkruise_manager_is_leader 1\n") && !page.contains("leader_election"));
    metrics.lease.set("l".into()).unwrap();
    let page = metrics.page(&leads(false), Format::Classic);
    assert!(page.contains("\nkruise_manager_is_leader 0\n"), "{page}");
    assert!(
        page.contains("\nleader_election_master_status{name=\"l\"} 0\n"),
        "{page}"
    );
}

#[test]
fn a_cloneset_has_a_series_only_after_a_leak_and_while_it_exists() {
    let metrics = Metrics::default();
    let key = |name: &str| Key {
        namespace: "shop".into(),
        name: name.into(),
    };
    let page = || metrics.page(&Sample::default(), Format::OpenMetrics);
    assert!(!page().contains("leakage"));
    for name in ["web", "db", "web"] {
        metrics.cache.leaks.count(&key(name));
    }
    let series = "cloneset_scale_expectation_leakage{namespace=\"shop\",name=\"web\"} 2\n";
    assert!(page().contains(series), "{}", page());
    metrics.cache.leaks.retain(|kept| kept.name == "db");
    assert!(!page().contains("web") && page().contains("db"), "{}", page());
}
