//! Every event of the reference, as it arrives: its type, its reason, and a note that names pods and why.

use super::*;

/// The events so far, each as "Warning FailedCreate: note".
pub(crate) fn told(server: &Server) -> Vec<String> {
    let text = |event: &Value, field: &str| event[field].as_str().unwrap().to_owned();
    let told = |event: &Value| {
        let (kind, reason, note) = (text(event, "type"), text(event, "reason"), text(event, "note"));
        assert!(!note.contains('{'), "an object in an event: {note}");
        format!("{kind} {reason}: {note}")
    };
    server.objects("events").iter().map(told).collect()
}

/// Is there an event with this beginning that says all of this?
pub(crate) fn expect(server: &Server, beginning: &str, words: &[&str]) {
    let told = told(server);
    let fits =
        |event: &&String| event.starts_with(beginning) && words.iter().all(|word| event.contains(word));
    assert!(
        told.iter().any(|event| fits(&event)),
        "{beginning} {words:?}: {told:#?}"
    );
}

fn in_place(replicas: i32, image: &str, type_: &str) -> Value {
    let mut object = cloneset(replicas, image, 0);
    object["spec"]["updateStrategy"]["type"] = json!(type_);
    object
}

fn with_claims(replicas: i32, image: &str, reuse: bool) -> Value {
    let mut object = cloneset(replicas, image, 0);
    object["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    }]);
    object["spec"]["scaleStrategy"] = json!({"disablePVCReuse": !reuse});
    object
}

/// A settled CloneSet.
pub(crate) async fn settled(object: Value) -> (Server, Running) {
    let server = Server::new();
    server.put("clonesets", object);
    let running = Running::start(&server);
    running.settle().await;
    (server, running)
}

/// From now on such a write is refused, however often it is tried.
fn refuse(server: &Server, method: Method, resource: &'static str) {
    server.fail(move |request| {
        if request.writes(&method, resource) {
            Fault::Refuse(refusal(403, "Forbidden", "denied by policy example"))
        } else {
            Fault::None
        }
    });
}

/// What is expected of the events once such writes have been refused for a minute.
async fn expect_failure(
    before: Value,
    after: &Value,
    (method, resource): (Method, &'static str),
    beginning: &str,
    words: &[&str],
) {
    let (server, _running) = settled(before).await;
    refuse(&server, method, resource);
    edit(&server, after);
    tokio::time::sleep(Duration::from_mins(1)).await;
    expect(&server, beginning, words);
    expect(&server, beginning, &["denied by policy example"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_is_told_with_the_names_of_the_pods() {
    let (server, running) = settled(cloneset(3, "web:v1", 0)).await;
    let pods = server.objects("pods");
    let name = |at: usize| pods[at]["metadata"]["name"].as_str().unwrap();
    expect(
        &server,
        "Normal SuccessfulCreate: created web-",
        &[name(0), name(1), name(2), " of revision web-"],
    );

    let mut marked = pods[0].clone();
    marked["metadata"]["labels"]["apps.kruise.io/specified-delete"] = json!("true");
    server.put("pods", marked);
    running.settle().await;
    expect(
        &server,
        "Normal SuccessfulDelete: deleted",
        &[name(0), "marked for deletion"],
    );

    edit(&server, &cloneset(2, "web:v1", 0));
    running.settle().await;
    expect(
        &server,
        "Normal SuccessfulDelete: deleted",
        &["there are more pods than spec.replicas"],
    );

    edit(&server, &cloneset(2, "web:v2", 0));
    running.settle().await;
    expect(
        &server,
        "Normal SuccessfulUpdatePodReCreate: deleted web-",
        &["to make place for another revision"],
    );

    edit(&server, &in_place(2, "web:v3", "InPlaceIfPossible"));
    running.settle().await;
    expect(
        &server,
        "Normal SuccessfulUpdatePodInPlace: updated web-",
        &["in place to revision web-"],
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_for_scaling_is_told_with_its_reason() {
    let (two, three) = (cloneset(2, "web:v1", 0), cloneset(3, "web:v1", 0));
    let create = "Warning FailedCreate: cannot create a pod";
    expect_failure(two.clone(), &three, (Method::POST, "pods"), create, &[]).await;
    let delete = "Warning FailedDelete: cannot delete pod web-";
    expect_failure(three.clone(), &two, (Method::DELETE, "pods"), delete, &[]).await;
    let revision = "Warning FailedCreate: cannot write revision web-";
    let other = cloneset(2, "web:v2", 0);
    expect_failure(two, &other, (Method::POST, "controllerrevisions"), revision, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_for_an_update_is_told_with_its_reason() {
    let (old, new) = (cloneset(2, "web:v1", 0), cloneset(2, "web:v2", 0));
    let delete = "Warning FailedUpdatePodReCreate: cannot delete pod web-";
    expect_failure(old.clone(), &new, (Method::DELETE, "pods"), delete, &[]).await;
    let new = in_place(2, "web:v2", "InPlaceIfPossible");
    let take_out = "Warning FailedUpdatePodInPlace: cannot take pod web-";
    expect_failure(
        old.clone(),
        &new,
        (Method::PATCH, "pods/status"),
        take_out,
        &["out of service"],
    )
    .await;
    let change = "Warning FailedUpdatePodInPlace: cannot change pod web-";
    expect_failure(old, &new, (Method::PATCH, "pods"), change, &["in place"]).await;
}

/// Nothing is attempted, and still somebody should know.
#[tokio::test(start_paused = true)]
async fn what_is_held_back_is_told_once_when_it_begins() {
    let (server, running) = settled(cloneset(2, "web:v1", 0)).await;
    let mut other = in_place(2, "web:v1", "InPlaceOnly");
    other["spec"]["template"]["spec"]["containers"][0]["command"] = json!(["sleep"]);
    edit(&server, &other);
    running.settle().await;
    expect(
        &server,
        "Warning FailedUpdatePodInPlace: 2 of the pods cannot be updated in place",
        &["InPlaceOnly", "command"],
    );

    let mut limited = in_place(5, "web:v1", "InPlaceOnly");
    limited["spec"]["scaleStrategy"] = json!({"maxUnavailable": 0});
    edit(&server, &limited);
    running.settle().await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    let limited = told(&server)
        .into_iter()
        .filter(|event| event.starts_with("Warning ScaleUpLimited: 3 pods wait to be created"));
    assert_eq!(limited.count(), 1, "{:#?}", told(&server));
}

#[tokio::test(start_paused = true)]
async fn a_refused_write_of_a_claim_is_told_with_its_reason() {
    let claims = "persistentvolumeclaims";
    let (two, three) = (with_claims(2, "web:v1", true), with_claims(3, "web:v1", true));
    let create = "Warning FailedCreate: cannot create PVC data-web-";
    expect_failure(two.clone(), &three, (Method::POST, claims), create, &[]).await;
    let delete = "Warning FailedDelete: cannot delete PVC data-web-";
    expect_failure(three, &two, (Method::DELETE, claims), delete, &[]).await;

    // Without reuse the claim of a pod that somebody deletes goes with it.
    let (server, _running) = settled(with_claims(2, "web:v1", false)).await;
    refuse(&server, Method::PATCH, claims);
    let mut dying = server.objects("pods").remove(0);
    dying["metadata"]["deletionTimestamp"] = json!("2026-01-01T01:00:00Z");
    server.put("pods", dying);
    tokio::time::sleep(Duration::from_mins(1)).await;
    expect(
        &server,
        "Warning FailedUpdate: cannot make PVC data-web-",
        &["be deleted with its pod", "denied by policy example"],
    );
}
