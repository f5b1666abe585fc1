//! Leader election by a Lease.
//!
//! Another leader's expiry is measured by watching its Lease stay unchanged on *our* monotonic clock, never by
//! comparing wall clocks. Our own right to write ends a renew deadline after the last renewal was *sent*; it is
//! checked before every write (`design.md` 4). What is written while leading is none of this file's business.

use crate::run::Context;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

/// A standby looks so often in the time in which a leader renews once. How late it notices a renewal or a release is
/// time in which nobody leads.
const LOOKS_PER_RENEWAL: u32 = 4;

/// Until when this replica may write.
#[derive(Debug, Default)]
pub struct Leadership {
    /// `None` while not leading; far in the future without election.
    until: Mutex<Option<Instant>>,
    term: AtomicU64,
}

impl Leadership {
    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time left in which a write may be sent; `None` when it may not.
    pub fn time_left(&self) -> Option<Duration> {
        let until = (*self.lock())?;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Leads until `until`; true when a term begins: it did not lead, or its right to write had lapsed, so that work
    /// may have been passed over.
    pub fn extend(&self, until: Instant) -> bool {
        let mut stored = self.lock();
        let begins = stored.is_none_or(|old| old <= Instant::now());
        *stored = Some(until);
        if begins {
            self.term.fetch_add(1, Ordering::Relaxed);
        }
        begins
    }

    /// How often this process has become the leader.
    pub fn term(&self) -> u64 {
        self.term.load(Ordering::Relaxed)
    }

    /// Stops leading; gives whether it led before.
    pub fn end(&self) -> bool {
        self.lock().take().is_some()
    }
}

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

/// A Lease as last read, and since when it has stood unchanged.
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
}

impl Candidate {
    /// A candidate that has not looked yet.
    pub fn new(client: Client, election: Election) -> Self {
        Self {
            api: Api::namespaced(client, &election.namespace),
            election,
            observed: None,
        }
    }

    /// Gets and keeps the Lease, for ever.
    pub async fn run(&mut self, context: &Arc<Context>) {
        loop {
            let started = Instant::now();
            let mut pause = self.election.retry_period;
            match tokio::time::timeout(
                self.election.retry_period * 2,
                self.attempt(started, context.now()),
            )
            .await
            {
                Ok(Ok(true)) => {
                    if context.lead_until(started + self.election.renew_deadline) {
                        info!(
                            lease = self.election.name,
                            identity = self.election.identity,
                            "leading"
                        );
                    }
                }
                Ok(Ok(false)) => {
                    Self::step_down(context, "another replica holds the Lease");
                    pause = self.until_next_look(Instant::now());
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
            if context.leadership.time_left().is_none() {
                Self::step_down(context, "the Lease was not renewed before its deadline");
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// While somebody else leads: not later than the moment at which the Lease may be taken.
    fn until_next_look(&self, now: Instant) -> Duration {
        let often = self.election.retry_period / LOOKS_PER_RENEWAL;
        let left = self
            .observed
            .as_ref()
            .map(|seen| time_to_expiry(&seen.lease).saturating_sub(now - seen.unchanged_since));
        left.filter(|left| !left.is_zero())
            .map_or(often, |left| left.min(often))
    }

    /// After a failure: a Lease of our own must be read again before it is renewed. Somebody else's keeps the time
    /// since when it stands unchanged, or a few failed reads would put off its expiry for ever.
    fn doubt(&mut self) {
        if self
            .observed
            .as_ref()
            .is_some_and(|seen| self.is_mine(&seen.lease))
        {
            self.observed = None;
        }
    }

    fn step_down(context: &Context, why: &str) {
        if context.leadership.end() {
            warn!(why, "no longer leading");
        }
    }

    fn complain(&self, reason: &kube::Error) {
        let lease = format!("{}/{}", self.election.namespace, self.election.name);
        match reason {
            kube::Error::Api(status) if status.code == 401 || status.code == 403 => {
                error!(lease, %reason, "the service account needs get, create and update on leases");
            }
            kube::Error::Api(status) if status.is_conflict() => {
                debug!(lease, "somebody else wrote the Lease");
            }
            _ => warn!(lease, %reason, "the Lease could not be read or written"),
        }
    }

    /// One attempt to hold the Lease at `now`; true when it is held.
    async fn attempt(&mut self, now: Instant, wall: Timestamp) -> Result<bool, kube::Error> {
        if !self
            .observed
            .as_ref()
            .is_some_and(|seen| self.is_mine(&seen.lease))
        {
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
        // The resourceVersion inside makes this fail if anybody was faster.
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

    /// Gives the Lease up, so that another replica need not wait for it to expire.
    pub async fn release(mut self, wall: Timestamp) {
        let Some(Observation { mut lease, .. }) =
            self.observed.take().filter(|seen| self.is_mine(&seen.lease))
        else {
            return;
        };
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime(wall));
        }
        let params = PostParams::default();
        let replace = self.api.replace(&self.election.name, &params, &lease);
        match tokio::time::timeout(self.election.retry_period, replace).await {
            Ok(Ok(_)) => info!(lease = self.election.name, "released the Lease"),
            Ok(Err(error)) => info!(lease = self.election.name, %error, "could not release the Lease"),
            Err(_) => info!(lease = self.election.name, "could not release the Lease in time"),
        }
    }
}

/// The duration as the Lease can hold it: rounded up, so that nobody waits for a shorter time than we count on.
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

/// How long a Lease must stand unchanged before somebody else may take it.
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

    #[tokio::test(start_paused = true)]
    async fn the_right_to_write_ends_at_the_deadline_by_itself() {
        let leadership = Leadership::default();
        assert_eq!(leadership.time_left(), None);
        assert!(leadership.extend(Instant::now() + Duration::from_secs(10)));
        assert_eq!(leadership.time_left(), Some(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(leadership.time_left(), None);
        assert!(
            leadership.extend(Instant::now() + Duration::from_secs(10)),
            "work was passed over meanwhile, so a term begins"
        );
        assert!(!leadership.extend(Instant::now() + Duration::from_secs(10)));
        assert!(leadership.end(), "it still has to be told");
        assert!(!leadership.end());
    }
}
