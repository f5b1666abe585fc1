//! The whole status from what is true now (`behaviour.md` 7.1, `design.md` 6 deviations 6 and 7).
//!
//! Pure and total: it is computed in every pass, also in one that waits or failed, and compared with the stored
//! status to see whether a write is due. Nothing here writes.

use crate::conditions::{self, ConditionUpdate, Wanted};
use crate::counts::Counts;
use crate::kstatus::{Stall, Wishes, clear_ready, set_ready, set_stalled};
use crate::phase::{Held, Standing, phase};
use crate::progress::set_progressing;
use crate::refusal::with_advice;
use crate::why::{Problem, Runaway, Wait};
use cloneset_api::CloneSetStatus;
use cloneset_api::names::conditions as types;
use jiff::Timestamp;

/// What a status is computed from.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// Generation of the object acted on.
    pub generation: i64,
    /// Is it being deleted?
    pub deleting: bool,
    /// Pods there should be.
    pub replicas: i32,
    /// Pods that the partition wants on the update revision.
    pub expected_updated: i32,
    /// Is the update held?
    pub held: Option<Held>,
    /// `progressDeadlineSeconds`.
    pub progress_deadline: Option<i32>,
    /// The selector as text; `None` when it is not valid.
    pub label_selector: Option<String>,
    /// What is wrong with the spec.
    pub problems: &'a [Problem],
    /// The pods, counted.
    pub counts: Counts,
    /// Are there updated pods that are not available, all of which only wait for readiness gates of somebody else?
    pub awaiting_confirmation: bool,
    /// Name of the update revision; `None` while it could not be determined.
    pub update_revision: Option<&'a str>,
    /// Name of the current revision, likewise.
    pub current_revision: Option<&'a str>,
    /// How often a new revision's name was taken, in total.
    pub collision_count: Option<i32>,
    /// What is not done, and why.
    pub waits: &'a [Wait],
    /// Does creating or deleting fail?
    pub scaling: ConditionUpdate,
    /// Does updating fail?
    pub updating: ConditionUpdate,
    /// Are pods being created or deleted right now, so that the counters are about to change?
    pub moving: bool,
    /// Does the API server reject every pod of the template?
    pub rejection: ConditionUpdate,
    /// Why creation has been stopped altogether.
    pub runaway: Option<&'a Runaway>,
    /// Are `Ready` and `Reconciling` wanted?
    pub with_kstatus: bool,
}

/// The status that should be stored, given the stored one. Returns `previous` unchanged when nothing is new.
pub fn compute(previous: &CloneSetStatus, observed: Observed<'_>, now: Timestamp) -> CloneSetStatus {
    let mut status = counted(previous, &observed);
    let list = status.conditions.get_or_insert_default();
    set_failure(list, types::FAILED_SCALE, observed.scaling, now);
    set_failure(list, types::FAILED_UPDATE, observed.updating, now);
    set_runaway(list, observed.runaway, now);
    set_progressing(
        &mut status,
        previous.update_revision.as_deref(),
        observed.replicas,
        observed.held == Some(Held::Paused),
        observed.progress_deadline,
        now,
    );
    let stall = Stall::of_spec(observed.problems)
        .or_else(|| observed.runaway.map(Stall::of_runaway))
        .or_else(|| Stall::of_rejection(observed.rejection, previous))
        .or_else(|| Stall::of_deadline(&status, observed.waits));
    set_stalled(&mut status, stall.as_ref(), now);
    if observed.with_kstatus {
        let phase = phase(&Standing {
            deleting: observed.deleting,
            generation: observed.generation,
            replicas: observed.replicas,
            held: observed.held,
            awaiting_confirmation: observed.awaiting_confirmation,
            status: &status,
        });
        let waits = observed.waits;
        let wanted = Wishes {
            replicas: observed.replicas,
            moving: observed.moving,
        };
        set_ready(&mut status, &wanted, phase, stall.as_ref(), waits, now);
    } else {
        clear_ready(&mut status);
    }
    if previous.conditions.is_none() {
        status.conditions = status.conditions.filter(|list| !list.is_empty());
    }
    status
}

/// Everything but the conditions, which are the stored ones.
fn counted(previous: &CloneSetStatus, observed: &Observed<'_>) -> CloneSetStatus {
    let Counts {
        replicas,
        ready,
        available,
        updated,
        updated_ready,
        updated_available,
    } = observed.counts;
    let named =
        |name: Option<&str>, stored: &Option<String>| name.map(str::to_owned).or_else(|| stored.clone());
    CloneSetStatus {
        observed_generation: Some(observed.generation),
        replicas,
        ready_replicas: ready,
        available_replicas: available,
        updated_replicas: updated,
        updated_ready_replicas: updated_ready,
        updated_available_replicas: updated_available,
        expected_updated_replicas: observed.expected_updated,
        update_revision: named(observed.update_revision, &previous.update_revision),
        current_revision: named(observed.current_revision, &previous.current_revision),
        collision_count: observed.collision_count.or(previous.collision_count),
        conditions: previous.conditions.clone(),
        label_selector: named(observed.label_selector.as_deref(), &previous.label_selector),
    }
}

fn set_runaway(list: &mut Vec<cloneset_api::Condition>, runaway: Option<&Runaway>, now: Timestamp) {
    let Some(runaway) = runaway else {
        conditions::clear(list, types::RUNAWAY_CREATION);
        return;
    };
    let wanted = Wanted {
        type_: types::RUNAWAY_CREATION,
        status: true,
        reason: runaway.reason,
        message: runaway.message.clone(),
    };
    conditions::set(list, wanted, now);
}

fn set_failure(
    list: &mut Vec<cloneset_api::Condition>,
    type_: &'static str,
    update: ConditionUpdate,
    now: Timestamp,
) {
    match update {
        ConditionUpdate::Keep => {}
        ConditionUpdate::Clear => conditions::clear(list, type_),
        ConditionUpdate::Set(message) => {
            conditions::set(
                list,
                Wanted {
                    type_,
                    status: true,
                    reason: type_,
                    message: with_advice(message),
                },
                now,
            );
        }
    }
}

#[cfg(test)]
mod tests;
