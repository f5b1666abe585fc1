//! Which pods go first, seen from outside: the order of updates by priority and scatter, and of scale-in by topology.

use anyhow::{Context as _, Result};
use cloneset_api::names::labels::POD_TEMPLATE_HASH;
use e2e::fixtures::{NEW, OLD, cloneset, with};
use e2e::pods::{image, is_live};
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, in_namespace};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Labels the pods of a CloneSet, in the order of their names; an empty value labels nothing. Gives their names once the
/// controller has seen the labels: after them the last pod loses a label of the controller's own, which it puts back.
async fn label(ns: &Namespace, cloneset: &str, key: &str, values: &[&str]) -> Result<Vec<String>> {
    let mut names: Vec<String> = ns.pods_of(cloneset).await?.iter().map(Pod::name_any).collect();
    names.sort_unstable();
    for (name, value) in names.iter().zip(values).filter(|(_, value)| !value.is_empty()) {
        let labels = Patch::Merge(json!({"metadata": {"labels": {key: value}}}));
        ns.pods()
            .patch_metadata(name, &PatchParams::default(), &labels)
            .await?;
    }
    let last = names.last().context("no pods to label")?;
    let lost = Patch::Merge(json!({"metadata": {"labels": {POD_TEMPLATE_HASH: null}}}));
    ns.pods()
        .patch_metadata(last, &PatchParams::default(), &lost)
        .await?;
    until("the controller to put its label back", async || {
        let pod = ns.pods().get(last).await?;
        Ok(Seen::when(pod.labels().contains_key(POD_TEMPLATE_HASH), || {
            "it is gone".to_owned()
        }))
    })
    .await?;
    Ok(names)
}

fn names_with(pods: &[Pod], of: &str) -> BTreeSet<String> {
    let of_image = pods.iter().filter(|pod| is_live(pod) && image(pod) == of);
    of_image.map(Pod::name_any).collect()
}

/// Sets image and partition together, and waits until all has come to rest.
async fn release(ns: &Namespace, name: &str, replicas: i32, updated: i32) -> Result<Vec<Pod>> {
    let containers = json!([{"name": "main", "image": NEW}]);
    let change = json!({
        "updateStrategy": {"partition": replicas - updated}, "template": {"spec": {"containers": containers}}
    });
    ns.patch(name, json!({"spec": change})).await?;
    ns.reaches(name, Counters::at_rest(replicas, updated)).await?;
    let pods = ns.pods_of(name).await?;
    Ok(pods.into_iter().filter(is_live).collect())
}

#[tokio::test]
async fn a_release_goes_through_the_pods_in_the_order_of_their_label() -> Result<()> {
    in_namespace(async |ns| {
        let strategy = json!({
            "partition": "100%", "maxUnavailable": 1,
            "priorityStrategy": {"orderPriority": [{"orderedKey": "shard"}]}
        });
        ns.create_cloneset(&cloneset("web", 4, &json!({"updateStrategy": strategy})))
            .await?;
        let held = Counters::at_rest(4, 4);
        ns.reaches(
            "web",
            Counters {
                expected_updated: 0,
                ..held
            },
        )
        .await?;
        let names = label(ns, "web", "shard", &["db-2", "db-10", "", "db-1"]).await?;

        let mut left: BTreeSet<String> = names.iter().cloned().collect();
        let mut order = Vec::new();
        for updated in 1..=4 {
            let pods = release(ns, "web", 4, updated).await?;
            let still = names_with(&pods, OLD);
            order.extend(left.difference(&still).cloned());
            left = still;
        }
        let expected: Vec<&String> = [2, 1, 0, 3]
            .iter()
            .filter_map(|place| names.get(*place))
            .collect();
        assert_eq!(
            order.iter().collect::<Vec<_>>(),
            expected,
            "without the label first, then the highest number"
        );
        Ok(())
    })
    .await
}

/// Two of four pods are preferred, and half of them are updated at once: with scatter one of the two, without both.
async fn preferred_among_the_first_two(ns: &Namespace, name: &str, scatter: Value) -> Result<usize> {
    let strategy = json!({
        "partition": "100%", "maxUnavailable": "100%", "scatterStrategy": scatter,
        "priorityStrategy": {"weightPriority": [{"weight": 100, "matchSelector": {"matchLabels": {"tier": "gold"}}}]}
    });
    ns.create_cloneset(&cloneset(name, 4, &json!({"updateStrategy": strategy})))
        .await?;
    let held = Counters::at_rest(4, 4);
    ns.reaches(
        name,
        Counters {
            expected_updated: 0,
            ..held
        },
    )
    .await?;
    let names = label(ns, name, "tier", &["gold", "", "gold", ""]).await?;
    let pods = release(ns, name, 4, 2).await?;
    let old = names_with(&pods, OLD);
    let gold = [0, 2].iter().filter_map(|place| names.get(*place));
    Ok(gold.filter(|name| !old.contains(*name)).count())
}

#[tokio::test]
async fn weights_prefer_pods_and_scatter_spreads_them_over_the_release() -> Result<()> {
    in_namespace(async |ns| {
        let scatter = json!([{"key": "tier", "value": "gold"}]);
        let (preferred, scattered) = tokio::try_join!(
            preferred_among_the_first_two(ns, "preferred", Value::Null),
            preferred_among_the_first_two(ns, "scattered", scatter),
        )?;
        assert_eq!((preferred, scattered), (2, 1));
        Ok(())
    })
    .await
}

/// One node holds every pod, so whatever topology there is says nothing: the cheaper pod goes. That nodes may be listed
/// and watched shows in the audit log.
#[tokio::test]
async fn scale_in_with_topology_spread_constraints_still_goes_by_deletion_cost_first() -> Result<()> {
    in_namespace(async |ns| {
        let mut spec = with(json!({}), &json!({"updateStrategy": {"maxUnavailable": 1}}));
        spec["template"] = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "containers": [{"name": "main", "image": OLD}],
                "topologySpreadConstraints": [{
                    "topologyKey": "kubernetes.io/hostname", "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app": "web"}}
                }]
            }
        });
        ns.create_cloneset(&cloneset("web", 3, &spec)).await?;
        ns.reaches("web", Counters::at_rest(3, 3)).await?;
        let cheap = ns.pods_of("web").await?.first().context("no pod")?.name_any();
        let cost = Patch::Merge(json!({"metadata": {"annotations": {
            "controller.kubernetes.io/pod-deletion-cost": "-1"
        }}}));
        ns.pods().patch_metadata(&cheap, &PatchParams::default(), &cost).await?;
        ns.patch("web", json!({"spec": {"replicas": 2}})).await?;
        ns.reaches("web", Counters::at_rest(2, 2)).await?;
        let left = names_with(&ns.pods_of("web").await?, OLD);
        assert!(!left.contains(&cheap), "{cheap} stayed: {left:?}");
        Ok(())
    })
    .await
}
