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

/// Nothing takes such a pod out of the endpoints before its container restarts. Kruise restarts it all the same.
#[test]
fn scenario_194_a_serving_pod_without_our_gate_is_re_created_or_with_in_place_only_told() {
    let ungated = json!({"spec": {"readinessGates": null}});
    let plan = Scene::of(&strategy()).pod_with("old", &ungated).plan();
    assert_eq!(deeds(&plan), ["delete web-0 (uid-0) for update"]);
    let only = json!({"replicas": 1, "updateStrategy": {"type": "InPlaceOnly"}});
    let plan = Scene::of(&only).pod_with("old", &ungated).plan();
    assert_eq!(deeds(&plan), [""; 0]);
    assert_eq!(
        waits(&plan),
        [
            "1 of the pods cannot be updated in place, and type InPlaceOnly re-creates none: pod web-0 differs in \
          spec.readinessGates: without InPlaceUpdateReady it cannot be taken out of service before a container restarts; \
          put the old value back, set type InPlaceIfPossible, or delete the pods"
        ]
    );
    // One that is not ready may be so at any moment.
    let plan = Scene::of(&strategy()).pod_with("old broken", &ungated).plan();
    assert_eq!(deeds(&plan), ["delete web-0 (uid-0) for update"]);
}

/// Templates that differ in an annotation alone.
fn annotated(spec: &Value) -> Scene {
    let with = |value: &str| {
        let mut template = template("same");
        template["metadata"]["annotations"] = json!({"note": value});
        template
    };
    let mut spec = spec.clone();
    spec["template"] = with("two");
    Scene::bare(&spec)
        .revision_of("web-old", 1, &with("one"))
        .revision_of("web-new", 2, &with("two"))
        .current("web-old")
}

#[test]
fn metadata_alone_changes_in_one_write_on_every_pod_at_once_and_no_pod_is_made_for_it() {
    let spec = json!({"replicas": 5, "updateStrategy": {
        "type": "InPlaceIfPossible", "maxUnavailable": 0, "maxSurge": 3,
        "inPlaceUpdateStrategy": {"gracePeriodSeconds": 3600}
    }, "lifecycle": {"inPlaceUpdate": {"labelsHandler": {"app": "web"}, "markPodNotReady": true}}});
    let plan = annotated(&spec).pods(5, "old").plan();
    assert_eq!(
        deeds(&plan),
        [
            "change web-0",
            "change web-1",
            "change web-2",
            "change web-3",
            "change web-4"
        ]
    );
    for action in &plan.actions {
        let Action::ChangeInPlace(change) = action else {
            panic!("{action:?}")
        };
        assert!(action.begins_update() && !action.goes_on());
        assert!(change.images.is_empty() && change.resources.is_empty());
        assert_eq!(change.metadata.annotations["note"].as_deref(), Some("two"));
        assert_eq!(
            change.metadata.labels["controller-revision-hash"].as_deref(),
            Some("web-new")
        );
        assert_eq!(
            change.metadata.labels.get("lifecycle.apps.kruise.io/state"),
            None,
            "it serves on"
        );
        assert_eq!(change.revision, "web-new");
    }
    assert!(
        plan.rehearsal.is_some(),
        "whether such a pod would be taken is known before"
    );
}

#[test]
fn with_type_re_create_metadata_alone_takes_no_more_pods_than_anything_else() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}});
    let scene = annotated(&spec).pods(3, "old");
    assert_eq!(deeds(&scene.plan()).len(), 1, "{:?}", deeds(&scene.plan()));
}

#[test]
fn metadata_alone_keeps_to_the_partition_and_leaves_the_budget_to_others() {
    let spec = json!({"replicas": 5, "updateStrategy": {
        "type": "InPlaceIfPossible", "maxUnavailable": 1, "partition": 3}});
    let plan = annotated(&spec).pod("old broken").pods(4, "old").plan();
    assert_eq!(deeds(&plan), ["change web-0", "change web-1"]);
}

/// One of five old pods gets another image, so one surge pod is enough.
#[test]
fn surge_pods_are_made_for_those_alone_that_leave_service() {
    let spec = json!({"replicas": 5, "updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 0, "maxSurge": 3}});
    let label = json!({"metadata": {"labels": {"controller-revision-hash": "web-older", "pod-template-hash": "older"}}});
    let plan = annotated(&spec)
        .revision("web-older", 0, "other")
        .pod_with("old", &label)
        .pods(4, "old")
        .plan();
    let created = plan
        .actions
        .iter()
        .filter(|action| matches!(action, Action::CreatePod(_)));
    assert_eq!(created.count(), 1, "{:?}", deeds(&plan));
}

#[test]
fn a_pod_in_an_unknown_state_is_told() {
    let foreign = json!({"metadata": {"labels": {"lifecycle.apps.kruise.io/state": "Foreign"}}});
    let plan = Scene::of(&strategy()).pod_with("new", &foreign).plan();
    assert_eq!(
        waits(&plan),
        [
            "1 pod is not available because of an unknown lifecycle state: pod web-0 has the label \
          lifecycle.apps.kruise.io/state=Foreign; remove the label or delete the pod"
        ]
    );
}

/// It may not go while maxUnavailable is used up, so it is looked after like any other.
#[test]
fn a_marked_pod_that_may_not_go_is_looked_after() {
    let spec = json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 0}});
    let without_id = json!({"metadata": {"labels": {"apps.kruise.io/cloneset-instance-id": null}}});
    let plan = Scene::of(&spec)
        .pod_with("new marked", &without_id)
        .pod("new")
        .plan();
    let put: Vec<_> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::PutInService(write) => Some((write.name.as_str(), &write.metadata.labels)),
            _ => None,
        })
        .collect();
    let [("web-0", labels)] = put.as_slice() else {
        panic!("{put:?}")
    };
    assert_eq!(
        labels["apps.kruise.io/cloneset-instance-id"].as_deref(),
        Some("0")
    );
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

/// Nothing else of the pod shows it: the old container goes on running with its old resources.
#[test]
fn a_resize_that_the_kubelet_does_not_apply_is_named_with_its_first_pod() {
    let state = json!({
        "revision": "web-new", "updateTimestamp": "2026-01-01T11:00:00Z", "updateImages": true,
        "lastContainerStatuses": {"main": {"containerID": "containerd://a"}}
    });
    let resizing = |condition: Value| {
        json!({
            "metadata": {"labels": {"lifecycle.apps.kruise.io/state": "Updating"},
                         "annotations": {"apps.kruise.io/inplace-update-state": state.to_string()}},
            "spec": {"containers": [{"name": "main", "image": "new"}]},
            "status": {
                "containerStatuses": [{"name": "main", "containerID": "containerd://a", "ready": true}],
                "conditions": [{"type": "InPlaceUpdateReady", "status": "False"}, condition]
            }
        })
    };
    let stuck = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible",
        "message": "Node didn't have enough capacity: cpu, requested: 900000, capacity: 2000"});
    let three = json!({"replicas": 3, "updateStrategy": {"type": "InPlaceIfPossible"}});
    let plan = Scene::of(&three)
        .pod_with(
            "new",
            &resizing(json!({"type": "PodResizeInProgress", "status": "True"})),
        )
        .pod_with("new", &resizing(stuck.clone()))
        .pod_with("new", &resizing(stuck))
        .plan();
    assert_eq!(
        waits(&plan),
        [
            "3 pods wait for containers changed in place to run what they should: web-1: node node-1 cannot resize it: \
             Infeasible (Node didn't have enough capacity: cpu, requested: 900000, capacity: 2000); lower the resources \
             in the template, or delete the pod if other nodes have more"
        ]
    );
}

/// A pod that serves must not be changed: its container would restart.
#[test]
fn an_update_that_has_begun_on_a_pod_without_our_gate_is_finished() {
    let state = json!({"revision": "web-new", "updateTimestamp": "2026-01-01T11:59:00Z", "lastContainerStatuses": null});
    let grace = json!({"revision": "web-new", "containerImages": {"main": "new"}, "graceSeconds": 30});
    let plan = |ready: &str| {
        let begun = json!({
            "metadata": {"annotations": {
                "apps.kruise.io/inplace-update-state": state.to_string(),
                "apps.kruise.io/inplace-update-grace": grace.to_string()
            }},
            "spec": {"readinessGates": null},
            "status": {"conditions": [{"type": "Ready", "status": ready}]}
        });
        Scene::of(&strategy()).pod_with("new", &begun).plan()
    };
    assert_eq!(deeds(&plan("False")), ["change web-0"]);
    let serving = plan("True");
    assert_eq!(deeds(&serving), [""; 0]);
    assert!(
        waits(&serving)[0].contains("its containers would restart while it is in service"),
        "{:?}",
        waits(&serving)
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
    let revision = |plan: &cloneset_plan::Plan| {
        let created = plan.actions.iter().filter_map(|action| match action {
            Action::CreatePod(pod) => Some(pod.revision_label.clone()),
            _ => None,
        });
        let [revision] = created.collect::<Vec<_>>().try_into().unwrap();
        revision
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
