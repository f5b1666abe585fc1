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
    let told = of(&to, false).unwrap_err();
    assert_eq!(
        told, "metadata.labels[k], which container c1 reads as it starts",
        "a key that goes"
    );
    to["spec"]["containers"][0]["image"] = json!("foo2");
    let both = of(&to, false).unwrap();
    assert_eq!(both.metadata.labels, BTreeMap::from([("k".to_owned(), None)]));
    assert!(both.referenced.is_empty(), "it goes with the restart");
}

/// Every place in which a template can hand its own labels and annotations to a container.
#[test]
fn metadata_changes_in_place_only_where_every_reader_sees_the_change() {
    let file = |path: &str| json!([{"path": "file", "fieldRef": {"fieldPath": path}}]);
    let downward = |path: &str| json!({"name": "info", "downwardAPI": {"items": file(path)}});
    let projected = |path: &str| json!({"name": "info", "projected": {"sources": [{"downwardAPI": {"items": file(path)}}]}});
    let env = |path: &str| json!({"env": [{"name": "V", "valueFrom": {"fieldRef": {"fieldPath": path}}}]});
    let mount = json!({"volumeMounts": [{"name": "info", "mountPath": "/info"}]});
    let sub_path = json!({"volumeMounts": [{"name": "info", "mountPath": "/info", "subPath": "file"}]});
    let sidecar = |reader: &Value| {
        let mut sidecar = reader.clone();
        sidecar["restartPolicy"] = json!("Always");
        sidecar
    };
    let one = "metadata.annotations['data']";
    let all = "metadata.annotations";
    let (main, init) = ("containers", "initContainers");
    // list, the container, its volume => can annotation `data` change without a new image, with one?
    for (list, reader, volume, alone, with_image) in [
        (main, env(one), None, false, true),
        (main, env("metadata.annotations['other']"), None, true, true),
        (main, env("metadata.labels['data']"), None, true, true),
        (main, mount.clone(), Some(downward(one)), true, true),
        (main, mount.clone(), Some(projected(all)), true, true),
        (main, sub_path.clone(), Some(downward(one)), false, true),
        (main, sub_path.clone(), Some(projected(all)), false, true),
        (
            main,
            sub_path.clone(),
            Some(downward("metadata.labels")),
            true,
            true,
        ),
        (init, env(one), None, false, false),
        (init, mount.clone(), Some(downward(all)), false, false),
        (init, mount.clone(), Some(projected(one)), false, false),
        (init, mount.clone(), Some(projected("metadata.name")), true, true),
        (init, sidecar(&env(one)), None, false, false),
        (init, sidecar(&mount), Some(downward(one)), true, true),
        (init, sidecar(&sub_path), Some(downward(one)), false, false),
    ] {
        let template = |data: &str, image: &str| {
            let mut template = json!({
                "metadata": {"labels": {"app": "web"}, "annotations": {"data": data}},
                "spec": {"containers": [{"name": "main", "image": image}], "volumes": volume.iter().collect::<Vec<_>>()}
            });
            let mut container = reader.clone();
            container["name"] = json!(if list == main { "main" } else { "init" });
            container["image"] = json!(if list == main { image } else { "init:1" });
            template["spec"][list] = json!([container]);
            template
        };
        let told = format!("{list} {reader} {volume:?}");
        let only_metadata = difference(&template("one", "web:1"), &template("two", "web:1"), false);
        assert_eq!(only_metadata.is_ok(), alone, "{told}: {only_metadata:?}");
        let image_too = difference(&template("one", "web:1"), &template("two", "web:2"), false);
        assert_eq!(image_too.is_ok(), with_image, "{told}: {image_too:?}");
        if let Ok(difference) = image_too {
            // What is read at the start comes with the restart, everything else at once.
            assert_eq!(difference.referenced.is_empty(), alone, "{told}: {difference:?}");
        }
    }
}

#[test]
fn the_message_names_the_init_container_that_reads_the_metadata() {
    let template = |data: &str| {
        let source = json!({"fieldRef": {"fieldPath": "metadata.annotations['data']"}});
        json!({"metadata": {"annotations": {"data": data}}, "spec": {
            "initContainers": [{"name": "setup", "image": "i", "env": [{"name": "V", "valueFrom": source}]}],
            "containers": [{"name": "main", "image": "web:1"}]}})
    };
    let told = difference(&template("one"), &template("two"), false)
        .unwrap_err()
        .0;
    assert_eq!(
        told,
        "metadata.annotations[data], which init container setup reads as it starts"
    );
}

#[test]
fn a_value_that_is_no_amount_is_no_resize() {
    for value in ["lots", "", "-1", "1Kib", "0x10"] {
        let to = with("/spec/containers/0/resources/limits/cpu", json!(value));
        assert_eq!(
            of(&to, true).unwrap_err(),
            "spec.containers[c1].resources",
            "{value}"
        );
    }
    for value in ["2", "1500m", "1e3"] {
        let to = with("/spec/containers/0/resources/limits/cpu", json!(value));
        assert!(of(&to, true).is_ok(), "{value}");
    }
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
