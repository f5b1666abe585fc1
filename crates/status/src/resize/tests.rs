//! What a kubelet reports of a resize, as a person reads it.

use super::*;
use serde_json::{Value, json};

fn explained(condition: &Value) -> Option<String> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-a"}, "spec": {"nodeName": "n1"}, "status": {"conditions": [condition]}
    }))
    .unwrap();
    StuckResize::of(&pod).map(|resize| resize.to_string())
}

#[test]
fn a_resize_that_no_node_of_this_size_can_take_says_what_is_asked_and_what_is_there() {
    let condition = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible",
        "message": "Node didn't have enough capacity: cpu, requested: 900000, capacity: 2000"});
    assert_eq!(
        explained(&condition).as_deref(),
        Some(
            "web-a: node n1 cannot resize it: Infeasible (Node didn't have enough capacity: cpu, requested: 900000, \
             capacity: 2000); lower the resources in the template, or delete the pod if other nodes have more"
        )
    );
}

#[test]
fn a_deferred_resize_reads_the_same_while_other_pods_come_and_go() {
    let deferred = |used: &str| {
        explained(
            &json!({"type": "PodResizePending", "status": "True", "reason": "Deferred",
            "message": format!("Node didn't have enough resource: cpu, requested: 1500, used: {used}, capacity: 2000")}),
        )
    };
    assert_eq!(
        deferred("1100").as_deref(),
        Some(
            "web-a: node n1 cannot resize it: Deferred (Node didn't have enough resource: cpu, requested: 1500, capacity: \
             2000); lower the resources in the template, or make room on node n1"
        )
    );
    assert_eq!(deferred("1100"), deferred("1300"));
}

#[test]
fn a_resize_that_fails_is_stuck_and_one_under_way_is_not() {
    let in_progress = |more: Value| {
        let mut condition = json!({"type": "PodResizeInProgress", "status": "True"});
        if let (Some(condition), Value::Object(more)) = (condition.as_object_mut(), more) {
            condition.extend(more);
        }
        explained(&condition)
    };
    assert_eq!(in_progress(json!({})), None);
    assert_eq!(
        in_progress(json!({"reason": "Error", "message": "memory is in use"})).as_deref(),
        Some("web-a: node n1 cannot resize it: Error (memory is in use); run: kubectl describe pod web-a")
    );
    let over = json!({"type": "PodResizePending", "status": "False", "reason": "Infeasible"});
    assert_eq!(explained(&over), None);
}
