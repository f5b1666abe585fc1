//! Decisions about revisions: reuse, renumbering, creation, collisions, and what is forgotten.

use crate::scene::{Scene, deeds, template};
use cloneset_plan::{Action, Features, Plan, RevisionWrite};
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
fn a_pod_of_an_equal_revision_under_another_name_is_up_to_date() {
    let spec = json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 1}});
    let plan = Scene::of(&spec)
        .revision("web-equal", 3, "new")
        .pod("new")
        .pod("equal")
        .plan();
    assert_eq!(plan.outlook.update_revision.as_deref(), Some("web-equal"));
    assert_eq!((deeds(&plan), plan.outlook.counts.updated), (vec![], 2));
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
        ["delete web-1 (uid-1) for update"],
        "its pods go first, and no revision in use is forgotten"
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
        current(json!(0), |scene| scene.pod("new").pod("new broken")),
        "web-old",
        "a pod is not available"
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

/// The way back in the documentation puts the current revision's template back, so it has to be one that served.
#[test]
fn the_current_revision_is_the_last_one_that_served_with_every_pod() {
    let current = |spec: Value, scene: fn(Scene) -> Scene| {
        scene(Scene::of(&spec)).plan().outlook.current_revision.unwrap()
    };
    let one = |scene| {
        current(
            json!({"replicas": 1, "updateStrategy": {"maxUnavailable": "100%"}}),
            scene,
        )
    };
    assert_eq!(one(|scene| scene.pod("new starting")), "web-old");
    assert_eq!(one(|scene| scene.pod("new broken")), "web-old");
    assert_eq!(one(|scene| scene.pod("new")), "web-new");
    let fresh = |seconds: i32| {
        current(json!({"replicas": 2, "minReadySeconds": seconds}), |scene| {
            scene.pods(2, "new fresh")
        })
    };
    assert_eq!(fresh(5), "web-new");
    assert_eq!(fresh(60), "web-old");
    assert_eq!(
        fresh(2_147_483_646),
        "web-old",
        "as release tools hold a blue-green release"
    );
    let on_delete = json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}});
    assert_eq!(
        current(on_delete.clone(), |scene| scene.pod("old").pod("new")),
        "web-old"
    );
    assert_eq!(current(on_delete, |scene| scene.pods(2, "new")), "web-new");
    assert_eq!(
        current(json!({"replicas": 0}), |scene| scene),
        "web-old",
        "without pods nothing serves"
    );
}

#[test]
fn a_release_that_is_superseded_before_it_served_never_becomes_the_current_revision() {
    let third = |pods: fn(Scene) -> Scene| {
        let scene = Scene::of(&json!({"replicas": 2})).cloneset(
            &json!({"status": {"updateRevision": "web-new"}, "spec": {"template": template("third")}}),
        );
        pods(scene).plan().outlook.current_revision.unwrap()
    };
    assert_eq!(third(|scene| scene.pods(2, "new broken")), "web-old");
    assert_eq!(third(|scene| scene.pod("old").pod("new")), "web-old");
    assert_eq!(third(|scene| scene.pod("new")), "web-old", "one of two");
    // Nothing was reconciled between the moment it served and the next change of the template.
    assert_eq!(third(|scene| scene.pods(2, "new")), "web-new");
}

#[test]
fn the_history_keeps_the_current_revision_while_the_next_one_does_not_serve() {
    let plan = Scene::of(
        &json!({"replicas": 1, "revisionHistoryLimit": 0, "updateStrategy": {"maxUnavailable": "100%"}}),
    )
    .revision("web-a", 0, "a")
    .pod("new broken")
    .plan();
    assert_eq!(deeds(&plan), ["forget web-a (uid-of-web-a)"]);
}

#[test]
fn a_revision_that_is_used_again_gets_the_annotations_of_the_cloneset() {
    let annotations =
        |cause: &str| json!({"metadata": {"annotations": {"kubernetes.io/change-cause": cause}}});
    let plan = settled()
        .cloneset(&annotations("back to old"))
        .cloneset(&json!({"spec": {"template": template("old")}}))
        .plan();
    let Some(RevisionWrite::Update(update)) = &plan.revision else {
        panic!("{:?}", plan.revision)
    };
    assert_eq!(update.number, Some(3));
    assert_eq!(update.annotations["kubernetes.io/change-cause"], "back to old");
    let plan = settled().cloneset(&annotations("nothing changes")).plan();
    assert_eq!(
        plan.revision, None,
        "the newest revision keeps what it was recorded with"
    );
}

#[test]
fn a_free_name_is_found_at_the_largest_collision_count() {
    let counted = |count: i32, taken: &[&str]| {
        let scene = Scene::bare(&json!({"replicas": 0}))
            .current("")
            .cloneset(&json!({"status": {"collisionCount": count}}));
        let scene = taken
            .iter()
            .fold(scene, |scene, name| scene.revision(name, 1, "other"));
        let plan = scene.plan();
        (created(&plan).0.to_owned(), plan.outlook.collision_count)
    };
    let (last, _) = counted(i32::MAX, &[]);
    let (first, _) = counted(0, &[]);
    assert_eq!(counted(i32::MAX, &[&last]), (first.clone(), 0));
    assert_eq!(counted(i32::MAX, &[&last, &first]).1, 1);
}

fn claims_of(storage: &str) -> Value {
    json!([{
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    }])
}

/// The sizes of the PVCs that a plan creates, with the revision of the pod that each is for.
fn pvcs(plan: &Plan) -> Vec<String> {
    let pods = plan.actions.iter().filter_map(|action| match action {
        Action::CreatePod(pod) => Some(pod),
        _ => None,
    });
    let cloneset = Scene::bare(&json!({})).snapshot().cloneset;
    let sizes = |pod: &cloneset_plan::NewPod| {
        let sizes = pod.claims.iter().map(|claim| claim.manifest(&cloneset));
        let sizes: Vec<String> = sizes
            .map(|claim| claim["spec"]["resources"]["requests"]["storage"].to_string())
            .collect();
        format!("{}: {}", pod.revision.name, sizes.join(" "))
    };
    pods.map(sizes).collect()
}

#[test]
fn pods_of_the_current_revision_get_its_own_volume_claim_templates() {
    let spec =
        json!({"replicas": 2, "volumeClaimTemplates": claims_of("2Gi"), "updateStrategy": {"partition": 1}});
    let with = |annotations: Value| {
        let plan = Scene::of(&spec).annotate_revision("web-old", &annotations).plan();
        pvcs(&plan)
    };
    let hash = "kruise.io/cloneset-volumeclaimtemplate-hash";
    let record = json!({"kruise.io/cloneset-volumeclaimtemplates": claims_of("1Gi").to_string()});
    assert_eq!(with(record), ["web-old: \"1Gi\"", "web-new: \"2Gi\""]);
    assert_eq!(
        with(json!({hash: ""})),
        ["web-old: ", "web-new: \"2Gi\""],
        "it had none"
    );
    // A revision that Kruise wrote records a hash alone.
    assert_eq!(
        with(json!({hash: "1234"})),
        ["web-old: \"2Gi\"", "web-new: \"2Gi\""]
    );
    let dropped = json!({"replicas": 2, "updateStrategy": {"partition": 1}});
    let record = json!({"kruise.io/cloneset-volumeclaimtemplates": claims_of("1Gi").to_string()});
    let plan = Scene::of(&dropped).annotate_revision("web-old", &record).plan();
    assert_eq!(pvcs(&plan), ["web-old: \"1Gi\"", "web-new: "]);
}

#[test]
fn a_change_of_volume_claim_templates_alone_is_recorded_on_the_revision_and_makes_none() {
    let spec = json!({"replicas": 2, "volumeClaimTemplates": claims_of("2Gi")});
    let scene = Scene::bare(&spec)
        .revision("web-new", 1, "new")
        .current("web-new")
        .pods(2, "new");
    let hash = json!({"kruise.io/cloneset-volumeclaimtemplate-hash": "vold"});
    let plan = scene.clone().annotate_revision("web-new", &hash).plan();
    assert_eq!(deeds(&plan), ["annotate web-new (uid-of-web-new)"]);
    let Some(RevisionWrite::Update(update)) = &plan.revision else {
        panic!("{:?}", plan.revision)
    };
    let recorded: Vec<&String> = update.annotations.keys().collect();
    assert_eq!(
        recorded,
        ["kruise.io/cloneset-volumeclaimtemplates"],
        "its older pods have the old PVCs"
    );
    let done = scene
        .annotate_revision("web-new", &json!(update.annotations))
        .plan();
    assert_eq!(deeds(&done), [""; 0]);
}

/// The hash that a revision is about to record counts, not the one that it records.
#[test]
fn after_a_rollback_the_first_wave_goes_by_the_volume_claim_templates_of_today() {
    let wave = |storage: &str, recorded: &str| {
        let of = |storage: &str| {
            let plan =
                Scene::bare(&json!({"replicas": 0, "volumeClaimTemplates": claims_of(storage)})).plan();
            let Some(RevisionWrite::Create(new)) = plan.revision else {
                panic!("a new template wants a revision")
            };
            json!(new.annotations)
        };
        let spec = json!({
            "replicas": 2, "volumeClaimTemplates": claims_of(storage), "template": template("old"),
            "updateStrategy": {"type": "InPlaceIfPossible", "maxUnavailable": 2}
        });
        let plan = Scene::of(&spec)
            .annotate_revision("web-old", &of(recorded))
            .annotate_revision("web-new", &of("1Gi"))
            .features(Features {
                recreate_for_claims: true,
                ..Features::default()
            })
            .pods(2, "new")
            .plan();
        deeds(&plan)[1].clone()
    };
    assert_eq!(wave("1Gi", "1Gi"), "take out web-0 (InPlaceUpdate)");
    assert!(
        wave("2Gi", "1Gi").starts_with("delete web-0"),
        "{}",
        wave("2Gi", "1Gi")
    );
    assert_eq!(wave("1Gi", "2Gi"), "take out web-0 (InPlaceUpdate)");
}

/// Fewer pods than the partition: all of them are new, and the release is not over.
#[test]
fn the_current_revision_does_not_move_under_a_partition() {
    let spec = json!({"replicas": 2, "updateStrategy": {"partition": 3}});
    let plan = Scene::of(&spec).pods(2, "new").plan();
    assert_eq!(plan.outlook.current_revision.as_deref(), Some("web-old"));
}
