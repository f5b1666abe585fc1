//! Areas J and K: the writes of an in-place update, one by one.

use crate::scene::{Scene, deeds, template, waits};
use cloneset_plan::{Action, Features, OutOfService};
use serde_json::{Value, json};

fn strategy() -> Value {
    json!({"replicas": 1, "updateStrategy": {"type": "InPlaceIfPossible"}})
}

/// What the pod of a set whose template was changed is taken out of service with.
fn begun(scene: &Scene) -> OutOfService {
    let plan = scene.plan();
    let [Action::TakeOutOfService(write)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    write.clone()
}

#[test]
fn scenarios_173_174_176_the_gate_is_opened_where_there_is_one() {
    let with = |conditions: Value| json!({"status": {"conditions": conditions}});
    let ready = json!({"type": "Ready", "status": "True"});
    let closed = json!({"type": "InPlaceUpdateReady", "status": "False"});
    let scene = |change: &Value| Scene::of(&strategy()).pod_with("new", change).plan();
    for conditions in [json!([ready]), json!([ready, closed])] {
        let plan = scene(&with(conditions));
        let [Action::PutInService(write)] = plan.actions.as_slice() else {
            panic!("{:?}", plan.actions)
        };
        assert!(write.gate);
    }
    let ungated = json!({"spec": {"readinessGates": []}, "status": {"conditions": [ready]}});
    assert_eq!(deeds(&scene(&ungated)), [""; 0]);
}

/// Regression 42: Ready turns False only in the write that closes our gate, and never True.
#[test]
fn scenario_197_images_take_a_pod_out_of_service() {
    let write = begun(&Scene::of(&strategy()).pod("old"));
    assert_eq!((write.gate, write.unready), (Some("StartInPlaceUpdate"), true));
    let broken = begun(&Scene::of(&strategy()).pod("old broken"));
    assert_eq!((broken.gate, broken.unready), (Some("StartInPlaceUpdate"), false));
}

#[test]
fn scenario_194_without_a_gate_there_is_nothing_to_close() {
    let write = begun(&Scene::of(&strategy()).pod_with("old", &json!({"spec": {"readinessGates": null}})));
    assert_eq!((write.gate, write.unready), (None, false));
}

fn resized(policy: &Value) -> Option<&'static str> {
    resized_beside(policy, &json!([]))
}

/// Which reason a pod is taken out of service for when its first container gets other resources; the second has a policy
/// too.
fn resized_beside(policy: &Value, beside: &Value) -> Option<&'static str> {
    let resources = |cpu: &str| json!({"limits": {"cpu": cpu}});
    let sized = |cpu: &str| {
        let mut template = template("same");
        template["spec"]["containers"][0]["resources"] = resources(cpu);
        template["spec"]["containers"][0]["resizePolicy"] = policy.clone();
        let mut second = template["spec"]["containers"][0].clone();
        second["name"] = json!("second");
        second["resources"] = resources("1");
        second["resizePolicy"] = beside.clone();
        if let Some(containers) = template["spec"]["containers"].as_array_mut() {
            containers.push(second);
        }
        template
    };
    let mut spec = strategy();
    spec["template"] = sized("2");
    let features = Features {
        in_place_resize: true,
        ..Features::default()
    };
    let scene = Scene::bare(&spec)
        .revision_of("web-old", 1, &sized("1"))
        .revision_of("web-new", 2, &sized("2"))
        .current("web-old")
        .features(features);
    begun(&scene.pod("old")).gate
}

#[test]
fn scenario_195_resources_alone_leave_a_pod_in_service_unless_its_container_restarts() {
    assert_eq!(resized(&json!([])), None);
    let policy = |resource: &str| json!([{"resourceName": resource, "restartPolicy": "RestartContainer"}]);
    assert_eq!(resized(&policy("memory")), None, "of another resource");
    assert_eq!(resized(&policy("cpu")), Some("StartInPlaceUpdate"));
    assert_eq!(
        resized_beside(&json!([]), &policy("cpu")),
        None,
        "of another container"
    );
}

#[test]
fn scenario_201_a_held_pod_waits_and_is_told() {
    let mut spec = strategy();
    spec["lifecycle"] = json!({"inPlaceUpdate": {"labelsHandler": {"held": "true"}}});
    let held = json!({"metadata": {"labels": {"held": "true", "lifecycle.apps.kruise.io/state": "PreparingUpdate"}}});
    let plan = Scene::of(&spec).pod_with("old", &held).plan();
    assert_eq!(
        (deeds(&plan), waits(&plan)),
        (
            vec![],
            vec!["1 pod waits for lifecycle hook inPlaceUpdate (its labels and finalizers are in spec.lifecycle)".to_owned()]
        )
    );
}

/// Vector 61, and which pod goes on scale-in.
#[test]
fn with_its_gate_a_pod_held_before_its_update_counts_as_updated_while_scaling() {
    let gate = Features {
        preparing_update_as_update: true,
        ..Features::default()
    };
    let held = json!({"metadata": {"labels": {"held": "true", "lifecycle.apps.kruise.io/state": "PreparingUpdate"}}});
    let scene = |replicas: i32, partition: i32| {
        Scene::of(&json!({
            "replicas": replicas,
            "updateStrategy": {"type": "InPlaceIfPossible", "partition": partition, "maxUnavailable": 1},
            "lifecycle": {"inPlaceUpdate": {"labelsHandler": {"held": "true"}}}
        }))
        .pod_with("old", &held)
        .pods(2, "old")
    };
    let revision = |plan: &cloneset_plan::Plan| match plan.actions.as_slice() {
        [Action::CreatePod(pod)] => pod.revision_label.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(revision(&scene(4, 3).plan()), "web-new", "three pods are old");
    assert_eq!(
        revision(&scene(4, 3).features(gate).plan()),
        "web-old",
        "two pods are old"
    );
    assert_eq!(deeds(&scene(2, 1).plan()), ["delete web-0 (uid-0) as surplus"]);
    assert_eq!(
        deeds(&scene(2, 1).features(gate).plan()),
        ["delete web-1 (uid-1) as surplus"]
    );
}
