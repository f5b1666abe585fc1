//! The index taking in lists, events and live reads.

use super::*;
use crate::cache::decode::decode;
use serde_json::json;
use serde_json::value::RawValue;

fn cloneset(uid: &str, version: u64) -> Known {
    known(&json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": uid, "resourceVersion": version.to_string()},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}}
    }))
}

fn known(object: &serde_json::Value) -> Known {
    decode(&RawValue::from_string(object.to_string()).unwrap()).unwrap()
}

fn pod(uid: &str, owner: &str, version: u64) -> Pod {
    serde_json::from_value(json!({"metadata": {
        "namespace": "shop", "name": uid, "uid": uid, "resourceVersion": version.to_string(),
        "ownerReferences": [{"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web",
                             "uid": owner, "controller": true}]
    }}))
    .unwrap()
}

fn key() -> Key {
    Key {
        namespace: "shop".into(),
        name: "web".into(),
    }
}

fn names(index: &Index) -> Vec<String> {
    let view = index.view(&key()).unwrap();
    view.pods.iter().map(|pod| pod.name().to_owned()).collect()
}

#[test]
fn a_pod_that_vanished_while_the_watch_was_down_wakes_its_owner() {
    let index = Index::default();
    index.replace(vec![cloneset("u", 1)], 1);
    index.replace(vec![pod("a", "u", 2), pod("b", "u", 3)], 3);
    assert_eq!(index.replace(vec![pod("a", "u", 2)], 9), [key()]);
    assert_eq!(names(&index), ["a"]);
    assert!(index.has_observed(Kind::Pod, 9) && !index.has_observed(Kind::Pod, 10));
    assert!(
        index.replace(vec![pod("a", "u", 2)], 10).is_empty(),
        "an unchanged list wakes nobody"
    );
}

#[test]
fn scenarios_240_245_246_a_newer_version_wakes_its_owner_whatever_changed_and_no_other_does() {
    let index = Index::default();
    index.replace(vec![cloneset("u", 5)], 5);
    index.apply(pod("a", "u", 7));
    assert!(index.apply(pod("a", "u", 6)).is_empty());
    assert!(index.apply(pod("a", "u", 7)).is_empty(), "the same version again");
    assert_eq!(
        index.apply(pod("a", "u", 8)),
        [key()],
        "events are not sorted by what they might mean"
    );
    index.apply(pod("a", "u", 7));
    assert_eq!(index.known_version(Kind::Pod, "a"), Some(8));
    assert!(index.apply(cloneset("u", 4)).is_empty());
}

#[test]
fn pods_of_an_older_cloneset_with_the_same_name_are_not_the_new_ones() {
    let index = Index::default();
    index.replace(vec![cloneset("old", 1)], 1);
    index.apply(pod("a", "old", 2));
    index.apply(cloneset("new", 3));
    assert!(names(&index).is_empty());
    index.apply(pod("b", "new", 4));
    assert_eq!(names(&index), ["b"]);
    assert!(
        index.apply(pod("a", "old", 5)).is_empty(),
        "nobody is woken for an owner that is gone"
    );
}

#[test]
fn scenario_242_and_regression_30_a_pod_that_changes_hands_wakes_both_owners() {
    let index = Index::default();
    let other = known(&json!({
        "metadata": {"namespace": "shop", "name": "other", "uid": "v", "resourceVersion": "2"},
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {}}
    }));
    index.replace(vec![cloneset("u", 1), other], 2);
    index.apply(pod("a", "u", 3));
    let woken = index.apply(pod("a", "v", 4));
    assert_eq!(woken.len(), 2);
    assert!(names(&index).is_empty());
}

#[test]
fn an_unreadable_cloneset_is_known_but_not_readable() {
    let index = Index::default();
    let broken = known(&json!({
        "metadata": {"namespace": "shop", "name": "web", "uid": "u", "resourceVersion": "3"},
        "spec": {"replicas": "many"}
    }));
    assert_eq!(index.apply(broken), [key()]);
    assert!(matches!(
        index.view(&key()).unwrap().known,
        Known::Unreadable { .. }
    ));
}

#[test]
fn a_pod_that_left_the_watch_undeleted_is_unwatched_until_it_is_read_live() {
    let unwatched = |index: &Index| index.view(&key()).unwrap().unwatched.len();
    let index = Index::default();
    index.replace(vec![cloneset("u", 1)], 1);
    index.replace(vec![pod("a", "u", 2), pod("b", "u", 3), pod("c", "u", 4)], 4);
    let mut deleted = pod("a", "u", 5);
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    index.delete(deleted);
    assert_eq!(unwatched(&index), 0, "it was deleted");
    index.delete(pod("b", "u", 6));
    assert_eq!(unwatched(&index), 1, "it may have lost its label");
    index.apply(pod("b", "u", 7));
    assert_eq!(
        (unwatched(&index), names(&index).len()),
        (0, 2),
        "the label is back"
    );
    index.replace(Vec::<Pod>::new(), 8);
    assert_eq!(unwatched(&index), 2, "nobody saw them being deleted");
    index.forget_unwatched("b");
    index.forget_unwatched("c");
    assert_eq!(unwatched(&index), 0);
}

#[test]
fn nothing_is_synced_before_every_kind_was_listed() {
    let index = Index::default();
    index.replace(vec![cloneset("u", 1)], 1);
    index.replace(Vec::<Pod>::new(), 1);
    index.replace(Vec::<Revision>::new(), 1);
    assert!(!index.is_synced());
    index.replace(Vec::<Claim>::new(), 1);
    assert!(index.is_synced());
}
