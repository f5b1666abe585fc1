//! Area C, with claims: ids, names, what becomes of a claim when its pod goes, and who is never touched.

use cloneset_plan::{Action, Features, Plan};
use cloneset_status::{Claim, Pod, Wait};
use cloneset_testkit::World;
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn template(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"of": name}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    })
}

/// A settled set whose pods have one claim each.
fn settled(replicas: i32) -> World {
    let mut world = World::of(&json!({"replicas": replicas, "volumeClaimTemplates": [template("data")]}));
    world.settle().unwrap();
    world
}

/// The same with reuse turned off.
fn without_reuse(replicas: i32) -> World {
    let mut world = settled(replicas);
    world.edit(&json!({"scaleStrategy": {"disablePVCReuse": true}}));
    world.settle().unwrap();
    world
}

fn ids(world: &World) -> BTreeSet<String> {
    let id = |pod: &Pod| pod.instance_id().unwrap().to_owned();
    world.live_pods().iter().map(id).collect()
}

fn names(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|claim| claim.name().to_owned()).collect()
}

fn created(plan: &Plan) -> Vec<String> {
    let id = |action: &Action| match action {
        Action::CreatePod(new) => Some(new.id.clone()),
        _ => None,
    };
    plan.actions.iter().filter_map(id).collect()
}

#[test]
fn a_pod_comes_after_its_claims_and_mounts_them() {
    let mut world =
        World::of(&json!({"replicas": 2, "volumeClaimTemplates": [template("data"), template("logs")]}));
    assert_eq!(
        world.pass().unwrap().to_string(),
        "record v1, claim 2 data, claim 2 logs, create 2 v1"
    );
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    let claims = world.claims();
    for id in ids(&world) {
        for name in ["data", "logs"] {
            let claim = claims
                .iter()
                .find(|claim| claim.name() == format!("{name}-sample-{id}"))
                .unwrap();
            let labels = claim.metadata.labels.as_ref().unwrap();
            assert_eq!((labels["app"].as_str(), labels["of"].as_str()), ("sample", name));
            assert_eq!(labels["apps.kruise.io/cloneset-instance-id"], id);
        }
    }
}

#[test]
fn scenario_50_ids_of_claims_without_a_pod_come_first() {
    let mut world = settled(3);
    let before = ids(&world);
    let pods = world.live_pods();
    for pod in [&pods[0], &pods[2]] {
        world.vanish(pod);
    }
    let mut back = created(&world.plan());
    back.sort();
    let gone = [&pods[0], &pods[2]].map(|pod| pod.instance_id().unwrap().to_owned());
    assert_eq!(back, gone);
    assert_eq!(world.pass().unwrap().to_string(), "create 2 v1");
    world.settle().unwrap();
    assert_eq!(ids(&world), before);
}

#[test]
fn scenario_51_when_every_claim_has_its_pod_ids_are_new() {
    let mut world = settled(2);
    let before = ids(&world);
    world.scale(3);
    let new = created(&world.plan());
    assert_eq!(new.len(), 1);
    assert!(!before.contains(&new[0]) && new[0].len() == 5, "{new:?}");
}

#[test]
fn scenario_56_without_reuse_a_claim_stays_with_its_pod_goes_with_it_or_goes() {
    let mut world = without_reuse(3);
    let pods = world.live_pods();
    world.fail(&pods[0]);
    world.vanish(&pods[1]);
    assert_eq!(
        world.pass().unwrap().to_string(),
        "claim 2 data, create 2 v1, hand over 1 data, unclaim 1 data"
    );
    world.settle().unwrap();
    let ours = names(&world.claims());
    assert!(ours.contains(&format!("data-{}", pods[2].name())), "{ours:?}");
    assert_eq!(ours.len(), 3, "one for each pod: {ours:?}");
    let failed = world.every_claim();
    let failed = failed
        .iter()
        .find(|claim| claim.name() == format!("data-{}", pods[0].name()))
        .unwrap();
    let owner = &failed.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!((owner.kind.as_str(), owner.uid.as_str()), ("Pod", pods[0].uid()));
    world.vanish(&pods[0]);
    let all = names(&world.every_claim());
    assert!(!all.contains(&format!("data-{}", pods[0].name())), "{all:?}");
}

#[test]
fn scenario_57_the_id_of_a_claim_of_somebody_else_is_not_taken_over() {
    let mut world = settled(1);
    world.scale(2);
    // The id that comes next while nobody has it.
    let mut free = world.clone();
    free.settle().unwrap();
    let next: Vec<String> = ids(&free).difference(&ids(&world)).cloned().collect();
    let [next] = next.as_slice() else {
        panic!("{next:?}")
    };
    world.take_claim_name(&format!("data-sample-{next}"));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    assert!(!ids(&world).contains(next), "{:?}", ids(&world));
    let foreign = world.every_claim();
    let foreign = foreign
        .iter()
        .find(|claim| claim.name() == format!("data-sample-{next}"));
    assert!(
        foreign.unwrap().metadata.owner_references.is_none(),
        "{foreign:?}"
    );
}

#[test]
fn scenario_60_claims_go_with_a_pod_that_we_delete_and_no_others() {
    for mut world in [settled(3), without_reuse(3)] {
        world.scale(2);
        assert_eq!(
            world.pass().unwrap().to_string(),
            "delete 1 v1 as surplus, unclaim 1 data"
        );
        world.settle().unwrap();
        let mut wanted: Vec<String> = world
            .live_pods()
            .iter()
            .map(|pod| format!("data-{}", pod.name()))
            .collect();
        wanted.sort();
        assert_eq!(names(&world.every_claim()), wanted);
    }
}

#[test]
fn a_release_gives_every_pod_new_claims() {
    let mut world = settled(3);
    let before = world.claims();
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v2 available");
    let after = world.every_claim();
    assert_eq!(after.len(), 3);
    let is_old = |claim: &Claim| before.iter().any(|old| old.uid() == claim.uid());
    assert!(!after.iter().any(is_old), "{after:?}");
}

/// Kruise tries the same name at once and gets AlreadyExists until the pod is gone.
#[test]
fn a_pod_that_somebody_deletes_is_followed_by_one_with_its_claim_and_name() {
    let mut world = settled(2);
    let (before, claims) = (ids(&world), world.claims());
    let pod = world.live_pods()[0].clone();
    world.delete_by_hand(&pod);
    let pass = world.pass().unwrap();
    assert_eq!(pass.to_string(), "nothing");
    assert!(
        matches!(pass.plan.waits[..], [Wait::ClaimsInUse { pods: 1, .. }]),
        "{:?}",
        pass.plan.waits
    );
    world.scale(4);
    assert_eq!(
        world.pass().unwrap().to_string(),
        "claim 2 data, create 2 v1",
        "the others do not wait"
    );
    world.scale(2);
    world.settle().unwrap();
    world.scale(3);
    world.settle().unwrap();
    assert!(ids(&world).is_superset(&before));
    assert!(
        claims.iter().all(|claim| world.claims().contains(claim)),
        "the very same claims"
    );
}

/// Deviation 11: Kruise gets AlreadyExists for ever.
#[test]
fn regression_32_an_evicted_pod_keeps_its_id_and_its_claim_until_it_is_removed() {
    let mut world = settled(3);
    let evicted = world.live_pods()[0].clone();
    world.fail(&evicted);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
    assert!(!ids(&world).contains(evicted.instance_id().unwrap()));
    assert_eq!(
        world.claims().len(),
        4,
        "nothing that may be needed is thrown away"
    );
    world.vanish(&evicted);
    world.scale(4);
    world.settle().unwrap();
    assert!(
        ids(&world).contains(evicted.instance_id().unwrap()),
        "then the next pod has it"
    );
    assert_eq!(world.claims().len(), 4);
}

/// Deviation 11 again: the node is lost, and the pod on it never goes.
#[test]
fn regression_33_a_pod_stuck_in_deletion_is_replaced_under_another_name_with_a_claim_of_its_own() {
    let mut world = settled(3);
    let stuck = world.live_pods()[0].clone();
    world.hang_in_deletion(&stuck);
    world.run_for(10).unwrap();
    assert_eq!(world.inventory(), "2 v1 available", "it may still go in time");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
    assert!(!ids(&world).contains(stuck.instance_id().unwrap()));
    assert_eq!(world.claims().len(), 4);
}

#[test]
fn regression_28_a_claim_that_is_going_holds_up_nothing_but_its_own_pod() {
    let mut world = settled(3);
    let (claim, pods) = (world.claims()[0].clone(), world.live_pods());
    world.delete_claim_by_hand(&claim);
    world.scale(5);
    assert_eq!(world.pass().unwrap().to_string(), "claim 2 data, create 2 v1");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
    // The pod goes, and the claim with it: what comes in its place begins anew.
    let pod = pods
        .iter()
        .find(|pod| claim.name().ends_with(pod.name()))
        .unwrap();
    world.vanish(pod);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "5 v1 available");
    assert!(world.claims().iter().all(|left| left.uid() != claim.uid()));
}

/// F48: whoever's it is, it is neither used nor changed.
#[test]
fn a_claim_name_that_somebody_else_has_is_passed_over() {
    let mut world = World::of(&json!({"replicas": 2, "volumeClaimTemplates": [template("data")]}));
    let taken = created(&world.plan())[0].clone();
    world.take_claim_name(&format!("data-sample-{taken}"));
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    assert!(!ids(&world).contains(&taken));
    let foreign = world.every_claim();
    let foreign = foreign
        .iter()
        .find(|claim| claim.name() == format!("data-sample-{taken}"));
    assert!(foreign.unwrap().controlling_cloneset().is_none());
}

/// F32: of two that race with their deaths, the next takes up what the last has left.
#[test]
fn a_claim_made_by_a_controller_that_died_gets_its_pod_from_the_next() {
    for reuse in [true, false] {
        let mut world = World::of(&json!({
            "replicas": 1, "volumeClaimTemplates": [template("data")],
            "scaleStrategy": {"disablePVCReuse": !reuse}
        }));
        world.dies_after(1);
        assert_eq!(world.pass().unwrap().to_string(), "record v1, claim 1 data");
        let orphan = world.claims()[0].clone();
        world.settle().unwrap();
        assert_eq!(world.inventory(), "1 v1 available");
        assert_eq!(world.every_claim().len(), 1, "none is left over");
        assert_eq!(world.every_claim()[0].uid() == orphan.uid(), reuse);
    }
}

#[test]
fn a_quota_of_claims_holds_back_pods_that_need_one_and_is_told() {
    let mut world = settled(2);
    world.claim_quota(Some(2));
    world.scale(3);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    assert!(
        world
            .conditions()
            .contains(&"FailedScale=True FailedScale".to_owned())
    );
    // One that can take over a claim needs none.
    let pod = world.live_pods()[0].clone();
    world.vanish(&pod);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "2 v1 available");
    world.claim_quota(None);
    world.settle().unwrap();
    assert_eq!(world.inventory(), "3 v1 available");
}

/// Kruise makes and deletes them again with every attempt.
#[test]
fn claims_of_pods_that_are_refused_wait_for_them_also_without_reuse() {
    let mut world = without_reuse(1);
    world.quota(Some(1));
    world.scale(2);
    assert_eq!(world.pass().unwrap().to_string(), "claim 1 data");
    world.settle().unwrap();
    assert_eq!(world.claims().len(), 2, "made once");
    let made = world.claims();
    world.quota(None);
    world.settle().unwrap();
    assert_eq!(
        (world.inventory().as_str(), world.claims()),
        ("2 v1 available", made)
    );
    world.quota(Some(2));
    world.scale(3);
    world.settle().unwrap();
    world.scale(2);
    world.settle().unwrap();
    assert_eq!(world.claims().len(), 2, "not needed any more");
}

/// F47: the templates are taken off the spec.
#[test]
fn claims_whose_template_is_gone_stay_with_their_pods_and_go_with_them() {
    let mut world = settled(2);
    world.edit(&json!({"volumeClaimTemplates": null}));
    world.settle().unwrap();
    assert_eq!(world.claims().len(), 2);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(
        (world.inventory().as_str(), world.every_claim().len()),
        ("2 v2 available", 0)
    );
}

/// A change of the templates is for new pods; it starts no release.
#[test]
fn a_change_of_the_templates_moves_no_pod() {
    let mut world = settled(2);
    let before = world.history();
    world.edit(&json!({"volumeClaimTemplates": [template("data"), template("more")]}));
    assert_eq!(
        world.pass().unwrap().to_string(),
        "annotate v1",
        "the revision records them, and that is all"
    );
    world.scale(3);
    world.settle().unwrap();
    assert_eq!((world.claims().len(), world.history()), (4, before));
}

#[test]
fn scenario_39_a_revision_that_is_used_again_records_todays_templates() {
    let hash = |world: &World, version: usize| {
        let revisions = world.revisions();
        revisions[version].metadata.annotations.as_ref().unwrap()["kruise.io/cloneset-volumeclaimtemplate-hash"]
            .clone()
    };
    let mut world = settled(1);
    let first = hash(&world, 0);
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(hash(&world, 1), first);
    world.image("v1");
    assert!(world.pass().unwrap().to_string().starts_with("renumber v1"));
    assert_eq!(hash(&world, 1), first, "unchanged");
    world.settle().unwrap();
    world.edit(&json!({"volumeClaimTemplates": [template("other")]}));
    world.settle().unwrap();
    assert_eq!(
        hash(&world, 1),
        first,
        "not recorded without a change of the template"
    );
    world.image("v2");
    world.settle().unwrap();
    assert_ne!(hash(&world, 1), first);
}

/// Without the gate the size would never change, with `InPlaceOnly` it is not to.
#[test]
fn scenario_161_and_regression_44_with_the_gate_a_change_of_image_and_templates_re_creates() {
    for (gate, type_, in_place) in [
        (true, "InPlaceIfPossible", false),
        (false, "InPlaceIfPossible", true),
        (true, "InPlaceOnly", true),
    ] {
        let features = Features {
            recreate_for_claims: gate,
            ..Features::default()
        };
        let mut world = World::of(&json!({
            "replicas": 2, "volumeClaimTemplates": [template("data")], "updateStrategy": {"type": type_}
        }))
        .with(features);
        world.settle().unwrap();
        let (before, claims) = (ids(&world), world.claims());
        world.image("v2");
        world.settle().unwrap();
        assert_eq!(
            (ids(&world), &world.claims()),
            (before.clone(), &claims),
            "the templates are the same"
        );
        let mut larger = template("data");
        larger["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
        world.edit(&json!({"volumeClaimTemplates": [larger]}));
        world.image("v3");
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v3 available");
        assert_eq!(world.claims() == claims, in_place, "gate {gate}, {type_}");
    }
}

/// A rollback records the hash of the templates of that moment, also for the pods that had the revision before.
#[test]
fn a_pod_keeps_old_pvcs_when_its_revision_was_put_back_with_other_templates() {
    let features = Features {
        recreate_for_claims: true,
        ..Features::default()
    };
    let mut world = World::of(&json!({
        "replicas": 2, "volumeClaimTemplates": [template("data")],
        "updateStrategy": {"type": "InPlaceIfPossible", "partition": 1}
    }))
    .with(features);
    world.settle().unwrap();
    world.image("v2");
    world.settle().unwrap();
    assert_eq!(world.inventory(), "1 v1 available, 1 v2 available");
    let kept = world.pods_of("v1")[0].clone();
    let mut larger = template("data");
    larger["spec"]["resources"]["requests"]["storage"] = json!("2Gi");
    world.edit(&json!({"volumeClaimTemplates": [larger], "updateStrategy": {"partition": 0}}));
    for version in ["v1", "v3"] {
        world.image(version);
        world.settle().unwrap();
        assert_eq!(world.inventory(), format!("2 {version} available"));
        assert!(
            world.live_pods().iter().any(|pod| pod.uid() == kept.uid()),
            "{version}"
        );
    }
}

/// With the pod that is taken out for people to look at go its claims, where they are its own.
#[test]
fn a_released_pod_takes_its_claims_along_where_they_are_not_used_again() {
    for (mut world, all) in [(settled(2), 3), (without_reuse(2), 3)] {
        let pod = world.live_pods()[0].clone();
        world.label(&pod, "app", "quarantine");
        world.settle().unwrap();
        assert_eq!(world.inventory(), "2 v1 available");
        assert_eq!(world.every_claim().len(), all);
    }
}
