//! What is seen: watches that end, live reads that overlap events, objects that lost the label they are watched by.

use super::*;
use cloneset_controller::cache::decode::{Known, decode};
use cloneset_controller::cache::index::{Index, Sink as _};
use cloneset_controller::key::{Key, Kind};
use cloneset_status::Pod;
use serde_json::value::RawValue;

/// A watch that ends as agreed without an event is no failure, so there is no gap before the next.
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

fn pod(uid: &str, version: u64) -> Pod {
    serde_json::from_value(json!({"metadata": {
        "namespace": "shop", "name": uid, "uid": uid, "resourceVersion": version.to_string(),
        "ownerReferences": [{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web",
                             "uid": "u", "controller": true}]}}))
    .unwrap()
}
fn set(uid: &str, version: u64) -> Known {
    let set = json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": uid, "resourceVersion": version.to_string()},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}}});
    decode(&RawValue::from_string(set.to_string()).unwrap()).unwrap()
}

/// A live read that overlaps the DELETED event must not bring a ghost that nothing removes.
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

/// A pod without the instance label must not stop everything else.
#[tokio::test(start_paused = true)]
async fn a_pod_without_the_instance_label_does_not_stop_the_release() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    server.lose_label("pods", "apps.kruise.io/cloneset-instance-id");
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

/// A revision that lost its hash label gets it back, instead of being written again in every pass.
#[tokio::test(start_paused = true)]
async fn a_revision_without_its_label_is_not_posted_in_every_pass() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    server.lose_label("controllerrevisions", "controller.kubernetes.io/hash");
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

/// An id that somebody edits is still taken: by the pod's name.
#[tokio::test(start_paused = true)]
async fn a_pod_whose_instance_id_was_edited_is_not_in_the_way_of_others() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    for mut pod in server.objects("pods") {
        pod["metadata"]["labels"]["apps.kruise.io/cloneset-instance-id"] = json!("zzzzz");
        server.put("pods", pod);
    }
    edit(&server, &cloneset(5, "web:v1", 0));
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 5);
    assert_eq!(running.count(&Method::POST, "pods"), 5, "no name was tried twice");
}

/// A pod that somebody takes out by its labels is given up as it was seen, and then replaced.
#[tokio::test(start_paused = true)]
async fn a_pod_that_the_selector_no_longer_matches_is_released_before_it_is_replaced() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let mut pod = server.objects("pods")[0].clone();
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    pod["metadata"]["labels"]["app"] = json!("debugging");
    server.put("pods", pod);
    let seen = |pod: &Value| pod["metadata"]["name"] == name.as_str();
    let taken_out = server.objects("pods").into_iter().find(seen).unwrap();
    let before = running.writes().len();
    running.settle().await;

    let writes = running.writes().split_off(before);
    let release = &writes[0];
    assert!(release.writes(&Method::PATCH, "pods"), "{release:?}");
    assert!(release.path.contains(&name), "{release:?}");
    let expected = json!({"metadata": {
        "uid": taken_out["metadata"]["uid"],
        "resourceVersion": taken_out["metadata"]["resourceVersion"],
        "ownerReferences": [{"$patch": "delete", "uid": "u-1"}]
    }});
    assert_eq!(release.body, expected);
    assert_eq!(running.count(&Method::POST, "pods"), 4);
    assert_eq!(running.count(&Method::DELETE, "pods"), 0);
    assert_eq!(running.status()["availableReplicas"], 3);
}

/// What a name still stands for elsewhere (addresses, logs, caches of others) takes a while to be forgotten.
#[tokio::test(start_paused = true)]
async fn the_id_of_a_pod_that_somebody_deleted_is_not_used_again_at_once() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let names = |server: &Server| -> BTreeSet<String> {
        let pods = server.objects("pods");
        pods.iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let gone = names(&server).pop_first().unwrap();
    server
        .state
        .lock()
        .unwrap()
        .vanish("pods", &format!("shop/{gone}"));
    running.settle().await;
    assert_eq!(names(&server).len(), 3);
    assert!(!names(&server).contains(&gone), "{gone} is used again");
}

/// The event that tells of a pod's end is lost, and the watch lives on: a pod that answers "not found" is looked at.
#[tokio::test(start_paused = true)]
async fn regressions_26_27_a_pod_that_is_gone_although_the_view_has_it_does_not_hold_a_release_up() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let lost: Vec<String> = server
        .objects("pods")
        .iter()
        .map(|pod| format!("shop/{}", pod["metadata"]["name"].as_str().unwrap()))
        .collect();
    {
        let mut state = server.state.lock().unwrap();
        let pods = state.objects.get_mut("pods").unwrap();
        pods.retain(|key, _| key != &lost[0]);
    }
    edit(&server, &cloneset(3, "web:v2", 0));
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.status()["updatedAvailableReplicas"], 3);
}

/// `--namespace`: with rights in one namespace, one request beyond it would be refused for ever.
#[tokio::test(start_paused = true)]
async fn with_a_namespace_nothing_beyond_it_is_asked_for() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start_in(&server, standing_clock(), "shop");
    running.settle().await;
    edit(&server, &cloneset(3, "web:v2", 0));
    running.settle().await;
    assert_eq!(running.status()["updatedAvailableReplicas"], 3);
    let requests = server.requests();
    let beyond: Vec<&Recorded> = requests
        .iter()
        .filter(|request| !request.path.contains("/namespaces/shop/"))
        .collect();
    assert!(beyond.is_empty(), "{beyond:#?}");
}
