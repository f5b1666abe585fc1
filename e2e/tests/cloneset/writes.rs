//! What a release costs the API server: the controller's own writes, from the audit log, with known numbers.

use anyhow::Result;
use e2e::audit::{Account, by_pod, controller_writes};
use e2e::fixtures::{NEW, cloneset};
use e2e::waits::{Seen, until};
use e2e::{Cluster, Counters, in_namespace};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

/// All that the controller ever writes in a user's namespace.
const ACTIONS: [&str; 10] = [
    "create pods",
    "create pods (dry run)",
    "patch pods/status",
    "delete pods",
    "create controllerrevisions",
    "patch controllerrevisions",
    "delete controllerrevisions",
    "patch clonesets/status",
    "create events",
    "patch events",
];

#[tokio::test]
async fn a_new_pod_costs_two_writes_and_a_recreated_one_three() -> Result<()> {
    in_namespace(async |ns| {
        let log = Cluster::audit_log()?;
        let account = async || {
            let writes = controller_writes(&log, |namespace| namespace == ns.name)?;
            anyhow::Ok((Account::of(&writes), by_pod(&writes)))
        };
        ns.create_cloneset(&cloneset(
            "web",
            3,
            &json!({"updateStrategy": {"maxUnavailable": 2}}),
        ))
        .await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        until(
            "three creates and three status patches, no other write to a pod",
            async || {
                let (new, _) = account().await?;
                let done = pods_only(&new) == [("create pods", 3), ("patch pods/status", 3)];
                Ok(Seen::when(done, || format!("\n{new}")))
            },
        )
        .await?;

        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let (total, pods) = until(
            "three more of both and three deletes, no other write to a pod",
            async || {
                let (total, pods) = account().await?;
                let done =
                    pods_only(&total) == [("create pods", 6), ("delete pods", 3), ("patch pods/status", 6)];
                Ok(if done {
                    Seen::Yes((total, pods))
                } else {
                    Seen::NotYet(format!("\n{total}"))
                })
            },
        )
        .await?;
        println!("writes for 3 new and 3 re-created pods:\n{total}");
        for ((_, pod), account) in &pods {
            for action in ["create pods", "patch pods/status", "delete pods"] {
                assert!(account.count(action) <= 1, "{pod}:\n{account}");
            }
        }
        assert!(
            total.count("create pods (dry run)") <= 2,
            "at most one rehearsal for each revision:\n{total}"
        );
        assert_eq!(total.count("create controllerrevisions"), 2, "{total}");
        for action in total.0.keys() {
            assert!(
                ACTIONS.contains(&action.as_str()),
                "{action} is none of the controller's business"
            );
        }
        Ok(())
    })
    .await
}

/// Writes to pods that were not rehearsals.
fn pods_only(account: &Account) -> Vec<(&str, usize)> {
    let actions = account.0.iter().map(|(action, count)| (action.as_str(), *count));
    actions
        .filter(|(action, _)| action.contains(" pods") && !action.contains("(dry run)"))
        .collect()
}

#[tokio::test]
async fn events_say_what_happened_to_which_pod_in_kruises_words_and_hold_no_pod() -> Result<()> {
    in_namespace(async |ns| {
        ns.create_cloneset(&cloneset("web", 1, &json!({}))).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        ns.set_image("web", NEW).await?;
        ns.reaches("web", Counters::at_rest(1, 1)).await?;
        let api: Api<Event> = Api::namespaced(ns.client.clone(), &ns.name);
        let events = until("events about creation and update", async || {
            let mut events = api.list(&ListParams::default()).await?.items;
            events.retain(|event| {
                event
                    .regarding
                    .as_ref()
                    .is_some_and(|object| object.kind.as_deref() == Some("CloneSet"))
            });
            let reasons: Vec<_> = events.iter().filter_map(|event| event.reason.clone()).collect();
            let complete = ["SuccessfulCreate", "SuccessfulUpdatePodReCreate"]
                .iter()
                .all(|wanted| reasons.iter().any(|reason| reason == wanted));
            Ok(if complete {
                Seen::Yes(events)
            } else {
                Seen::NotYet(format!("{reasons:?}"))
            })
        })
        .await?;
        for event in events {
            let note = event.note.unwrap_or_default();
            assert!(note.contains("web-"), "{note:?} names no pod");
            assert!(
                !note.contains('{') && note.len() < 1024,
                "{note:?} is not a sentence"
            );
        }
        Ok(())
    })
    .await
}
