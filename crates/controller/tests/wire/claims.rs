//! Claims on the wire: before their pod, after its deletion, once, and never somebody else's.

use super::*;

fn with_claims(replicas: i32, image: &str) -> Value {
    let mut object = cloneset(replicas, image, 0);
    object["spec"]["volumeClaimTemplates"] = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    }]);
    object
}

const CLAIMS: &str = "persistentvolumeclaims";

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap()
}

/// Each pod's claim exists, and there is no other.
fn each_pod_has_its_claim(server: &Server) {
    let (pods, claims) = (server.objects("pods"), server.objects(CLAIMS));
    let mut wanted: Vec<String> = pods.iter().map(|pod| format!("data-{}", name(pod))).collect();
    wanted.sort();
    assert_eq!(claims.iter().map(name).collect::<Vec<_>>(), wanted);
}

/// Position of the first write of this kind to an object of this name.
fn place(writes: &[Recorded], method: &Method, collection: &str, name: &str) -> usize {
    let is_it = |write: &Recorded| {
        write.writes(method, collection)
            && (write.body["metadata"]["name"] == name || write.path.contains(name))
    };
    writes.iter().position(is_it).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_one_write_more_and_comes_before_its_pod() {
    let server = Server::new();
    server.put("clonesets", with_claims(5, "web:v1"));
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 5);
    assert_eq!(running.count(&Method::POST, CLAIMS), 5);
    each_pod_has_its_claim(&server);
    let writes = running.writes();
    for pod in server.objects("pods") {
        let (pod, claim) = (name(&pod), format!("data-{}", name(&pod)));
        assert!(place(&writes, &Method::POST, CLAIMS, &claim) < place(&writes, &Method::POST, "pods", pod));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_makes_no_second_claim() {
    let server = Server::new();
    server.put("clonesets", with_claims(3, "web:v1"));
    let mut lost = BTreeSet::new();
    server.fail(move |request| {
        let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
        if request.writes(&Method::POST, CLAIMS) && lost.insert(name.to_owned()) {
            Fault::LoseReply
        } else {
            Fault::None
        }
    });
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 3);
    each_pod_has_its_claim(&server);
}

/// F32.
#[tokio::test(start_paused = true)]
async fn a_claim_without_its_pod_is_taken_up_by_the_next_process() {
    let server = Server::new();
    server.put("clonesets", with_claims(1, "web:v1"));
    server.fail(|request| {
        if request.writes(&Method::POST, "pods") {
            Fault::Hang
        } else {
            Fault::None
        }
    });
    let first = Running::start(&server);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        (server.objects(CLAIMS).len(), server.objects("pods").len()),
        (1, 0)
    );
    drop(first);
    server.fail(|_| Fault::None);
    let next = Running::start(&server);
    next.settle().await;
    assert_eq!(next.count(&Method::POST, CLAIMS), 1, "no second one");
    each_pod_has_its_claim(&server);
}

#[tokio::test(start_paused = true)]
async fn without_its_claim_a_pod_is_not_made_and_the_condition_says_why() {
    let server = Server::new();
    server.put("clonesets", with_claims(3, "web:v1"));
    let broken = refusal(403, "Forbidden", "exceeded quota: small");
    server.fail(move |request| {
        if request.writes(&Method::POST, CLAIMS) {
            Fault::Refuse(broken.clone())
        } else {
            Fault::None
        }
    });
    let running = Running::start(&server);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.count(&Method::POST, "pods"), 0);
    assert!(
        running.count(&Method::POST, CLAIMS) < 20,
        "one probe for each backoff"
    );
    let told = running.condition("FailedScale")["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        told.contains("cannot create PVC data-web-") && told.contains("exceeded quota"),
        "{told}"
    );
    server.fail(|_| Fault::None);
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert_eq!(running.status()["availableReplicas"], 3);
    each_pod_has_its_claim(&server);
}

/// F48.
#[tokio::test(start_paused = true)]
async fn the_name_of_somebody_elses_claim_is_passed_over() {
    let trial = Server::new();
    trial.put("clonesets", with_claims(1, "web:v1"));
    Running::start(&trial).settle().await;
    let taken = name(&trial.objects(CLAIMS)[0]).to_owned();

    let server = Server::new();
    server.put("clonesets", with_claims(1, "web:v1"));
    let foreign = json!({"metadata": {"namespace": "shop", "name": taken, "uid": "foreign"}, "spec": {}});
    server.put(CLAIMS, foreign);
    let running = Running::start(&server);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 1);
    let pods = server.objects("pods");
    assert_ne!(format!("data-{}", name(&pods[0])), taken);
    let writes_to_it = |write: &&Recorded| write.method != Method::POST && write.path.contains(&taken);
    assert_eq!(running.writes().iter().filter(writes_to_it).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn claims_follow_the_pods_that_we_delete_whatever_the_answers_are() {
    for fault in [
        Fault::None,
        Fault::LoseReply,
        Fault::Refuse(refusal(500, "InternalError", "etcd is slow")),
    ] {
        let server = Server::new();
        server.put("clonesets", with_claims(3, "web:v1"));
        let running = Running::start(&server);
        running.settle().await;
        let mut once = BTreeSet::new();
        let failing = fault.clone();
        server.fail(move |request| {
            let is_delete =
                request.writes(&Method::DELETE, "pods") || request.writes(&Method::DELETE, CLAIMS);
            if is_delete && once.insert(request.path.clone()) {
                failing.clone()
            } else {
                Fault::None
            }
        });
        let before = running.writes().len();
        edit(&server, &with_claims(3, "web:v2"));
        running.settle().await;
        assert_eq!(running.status()["updatedAvailableReplicas"], 3, "{fault:?}");
        each_pod_has_its_claim(&server);
        let writes = running.writes().split_off(before);
        for delete in writes
            .iter()
            .filter(|write| write.writes(&Method::DELETE, CLAIMS))
        {
            assert!(delete.body["preconditions"]["uid"].is_string(), "{delete:?}");
            let claim = delete
                .path
                .split(['/', '?'])
                .find(|part| part.starts_with("data-"))
                .unwrap();
            let pod = claim.strip_prefix("data-").unwrap();
            assert!(
                place(&writes, &Method::DELETE, "pods", pod) < place(&writes, &Method::DELETE, CLAIMS, claim),
                "never before its pod"
            );
        }
    }
}

/// Without a pod seen deleted by us a claim is kept, and the successor has it.
#[tokio::test(start_paused = true)]
async fn a_pod_that_somebody_deletes_leaves_its_claim_to_the_next_of_its_name() {
    let server = Server::new();
    server.put("clonesets", with_claims(2, "web:v1"));
    let running = Running::start(&server);
    running.settle().await;
    let claims = server.objects(CLAIMS);
    let pod = server.objects("pods")[0].clone();
    server.remove("pods", &pod);
    running.settle().await;
    assert_eq!(running.status()["availableReplicas"], 2);
    assert_eq!(server.objects(CLAIMS), claims);
    assert_eq!(name(&server.objects("pods")[0]), name(&pod));
}

/// What is refused for the claim of one pod is not forgotten for the claims of those that go meanwhile: the next pods would
/// take them over.
#[tokio::test(start_paused = true)]
async fn a_claim_that_cannot_be_deleted_keeps_no_other_claim() {
    let server = Server::new();
    server.put("clonesets", with_claims(3, "web:v1"));
    let running = Running::start(&server);
    running.settle().await;
    let before: Vec<String> = server
        .objects(CLAIMS)
        .iter()
        .map(|claim| name(claim).to_owned())
        .collect();
    let kept = Arc::new(Mutex::new(None::<String>));
    let first = Arc::clone(&kept);
    let no = refusal(403, "Forbidden", "claim is protected");
    server.fail(move |request| {
        if !request.writes(&Method::DELETE, CLAIMS) {
            return Fault::None;
        }
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        if *first.lock().unwrap().get_or_insert_with(|| path.clone()) == path {
            Fault::Refuse(no.clone())
        } else {
            Fault::None
        }
    });
    edit(&server, &with_claims(3, "web:v2"));
    tokio::time::sleep(Duration::from_hours(5)).await;
    assert_eq!(running.status()["updatedAvailableReplicas"], 3);
    let claims = server.objects(CLAIMS);
    let left: Vec<&str> = claims
        .iter()
        .map(name)
        .filter(|claim| before.iter().any(|old| old == claim))
        .collect();
    assert_eq!(left.len(), 1, "{left:?} of {before:?}");
    assert!(kept.lock().unwrap().as_ref().unwrap().ends_with(left[0]));
}
