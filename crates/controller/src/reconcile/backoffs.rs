//! What failed, and when it is tried again: once for each backoff, whatever events come in between and whatever else fails.
//!
//! Bookkeeping only: what a failure means, and what is done meanwhile, is decided by the reconciler.

use crate::backoff::{Backoff, OBJECT, SERVER};
use cloneset_plan::ActionKind;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// If actions of one kind are rejected for more objects than this, the whole kind backs off.
const MOST_EXCEPTIONS: usize = 8;

/// What backs off: a kind of action, or that kind for one object only. A rejection for one object says nothing about the
/// others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackoffKey {
    kind: ActionKind,
    /// Name of the object; `None` for every object.
    object: Option<String>,
}

impl BackoffKey {
    /// This kind of action, for every object.
    pub fn kind(kind: ActionKind) -> Self {
        Self {
            kind: shared(kind),
            object: None,
        }
    }

    /// This kind of action for this object, if the object exists already. Objects to create have new names each time.
    pub fn object(kind: ActionKind, object: Option<&str>) -> Self {
        let kind = shared(kind);
        let exists = match kind {
            ActionKind::WriteRevision
            | ActionKind::DryRunPod
            | ActionKind::CreatePvc
            | ActionKind::CreatePod
            | ActionKind::PruneNames => false,
            ActionKind::DeletePod
            | ActionKind::PutInService
            | ActionKind::TakeOutOfService
            | ActionKind::ChangeInPlace
            | ActionKind::ReleasePod
            | ActionKind::DeletePvc
            | ActionKind::HandOverPvc
            | ActionKind::DeleteRevision => true,
        };
        Self {
            kind,
            object: object.filter(|_| exists).map(str::to_owned),
        }
    }
}

/// The kind whose backoff a kind shares: a pod is created with its PVCs, and its PVCs are deleted with it.
fn shared(kind: ActionKind) -> ActionKind {
    match kind {
        ActionKind::CreatePvc => ActionKind::CreatePod,
        ActionKind::HandOverPvc => ActionKind::DeletePvc,
        other => other,
    }
}

/// What failed and must not be tried yet.
#[derive(Clone, Debug)]
pub struct BackingOff {
    /// When the first of it is due.
    pub until: Instant,
    keys: BTreeSet<BackoffKey>,
}

impl BackingOff {
    /// Must this action not be tried now?
    pub fn covers(&self, key: &BackoffKey) -> bool {
        self.keys.contains(key) || self.keys.contains(&BackoffKey::kind(key.kind))
    }

    /// Must no action of this kind be tried now?
    pub fn covers_kind(&self, kind: ActionKind) -> bool {
        self.keys.contains(&BackoffKey::kind(kind))
    }

    /// Must the pod of that name not be deleted or taken out of service now?
    pub fn keeps(&self, pod: &str) -> bool {
        self.keys.iter().any(|key| {
            let object = key.object.as_deref();
            match key.kind {
                ActionKind::DeletePod => object.is_none_or(|object| object == pod),
                ActionKind::TakeOutOfService => object == Some(pod),
                _ => false,
            }
        })
    }
}

/// How often something failed in a row, and when it is due.
#[derive(Clone, Copy, Debug)]
struct Failed {
    failures: u32,
    until: Instant,
    /// Is it the API server that could not take it?
    by_server: bool,
}

/// Everything of one CloneSet that failed.
#[derive(Debug, Default)]
pub struct Backoffs {
    by_key: BTreeMap<BackoffKey, Failed>,
}

impl Backoffs {
    /// Nothing at all is tried for that long; what waits longer already goes on waiting.
    pub fn delay_everything(&mut self, delay: Duration) {
        let until = Instant::now() + delay;
        for kind in ActionKind::ALL {
            let key = BackoffKey::kind(kind);
            let known = self.by_key.get(&key).copied();
            if known.is_none_or(|known| known.until < until) {
                let failed = Failed {
                    failures: known.map_or(0, |known| known.failures),
                    until,
                    by_server: true,
                };
                self.by_key.insert(key, failed);
            }
        }
    }

    /// Ends what backs off because the API server could not take it.
    pub fn end_of_server(&mut self) {
        self.by_key.retain(|_, failed| !failed.by_server);
    }

    /// Records that each of these has failed once more; each backs off by itself. Returns the time until the first is due.
    pub fn record(&mut self, failed: &BTreeMap<BackoffKey, Backoff>, random: u64) -> Option<Duration> {
        let now = Instant::now();
        // What has not failed again for the longest backoff since it was due has succeeded, or is no longer wanted.
        self.by_key.retain(|_, failed| failed.until + OBJECT.max > now);
        let delays = failed
            .iter()
            .map(|(key, backoff)| self.fail(key, *backoff, random));
        let first = delays.min();
        for kind in ActionKind::ALL {
            let of_kind = |(key, failed): &(&BackoffKey, &Failed)| {
                key.kind == kind && key.object.is_some() && failed.until > now
            };
            let failed_now = failed.keys().any(|key| key.kind == kind);
            if failed_now && self.by_key.iter().filter(of_kind).count() > MOST_EXCEPTIONS {
                self.fail(&BackoffKey::kind(kind), OBJECT, random);
            }
        }
        first
    }

    fn fail(&mut self, key: &BackoffKey, backoff: Backoff, random: u64) -> Duration {
        let failures = self.failures_of(key).saturating_add(1);
        let delay = backoff.delay(failures, random);
        let until = Instant::now() + delay;
        let failed = Failed {
            failures,
            until,
            by_server: backoff == SERVER,
        };
        self.by_key.insert(key.clone(), failed);
        delay
    }

    fn failures_of(&self, key: &BackoffKey) -> u32 {
        self.by_key.get(key).map_or(0, |failed| failed.failures)
    }

    /// What is backing off now.
    pub fn backing_off(&self) -> Option<BackingOff> {
        let now = Instant::now();
        let waiting = self.by_key.iter().filter(|(_, failed)| failed.until > now);
        let until = waiting.clone().map(|(_, failed)| failed.until).min()?;
        Some(BackingOff {
            until,
            keys: waiting.map(|(key, _)| key.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::QUOTA;

    fn of(kind: ActionKind, object: &str) -> BackoffKey {
        BackoffKey::object(kind, Some(object))
    }

    fn failed(keys: impl IntoIterator<Item = BackoffKey>) -> BTreeMap<BackoffKey, Backoff> {
        keys.into_iter().map(|key| (key, OBJECT)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_action_backs_off_for_its_own_failures() {
        let mut backoffs = Backoffs::default();
        let stuck = failed([of(ActionKind::DeletePod, "a")]);
        for _ in 0..20 {
            backoffs.record(&stuck, 0);
        }
        assert!(backoffs.record(&stuck, 0) >= Some(OBJECT.max / 2));
        let quota = BTreeMap::from([(BackoffKey::kind(ActionKind::CreatePod), QUOTA)]);
        assert_eq!(
            backoffs.record(&quota, 0),
            Some(QUOTA.base / 2),
            "it has failed once"
        );
        let held = backoffs.backing_off().unwrap();
        assert!(held.keeps("a") && !held.keeps("b"));
        assert!(
            held.covers(&BackoffKey::kind(ActionKind::CreatePod))
                && !held.covers(&of(ActionKind::DeletePod, "b"))
        );
        tokio::time::advance(QUOTA.base).await;
        let held = backoffs.backing_off().unwrap();
        assert!(held.keeps("a") && !held.covers(&BackoffKey::kind(ActionKind::CreatePod)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_backs_off_as_a_whole_when_many_objects_are_rejected() {
        let mut backoffs = Backoffs::default();
        for at in 0..=MOST_EXCEPTIONS {
            assert!(
                !backoffs
                    .backing_off()
                    .is_some_and(|held| held.covers(&of(ActionKind::DeletePod, "other")))
            );
            backoffs.record(&failed([of(ActionKind::DeletePod, &at.to_string())]), u64::MAX);
        }
        let held = backoffs.backing_off().unwrap();
        assert!(held.covers(&of(ActionKind::DeletePod, "other")));
        assert!(!held.covers(&of(ActionKind::PutInService, "other")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_long_ago_is_forgotten() {
        let mut backoffs = Backoffs::default();
        let stuck = failed([of(ActionKind::DeletePod, "a")]);
        backoffs.record(&stuck, 0);
        let again = backoffs.record(&stuck, 0);
        assert_eq!(again, Some(OBJECT.base), "twice the half of it");
        tokio::time::advance(OBJECT.max * 2).await;
        assert_eq!(backoffs.record(&stuck, 0), Some(OBJECT.base / 2));
    }
}
