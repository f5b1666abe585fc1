//! What is refused for one pod: nothing of it holds the others back.

use super::server::key_of;
use super::*;

/// One pod whose deletion somebody refuses must not hold every update back for ever.
#[tokio::test(start_paused = true)]
async fn a_pod_whose_deletion_is_refused_does_not_stop_the_release_of_the_others() {
    let server = Server::new();
    let mut first = cloneset(4, "web:v1", 0);
    first["spec"]["updateStrategy"]["maxUnavailable"] = json!(2);
    server.put("clonesets", first.clone());
    let running = Running::start(&server);
    running.settle().await;
    let mut kept = server.objects("pods")[0].clone();
    let name = kept["metadata"]["name"].as_str().unwrap().to_owned();
    let no = refusal(403, "Forbidden", "pod is protected");
    let protected = name.clone();
    server.fail(move |r| {
        if r.method == Method::DELETE && r.path.contains(&protected) {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    kept["metadata"]["labels"]["apps.kruise.io/specified-delete"] = json!("true");
    server.put("pods", kept);
    tokio::time::sleep(Duration::from_mins(10)).await;
    first["spec"]["template"]["spec"]["containers"][0]["image"] = json!("web:v2");
    edit(&server, &first);
    tokio::time::sleep(Duration::from_hours(5)).await;
    assert_eq!(
        running.status()["updatedReplicas"],
        3,
        "all but the protected one"
    );
}

/// One pod whose status nobody may patch must not keep new pods out of service.
#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_be_put_in_service_does_not_keep_the_others_out() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let pod = server.objects("pods")[0].clone();
    let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
    let no = refusal(403, "Forbidden", "pod is protected");
    server.fail(move |r| {
        if r.method == Method::PATCH && r.path.contains(&name) {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    let mut pod = pod;
    pod["metadata"]["labels"]
        .as_object_mut()
        .unwrap()
        .remove("pod-template-hash");
    server.put("pods", pod);
    tokio::time::sleep(Duration::from_hours(2)).await;
    let other = server.objects("pods").remove(1);
    server.state.lock().unwrap().vanish("pods", &key_of(&other));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(running.status()["availableReplicas"], 2, "20 s later");
}

/// Whoever forbids changes of specs (GitOps) does not make a healthy set a failed one: names left on the list harm nobody.
#[tokio::test(start_paused = true)]
async fn names_that_cannot_be_taken_off_the_list_are_no_failure_of_the_set() {
    let server = Server::new();
    let mut spec = cloneset(2, "web:v1", 0);
    server.put("clonesets", spec.clone());
    let running = Running::start(&server);
    running.settle().await;
    let no = refusal(403, "Forbidden", "specs are changed by pull request only");
    server.fail(move |request| {
        if request.writes(&Method::PATCH, "clonesets") {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    let pods = server.objects("pods");
    spec["spec"]["scaleStrategy"] = json!({"podsToDelete": [pods[0]["metadata"]["name"]]});
    edit(&server, &spec);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(running.status()["availableReplicas"], 2);
    assert_eq!(running.conditions(), ["Ready=True"]);
}
