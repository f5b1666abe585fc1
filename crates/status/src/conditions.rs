//! Setting conditions without noise: times move only when something changed, and never finer than seconds.
//!
//! Which condition is true is decided elsewhere; this file only knows how a list of them is kept.

use cloneset_api::Condition;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A condition as it should read now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Type.
    pub type_: &'static str,
    /// True or False.
    pub status: bool,
    /// One word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

/// What a reconcile says about a condition that reports failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConditionUpdate {
    /// Nothing: what an earlier reconcile found stays.
    #[default]
    Keep,
    /// Nothing fails any more.
    Clear,
    /// This fails, with this message.
    Set(String),
}

/// Sets a condition. Equal status, reason and message leave it untouched; an equal status keeps the transition
/// time; the changed condition moves to the end of the list (`behaviour.md` 7.3).
pub fn set(conditions: &mut Vec<Condition>, wanted: Wanted, now: Timestamp) {
    let Wanted {
        type_,
        status,
        reason,
        message,
    } = wanted;
    let status = if status { "True" } else { "False" };
    let old = conditions
        .iter()
        .position(|condition| condition.type_ == type_)
        .map(|at| conditions.remove(at));
    let now = Some(Time(whole_seconds(now)));
    let (last_transition_time, last_update_time) = match old {
        Some(old)
            if old.status == status
                && old.reason.as_deref() == Some(reason)
                && old.message.as_deref() == Some(message.as_str()) =>
        {
            conditions.push(old);
            return;
        }
        Some(old) if old.status == status => (old.last_transition_time, now),
        _ => (now.clone(), now),
    };
    conditions.push(Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_update_time,
        last_transition_time,
        reason: Some(reason.to_owned()),
        message: Some(message),
    });
}

/// Removes a condition.
pub fn clear(conditions: &mut Vec<Condition>, type_: &str) {
    conditions.retain(|condition| condition.type_ != type_);
}

/// The API server stores seconds; a finer time would never compare equal to what it gives back.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(status: bool, reason: &'static str, message: &str) -> Wanted {
        Wanted {
            type_: "T",
            status,
            reason,
            message: message.to_owned(),
        }
    }

    fn times(condition: &Condition) -> (i64, i64) {
        let second = |time: &Option<Time>| time.as_ref().unwrap().0.as_second();
        (
            second(&condition.last_transition_time),
            second(&condition.last_update_time),
        )
    }

    #[test]
    fn scenario_230_times_move_only_with_what_changed() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut conditions = Vec::new();
        for (now, step, expected) in [
            (1, wanted(true, "A", "m"), (1, 1)),
            (2, wanted(true, "A", "m"), (1, 1)),
            (3, wanted(true, "A", "other"), (1, 3)),
            (4, wanted(true, "B", "other"), (1, 4)),
            (5, wanted(false, "B", "other"), (5, 5)),
        ] {
            set(&mut conditions, step, at(now));
            assert_eq!(times(&conditions[0]), expected, "at {now}");
            assert_eq!(conditions.len(), 1);
        }
        clear(&mut conditions, "T");
        assert!(conditions.is_empty());
    }

    #[test]
    fn an_unchanged_condition_keeps_the_list_equal_and_fractions_of_seconds_are_dropped() {
        let mut conditions = Vec::new();
        set(
            &mut conditions,
            wanted(true, "A", "m"),
            "2026-01-01T00:00:00.7Z".parse().unwrap(),
        );
        let before = conditions.clone();
        set(
            &mut conditions,
            wanted(true, "A", "m"),
            "2026-01-01T00:00:09Z".parse().unwrap(),
        );
        assert_eq!(conditions, before);
        assert_eq!(
            before[0].last_update_time.as_ref().unwrap().0.to_string(),
            "2026-01-01T00:00:00Z"
        );
    }
}
