//! Area J: which containers change together.

use super::*;
use serde_json::json;

fn next(value: Value) -> Next {
    serde_json::from_value(value).unwrap()
}

fn batches(pending: Value, priorities: &Priorities) -> Vec<Vec<String>> {
    let mut pending = next(pending);
    let mut batches = Vec::new();
    while !pending.is_empty() {
        let batch = take_batch(&mut pending, priorities).changes;
        let names: BTreeSet<String> = (batch.images.into_keys())
            .chain(batch.referenced.into_keys())
            .chain(batch.resources.into_keys())
            .collect();
        batches.push(names.into_iter().collect());
    }
    batches
}

#[test]
fn scenarios_182_183_185_186_in_batches() {
    let images = |names: &[&str]| {
        let images: BTreeMap<&str, &str> = names.iter().map(|name| (*name, "new")).collect();
        json!({"nextContainerImages": images})
    };
    let two = Priorities::from([("c1", 20), ("c2", 10)]);
    assert_eq!(batches(images(&["c1", "c2"]), &two), [["c1"], ["c2"]]);
    let equal = Priorities::from([("c1", 1), ("c3", 0), ("c4", 0)]);
    assert_eq!(batches(images(&["c3", "c4"]), &equal), [["c3", "c4"]]);
    assert_eq!(
        batches(images(&["c1", "c2"]), &Priorities::default()),
        [["c1", "c2"]]
    );

    let mut shared = images(&["c1", "c2", "c4"]);
    shared["nextContainerRefMetadata"] = json!({"c2": {"labels": {"k": "v"}}, "c3": {"labels": {"k": "v"}}});
    let priorities = Priorities::from([("c1", 20), ("c2", 10), ("c3", 0), ("c4", 5)]);
    let expected: [&[&str]; 3] = [&["c1"], &["c2", "c3"], &["c4"]];
    assert_eq!(batches(shared, &priorities), expected);
}

/// Oddity 26: Kruise forgets such work.
#[test]
fn resources_alone_are_work_too() {
    let pending =
        json!({"nextContainerResources": {"c1": {"limits": {"cpu": "1"}}, "c2": {"limits": {"cpu": "1"}}}});
    let priorities = Priorities::from([("c1", 1), ("c2", 0)]);
    assert_eq!(batches(pending, &priorities), [["c1"], ["c2"]]);
}

#[test]
fn priorities_come_from_the_environment_or_the_order() {
    let template = json!({"spec": {"containers": [
        {"name": "a", "env": [{"name": "KRUISE_CONTAINER_PRIORITY", "value": "-1"}]}, {"name": "b"},
        {"name": "c", "env": [{"name": "KRUISE_CONTAINER_PRIORITY", "value": "first"}]}]}});
    let plain = Pod::default();
    assert_eq!(
        Priorities::of(&plain, &template),
        Priorities::from([("a", -1), ("b", 0), ("c", 0)])
    );
    let ordered: Pod = serde_json::from_value(
        json!({"metadata": {"annotations": {"apps.kruise.io/container-launch-priority": "Ordered"}}}),
    )
    .unwrap();
    assert_eq!(
        Priorities::of(&ordered, &template),
        Priorities::from([("a", 0), ("b", -1), ("c", -2)])
    );
    let equal = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
    assert_eq!(Priorities::of(&plain, &equal), Priorities::default());
}

/// A kubelet that sees both at once starts a container that its pod's cgroup does not allow.
#[test]
fn resources_change_before_the_images_of_the_same_priority_and_these_wait_for_no_readiness() {
    let cpu = |cpu: &str| json!({"limits": {"cpu": cpu}});
    let mut pending = next(json!({
        "nextContainerImages": {"c1": "new", "c3": "new"},
        "nextContainerRefMetadata": {"c1": {"labels": {"k": "v"}}},
        "nextContainerResources": {"c1": cpu("2"), "c2": cpu("2"), "c3": cpu("2")}
    }));
    let priorities = Priorities::from([("c1", 20), ("c2", 20), ("c3", 10)]);
    let mut batches = Vec::new();
    while !pending.is_empty() {
        let taken = take_batch(&mut pending, &priorities);
        let names = |keys: Vec<&String>| keys.into_iter().cloned().collect::<Vec<_>>().join(" ");
        batches.push((
            names(taken.changes.resources.keys().collect()),
            names(taken.changes.images.keys().collect()),
            taken.changes.referenced.len(),
            taken.is_ahead_of_images,
        ));
    }
    let batch = |resources: &str, images: &str, referenced, ahead| {
        (resources.to_owned(), images.to_owned(), referenced, ahead)
    };
    assert_eq!(
        batches,
        [
            batch("c1 c2", "", 0, true),
            batch("", "c1", 1, false),
            batch("c3", "", 0, true),
            batch("", "c3", 0, false),
        ]
    );
}
