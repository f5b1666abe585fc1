//! A value that is wrong and yet got in: named with field, value and rule, and never taken for a 0 that moves all.

use anyhow::Result;
use cloneset_api::CloneSet;
use cloneset_api::names::{conditions, reasons};
use e2e::fixtures::{NEW, cloneset};
use e2e::{Counters, Namespace, condition, failures, in_namespace};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// A wrong value, what stands in the condition about it, and a right value.
struct Wrong {
    name: &'static str,
    strategy: Value,
    message: &'static str,
    right: Value,
}

fn wrong_values() -> [Wrong; 5] {
    let wrong = |name, field: &str, value: Value, message, right: Value| Wrong {
        name,
        strategy: json!({field: value}),
        message,
        right: json!({field: right}),
    };
    [
        wrong(
            "partition-abc",
            "partition",
            json!("abc"),
            "spec.updateStrategy.partition: \"abc\" must be an integer, or text like \"20%\" or \"12.5%\"",
            json!(1),
        ),
        wrong(
            "partition-below-zero",
            "partition",
            json!(-1),
            "spec.updateStrategy.partition: -1 must be 0 or more",
            json!(1),
        ),
        wrong(
            "partition-without-percent-sign",
            "partition",
            json!("5"),
            "spec.updateStrategy.partition: \"5\" must be an integer, or text like \"20%\" or \"12.5%\"",
            json!("50%"),
        ),
        wrong(
            "unavailable-abc",
            "maxUnavailable",
            json!("abc"),
            "spec.updateStrategy.maxUnavailable: \"abc\" must be an integer, or text like \"20%\" or \"12.5%\"",
            json!("12.5%"),
        ),
        wrong(
            "unavailable-below-zero",
            "maxUnavailable",
            json!("-1%"),
            "spec.updateStrategy.maxUnavailable: \"-1%\" must be 0 or more",
            json!(1),
        ),
    ]
}

async fn is_refused_until_it_is_right(ns: &Namespace, wrong: &Wrong) -> Result<()> {
    let Wrong {
        name,
        strategy,
        message,
        right,
    } = wrong;
    ns.create_cloneset(&cloneset(name, 2, &json!({"updateStrategy": {"partition": 1}})))
        .await?;
    ns.reaches(
        name,
        Counters {
            expected_updated: 1,
            ..Counters::at_rest(2, 2)
        },
    )
    .await?;
    let before = ns.pods_of(name).await?;

    let release = json!({"spec": {
        "updateStrategy": strategy,
        "template": {"spec": {"containers": [{"name": "main", "image": NEW}]}}
    }});
    ns.patch(name, release).await?;
    let stalled = ns
        .until_cloneset(name, &format!("{name} to be Stalled"), is_stalled)
        .await?;
    let condition = condition(&stalled, conditions::STALLED);
    assert_eq!(
        condition.and_then(|condition| condition.reason.as_deref()),
        Some(reasons::INVALID_SPEC)
    );
    assert_eq!(
        condition.and_then(|condition| condition.message.as_deref()),
        Some(*message)
    );
    ns.leaves_alone(name, &before).await?;

    ns.patch(name, json!({"spec": {"updateStrategy": right}})).await?;
    let moved = ns.reaches(name, Counters::at_rest(2, 1)).await?;
    assert_eq!(failures(&moved), [] as [&_; 0], "{name}");
    Ok(())
}

fn is_stalled(object: &CloneSet) -> bool {
    Counters::reported(object).is_some()
        && condition(object, conditions::STALLED).is_some_and(|condition| condition.status == "True")
}

#[tokio::test]
async fn a_wrong_limit_moves_nothing_and_is_named_until_it_is_right() -> Result<()> {
    in_namespace(async |ns| {
        let cases = wrong_values();
        try_join_all(cases.iter().map(|wrong| is_refused_until_it_is_right(ns, wrong))).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn negative_replicas_are_refused_by_the_api_server_itself() -> Result<()> {
    in_namespace(async |ns| {
        let refused = ns.create_cloneset(&cloneset("web", -3, &json!({}))).await;
        let error = refused
            .err()
            .map(|error| format!("{error:#}"))
            .unwrap_or_default();
        assert!(error.contains("spec.replicas: Invalid value: -3"), "{error:?}");
        Ok(())
    })
    .await
}
