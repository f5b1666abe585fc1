//! What failed, and when it is due again: one probe for each backoff, whatever events come in between and whatever else
//! fails.
//!
//! Bookkeeping only: what a failure means, and what is done meanwhile, is `reconcile`'s business.

use crate::backoff::{Backoff, OBJECT};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// So many objects that one kind of work is refused for at a time are no exceptions: then the kind waits.
const MOST_EXCEPTIONS: usize = 8;

/// A kind of work, as far as its failures go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Writing a revision; nothing else can be done without it.
    Revision,
    /// Trying out a pod of a new revision; no pod makes place for it before.
    Rehearsal,
    /// Creating pods.
    Create,
    /// Deleting pods.
    Delete,
    /// Putting pods in service.
    PutInService,
    /// Taking pods out of service, or holding them.
    TakeOut,
    /// Changing pods in place.
    ChangeInPlace,
    /// Giving pods up.
    Release,
    /// Taking the names of pods that are gone off the spec.
    Prune,
    /// Deleting claims, and making them go with their pods.
    Claims,
    /// Deleting revisions.
    Trim,
}

impl Work {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Rehearsal,
        Self::Revision,
        Self::Create,
        Self::Delete,
        Self::PutInService,
        Self::TakeOut,
        Self::ChangeInPlace,
        Self::Release,
        Self::Prune,
        Self::Claims,
        Self::Trim,
    ];
}

/// Something to do: a kind of work, or that kind of work on one object. What is refused for one object says nothing
/// about the others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Task {
    /// The kind.
    pub work: Work,
    /// Name of the object; `None` for every one.
    pub object: Option<String>,
}

impl From<Work> for Task {
    fn from(work: Work) -> Self {
        Self { work, object: None }
    }
}

/// What failed and is not due yet.
#[derive(Clone, Debug)]
pub struct Held {
    /// When the first of them is due again.
    pub until: Instant,
    tasks: BTreeSet<Task>,
}

impl Held {
    /// Is this not to be tried now?
    pub fn covers(&self, task: &Task) -> bool {
        self.tasks.contains(task) || self.tasks.contains(&task.work.into())
    }

    /// Is the pod of that name not to be deleted now, or not to be taken out of service?
    pub fn keeps(&self, pod: &str) -> bool {
        self.tasks.iter().any(|task| {
            let object = task.object.as_deref();
            match task.work {
                Work::Delete => object.is_none_or(|object| object == pod),
                Work::TakeOut => object == Some(pod),
                _ => false,
            }
        })
    }
}

/// What failed so often in a row is due at that time.
#[derive(Clone, Copy, Debug)]
struct Hold {
    failures: u32,
    until: Instant,
}

/// Everything of one CloneSet that failed.
#[derive(Debug, Default)]
pub struct Holds {
    by_task: BTreeMap<Task, Hold>,
}

impl Holds {
    /// Nothing at all is tried for that long.
    pub fn hold_everything(&mut self, delay: Duration) {
        let until = Instant::now() + delay;
        for work in Work::ALL {
            let failures = self.failures_of(&work.into());
            self.by_task.insert(work.into(), Hold { failures, until });
        }
    }

    /// Each of these has failed once more and waits for its own time. Gives the time until the first is due.
    pub fn have_failed(&mut self, tasks: &BTreeMap<Task, Backoff>, random: u64) -> Option<Duration> {
        let now = Instant::now();
        // What has not failed again since it was due for the longest backoff has come right, or nobody wants it now.
        self.by_task.retain(|_, hold| hold.until + OBJECT.max > now);
        let delays = tasks
            .iter()
            .map(|(task, backoff)| self.fail(task, *backoff, random));
        let first = delays.min();
        for work in Work::ALL {
            let of_kind = |(task, hold): &(&Task, &Hold)| {
                task.work == work && task.object.is_some() && hold.until > now
            };
            let failed_now = tasks.keys().any(|task| task.work == work);
            if failed_now && self.by_task.iter().filter(of_kind).count() > MOST_EXCEPTIONS {
                self.fail(&work.into(), OBJECT, random);
            }
        }
        first
    }

    fn fail(&mut self, task: &Task, backoff: Backoff, random: u64) -> Duration {
        let failures = self.failures_of(task).saturating_add(1);
        let delay = backoff.delay(failures, random);
        let until = Instant::now() + delay;
        self.by_task.insert(task.clone(), Hold { failures, until });
        delay
    }

    fn failures_of(&self, task: &Task) -> u32 {
        self.by_task.get(task).map_or(0, |hold| hold.failures)
    }

    /// What is held now, and until when.
    pub fn held(&self) -> Option<Held> {
        let now = Instant::now();
        let held = self.by_task.iter().filter(|(_, hold)| hold.until > now);
        let until = held.clone().map(|(_, hold)| hold.until).min()?;
        Some(Held {
            until,
            tasks: held.map(|(task, _)| task.clone()).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::QUOTA;

    fn of(work: Work, object: &str) -> Task {
        Task {
            work,
            object: Some(object.to_owned()),
        }
    }

    fn failed(tasks: impl IntoIterator<Item = Task>) -> BTreeMap<Task, Backoff> {
        tasks.into_iter().map(|task| (task, OBJECT)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_task_waits_for_its_own_failures() {
        let mut holds = Holds::default();
        let stuck = failed([of(Work::Delete, "a")]);
        for _ in 0..20 {
            holds.have_failed(&stuck, 0);
        }
        assert!(holds.have_failed(&stuck, 0) >= Some(OBJECT.max / 2));
        let quota = BTreeMap::from([(Work::Create.into(), QUOTA)]);
        assert_eq!(
            holds.have_failed(&quota, 0),
            Some(QUOTA.base / 2),
            "it has failed once"
        );
        let held = holds.held().unwrap();
        assert!(held.keeps("a") && !held.keeps("b"));
        assert!(held.covers(&Work::Create.into()) && !held.covers(&of(Work::Delete, "b")));
        tokio::time::advance(QUOTA.base).await;
        let held = holds.held().unwrap();
        assert!(held.keeps("a") && !held.covers(&Work::Create.into()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_many_objects_waits_as_a_whole() {
        let mut holds = Holds::default();
        for at in 0..=MOST_EXCEPTIONS {
            assert!(
                !holds
                    .held()
                    .is_some_and(|held| held.covers(&of(Work::Delete, "other")))
            );
            holds.have_failed(&failed([of(Work::Delete, &at.to_string())]), u64::MAX);
        }
        let held = holds.held().unwrap();
        assert!(held.covers(&of(Work::Delete, "other")));
        assert!(!held.covers(&of(Work::PutInService, "other")));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_of_long_ago_is_forgotten() {
        let mut holds = Holds::default();
        let stuck = failed([of(Work::Delete, "a")]);
        holds.have_failed(&stuck, 0);
        let again = holds.have_failed(&stuck, 0);
        assert_eq!(again, Some(OBJECT.base), "twice the half of it");
        tokio::time::advance(OBJECT.max * 2).await;
        assert_eq!(holds.have_failed(&stuck, 0), Some(OBJECT.base / 2));
    }
}
