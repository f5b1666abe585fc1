//! Bad values that slipped past the rules: the CRD was first installed without them, then upgraded. Each is named
//! with field, value and rule, moves no pod that a good value would have kept, and may be put right.
//!
//! Its name puts this binary after `cloneset` and before `zz_helm`: it takes the rules away from the whole cluster
//! for a while. One test, because the CRD is one. The rules come back whatever happens.
#![allow(clippy::indexing_slicing, reason = "a failed test is the point of a panic")]

mod slips;

use crate::slips::{Slip, slips};
use anyhow::{Context as _, Result};
use e2e::fixtures::{Change, NEW, changed, cloneset};
use e2e::waits::{Seen, until};
use e2e::{Counters, Namespace, crd, failures, in_namespace};
use futures::FutureExt as _;
use futures::future::try_join_all;
use http::Method;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, resume_unwind};

/// What the chart installs.
const CRD_FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../charts/cloneset-crds/files/clonesets.apps.kruise.io.yaml"
);

#[tokio::test]
async fn values_that_slipped_in_before_the_rules_are_named_and_move_nothing_until_they_are_good() -> Result<()>
{
    in_namespace(async |ns| {
        let slips = slips();
        let real = real_versions()?;
        let older: Vec<_> = slips.iter().map(|slip| (slip, slip.name.to_owned())).collect();
        let newer: Vec<_> = slips
            .iter()
            .map(|slip| (slip, format!("new-{}", slip.name)))
            .collect();
        try_join_all(older.iter().map(|(_, name)| runs_well(ns, name))).await?;
        let before = try_join_all(older.iter().map(|(_, name)| ns.pods_of(name))).await?;

        let slipped = AssertUnwindSafe(async {
            install_versions(ns, &without_rules(real.clone()), true).await?;
            try_join_all(newer.iter().map(|(slip, name)| is_created(ns, slip, name))).await?;
            try_join_all(older.iter().map(|(slip, name)| is_changed(ns, slip, name))).await
        });
        let slipped = slipped.catch_unwind().await;
        install_versions(ns, &real, false)
            .await
            .context("the CRD may have no rules now: start a new cluster")?;
        slipped.unwrap_or_else(|panic| resume_unwind(panic))?;

        let both = older.iter().chain(&newer);
        try_join_all(both.clone().map(|(slip, name)| is_told(ns, slip, name))).await?;
        try_join_all(
            older
                .iter()
                .zip(&before)
                .map(|((_, name), before)| ns.leaves_alone(name, before)),
        )
        .await?;
        // `/scale` has a rule of its own about replicas.
        let scalable = older.iter().filter(|(slip, _)| slip.name != "replicas-negative");
        try_join_all(scalable.map(|(_, name)| still_scales(ns, name))).await?;
        try_join_all(both.map(|(slip, name)| goes_on_when_put_right(ns, slip, name))).await?;
        let released = older.iter().filter(|(slip, _)| slip.released);
        try_join_all(released.map(|(_, name)| ns.reaches(name, Counters::at_rest(2, 1)))).await?;
        Ok(())
    })
    .await
}

/// A CloneSet that was there before, of two pods, of which one is to stay on its revision.
async fn runs_well(ns: &Namespace, name: &str) -> Result<()> {
    let strategy = json!({"updateStrategy": {"partition": 1, "maxUnavailable": 1}});
    ns.create_cloneset(&cloneset(name, 2, &strategy)).await?;
    let counters = Counters {
        expected_updated: 1,
        ..Counters::at_rest(2, 2)
    };
    ns.reaches(name, counters).await.map(drop)
}

async fn is_created(ns: &Namespace, slip: &Slip, name: &str) -> Result<()> {
    let new = changed(cloneset(name, 1, &json!({})), &slip.bad(name)?);
    ns.create_cloneset(&new).await?;
    until_told(ns, slip, name).await
}

async fn is_changed(ns: &Namespace, slip: &Slip, name: &str) -> Result<()> {
    let mut bad = slip.bad(name)?;
    if slip.released {
        let containers = json!([{"name": "main", "image": NEW}]);
        bad.push(("spec.template.spec.containers", containers));
    }
    write(ns, name, &bad).await?;
    until_told(ns, slip, name).await
}

/// With the rules in force the controller can still write the status: one that was wiped away comes back.
async fn is_told(ns: &Namespace, slip: &Slip, name: &str) -> Result<()> {
    let wiped = Patch::Merge(json!({"status": {"conditions": null}}));
    ns.clonesets()
        .patch_status(name, &PatchParams::default(), &wiped)
        .await?;
    until_told(ns, slip, name).await
}

async fn until_told(ns: &Namespace, slip: &Slip, name: &str) -> Result<()> {
    let what = format!("{name} to be Stalled with {:?}", slip.message);
    ns.until_cloneset(name, &what, |object| slip.is_told_by(object))
        .await
        .map(drop)
}

/// An autoscaler is not stopped by what somebody else wrote.
async fn still_scales(ns: &Namespace, name: &str) -> Result<()> {
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let more = Patch::Merge(json!({"spec": {"replicas": 3}}));
    ns.clonesets()
        .patch_scale(name, &dry, &more)
        .await
        .context(name.to_owned())?;
    Ok(())
}

async fn goes_on_when_put_right(ns: &Namespace, slip: &Slip, name: &str) -> Result<()> {
    write(ns, name, &slip.good(name)?).await?;
    ns.until_cloneset(name, &format!("{name} to go on"), |object| {
        Counters::reported(object).is_some_and(|counters| {
            Some(counters.available) == object.spec.replicas && counters.updated >= counters.expected_updated
        }) && failures(object).is_empty()
    })
    .await
    .map(drop)
}

/// Replaces whole values, which a merge could not.
async fn write(ns: &Namespace, name: &str, changes: &[Change]) -> Result<()> {
    let operation = |(place, value): &Change| json!({"op": "add", "path": format!("/{}", place.replace('.', "/")), "value": value});
    let operations = changes.iter().map(operation).collect();
    let patch = Patch::<()>::Json(serde_json::from_value(Value::Array(operations))?);
    ns.clonesets()
        .patch(name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("{name}: {changes:?}"))?;
    Ok(())
}

/// The versions of the CRD as the chart installs it.
fn real_versions() -> Result<Value> {
    let text = std::fs::read_to_string(CRD_FILE).context(CRD_FILE)?;
    let mut crd: Value = serde_saphyr::from_str(&text).context(CRD_FILE)?;
    Ok(crd["spec"]["versions"].take())
}

/// As somebody had it who installed the CRD before it had rules.
fn without_rules(mut schema: Value) -> Value {
    const RULES: [&str; 13] = [
        // The scale subresource brings a rule of its own: replicas are not negative.
        "scale",
        "x-kubernetes-validations",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "enum",
        "minimum",
        "maximum",
        "minItems",
        "minLength",
        "pattern",
        "maxLength",
        "maxItems",
        "maxProperties",
    ];
    match &mut schema {
        Value::Object(fields) => {
            fields.retain(|name, _| !RULES.contains(&name.as_str()));
            fields
                .values_mut()
                .for_each(|value| *value = without_rules(value.take()));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| *item = without_rules(item.take())),
        _ => {}
    }
    schema
}

/// Puts versions into the CRD, which keeps all else that Helm wrote there, and waits until the API server goes by
/// them: whether it accepts a bad value says which it goes by.
async fn install_versions(ns: &Namespace, versions: &Value, lenient: bool) -> Result<()> {
    crd::merge(ns, json!({"spec": {"versions": versions}})).await?;
    let bad = [("spec.updateStrategy.partition", json!("abc"))];
    let probe = changed(cloneset("probe", 1, &json!({})), &bad);
    until("the API server to go by the new schema", async || {
        let accepted = ns.send(Method::POST, "?dryRun=All", &probe).await.is_ok();
        Ok(Seen::when(accepted == lenient, || {
            format!("a bad value accepted: {accepted}")
        }))
    })
    .await
}
