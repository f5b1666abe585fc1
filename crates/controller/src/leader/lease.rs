//! Leader election by a Lease.
//!
//! Another leader's Lease has expired once it has stayed unchanged for its duration on this replica's own monotonic clock;
//! wall clocks are never compared. This replica's right to write ends a renew deadline after the last renewal was *sent*.
//! This file writes nothing but the Lease.

use crate::chain::Chain;
use crate::clock::Clock;
use crate::leader::leadership::Leadership;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// How often a standby reads the Lease while the leader renews it once. A release that it notices late is time without a
/// leader.
const LOOKS_PER_RENEWAL: u32 = 4;

/// Conflicts in a row after which the Lease is read again only after a pause.
const CONFLICTS: u32 = 3;
/// The same failure is logged again after this time.
const LOG_AGAIN: Duration = Duration::from_mins(1);

/// Names and times of the election.
#[derive(Clone, Debug)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub name: String,
    /// This replica.
    pub identity: String,
    /// How long others wait for a leader that does not renew.
    pub lease_duration: Duration,
    /// How long a leader keeps writing without having renewed.
    pub renew_deadline: Duration,
    /// Time between attempts.
    pub retry_period: Duration,
}

/// A Lease as last read, and since when it has been unchanged.
#[derive(Clone, Debug)]
struct Observation {
    lease: Lease,
    unchanged_since: Instant,
}

/// Takes part in the election.
pub struct Candidate {
    api: Api<Lease>,
    election: Election,
    observed: Option<Observation>,
    /// The failure that was logged last, and when.
    complained: Option<(String, Instant)>,
}

impl Candidate {
    /// A candidate that has not looked yet.
    pub fn new(client: Client, election: Election) -> Self {
        Self {
            api: Api::namespaced(client, &election.namespace),
            election,
            observed: None,
            complained: None,
        }
    }

    /// Acquires and renews the Lease while `is_fit`, and releases it otherwise; never ends. A replica that could not act on
    /// its cache must not keep the Lease from one that can.
    pub async fn run(&mut self, leadership: &Leadership, clock: &Clock, is_fit: &(dyn Fn() -> bool + Sync)) {
        let mut conflicts: u32 = 0;
        loop {
            let started = Instant::now();
            let mut pause = self.election.retry_period;
            if !is_fit() {
                if leadership.end() {
                    warn!("no longer leading: the cache is too old to act on");
                }
                self.release(clock()).await;
                tokio::time::sleep(pause).await;
                continue;
            }
            match tokio::time::timeout(self.election.retry_period * 2, self.attempt(started, clock())).await {
                Ok(Ok(true)) => {
                    if leadership.extend(started + self.election.renew_deadline) {
                        info!(
                            lease = self.election.name,
                            identity = self.election.identity,
                            "leading"
                        );
                    }
                }
                Ok(Ok(false)) => {
                    Self::step_down(leadership, "another replica holds the Lease");
                    pause = self.until_next_look(Instant::now());
                }
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() && conflicts < CONFLICTS => {
                    // Another replica wrote the Lease. Which one, and until when, shows at once.
                    debug!(lease = self.election.name, "another replica wrote the Lease");
                    conflicts = conflicts.saturating_add(1);
                    self.doubt();
                    continue;
                }
                Ok(Err(reason)) => {
                    self.complain(&reason);
                    self.doubt();
                }
                Err(_) => {
                    warn!(
                        lease = self.election.name,
                        "the Lease could not be read or written in time"
                    );
                    self.doubt();
                }
            }
            conflicts = 0;
            if leadership.time_left().is_none() {
                Self::step_down(leadership, "the Lease was not renewed before its deadline");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// While another replica leads: no later than the moment at which the Lease may be taken.
    fn until_next_look(&self, now: Instant) -> Duration {
        let often = self.election.retry_period / LOOKS_PER_RENEWAL;
        let left = self
            .observed
            .as_ref()
            .map(|seen| time_to_expiry(&seen.lease).saturating_sub(now - seen.unchanged_since));
        left.filter(|left| !left.is_zero())
            .map_or(often, |left| left.min(often))
    }

    /// After a failure, a Lease of our own must be read again before it is renewed. For another replica's, the time since
    /// when it is unchanged is kept, or a few failed reads would put off its expiry without end.
    fn doubt(&mut self) {
        if self.holds() {
            self.observed = None;
        }
    }

    fn step_down(leadership: &Leadership, why: &str) {
        if leadership.end() {
            warn!(why, "no longer leading");
        }
    }

    /// Logs a failure, and the same one again only after a while.
    fn complain(&mut self, error: &kube::Error) {
        let reason = Chain(error).to_string();
        let is_known = |(known, at): &(String, Instant)| *known == reason && at.elapsed() < LOG_AGAIN;
        if self.complained.as_ref().is_some_and(is_known) {
            return;
        }
        self.complained = Some((reason.clone(), Instant::now()));
        let lease = format!("{}/{}", self.election.namespace, self.election.name);
        match error {
            kube::Error::Api(status) if status.code == 401 || status.code == 403 => {
                error!(
                    lease,
                    reason,
                    "cannot read or write the Lease: the service account needs get, create and update on leases"
                );
            }
            _ => warn!(lease, reason, "cannot read or write the Lease"),
        }
    }

    /// One attempt to hold the Lease at `now`; true when it is held.
    async fn attempt(&mut self, now: Instant, wall: Timestamp) -> Result<bool, kube::Error> {
        if !self.holds() {
            self.look().await?;
        }
        let Some(seen) = &self.observed else {
            let lease = self.lease_to_hold(None, wall);
            let held = self.api.create(&PostParams::default(), &lease).await?;
            self.observed = Some(Observation {
                lease: held,
                unchanged_since: now,
            });
            return Ok(true);
        };
        if !self.is_mine(&seen.lease) && now - seen.unchanged_since < time_to_expiry(&seen.lease) {
            return Ok(false);
        }
        let lease = self.lease_to_hold(Some(&seen.lease), wall);
        // The resourceVersion inside makes this a conflict if another replica was faster.
        let held = self
            .api
            .replace(&self.election.name, &PostParams::default(), &lease)
            .await?;
        self.observed = Some(Observation {
            lease: held,
            unchanged_since: now,
        });
        Ok(true)
    }

    async fn look(&mut self) -> Result<(), kube::Error> {
        let Some(lease) = self.api.get_opt(&self.election.name).await? else {
            self.observed = None;
            return Ok(());
        };
        let unchanged = self
            .observed
            .as_ref()
            .is_some_and(|seen| seen.lease.metadata.resource_version == lease.metadata.resource_version);
        if !unchanged {
            // Until the API server answered, the leader may have renewed: its time is counted from here.
            self.observed = Some(Observation {
                lease,
                unchanged_since: Instant::now(),
            });
        }
        Ok(())
    }

    fn is_mine(&self, lease: &Lease) -> bool {
        holder(lease) == Some(self.election.identity.as_str())
    }

    fn lease_to_hold(&self, previous: Option<&Lease>, wall: Timestamp) -> Lease {
        let mut lease = previous.cloned().unwrap_or_default();
        lease.metadata.name = Some(self.election.name.clone());
        lease.metadata.namespace = Some(self.election.namespace.clone());
        let wall = Some(MicroTime(wall));
        let old = lease.spec.unwrap_or_default();
        let keeps = old.holder_identity.as_deref() == Some(self.election.identity.as_str());
        let transitions = old.lease_transitions.unwrap_or(0);
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: i32::try_from(whole_seconds(self.election.lease_duration)).ok(),
            acquire_time: if keeps { old.acquire_time } else { wall.clone() },
            renew_time: wall,
            lease_transitions: Some(if keeps {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        });
        lease
    }

    /// Releases the Lease if this replica holds it, so that another one need not wait for it to expire.
    pub async fn release(&mut self, wall: Timestamp) {
        if !self.holds() {
            return;
        }
        let released = tokio::time::timeout(self.election.retry_period, self.try_release(wall)).await;
        match released {
            Ok(Ok(())) => info!(lease = self.election.name, "released the Lease"),
            Ok(Err(error)) => {
                info!(lease = self.election.name, error = %Chain(&error), "could not release the Lease");
            }
            Err(_) => info!(lease = self.election.name, "could not release the Lease in time"),
        }
        self.observed = None;
    }

    fn holds(&self) -> bool {
        self.observed
            .as_ref()
            .is_some_and(|seen| self.is_mine(&seen.lease))
    }

    /// A renewal that was cut off may have been carried out: then the first attempt is a conflict, and the Lease is read
    /// again.
    async fn try_release(&mut self, wall: Timestamp) -> Result<(), kube::Error> {
        for _ in 0..2 {
            let Some(mut lease) = self.observed.as_ref().map(|seen| seen.lease.clone()) else {
                return Ok(());
            };
            if let Some(spec) = lease.spec.as_mut() {
                spec.holder_identity = Some(String::new());
                spec.lease_duration_seconds = Some(1);
                spec.renew_time = Some(MicroTime(wall));
            }
            let params = PostParams::default();
            match self.api.replace(&self.election.name, &params, &lease).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {
                    self.look().await?;
                    if !self.holds() {
                        return Ok(());
                    }
                }
                result => return result.map(drop),
            }
        }
        Ok(())
    }
}

/// The duration as the Lease can hold it: rounded up, so that no replica waits for a shorter time than the leader writes.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Who holds it.
pub(crate) fn holder(lease: &Lease) -> Option<&str> {
    lease
        .spec
        .as_ref()?
        .holder_identity
        .as_deref()
        .filter(|holder| !holder.is_empty())
}

/// How long a Lease must stay unchanged before another replica may take it.
pub(crate) fn time_to_expiry(lease: &Lease) -> Duration {
    let held = lease.spec.as_ref().filter(|_| holder(lease).is_some());
    let seconds = held.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(identity: &str) -> Lease {
        Lease {
            spec: Some(LeaseSpec {
                holder_identity: Some(identity.to_owned()),
                lease_duration_seconds: Some(15),
                lease_transitions: Some(3),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        }
    }

    #[test]
    fn a_lease_may_be_taken_when_released_or_unchanged_for_its_duration() {
        assert_eq!(time_to_expiry(&held_by("")), Duration::ZERO);
        assert_eq!(time_to_expiry(&Lease::default()), Duration::ZERO);
        assert_eq!(time_to_expiry(&held_by("other")), Duration::from_secs(15));
    }
}
