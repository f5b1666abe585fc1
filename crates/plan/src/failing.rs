//! Pods that fail soon after they are created: how long the controller waits before it creates the next ones, and which
//! finished pods it deletes.
//!
//! Both follow from the creation times of the finished pods that are kept, so a restart of the controller changes
//! nothing. Which pods are missing is `diff`'s business.

use crate::action::{Action, DeleteReason, PodDeletion};
use crate::context::Context;
use cloneset_api::names::labels;
use cloneset_status::{Pod, Wait};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The first pause, and the least time between two waves of creation that count as two.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// The longest pause.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// Finished pods that are kept for each CloneSet, so that users can read their status and logs.
const KEPT: usize = 5;

/// Pods of one revision that failed, and until when no more are created for it.
pub(crate) struct Pause {
    until: Timestamp,
    pod: String,
    why: String,
}

impl Pause {
    /// So many pods are not created now.
    pub(crate) fn wait(&self, pods: i32) -> Wait {
        Wait::PodsFail {
            pods,
            until: self.until,
            pod: self.pod.clone(),
            why: self.why.clone(),
        }
    }
}

/// The pauses of the two revisions that pods are created for.
pub(crate) struct Pauses {
    pub(crate) current: Option<Pause>,
    pub(crate) update: Option<Pause>,
}

impl Pauses {
    pub(crate) fn of(context: &Context<'_>) -> Self {
        let finished: Vec<&Arc<Pod>> = finished(context).collect();
        if finished.is_empty() {
            return Self {
                current: None,
                update: None,
            };
        }
        let revisions = context.revisions;
        let of = |has: &dyn Fn(&Pod) -> bool| {
            let failed = finished.iter().filter(|pod| has(pod)).map(AsRef::as_ref);
            pause(failed.collect(), context.now)
        };
        let update = |pod: &Pod| revisions.is_new(pod);
        let current = |pod: &Pod| pod.has_revision(&revisions.current.name);
        Self {
            current: if revisions.current_is_update() {
                of(&update)
            } else {
                of(&current)
            },
            update: of(&update),
        }
    }
}

fn finished<'a>(context: &Context<'a>) -> impl Iterator<Item = &'a Arc<Pod>> {
    context.snapshot.pods.iter().filter(|pod| pod.is_finished())
}

fn created(pod: &Pod) -> Option<Timestamp> {
    pod.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// Each pause is twice as long as the time between the last two waves, counted from the creation of the newest failed
/// pod: 10 s, 20 s, 40 s and so on, 5 minutes at the most. Pods that run for longer than 5 minutes before they fail are
/// replaced at once, and a failure more than 10 minutes after the one before counts as the first.
fn pause(mut failed: Vec<&Pod>, now: Timestamp) -> Option<Pause> {
    failed.sort_by_key(|pod| (created(pod).map(Reverse), pod.name()));
    let pod = *failed.first()?;
    let newest = created(pod)?;
    let mut last = newest;
    let mut before = None;
    for at in failed.iter().filter_map(|pod| created(pod)) {
        if last.duration_since(at) >= FIRST_PAUSE {
            before = Some(at);
            break;
        }
        last = at;
    }
    let between = before.map(|before| newest.duration_since(before));
    let between = between.filter(|between| *between <= LONGEST_PAUSE.saturating_mul(2));
    let pause = between
        .map_or(FIRST_PAUSE, |between| between.saturating_mul(2))
        .clamp(FIRST_PAUSE, LONGEST_PAUSE);
    let until = newest.checked_add(pause).ok()?;
    (until > now).then(|| Pause {
        until,
        pod: pod.name().to_owned(),
        why: pod.end(),
    })
}

/// Deletes all finished pods but the newest few. Of each revision the newest pods of its last two waves are kept first,
/// because the pause follows from them.
///
/// A pod that hook `preDelete` holds stays, and so does one whose deletion was denied a moment ago.
pub(crate) fn surplus(context: &Context<'_>) -> Vec<Action> {
    let mut all: Vec<&Arc<Pod>> = finished(context).filter(|pod| !pod.is_terminating()).collect();
    if all.len() <= KEPT {
        return Vec::new();
    }
    all.sort_by_key(|pod| (created(pod).map(Reverse), pod.name()));
    let kept = kept(&all);
    let hook = context.desired.hooks.pre_delete.as_ref();
    let may_go = |pod: &&Arc<Pod>| {
        !kept.contains(pod.uid())
            && !context.snapshot.kept_pods.contains(pod.name())
            && hook.is_none_or(|hook| !hook.holds(pod))
    };
    let deletion = |pod: &Arc<Pod>| {
        Action::DeletePod(PodDeletion {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
            why: DeleteReason::Finished,
        })
    };
    // The oldest first.
    all.into_iter().rev().filter(may_go).map(deletion).collect()
}

/// UIDs of the pods that are kept; the pods come newest first.
fn kept<'a>(all: &[&'a Arc<Pod>]) -> BTreeSet<&'a str> {
    let mut waves: HashMap<&str, (Option<Timestamp>, usize)> = HashMap::new();
    let mut kept = BTreeSet::new();
    for pod in all {
        let revision = pod.label(labels::REVISION).unwrap_or_default();
        let (last, count) = waves.entry(revision).or_default();
        let at = created(pod);
        let is_later = last
            .zip(at)
            .is_none_or(|(last, at)| last.duration_since(at) >= FIRST_PAUSE);
        *last = at;
        *count += usize::from(is_later);
        if is_later && *count <= 2 && kept.len() < KEPT {
            kept.insert(pod.uid());
        }
    }
    for pod in all {
        if kept.len() >= KEPT {
            break;
        }
        kept.insert(pod.uid());
    }
    kept
}
