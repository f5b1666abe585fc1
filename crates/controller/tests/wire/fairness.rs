//! CloneSets of one tenant that hang, beside one of another tenant that does not.

use super::*;

/// A CloneSet of another tenant whose pods are never created: a webhook of that tenant does not answer.
fn hanging(number: usize) -> Value {
    let mut object = cloneset(3, "web:v1", 0);
    let name = format!("slow-{number}");
    object["metadata"] = json!({"namespace": "tenant", "name": name, "uid": name, "generation": 1});
    object
}

fn beside(hangs: usize) -> (Server, Running) {
    let server = Server::new();
    server.fail(|request| {
        let hangs = request.method == Method::POST && request.path.contains("/namespaces/tenant/pods");
        if hangs { Fault::Hang } else { Fault::None }
    });
    server.put("clonesets", cloneset(2, "web:v1", 0));
    for number in 0..hangs {
        server.put("clonesets", hanging(number));
    }
    let running = Running::start(&server);
    (server, running)
}

/// Adds a replica to the healthy CloneSet; the time until the edit is carried out, as `is_done` finds. It is given the new
/// number of replicas and the new generation.
pub(crate) async fn time_of_an_edit(running: &Running, is_done: impl Fn(u64, u64) -> bool) -> Duration {
    let mut object = running.object("clonesets", "shop/web");
    let replicas = object["spec"]["replicas"].as_u64().unwrap() + 1;
    let generation = object["metadata"]["generation"].as_u64().unwrap() + 1;
    object["spec"]["replicas"] = json!(replicas);
    object["metadata"]["generation"] = json!(generation);
    running.server.put("clonesets", object);
    let start = Instant::now();
    while !is_done(replicas, generation) {
        assert!(
            start.elapsed() < Duration::from_mins(10),
            "the edit is never carried out"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_edit_waits_for_no_cloneset_of_another_tenant_that_hangs() {
    let (server, running) = beside(300);
    // While all of them are created, a while later, and when all of them have backed off.
    for pause in [1, 5, 60, 3600] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let made = |replicas, _| server.objects("pods").len() as u64 >= replicas;
        let waited = time_of_an_edit(&running, made).await;
        assert!(
            waited < Duration::from_secs(1),
            "{waited:?} after another {pause} s"
        );
    }
}

/// A reconcile ends although each of its writes hangs.
#[tokio::test(start_paused = true)]
async fn a_cloneset_whose_writes_hang_is_reconciled_again_after_its_time_limit() {
    let (server, running) = beside(1);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let mut object = running.object("clonesets", "tenant/slow-0");
    object["spec"]["replicas"] = json!(0);
    object["metadata"]["generation"] = json!(2);
    server.put("clonesets", object);
    let start = Instant::now();
    while running.object("clonesets", "tenant/slow-0")["status"]["observedGeneration"] != 2 {
        assert!(
            start.elapsed() < Duration::from_secs(16),
            "still the first reconcile"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
