//! The API server killed, and etcd hanging, in the middle of a rollout: it converges, and no pod is made too many.

use crate::moments::{IN_THE_MIDDLE, Moments};
use crate::rollout::{self, Operation, WEB, carry_out, is_exactly};
use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::NEW;
use e2e::waits::{Seen, until};
use e2e::{Faults, Namespace, SentLog, in_place_of_the_installed};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const PODS: u16 = 8;
/// Longer than any write waits for its answer, and than a leader may write without renewing.
const HANGS_FOR: SignedDuration = SignedDuration::from_secs(25);

#[tokio::test]
async fn an_api_server_killed_in_mid_rollout_costs_no_surplus_pod() -> Result<()> {
    let faults = Faults::of_our_cluster().await?;
    in_place_of_the_installed(async |ns, replicas| {
        let log = SentLog::from_now()?;
        let mut replica = replicas.start("first").await?;
        let mut moments = at_rest(ns).await?;
        let operation = rollout::of_all(PODS, NEW);
        ns.patch(WEB, operation.change.clone()).await?;
        let moment = moments.draw(IN_THE_MIDDLE);
        moments.after(moment).await?;
        let killed = Timestamp::now();
        // A witness would be blind from here on. The oracle that every test has goes on with the first answer.
        faults.restart("kube-apiserver").await?;
        let took = Timestamp::now().duration_since(killed);
        ns.reaches(WEB, operation.rest).await?;
        let after = Timestamp::now().duration_since(killed);
        println!("API server killed after {moment} changes: back after {took:#}, at rest after {after:#}");
        is_exactly(ns, &operation).await?;
        no_pod_too_many(&moments, &log, replica.credential(), &operation)?;
        replica.ends_well().await
    })
    .await
}

#[tokio::test]
async fn an_etcd_that_hangs_in_mid_rollout_costs_no_surplus_pod() -> Result<()> {
    let faults = Faults::of_our_cluster().await?;
    in_place_of_the_installed(async |ns, replicas| {
        let log = SentLog::from_now()?;
        let mut replica = replicas.start("first").await?;
        let mut moments = at_rest(ns).await?;
        let operation = rollout::of_all(PODS, NEW);
        let mut resumed = Timestamp::now();
        carry_out(ns, &operation, async || {
            let moment = moments.draw(IN_THE_MIDDLE);
            moments.after(moment).await?;
            let hangs = Timestamp::now();
            faults
                .paused("etcd", async || has_passed(HANGS_FOR, hangs).await)
                .await?;
            resumed = Timestamp::now();
            println!(
                "etcd hung after {moment} changes, for {:#}",
                resumed.duration_since(hangs)
            );
            Ok(())
        })
        .await?;
        let after = Timestamp::now().duration_since(resumed);
        println!("at rest {after:#} after etcd went on");
        no_pod_too_many(&moments, &log, replica.credential(), &operation)?;
        replica.ends_well().await
    })
    .await
}

async fn at_rest(ns: &Namespace) -> Result<Moments> {
    rollout::create(ns, PODS.into(), &json!({"maxUnavailable": 2})).await?;
    let mut moments = Moments::of(ns).await?;
    moments.forget_the_past();
    Ok(moments)
}

async fn has_passed(time: SignedDuration, since: Timestamp) -> Result<()> {
    until("an outage to have lasted", async || {
        let passed = Timestamp::now().duration_since(since);
        Ok(Seen::when(passed >= time, || format!("{passed:#}")))
    })
    .await
}

/// Two accounts of every pod ever made: each may have missed one in the moment of the fault, but none can invent one.
fn no_pod_too_many(moments: &Moments, log: &SentLog, credential: &str, operation: &Operation) -> Result<()> {
    let seen = moments
        .pods_seen()
        .checked_sub(PODS.into())
        .context("pods that were never seen")?;
    let made = log
        .with(credential)?
        .iter()
        .filter(|sent| sent.made_a_pod())
        .count();
    let made = made.checked_sub(PODS.into()).context("pods that nobody made")?;
    println!(
        "new pods: {seen} seen, {made} creations granted, {} needed",
        operation.created
    );
    ensure!(
        seen <= operation.created && made <= operation.created,
        "surplus pods: {seen} seen and {made} creations granted, but {} were needed",
        operation.created
    );
    Ok(())
}
