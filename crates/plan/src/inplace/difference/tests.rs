//! Area I: what can be changed in place.

use super::*;
use serde_json::json;

fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": "web", "k": "old"}, "annotations": {"note": "a"}},
        "spec": {
            "initContainers": [{"name": "init", "image": "init:1"}],
            "containers": [
                {"name": "c1", "image": "foo1",
                 "env": [{"name": "K", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['k']"}}}],
                 "resources": {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "1"}}},
                {"name": "c2", "image": "bar1"}
            ]
        }
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut changed = template();
    *changed.pointer_mut(pointer).unwrap() = value;
    changed
}

fn of(to: &Value, resize: bool) -> Result<Difference, String> {
    difference(&template(), to, resize).map_err(|impossible| impossible.0)
}

#[test]
fn scenario_146_an_image_and_metadata() {
    let mut to = with("/spec/containers/0/image", json!("foo2"));
    to["metadata"]["labels"] = json!({"app": "web", "k": "old", "new": "1"});
    to["metadata"]["annotations"] = json!({});
    let difference = of(&to, false).unwrap();
    assert_eq!(
        difference.images,
        BTreeMap::from([("c1".to_owned(), "foo2".to_owned())])
    );
    assert_eq!(
        difference.metadata.strategic(),
        json!({"labels": {"new": "1"}, "annotations": {"note": null}})
            .as_object()
            .unwrap()
            .clone()
    );
    assert!(difference.referenced.is_empty());
}

#[test]
fn scenario_147_what_a_restarted_container_reads_is_set_apart() {
    let mut to = with("/spec/containers/0/image", json!("foo2"));
    to["metadata"]["labels"] = json!({"app": "web", "k": "new", "k1": "v1"});
    let difference = of(&to, false).unwrap();
    assert_eq!(
        difference.metadata.labels,
        BTreeMap::from([("k1".to_owned(), Some("v1".to_owned()))])
    );
    let read = difference.referenced["c1"].labels.clone().unwrap();
    assert_eq!(read, BTreeMap::from([("k".to_owned(), "new".to_owned())]));
}

/// Kruise's node daemon would restart the container; there is none here.
#[test]
fn what_a_container_reads_that_does_not_restart_takes_a_new_pod() {
    let mut to = with("/spec/containers/1/image", json!("bar2"));
    to["metadata"]["labels"]["k"] = json!("new");
    let told = of(&to, false).unwrap_err();
    assert_eq!(told, "metadata.labels[k], which container c1 reads as it starts");
    to["metadata"]["labels"] = json!({"app": "web"});
    assert!(of(&to, false).is_ok(), "a key that goes is plain metadata");
}

#[test]
fn scenarios_149_152_153_159_everything_else_takes_a_new_pod() {
    let mut no_image = template();
    no_image["spec"]["containers"][1]
        .as_object_mut()
        .unwrap()
        .remove("image");
    let mut added = template();
    added["spec"]["containers"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "c3", "image": "x"}));
    let mut swapped = template();
    swapped["spec"]["containers"].as_array_mut().unwrap().reverse();
    let mut volumes = template();
    volumes["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
    for (to, obstacle) in [
        (
            with("/spec/containers/0/env", json!([{"name": "A", "value": "b"}])),
            "spec.containers[c1].env",
        ),
        (
            with("/spec/initContainers/0/image", json!("init:2")),
            "spec.initContainers",
        ),
        (no_image, "spec.containers[c2].image"),
        (added, "spec.containers"),
        (swapped, "spec.containers"),
        (volumes, "spec.volumes"),
        (
            with("/spec/containers/0/resources/limits/cpu", json!("2")),
            "spec.containers[c1].resources",
        ),
    ] {
        assert_eq!(of(&to, false).unwrap_err(), obstacle);
    }
}

#[test]
fn a_default_that_is_spelt_out_is_no_difference() {
    let mut to = template();
    to["metadata"]["creationTimestamp"] = Value::Null;
    to["spec"]["restartPolicy"] = json!("Always");
    to["spec"]["containers"][0]["resources"]["limits"]["cpu"] = json!("1000m");
    assert_eq!(of(&to, true), Ok(Difference::default()));
}

#[test]
fn scenarios_155_156_158_resources_with_the_gate() {
    let changed = of(&with("/spec/containers/0/resources/limits/cpu", json!("2")), true).unwrap();
    assert_eq!(
        changed.resources["c1"].limits,
        BTreeMap::from([("cpu".to_owned(), "2".to_owned())])
    );
    assert!(changed.resources["c1"].requests.is_empty());
    let mut env_too = with("/spec/containers/0/resources/limits/cpu", json!("2"));
    env_too["spec"]["containers"][0]["env"] = json!([]);
    for (to, obstacle) in [
        (env_too, "spec.containers[c1].env"),
        (
            with(
                "/spec/containers/0/resources/limits",
                json!({"cpu": "1", "memory": "2Gi"}),
            ),
            "spec.containers[c1].resources",
        ),
        (
            with("/spec/containers/0/resources/limits", json!({})),
            "spec.containers[c1].resources",
        ),
    ] {
        assert_eq!(of(&to, true).unwrap_err(), obstacle, "{to}");
    }
    let burstable = json!({"spec": {"containers": [{"name": "c", "image": "i", "resources": {
        "limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}}]}});
    let mut guaranteed = burstable.clone();
    guaranteed["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("2");
    let told = difference(&burstable, &guaranteed, true).unwrap_err().0;
    assert!(told.contains("QoS"), "{told}");
    let mut storage = burstable.clone();
    storage["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = json!("1Gi");
    let mut more = storage.clone();
    more["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"] = json!("2Gi");
    assert!(difference(&storage, &more, true).is_err());
}

#[test]
fn what_makes_a_pod_ours_is_never_changed() {
    let mut to = template();
    to["metadata"]["labels"] = json!({"app": "web", "k": "old", "apps.kruise.io/cloneset-instance-id": "x",
                                      "lifecycle.apps.kruise.io/state": "Normal"});
    assert_eq!(of(&to, false), Ok(Difference::default()));
}

/// The API server gave the pod the policy once, when it was made; a tag changes nothing about that.
#[test]
fn a_pull_policy_that_is_written_out_stays_the_same_when_the_tag_becomes_latest() {
    let with_policy = |image: &str, policy: &Value| {
        let mut template = with("/spec/containers/0/image", json!(image));
        template["spec"]["containers"][0]["imagePullPolicy"] = policy.clone();
        template
    };
    for policy in [
        json!("Always"),
        json!("IfNotPresent"),
        json!("Never"),
        json!(null),
    ] {
        for (from, to) in [("foo:latest", "foo:v1"), ("foo:v1", "foo"), ("foo:v1", "foo:v2")] {
            let way = difference(&with_policy(from, &policy), &with_policy(to, &policy), false);
            assert!(way.is_ok(), "{policy} from {from} to {to}: {way:?}");
        }
    }
    let other = difference(
        &with_policy("foo:v1", &json!("Always")),
        &with_policy("foo:v2", &json!("IfNotPresent")),
        false,
    );
    assert!(other.is_err());
}
