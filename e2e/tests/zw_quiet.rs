//! Silence: when every CloneSet is as it should be, the controller asks the API server for nothing.
//!
//! The audit log tells of the whole cluster, so nothing else may run meanwhile. Cargo runs test binaries one after
//! another in the order of their names, and this one must come before those that change the CRD and the release.

use anyhow::Result;
use e2e::audit::{Account, Request, controller_requests};
use e2e::fixtures::{NEW, cloneset};
use e2e::waits::{Seen, until};
use e2e::{Cluster, Counters, Namespace, in_namespace};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

/// How long nothing may happen. The subject of the test, and measured by the log's own clock.
const SILENCE: SignedDuration = SignedDuration::from_secs(60);

#[tokio::test]
async fn for_sixty_seconds_there_is_no_write_but_to_the_lease_and_no_read_but_of_the_lease_and_watches()
-> Result<()> {
    in_namespace(async |ns| {
        // At rest, and at rest half-way.
        ns.create_cloneset(&cloneset("done", 2, &json!({}))).await?;
        ns.create_cloneset(&cloneset("held", 3, &json!({"updateStrategy": {"partition": 2}})))
            .await?;
        ns.reaches("done", Counters::at_rest(2, 2)).await?;
        let expected = Counters {
            expected_updated: 1,
            ..Counters::at_rest(3, 3)
        };
        ns.reaches("held", expected).await?;
        ns.set_image("held", NEW).await?;
        ns.reaches("held", Counters::at_rest(3, 1)).await?;
        earlier_tests_are_gone(ns).await?;

        let log = Cluster::audit_log()?;
        let at_rest = Timestamp::now();
        let seen = until("sixty seconds of silence in the audit log", async || {
            let mut requests = controller_requests(&log)?;
            requests.retain(|request| request.received >= at_rest);
            let clock = requests.iter().map(|request| request.received).max();
            let (idle, busy): (Vec<_>, Vec<_>) = requests.into_iter().partition(is_idle);
            let quiet_since = busy
                .iter()
                .map(|request| request.received)
                .max()
                .unwrap_or(at_rest);
            let silence = clock.unwrap_or(at_rest).duration_since(quiet_since);
            Ok(if silence >= SILENCE {
                Seen::Yes(Account::of(&idle))
            } else {
                Seen::NotYet(format!(
                    "{} s of silence after:\n{}",
                    silence.as_secs(),
                    Account::of(&busy)
                ))
            })
        })
        .await?;
        println!("the controller at rest:\n{seen}");
        Ok(())
    })
    .await
}

/// What a controller at rest may do: keep its lease, and watch.
fn is_idle(request: &Request) -> bool {
    let about_a_lease = request
        .object_ref
        .as_ref()
        .is_some_and(|object| object.resource == "leases");
    about_a_lease || request.verb == "watch"
}

/// Their pods keep the controller busy until they are gone.
async fn earlier_tests_are_gone(ns: &Namespace) -> Result<()> {
    let namespaces: Api<v1::Namespace> = Api::all(ns.client.clone());
    until("the namespaces of earlier tests to be gone", async || {
        let mut going = namespaces.list(&ListParams::default()).await?.items;
        going.retain(|namespace| namespace.metadata.deletion_timestamp.is_some());
        let names: Vec<_> = going.iter().map(kube::ResourceExt::name_any).collect();
        Ok(Seen::when(names.is_empty(), || {
            format!("{names:?} are terminating")
        }))
    })
    .await
}
