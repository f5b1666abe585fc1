//! The only write to a spec, and the only look at nodes.

use super::*;

fn naming(names: &[&str]) -> Value {
    let mut object = cloneset(3, "web:v1", 0);
    object["spec"]["scaleStrategy"] = json!({"podsToDelete": names});
    object
}

fn names(server: &Server) -> Value {
    server.objects("clonesets")[0]["spec"]["scaleStrategy"]["podsToDelete"].clone()
}

fn spec_writes(running: &Running) -> Vec<Value> {
    let writes = running.writes().into_iter();
    let of_spec = writes.filter(|write| write.writes(&Method::PATCH, "clonesets"));
    of_spec.map(|write| write.body).collect()
}

#[tokio::test(start_paused = true)]
async fn names_leave_the_spec_with_their_pods_by_a_patch_that_tests_what_was_read() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(spec_writes(&running), [Value::Null; 0]);

    let pod = server.objects("pods")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    edit(&server, &naming(&[&pod]));
    running.settle().await;
    assert!(
        server
            .objects("pods")
            .iter()
            .all(|left| left["metadata"]["name"] != pod.as_str())
    );
    assert_eq!(server.objects("pods").len(), 3);
    let list = "/spec/scaleStrategy/podsToDelete";
    assert_eq!(
        spec_writes(&running),
        [json!([
            {"op": "test", "path": "/metadata/uid", "value": "u-1"},
            {"op": "test", "path": list, "value": [pod]},
            {"op": "remove", "path": list}
        ])]
    );
    assert_eq!(running.conditions(), ["Ready=True"]);
}

/// Somebody adds a name while the patch is on its way: the test fails, and nothing that was written is lost.
#[tokio::test(start_paused = true)]
async fn a_list_that_was_changed_meanwhile_is_read_again_first() {
    let server = Server::new();
    server.put("clonesets", cloneset(3, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let pod = server.objects("pods")[0]["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let (other, added) = (server.clone(), pod.clone());
    let mut raced = false;
    server.fail(move |request| {
        if request.writes(&Method::PATCH, "clonesets") && !raced {
            raced = true;
            let (other, added) = (other.clone(), added.clone());
            // The server's state is locked while it asks.
            tokio::spawn(async move { edit(&other, &naming(&["web-ghost", &added])) });
            return Fault::Refuse(refusal(422, "Invalid", "the test failed"));
        }
        Fault::None
    });
    edit(&server, &naming(&["web-ghost"]));
    running.settle().await;
    assert_eq!(names(&server), Value::Null);
    assert!(
        server
            .objects("pods")
            .iter()
            .all(|left| left["metadata"]["name"] != pod.as_str())
    );
    assert_eq!(running.conditions(), ["Ready=True"], "a lost race is no failure");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_asked_for_once_a_template_has_topology_spread_constraints_and_not_before() {
    let server = Server::new();
    server.put("clonesets", cloneset(2, "web:v1", 0));
    let running = Running::start(&server);
    running.settle().await;
    let looks = || {
        let requests = server.requests().into_iter();
        requests.filter(|request| request.path.contains("/nodes")).count()
    };
    assert_eq!(looks(), 0);

    let mut spread = cloneset(2, "web:v1", 0);
    spread["spec"]["template"]["spec"]["topologySpreadConstraints"] = json!([{"topologyKey": "zone"}]);
    server.fail(|request| {
        if request.path.contains("/nodes") {
            Fault::Refuse(refusal(403, "Forbidden", "nodes is forbidden"))
        } else {
            Fault::None
        }
    });
    edit(&server, &spread);
    running.settle().await;
    assert_eq!(
        running.status()["updatedAvailableReplicas"],
        2,
        "who may not read nodes goes on"
    );
    assert_eq!(looks(), 1, "and does not ask again and again");
}
