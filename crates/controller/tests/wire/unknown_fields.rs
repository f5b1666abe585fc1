//! Fields of a template that the API server does not know: found before the first pod, reported once, never in the way.

use super::*;

/// Answers as the API server does that has never heard of `livenessProb` and `metadata.foo`.
fn strict(request: &Recorded) -> Fault {
    let is_strict = request.path.contains("dryRun=All") && request.path.contains("fieldValidation=Strict");
    let typo = &request.body["spec"]["containers"][0]["livenessProb"];
    if request.method == Method::POST && is_strict && !typo.is_null() {
        return Fault::Refuse(refusal(
            400,
            "BadRequest",
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"metadata.foo\", \
             unknown field \"spec.containers[0].livenessProb\"",
        ));
    }
    Fault::None
}

fn with_typo(image: &str) -> Value {
    let mut object = cloneset(3, image, 0);
    object["spec"]["template"]["metadata"]["foo"] = json!("bar");
    object["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = json!({});
    object
}

fn dry_runs(running: &Running) -> Vec<Recorded> {
    let writes = running.writes().into_iter();
    writes.filter(Recorded::is_rehearsal).collect()
}

fn reported(server: &Server) -> usize {
    let events = server.objects("events");
    events
        .iter()
        .filter(|event| event["reason"] == "UnknownFields")
        .count()
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_is_reported_once_on_the_first_rollout_and_the_pods_are_created() {
    let server = Server::new();
    server.fail(strict);
    server.put("clonesets", with_typo("web:v1"));
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 3);
    let message = running.condition("UnknownFields")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    let paths = "spec.template.metadata.foo, spec.template.spec.containers[0].livenessProb";
    assert!(message.contains(paths), "{message}");
    assert_eq!(running.condition("Ready")["status"], "True");
    assert_eq!(reported(&server), 1);
    let asked = dry_runs(&running);
    assert_eq!(
        asked.len(),
        2,
        "a strict one, and one that tells whether the pod would be taken"
    );
    assert_eq!(asked[0].body["metadata"]["foo"], "bar");

    // Scaling asks nothing again, and a corrected template takes the condition away.
    let mut more = with_typo("web:v1");
    more["spec"]["replicas"] = json!(5);
    edit(&server, &more);
    running.settle().await;
    assert_eq!(dry_runs(&running).len(), 2);
    edit(&server, &cloneset(5, "web:v2", 0));
    running.settle().await;
    assert_eq!(running.conditions(), ["Ready=True"]);
    assert_eq!(
        dry_runs(&running).len(),
        3,
        "one for a template without a typing error"
    );
    assert_eq!(reported(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_field_in_an_update_is_reported_and_the_update_goes_on() {
    let server = Server::new();
    server.fail(strict);
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    edit(&server, &with_typo("web:v2"));
    running.settle().await;
    assert_eq!(running.status()["updatedAvailableReplicas"], 3);
    assert_eq!(running.condition("UnknownFields")["status"], "True");
    assert_eq!(reported(&server), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_is_rejected_ends_as_a_refused_pod() {
    let server = Server::new();
    server.fail(|request| {
        if request.writes(&Method::POST, "controllerrevisions") {
            return Fault::Refuse(refusal(
                422,
                "Invalid",
                "metadata.labels: Invalid value: \"a/b/c\"",
            ));
        }
        Fault::None
    });
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(10)).await;
    let stalled = running.condition("Stalled");
    assert_eq!(stalled["reason"], "PodRefused", "{stalled}");
    assert!(
        stalled["message"]
            .as_str()
            .unwrap()
            .contains("Invalid value: \"a/b/c\"")
    );
    assert_eq!(running.condition("Reconciling"), Value::Null);
}
