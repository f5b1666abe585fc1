//! Two replicas: how soon the other acts when the leader is killed or told to end, and that a leader that was stopped
//! sends nothing when it goes on. With the times the installed controllers have.

use crate::moments::{IN_THE_MIDDLE, Moments};
use crate::rollout::{self, Operation, WEB, witness};
use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{NEW, OLD};
use e2e::waits::{Seen, until};
use e2e::{Counters, Limits, Namespace, Replica, Replicas, Sent, SentLog, in_place_of_the_installed};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::LeaseSpec;
use serde_json::json;

/// How much later than it must a standby may act.
const MARGIN: SignedDuration = SignedDuration::from_secs(1);
/// Much longer than a Lease lasts.
const STOPPED_FOR: SignedDuration = SignedDuration::from_secs(40);

#[tokio::test]
async fn a_killed_leader_is_followed_within_a_second_of_the_end_of_its_lease() -> Result<()> {
    in_place_of_the_installed(async |ns, replicas| {
        let log = SentLog::from_now()?;
        let (mut leader, mut standby) = pair(ns, replicas, 2).await?;
        let witness = witness(ns, NEW, limits(2, 4)).await?;
        let gone = Timestamp::now();
        leader.kill().await?;
        let lease = replicas.lease().await?;
        let first = first_pod_by(&standby, &log, scale(ns, 4)).await?;
        let (waited, lasted) = (first.at.duration_since(gone), duration(&lease)?);
        println!("leader killed: the other acted after {waited:#} (the Lease lasts {lasted:#})");
        ensure!(waited <= lasted + MARGIN, "too late: {waited:#} after the kill");
        let renewed = lease.renew_time.context("a Lease that was never renewed")?.0;
        ensure!(
            first.at.duration_since(renewed) >= lasted,
            "too early: the Lease was renewed at {renewed} and lasts {lasted:#}, and the other wrote: {first}"
        );
        ns.reaches(WEB, Counters::at_rest(4, 4)).await?;
        witness.finish().await?;
        standby.ends_well().await
    })
    .await
}

#[tokio::test]
async fn a_leader_told_to_end_is_followed_within_a_second() -> Result<()> {
    in_place_of_the_installed(async |ns, replicas| {
        let log = SentLog::from_now()?;
        let (mut leader, mut standby) = pair(ns, replicas, 2).await?;
        let witness = witness(ns, NEW, limits(2, 4)).await?;
        let told = Timestamp::now();
        leader.ends_well().await?;
        let ended = Timestamp::now().duration_since(told);
        let first = first_pod_by(&standby, &log, scale(ns, 4)).await?;
        let waited = first.at.duration_since(told);
        println!("leader told to end: it ended after {ended:#}, the other acted after {waited:#}");
        ensure!(
            waited <= MARGIN,
            "too late: {waited:#} after SIGTERM, {ended:#} of it to end"
        );
        ns.reaches(WEB, Counters::at_rest(4, 4)).await?;
        witness.finish().await?;
        standby.ends_well().await
    })
    .await
}

#[tokio::test]
async fn a_leader_stopped_in_mid_rollout_for_forty_seconds_sends_nothing_when_it_goes_on() -> Result<()> {
    in_place_of_the_installed(async |ns, replicas| {
        let log = SentLog::from_now()?;
        let (mut leader, mut standby) = pair(ns, replicas, 8).await?;
        let mut moments = Moments::of(ns).await?;
        let stopped = stop_in(ns, &leader, &mut moments, &rollout::of_all(8, NEW)).await?;
        ns.reaches(WEB, Counters::at_rest(8, 8)).await?;
        let finished = Timestamp::now().duration_since(stopped);
        println!("the other had finished the rollout {finished:#} after the stop");
        renewed_by(replicas, &standby, stopped + STOPPED_FOR).await?;

        let resumed = Timestamp::now();
        leader.resume()?;
        // Work for a leader, and it has news of 40 seconds to go through.
        ns.set_image(WEB, OLD).await?;
        ns.reaches(WEB, Counters::at_rest(8, 8)).await?;
        renewed_by(replicas, &standby, resumed + SignedDuration::from_secs(5)).await?;
        standby.ends_well().await?;
        let again = first_pod_by(&leader, &log, scale(ns, 10)).await?;
        ns.reaches(WEB, Counters::at_rest(10, 10)).await?;
        leader.ends_well().await?;
        silent_until_it_led(&log.with(leader.credential())?, resumed, &again)
    })
    .await
}

/// Starts an operation, stops the leader in the midst of it, and says when.
async fn stop_in(
    ns: &Namespace,
    leader: &Replica,
    moments: &mut Moments,
    operation: &Operation,
) -> Result<Timestamp> {
    let moment = moments.draw(IN_THE_MIDDLE);
    moments.forget_the_past();
    ns.patch(WEB, operation.change.clone()).await?;
    moments.after(moment).await?;
    leader.pause()?;
    println!("leader stopped after {moment} changes of {}", operation.what);
    Ok(Timestamp::now())
}

/// A leader, a standby that is up to date, and so many pods at rest.
async fn pair(ns: &Namespace, replicas: &Replicas, pods: i32) -> Result<(Replica, Replica)> {
    let leader = replicas.start("first").await?;
    replicas.led_by(&leader).await?;
    let standby = replicas.start("second").await?;
    rollout::create(ns, pods, &json!({"maxUnavailable": 2})).await?;
    replicas.led_by(&leader).await?;
    Ok((leader, standby))
}

/// From so many available pods to so many pods, none of them updated.
fn limits(available: usize, live: usize) -> Limits {
    Limits {
        live,
        available,
        updated: 0,
    }
}

async fn scale(ns: &Namespace, replicas: i32) -> Result<()> {
    ns.patch(WEB, json!({"spec": {"replicas": replicas}}))
        .await
        .map(drop)
}

fn duration(lease: &LeaseSpec) -> Result<SignedDuration> {
    let seconds = lease
        .lease_duration_seconds
        .context("a Lease without a duration")?;
    Ok(SignedDuration::from_secs(seconds.into()))
}

/// The first pod that a replica makes after a change.
async fn first_pod_by(
    replica: &Replica,
    log: &SentLog,
    change: impl Future<Output = Result<()>>,
) -> Result<Sent> {
    let before = log.with(replica.credential())?.len();
    change.await?;
    let what = format!("{} to make a pod", replica.identity());
    until(&what, async || {
        let sent = log.with(replica.credential())?;
        let made = sent.iter().skip(before).find(|sent| sent.made_a_pod()).cloned();
        Ok(made.map_or_else(|| Seen::NotYet(format!("{} requests", sent.len())), Seen::Yes))
    })
    .await
}

/// Waits until a replica has renewed the Lease after a moment.
async fn renewed_by(replicas: &Replicas, leader: &Replica, moment: Timestamp) -> Result<()> {
    let what = format!("{} to lead after {moment}", leader.identity());
    until(&what, async || {
        let lease = replicas.led_by(leader).await?;
        let renewed = lease.renew_time.as_ref().is_some_and(|time| time.0 >= moment);
        Ok(Seen::when(renewed, || format!("{lease:?}")))
    })
    .await
}

/// From when it went on to its next term, a replica asks for nothing but the Lease, and does not get it.
fn silent_until_it_led(sent: &[Sent], resumed: Timestamp, again: &Sent) -> Result<()> {
    let since: Vec<_> = sent.iter().filter(|sent| sent.at >= resumed).collect();
    let leads = since
        .iter()
        .find(|sent| sent.is_about_leading() && sent.was_done());
    let leads = leads.context("it never got the Lease again")?.at;
    ensure!(leads <= again.at, "it wrote before it led: {again}");
    let between: Vec<_> = since.iter().filter(|sent| sent.at < leads).collect();
    for sent in &between {
        println!("sent while it did not lead: {sent}");
        ensure!(sent.is_about_leading(), "it did not lead and sent {sent}");
    }
    println!(
        "after {STOPPED_FOR:#} it sent {} requests, all about the Lease",
        between.len()
    );
    Ok(())
}
