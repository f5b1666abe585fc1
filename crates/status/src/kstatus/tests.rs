//! What the messages of `Ready` and `Reconciling` say beside the numbers.

use super::*;
use cloneset_api::Condition;

fn failing(type_: &str, message: &str) -> CloneSetStatus {
    let condition = Condition {
        type_: type_.into(),
        status: "True".into(),
        message: Some(message.into()),
        reason: None,
        last_update_time: None,
        last_transition_time: None,
    };
    CloneSetStatus {
        conditions: Some(vec![condition]),
        ..CloneSetStatus::default()
    }
}

#[test]
fn what_fails_or_stalls_is_in_the_message_that_tools_show_and_once() {
    let quota = failing("FailedScale", "cannot create a pod: exceeded quota");
    assert_eq!(
        with_causes("2 pods".into(), &quota, None),
        "2 pods; cannot create a pod: exceeded quota"
    );
    let stall = |reason| Stall {
        reason,
        message: "cannot create a pod: exceeded quota".into(),
    };
    assert_eq!(
        with_causes("2 pods".into(), &quota, Some(&stall(reasons::POD_REFUSED))),
        "2 pods; cannot create a pod: exceeded quota",
        "both say the same"
    );
    let late = stall(reasons::PROGRESS_DEADLINE_EXCEEDED);
    assert_eq!(
        with_causes("2 pods".into(), &CloneSetStatus::default(), Some(&late)),
        "2 pods",
        "what the release waits for is there already"
    );
}

#[test]
fn pods_that_the_scheduler_explains_are_not_said_to_wait_for_a_node_as_well() {
    let unscheduled = Wait::Unscheduled { pods: 2 };
    let not_starting = |reason: &str| {
        Wait::NotStarting(crate::NotStarting {
            pods: 2,
            pod: "web-x".into(),
            revision: "web-new".into(),
            failure: crate::StartFailure {
                container: None,
                reason: reason.into(),
                detail: None,
            },
        })
    };
    let told = |waits: &[Wait]| with_waits("2 pods".into(), waits.iter());
    assert!(!told(&[not_starting("Unschedulable"), unscheduled.clone()]).contains("for a node"));
    assert!(told(&[not_starting("OutOfcpu"), unscheduled.clone()]).contains("wait for a node"));
    assert_eq!(told(&[unscheduled]), "2 pods; 2 pods wait for a node");
}
