//! Decisions about revisions: reuse, renumbering, creation, collisions, and what is forgotten.

use crate::scene::{Scene, deeds, template};
use cloneset_plan::{Action, Plan, RevisionWrite};
use serde_json::{Value, json};

fn created(plan: &Plan) -> (&str, i64) {
    match &plan.revision {
        Some(RevisionWrite::Create(new)) => (&new.name, new.number),
        other => panic!("{other:?}"),
    }
}

fn settled() -> Scene {
    Scene::of(&json!({"replicas": 0}))
}

#[test]
fn scenario_36_the_first_revision_is_recorded_before_the_first_pod() {
    let plan = Scene::bare(&json!({"replicas": 1})).plan();
    let Some(RevisionWrite::Create(new)) = &plan.revision else {
        panic!("{:?}", plan.revision)
    };
    assert_eq!(new.number, 1);
    let hash = new.name.strip_prefix("web-").unwrap();
    assert_eq!(hash.len(), 10);
    assert_eq!(new.labels["app"], "web", "the template's labels");
    assert_eq!(new.labels["controller.kubernetes.io/hash"], hash);
    assert_eq!(new.annotations["kruise.io/cloneset-volumeclaimtemplate-hash"], "");
    let mut recorded = template("new");
    recorded["$patch"] = json!("replace");
    assert_eq!(
        new.data,
        json!({"spec": {"template": recorded}}),
        "as Kruise records it"
    );
    let [Action::CreatePod(pod)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(pod.revision.name, new.name);
    assert_eq!(plan.outlook.update_revision, plan.outlook.current_revision);
}

#[test]
fn a_revision_carries_the_annotations_that_its_cloneset_had_at_the_time() {
    let annotations =
        json!({"kubernetes.io/change-cause": "v2", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    let change = json!({"metadata": {"annotations": annotations}});
    let plan = Scene::bare(&json!({"replicas": 1})).cloneset(&change).plan();
    let Some(RevisionWrite::Create(new)) = &plan.revision else {
        panic!("{:?}", plan.revision)
    };
    assert_eq!(
        new.annotations.keys().collect::<Vec<_>>(),
        [
            "kruise.io/cloneset-volumeclaimtemplate-hash",
            "kubernetes.io/change-cause"
        ]
    );
}

#[test]
fn scenario_38_an_equal_newest_revision_is_used_and_nothing_written() {
    let plan = settled().plan();
    assert_eq!(plan.outlook.update_revision.as_deref(), Some("web-new"));
    assert_eq!(deeds(&plan), [""; 0]);
}

#[test]
fn regression_54_a_template_that_means_the_same_makes_no_revision() {
    let mut same = template("new");
    same["metadata"]["creationTimestamp"] = Value::Null;
    same["spec"]["restartPolicy"] = json!("Always");
    same["spec"]["containers"][0]["resources"] = json!({});
    same["spec"]["containers"][0]["imagePullPolicy"] = json!("Always");
    let plan = settled().cloneset(&json!({"spec": {"template": same}})).plan();
    assert_eq!(deeds(&plan), [""; 0]);
}

#[test]
fn scenario_39_and_regression_48_a_rollback_renumbers_the_old_revision() {
    let plan = settled()
        .cloneset(&json!({"spec": {"template": template("old")}}))
        .plan();
    assert_eq!(deeds(&plan), ["renumber web-old (uid-of-web-old) to 3"]);
    assert_eq!(plan.outlook.update_revision.as_deref(), Some("web-old"));
}

#[test]
fn scenario_41_a_name_taken_by_other_content_counts_as_a_collision() {
    let bare = Scene::bare(&json!({"replicas": 0}));
    let first = bare.plan();
    let (name, _) = created(&first);
    assert_eq!(first.outlook.collision_count, 0);
    let after = bare.clone().revision(name, 1, "other").plan();
    let (second, number) = created(&after);
    assert_ne!(second, name);
    assert_eq!((number, after.outlook.collision_count), (2, 1));
    // The count is remembered, so the same name is found again without a new collision.
    let counted = bare
        .current("")
        .cloneset(&json!({"status": {"collisionCount": 1}}))
        .plan();
    assert_eq!(
        (created(&counted).0, counted.outlook.collision_count),
        (second, 1)
    );
}

#[test]
fn scenario_42_the_third_version_leaves_current_and_history_alone() {
    let plan = Scene::of(
        &json!({"replicas": 2, "revisionHistoryLimit": 0, "updateStrategy": {"maxUnavailable": 1}}),
    )
    .cloneset(&json!({"spec": {"template": template("third")}}))
    .pod("old")
    .pod("new")
    .plan();
    assert_eq!(created(&plan).1, 3);
    assert_eq!(plan.outlook.current_revision.as_deref(), Some("web-old"));
    assert_eq!(
        plan.outlook.counts.updated, 0,
        "pods of the second version are old"
    );
    assert_eq!(
        deeds(&plan)[1..],
        ["delete web-0 (uid-0) for update"],
        "and no revision in use is forgotten"
    );
}

#[test]
fn scenario_44_the_current_revision_waits_until_the_last_old_pod_is_gone() {
    let current = |partition: Value, scene: fn(Scene) -> Scene| {
        let spec = json!({"replicas": 2, "updateStrategy": {"partition": partition}});
        scene(Scene::of(&spec)).plan().outlook.current_revision.unwrap()
    };
    let complete = |scene: Scene| scene.pods(2, "new");
    assert_eq!(
        current(json!(0), |scene| scene.pods(2, "new").pod("old")),
        "web-old",
        "a surge pod is left"
    );
    assert_eq!(
        current(json!(0), |scene| scene.pod("new")),
        "web-old",
        "a pod is missing"
    );
    assert_eq!(current(json!(0), complete), "web-new");
    assert_eq!(current(json!("0%"), complete), "web-new");
    assert_eq!(
        current(json!(0), |scene| scene.pods(2, "new broken")),
        "web-new",
        "readiness plays no part"
    );
    // Deviation 6: Kruise moves it as soon as all surviving pods happen to be new.
    assert_eq!(current(json!(1), complete), "web-old");
    assert_eq!(current(json!("1%"), complete), "web-old");
}

#[test]
fn scenario_45_what_nothing_uses_is_forgotten_beyond_the_limit_oldest_first() {
    let forgotten = |limit: i32| {
        let plan = Scene::bare(&json!({"replicas": 2, "revisionHistoryLimit": limit}))
            .revision("web-a", 1, "a")
            .revision("web-b", 2, "b")
            .revision("web-old", 3, "old")
            .revision("web-c", 4, "c")
            .revision("web-new", 5, "new")
            .current("web-old")
            .pod("new")
            .pod("b")
            .plan();
        deeds(&plan)
            .into_iter()
            .filter(|deed| deed.starts_with("forget"))
            .collect::<Vec<_>>()
    };
    let (a, c) = ("forget web-a (uid-of-web-a)", "forget web-c (uid-of-web-c)");
    assert_eq!(forgotten(0), [a, c]);
    assert_eq!(forgotten(1), [a]);
    assert_eq!(forgotten(2), [""; 0]);
}

#[test]
fn a_current_revision_that_is_gone_is_the_update_revision() {
    let plan = settled().current("web-lost").plan();
    assert_eq!(plan.outlook.current_revision.as_deref(), Some("web-new"));
}
