//! A field whose behaviour is not built is refused visibly: named in a condition, and no pod is changed.

use anyhow::{Result, ensure};
use cloneset_api::CloneSet;
use cloneset_api::names::{conditions, reasons};
use e2e::fixtures::{NEW, OLD, cloneset, with};
use e2e::pods::image;
use e2e::{Counters, Namespace, condition, failures, in_namespace};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// A field, as the condition names it, with a value that asks for its behaviour and a patch that takes it back.
struct Field {
    name: &'static str,
    path: &'static str,
    set: Value,
    unset: Value,
}

fn fields() -> Vec<Field> {
    let top = |name, path, key: &str, value: Value| Field {
        name,
        path,
        set: json!({key: value}),
        unset: json!({key: null}),
    };
    let claims = json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    }]);
    vec![top(
        "claims",
        "spec.volumeClaimTemplates",
        "volumeClaimTemplates",
        claims,
    )]
}

async fn stalls(ns: &Namespace, field: &Field) -> Result<()> {
    let what = format!("{} to be Stalled over {}", field.name, field.path);
    let stalled = ns
        .until_cloneset(field.name, &what, |object: &CloneSet| {
            let condition = condition(object, conditions::STALLED);
            Counters::reported(object).is_some()
                && condition.is_some_and(|condition| condition.status == "True")
        })
        .await?;
    let condition = condition(&stalled, conditions::STALLED);
    assert_eq!(
        condition.and_then(|condition| condition.reason.as_deref()),
        Some(reasons::NOT_YET_SUPPORTED)
    );
    let message = condition
        .and_then(|condition| condition.message.clone())
        .unwrap_or_default();
    ensure!(
        message.starts_with(&format!("{}: ", field.path))
            && message.ends_with("is not supported by this version"),
        "{}: the condition says {message:?}",
        field.name
    );
    Ok(())
}

async fn is_refused_while_running(ns: &Namespace, field: &Field) -> Result<()> {
    ns.create_cloneset(&cloneset(field.name, 1, &json!({}))).await?;
    ns.reaches(field.name, Counters::at_rest(1, 1)).await?;
    let before = ns.pods_of(field.name).await?;

    let containers = json!([{"name": "main", "image": NEW}]);
    let release = with(
        json!({"replicas": 2, "template": {"spec": {"containers": containers}}}),
        &field.set,
    );
    ns.patch(field.name, json!({"spec": release})).await?;
    stalls(ns, field).await?;
    ns.leaves_alone(field.name, &before).await?;

    ns.patch(field.name, json!({"spec": field.unset})).await?;
    let moved = ns.reaches(field.name, Counters::at_rest(2, 2)).await?;
    assert_eq!(failures(&moved), [] as [&_; 0], "{}", field.name);
    let pods = ns.pods_of(field.name).await?;
    assert!(pods.iter().all(|pod| image(pod) == NEW), "{}", field.name);
    Ok(())
}

async fn is_refused_from_the_start(ns: &Namespace, field: &Field) -> Result<()> {
    ns.create_cloneset(&cloneset(field.name, 1, &field.set)).await?;
    stalls(ns, field).await?;
    ns.leaves_alone(field.name, &[]).await?;

    ns.patch(field.name, json!({"spec": field.unset})).await?;
    let started = ns.reaches(field.name, Counters::at_rest(1, 1)).await?;
    assert_eq!(failures(&started), [] as [&_; 0], "{}", field.name);
    assert!(ns.pods_of(field.name).await?.iter().all(|pod| image(pod) == OLD));
    Ok(())
}

#[tokio::test]
async fn a_field_without_behaviour_stops_a_running_set_until_it_is_removed() -> Result<()> {
    in_namespace(async |ns| {
        let fields = fields();
        try_join_all(fields.iter().map(|field| is_refused_while_running(ns, field))).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_field_without_behaviour_keeps_a_new_set_from_creating_pods_until_it_is_removed() -> Result<()> {
    in_namespace(async |ns| {
        let fields = fields();
        try_join_all(fields.iter().map(|field| is_refused_from_the_start(ns, field))).await?;
        Ok(())
    })
    .await
}
