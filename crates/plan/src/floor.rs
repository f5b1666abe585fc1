//! The serving floor: may this pod be taken out of service or deleted now? Scale-in, deletions the user asked for,
//! re-create updates, in-place updates and rollback by partition all ask here, and nowhere else.
//! `docs/explanation/numbers.md` explains the rules with worked examples.
//!
//! Pure arithmetic over counts. It must not know the API types, which pod comes first (`order`) or how many pods change
//! revision (`diff`). It uses nothing but std and `diff`, because `cargo xtask mutants` compiles it alone.

use crate::diff::PodFact;

/// Why a pod would leave service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is surplus, or the user asked to delete it: fewer pods are wanted, or the same version comes back.
    Removal,
    /// Another revision takes its place.
    Update,
}

/// The pods that serve now, and how many of them have to stay. Each pod that [`Self::take`] allows is counted as gone,
/// so one floor covers everything that one reconcile decides.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// R − U: pods that must serve at any time.
    least: i64,
    /// Pods that are available and stay.
    available: i64,
    /// Pods that serve and stay, available or not.
    serving: i64,
    /// All pods are of one revision.
    one_revision: bool,
}

impl Floor {
    /// The floor of a CloneSet with these pods; `one_revision`: no two of them differ in their revision.
    pub fn of(
        replicas: i32,
        max_unavailable: i32,
        one_revision: bool,
        pods: impl IntoIterator<Item = PodFact>,
    ) -> Self {
        let (mut available, mut serving) = (0, 0);
        for pod in pods {
            available += i64::from(pod.available);
            serving += i64::from(pod.serves);
        }
        Self {
            least: i64::from(replicas) - i64::from(max_unavailable),
            available,
            serving,
            one_revision,
        }
    }

    /// May the pod leave service now? If so it is counted as gone.
    ///
    /// * A pod that does not serve may always go.
    /// * A pod that serves may go while at least R − U *available* pods stay: a pod that has not been Ready for
    ///   `minReadySeconds` does not replace one that has. R = 5, U = 0, 5 old and 5 new pods Ready for a moment:
    ///   none may go.
    /// * A pod that is not available may be removed while at least R − U *serving* pods stay, if all pods are of one
    ///   revision: then none of them is better than another. R = 5, U = 1, 5 pods Ready for a moment, all to be
    ///   deleted: 1 may go.
    /// * The same holds for a pod that is Ready but that no passing of time makes available (a hook holds it, or its
    ///   lifecycle state is unknown), also for an update: otherwise such pods could never be replaced.
    pub fn take(&mut self, pod: PodFact, purpose: Purpose) -> bool {
        if !pod.serves {
            return true;
        }
        let available_stay = self.available - i64::from(pod.available);
        let serving_stay = self.serving - 1;
        let as_good_as_others = self.one_revision && purpose == Purpose::Removal || !pod.in_service;
        let allowed =
            available_stay >= self.least || !pod.available && as_good_as_others && serving_stay >= self.least;
        if allowed {
            self.available = available_stay;
            self.serving = serving_stay;
        }
        allowed
    }
}

/// How far one reconcile may update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateLimit {
    /// Pods that change revision, in either direction.
    pub update_num: i32,
    /// [`crate::diff::Diff::update_max_unavailable`], M.
    pub update_max_unavailable: i32,
    /// [`crate::diff::Targets::max_unavailable`], U.
    pub max_unavailable: i32,
    /// Pods that have the target revision already and are not available.
    pub unavailable_at_target: i32,
}

impl UpdateLimit {
    /// Walks the candidates in their order and returns the indexes of those to update now.
    ///
    /// At most max(M, U) pods of the target revision are unproven at a time, and always at least one, so that a pod that
    /// serves nothing can be replaced where no surge pod can be created. A candidate that `floor` keeps is passed over,
    /// so a broken pod behind it is still replaced. One whose update has begun and is held by a hook keeps its place among
    /// the pods to update: no other pod begins in its stead.
    ///
    /// R = 3, U = 1, candidates available, broken, available: 2 available pods must stay, so the first is passed over;
    /// the second is taken (1 unproven), and the walk ends.
    #[must_use]
    pub fn take(&self, floor: &mut Floor, candidates: impl IntoIterator<Item = PodFact>) -> Vec<usize> {
        let wanted = usize::try_from(self.update_num.unsigned_abs()).unwrap_or(usize::MAX);
        let unproven_limit = self.update_max_unavailable.max(self.max_unavailable).max(1);
        let mut unproven = self.unavailable_at_target;
        let mut taken = Vec::new();
        let mut waiting = 0_usize;
        for (index, candidate) in candidates.into_iter().enumerate() {
            if taken.len().saturating_add(waiting) >= wanted || unproven >= unproven_limit {
                break;
            }
            if floor.take(candidate, Purpose::Update) {
                taken.push(index);
            } else if candidate.preparing_update {
                waiting = waiting.saturating_add(1);
            } else {
                continue;
            }
            unproven = unproven.saturating_add(1);
        }
        taken
    }
}
