//! Statuses from facts.

use super::*;
use crate::why::Verdict;

fn observed() -> Observed<'static> {
    Observed {
        generation: 3,
        deleting: false,
        replicas: 5,
        expected_updated: 2,
        held: None,
        progress_deadline: None,
        label_selector: Some("app=web".into()),
        problems: &[],
        counts: Counts {
            replicas: 5,
            ready: 4,
            available: 3,
            updated: 2,
            updated_ready: 1,
            updated_available: 1,
        },
        awaiting_confirmation: false,
        update_revision: Some("web-new"),
        current_revision: Some("web-old"),
        collision_count: None,
        waits: &[],
        scaling: ConditionUpdate::Keep,
        updating: ConditionUpdate::Keep,
        moving: false,
        rejection: ConditionUpdate::Keep,
        runaway: None,
        with_kstatus: false,
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

#[test]
fn computing_twice_from_the_same_facts_changes_nothing() {
    let mut failing = observed();
    failing.scaling = ConditionUpdate::Set("no quota".into());
    let once = compute(&CloneSetStatus::default(), failing.clone(), at(1));
    assert_eq!(compute(&once, failing, at(2)), once);
}

#[test]
fn a_failure_is_kept_until_the_same_kind_of_work_succeeds() {
    let step = |previous: &CloneSetStatus, scaling| {
        compute(
            previous,
            Observed {
                scaling,
                ..observed()
            },
            at(1),
        )
        .conditions
        .unwrap_or_default()
        .len()
    };
    let failed = compute(
        &CloneSetStatus::default(),
        Observed {
            scaling: ConditionUpdate::Set("no quota".into()),
            ..observed()
        },
        at(1),
    );
    assert_eq!(failed.conditions.as_ref().unwrap()[0].type_, "FailedScale");
    assert_eq!(
        step(&failed, ConditionUpdate::Keep),
        1,
        "a pass that did not scale says nothing about it"
    );
    assert_eq!(step(&failed, ConditionUpdate::Clear), 0);
}

#[test]
fn every_problem_is_named_and_the_condition_goes_with_the_last() {
    let problem = |field, verdict| Problem {
        field,
        value: "\"x\"".into(),
        rule: "better".into(),
        verdict,
    };
    let problems = [
        problem("spec.a", Verdict::InvalidCautious),
        problem("spec.b", Verdict::InvalidBlocking),
    ];
    let stalled = compute(
        &CloneSetStatus::default(),
        Observed {
            problems: &problems,
            ..observed()
        },
        at(1),
    );
    let condition = &stalled.conditions.as_ref().unwrap()[0];
    assert_eq!(condition.reason.as_deref(), Some("InvalidSpec"));
    assert_eq!(
        condition.message.as_deref(),
        Some("spec.a: \"x\" must be better; spec.b: \"x\" must be better")
    );
    assert_eq!(compute(&stalled, observed(), at(2)).conditions, Some(vec![]));
}

/// The rules by which `helm --wait` and Flux judge a kind they do not know (kstatus, `status/generic.go`).
fn kstatus(status: &CloneSetStatus, generation: i64) -> &'static str {
    if status.observed_generation != Some(generation) {
        return "InProgress";
    }
    let holds = |type_: &str| {
        status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == type_)
            .map(|condition| condition.status == "True")
    };
    if holds("Reconciling") == Some(true) {
        "InProgress"
    } else if holds("Stalled") == Some(true) {
        "Failed"
    } else if holds("Ready") == Some(false) {
        "InProgress"
    } else {
        "Current"
    }
}

/// `replicas` pods, all of them available, `updated` of them updated.
fn serving(replicas: i32, updated: i32) -> Counts {
    Counts {
        replicas,
        ready: replicas,
        available: replicas,
        updated,
        updated_ready: updated,
        updated_available: updated,
    }
}

fn ready(status: &CloneSetStatus) -> (&str, &str) {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready")
        .unwrap();
    (&condition.status, condition.reason.as_deref().unwrap())
}

fn judged() -> Observed<'static> {
    Observed {
        with_kstatus: true,
        counts: serving(5, 2),
        ..observed()
    }
}

/// Of the five pods, one is not available.
fn one_down(updated: i32) -> Counts {
    Counts {
        available: 4,
        ready: 4,
        ..serving(5, updated)
    }
}

fn assert_judged(what: &str, observed: Observed<'_>, verdict: &str, expected_ready: (&str, &str)) {
    let status = compute(&CloneSetStatus::default(), observed, at(1));
    assert_eq!(kstatus(&status, 3), verdict, "{what}: {status:?}");
    assert_eq!(ready(&status), expected_ready, "{what}");
}

#[test]
fn generic_tools_go_on_when_it_is_where_somebody_wanted_it() {
    let all = Observed {
        counts: serving(5, 5),
        expected_updated: 5,
        ..judged()
    };
    let none = Observed {
        counts: serving(0, 0),
        replicas: 0,
        expected_updated: 0,
        ..judged()
    };
    let held = |held| Observed {
        counts: serving(5, 1),
        held: Some(held),
        ..judged()
    };
    for (what, observed, reason) in [
        ("the partition is reached", judged(), "PartitionReached"),
        ("all is updated", all, "Healthy"),
        ("nothing to run", none, "Healthy"),
        ("paused half-way", held(Held::Paused), "Paused"),
        ("waiting for deletions", held(Held::OnDelete), "OnDelete"),
    ] {
        assert_judged(what, observed, "Current", ("True", reason));
    }
}

#[test]
fn generic_tools_wait_while_something_is_under_way() {
    let updating = Observed {
        counts: serving(5, 1),
        ..judged()
    };
    let down = Observed {
        counts: one_down(2),
        ..judged()
    };
    let paused = Observed {
        counts: one_down(1),
        held: Some(Held::Paused),
        ..judged()
    };
    let awaiting = Observed {
        awaiting_confirmation: true,
        ..down.clone()
    };
    let short = Observed {
        counts: serving(3, 2),
        scaling: ConditionUpdate::Set("no quota".into()),
        ..judged()
    };
    let failing = Observed {
        updating: ConditionUpdate::Set("no".into()),
        ..judged()
    };
    for (what, observed, reason) in [
        ("updating", updating, "Progressing"),
        ("a pod is down", down, "Progressing"),
        ("paused with a pod down", paused, "Progressing"),
        ("waiting for a person", awaiting, "AwaitingConfirmation"),
        ("no quota", short, "FailedScale"),
        ("failing updates", failing, "FailedUpdate"),
    ] {
        assert_judged(what, observed, "InProgress", ("False", reason));
    }
}

#[test]
fn generic_tools_give_up_when_only_a_change_can_help() {
    let problem = [Problem {
        field: "spec.a",
        value: "\"x\"".into(),
        rule: "better".into(),
        verdict: Verdict::InvalidCautious,
    }];
    let invalid = Observed {
        problems: &problem,
        ..judged()
    };
    let refused = Observed {
        rejection: ConditionUpdate::Set("no".into()),
        ..judged()
    };
    let vanishing = Runaway::vanishing(9);
    let runaway = Observed {
        runaway: Some(&vanishing),
        ..judged()
    };
    for (what, observed, reason) in [
        ("a bad value", invalid, "InvalidSpec"),
        ("refused pods", refused, "PodRefused"),
        ("runaway", runaway, "RunawayCreation"),
    ] {
        assert_judged(what, observed, "Failed", ("False", reason));
    }
}

#[test]
fn why_it_waits_stands_in_the_message() {
    let waits = [
        Wait::ScalingFirst,
        Wait::AwaitingConfirmation {
            pods: 1,
            gate: "example.com/on".into(),
        },
    ];
    let status = compute(
        &CloneSetStatus::default(),
        Observed {
            with_kstatus: true,
            waits: &waits,
            ..observed()
        },
        at(1),
    );
    let message = |type_: &str| {
        let mut list = status.conditions.iter().flatten();
        list.find(|c| c.type_ == type_).unwrap().message.clone().unwrap()
    };
    let expected = "5 pods, 3 available; 2 of 2 updated, 1 of these available; 1 updated pod waits for readiness gate \
                    example.com/on to be opened";
    assert_eq!(
        (message("Ready").as_str(), message("Reconciling").as_str()),
        (expected, expected)
    );
}

#[test]
fn a_refusal_is_remembered_until_a_pod_was_taken() {
    let step = |previous: &CloneSetStatus, rejection| {
        compute(
            previous,
            Observed {
                rejection,
                ..observed()
            },
            at(1),
        )
    };
    let refused = step(
        &CloneSetStatus::default(),
        ConditionUpdate::Set("bad port".into()),
    );
    let stalled = |status: &CloneSetStatus| {
        let found = status
            .conditions
            .iter()
            .flatten()
            .find(|c| c.type_ == "Stalled")
            .cloned();
        found.map(|c| (c.reason.unwrap(), c.message.unwrap()))
    };
    assert_eq!(stalled(&refused), Some(("PodRefused".into(), "bad port".into())));
    assert_eq!(step(&refused, ConditionUpdate::Keep), refused);
    assert_eq!(stalled(&step(&refused, ConditionUpdate::Clear)), None);
}

#[test]
fn a_missed_deadline_stalls_and_is_not_ready() {
    let waiting = Observed {
        with_kstatus: true,
        progress_deadline: Some(10),
        ..observed()
    };
    let before = compute(&CloneSetStatus::default(), waiting.clone(), at(0));
    assert_eq!(kstatus(&before, 3), "InProgress");
    let after = compute(&before, waiting, at(11));
    assert_eq!(kstatus(&after, 3), "Failed");
    assert_eq!(ready(&after), ("False", "ProgressDeadlineExceeded"));
}

fn message<'a>(status: &'a CloneSetStatus, type_: &str) -> &'a str {
    let mut list = status.conditions.iter().flatten();
    let found = list.find(|condition| condition.type_ == type_);
    found
        .and_then(|found| found.message.as_deref())
        .unwrap_or_default()
}

/// The numbers are those of the columns TOTAL, UPDATED and UPDATED_AVAILABLE of `kubectl get`.
#[test]
fn the_numbers_in_a_message_are_those_of_the_columns() {
    for ((total, available, updated, updated_available), replicas, expected, told) in [
        ((5, 5, 2, 2), 5, 2, "5 pods, all available; 2 of 2 updated"),
        ((5, 5, 5, 5), 5, 2, "5 pods, all available; all updated"),
        ((10, 10, 10, 10), 10, 8, "10 pods, all available; all updated"),
        ((5, 5, 3, 3), 5, 2, "5 pods, all available; 3 updated (2 desired)"),
        (
            (5, 3, 2, 0),
            5,
            2,
            "5 pods, 3 available; 2 of 2 updated, 0 of these available",
        ),
        ((5, 4, 5, 4), 5, 5, "5 pods, 4 available; 5 of 5 updated"),
        (
            (7, 5, 2, 0),
            5,
            5,
            "7 pods (5 desired), 5 available; 2 of 5 updated, 0 of these available",
        ),
        ((1, 1, 1, 1), 1, 1, "1 pod, available; 1 of 1 updated"),
        ((0, 0, 0, 0), 0, 0, "0 pods"),
        ((0, 0, 0, 0), 3, 3, "0 pods (3 desired); 0 of 3 updated"),
    ] {
        let counts = Counts {
            replicas: total,
            ready: available,
            available,
            updated,
            updated_ready: updated_available,
            updated_available,
        };
        let observed = Observed {
            replicas,
            expected_updated: expected,
            counts,
            ..judged()
        };
        let status = compute(&CloneSetStatus::default(), observed, at(1));
        assert_eq!(message(&status, "Ready"), told);
    }
}

fn not_starting(pods: i32) -> Wait {
    Wait::NotStarting(crate::NotStarting {
        pods,
        pod: "web-x".into(),
        revision: "web-new".into(),
        failure: crate::StartFailure {
            container: Some("main".into()),
            reason: "ErrImagePull".into(),
            detail: Some("web:v9: not found".into()),
        },
    })
}

#[test]
fn pods_that_cannot_start_are_the_reason_and_are_named_also_after_the_deadline() {
    let waits = [not_starting(2)];
    let failing = Observed {
        with_kstatus: true,
        progress_deadline: Some(10),
        waits: &waits,
        ..observed()
    };
    let named = "2 pods cannot start, one of them web-x: container main: ErrImagePull (web:v9: not found); check the image \
                 name, the registry and imagePullSecrets";
    let before = compute(&CloneSetStatus::default(), failing.clone(), at(0));
    assert_eq!(ready(&before), ("False", "PodsNotStarting"));
    assert!(message(&before, "Ready").ends_with(named), "{before:?}");
    assert_eq!(message(&before, "Reconciling"), message(&before, "Ready"));
    let after = compute(&before, failing, at(11));
    assert_eq!(ready(&after), ("False", "ProgressDeadlineExceeded"));
    assert_eq!(
        message(&after, "Stalled"),
        format!("CloneSet revision web-new has timed out progressing; {named}")
    );
}

#[test]
fn a_failing_pod_at_rest_makes_it_unready_and_stalls_nothing() {
    let waits = [not_starting(1)];
    let rest = Observed {
        progress_deadline: Some(10),
        ..judged()
    };
    let healthy = compute(&CloneSetStatus::default(), rest.clone(), at(0));
    let failing = Observed {
        counts: one_down(2),
        waits: &waits,
        ..rest
    };
    let status = compute(&healthy, failing, at(9_000));
    assert_eq!(kstatus(&status, 3), "InProgress");
    assert_eq!(ready(&status), ("False", "PodsNotStarting"));
}

#[test]
fn what_the_end_of_a_deleted_cloneset_waits_for_is_said() {
    let waits = [Wait::Deleting(crate::why::Deletion {
        pods: 4,
        finalizers: vec!["foregroundDeletion".into()],
        held_pod: Some(("web-x".into(), vec!["example.com/drain".into()])),
    })];
    let status = compute(
        &CloneSetStatus::default(),
        Observed {
            deleting: true,
            waits: &waits,
            ..judged()
        },
        at(1),
    );
    assert_eq!(ready(&status), ("False", "Deleting"));
    assert_eq!(
        message(&status, "Ready"),
        "5 pods, all available; 2 of 2 updated; the CloneSet is being deleted and waits for finalizer foregroundDeletion; 4 \
         pods are left, and pod web-x waits for finalizer example.com/drain"
    );
}
