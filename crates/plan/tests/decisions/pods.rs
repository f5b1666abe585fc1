//! Decisions about pods: which are created, deleted and put in service now, and what the others wait for.

use crate::scene::{Scene, deeds, now, waits};
use cloneset_plan::MetadataChange;
use cloneset_plan::{Action, Features, PodDeletion};
use cloneset_status::Wait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A case: what is written and what exists, what is done, what is waited for.
struct Case {
    name: &'static str,
    spec: Value,
    pods: &'static [&'static str],
    deeds: &'static [&'static str],
    waits: &'static [&'static str],
}

fn check(cases: &[Case]) {
    for case in cases {
        let scene = case
            .pods
            .iter()
            .fold(Scene::of(&case.spec), |scene, words| scene.pod(words));
        let plan = scene.plan();
        assert_eq!(deeds(&plan), case.deeds, "{}: deeds", case.name);
        assert_eq!(waits(&plan), case.waits, "{}: waits", case.name);
    }
}

#[test]
fn everything_not_done_has_its_reason() {
    check(&[
        Case {
            name: "nothing to do",
            spec: json!({"replicas": 2}),
            pods: &["new", "new"],
            deeds: &[],
            waits: &[],
        },
        Case {
            name: "the partition is reached",
            spec: json!({"replicas": 3, "updateStrategy": {"partition": 2}}),
            pods: &["old", "old", "new"],
            deeds: &[],
            waits: &[],
        },
        Case {
            name: "paused",
            spec: json!({"replicas": 3, "updateStrategy": {"partition": 1, "paused": true}}),
            pods: &["old", "old", "old"],
            deeds: &[],
            waits: &["2 pods wait to be updated because updateStrategy.paused is set"],
        },
        Case {
            name: "OnDelete",
            spec: json!({"replicas": 2, "updateStrategy": {"type": "OnDelete"}}),
            pods: &["old", "old"],
            deeds: &[],
            waits: &["2 old pods wait to be deleted by the user (updateStrategy.type is OnDelete)"],
        },
        Case {
            name: "one at a time",
            spec: json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}}),
            pods: &["old", "old", "old"],
            deeds: &["delete web-0 (uid-0) for update"],
            waits: &["2 pods wait to be updated until others are available (maxUnavailable)"],
        },
        Case {
            name: "the budget is used up",
            spec: json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}}),
            pods: &["old", "old", "new broken"],
            deeds: &[],
            waits: &["2 pods wait to be updated until others are available (maxUnavailable)"],
        },
        Case {
            name: "scaling comes first",
            spec: json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}}),
            pods: &["old", "old"],
            deeds: &["create web-new"],
            waits: &["pods are being created or deleted first"],
        },
        Case {
            name: "creation is throttled, the update is not",
            spec: json!({
                "replicas": 4, "scaleStrategy": {"maxUnavailable": 1}, "updateStrategy": {"maxUnavailable": 3}
            }),
            pods: &["old", "old", "new broken"],
            deeds: &["delete web-0 (uid-0) for update"],
            waits: &[
                "1 pod waits to be created: scaleStrategy.maxUnavailable lets 0 be created now",
                "1 pod waits to be updated until others are available (maxUnavailable)",
            ],
        },
        Case {
            name: "a marked pod that serves waits, one that does not goes",
            spec: json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}}),
            pods: &["new", "new", "new starting", "new marked", "new broken marked"],
            deeds: &["serve web-2", "delete web-4 (uid-4) as asked"],
            waits: &["1 serving pod waits to be deleted until others are available (maxUnavailable)"],
        },
    ]);
}

#[test]
fn every_delete_is_bound_to_the_pod_as_it_was_chosen() {
    for (spec, pods) in [
        (json!({"replicas": 1}), &["new", "new"] as &[&str]),
        (
            json!({"replicas": 1, "updateStrategy": {"maxUnavailable": 1}}),
            &["new", "new broken"],
        ),
        (
            json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 1}}),
            &["old", "old", "old"],
        ),
        (json!({"replicas": 2}), &["new marked", "new", "new"]),
        (json!({"replicas": 2}), &["new leaving", "new", "new"]),
    ] {
        let scene = pods
            .iter()
            .fold(Scene::of(&spec), |scene, words| scene.pod(words));
        let plan = scene.plan();
        let deletions: Vec<&PodDeletion> = plan
            .actions
            .iter()
            .filter_map(|action| match action {
                Action::DeletePod(deletion) => Some(deletion),
                _ => None,
            })
            .collect();
        assert!(!deletions.is_empty(), "{pods:?}");
        for deletion in deletions {
            let place = deletion.name.trim_start_matches("web-");
            assert_eq!(deletion.resource_version, format!("rv-{place}"), "{pods:?}");
        }
    }
}

#[test]
fn pods_that_are_leaving_are_not_counted_twice() {
    check(&[
        Case {
            name: "scenario 96 with deviation 10: a planned deletion does not forbid scale-in, nor add to it",
            spec: json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 2}}),
            pods: &["new leaving", "new", "new", "new"],
            deeds: &[
                "delete web-0 (uid-0) as surplus",
                "delete web-1 (uid-1) as surplus",
            ],
            waits: &[],
        },
        Case {
            name: "a marked pod already is one of the surplus",
            spec: json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 1}}),
            pods: &["new marked", "new", "new"],
            deeds: &["delete web-0 (uid-0) as asked"],
            waits: &[],
        },
        Case {
            name: "a marked old pod already is one of the updates",
            spec: json!({"replicas": 3, "updateStrategy": {"partition": 2, "maxUnavailable": 1}}),
            pods: &["old broken", "old", "old marked"],
            deeds: &[],
            waits: &["1 serving pod waits to be deleted until others are available (maxUnavailable)"],
        },
        Case {
            name: "a marked pod that may not go yet does not keep a broken old pod from being replaced",
            spec: json!({"replicas": 2, "updateStrategy": {"maxUnavailable": 0, "maxSurge": 1}}),
            pods: &["old marked", "old broken", "new"],
            deeds: &["delete web-1 (uid-1) for update"],
            waits: &["1 serving pod waits to be deleted until others are available (maxUnavailable)"],
        },
        Case {
            name: "a marked pod that does not serve is no stand-in for one that does",
            spec: json!({"replicas": 5, "updateStrategy": {"maxUnavailable": 2, "maxSurge": 4}}),
            pods: &[
                "old",
                "old",
                "old",
                "new broken",
                "new broken",
                "new broken",
                "new broken",
                "new broken marked",
            ],
            deeds: &["delete web-7 (uid-7) as asked"],
            waits: &["1 serving pod waits to be deleted until others are available (maxUnavailable)"],
        },
    ]);
}

#[test]
fn new_pods_get_the_revision_the_partition_asks_for() {
    let created = |partition: Value, pods: &[&str]| {
        let spec = json!({"replicas": 5, "updateStrategy": {"partition": partition}});
        deeds(
            &pods
                .iter()
                .fold(Scene::of(&spec), |scene, words| scene.pod(words))
                .plan(),
        )
    };
    let (old, new) = ("create web-old", "create web-new");
    assert_eq!(created(json!(0), &[]), [new; 5]);
    assert_eq!(created(json!(3), &[]), [old, old, old, new, new]);
    assert_eq!(created(json!("50%"), &[]), [old, old, old, new, new]);
    assert_eq!(created(json!("100%"), &[]), [old; 5]);
    // Pods deleted by hand in the midst of a release are replaced on the side they are missing from.
    assert_eq!(created(json!(3), &["old", "old", "new"]), [old, new]);
    assert_eq!(
        created(json!(3), &["old", "old", "old"]),
        [new],
        "one unproven pod at a time"
    );
    assert_eq!(created(json!(3), &["old", "new", "new", "new"]), [old]);
}

#[test]
fn a_pod_is_put_in_service_once_it_has_a_node() {
    let scene = Scene::of(&json!({"replicas": 2}))
        .pod("new unscheduled")
        .pod("new starting");
    let plan = scene.plan();
    assert_eq!(waits(&plan), ["1 pod waits for a node"]);
    let [Action::PutInService(write)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(
        (write.name.as_str(), write.uid.as_str(), write.gate),
        ("web-1", "uid-1", true)
    );
    assert_eq!(
        write.metadata.labels["lifecycle.apps.kruise.io/state"].as_deref(),
        Some("Normal")
    );
    assert_eq!(
        write.metadata.annotations["lifecycle.apps.kruise.io/timestamp"].as_deref(),
        Some("2026-01-01T12:00:00Z")
    );
}

#[test]
fn regressions_35_36_pods_are_put_in_service_while_paused_and_for_on_delete() {
    for strategy in [json!({"paused": true}), json!({"type": "OnDelete"})] {
        let plan = Scene::of(&json!({"replicas": 1, "updateStrategy": strategy}))
            .pod("new starting")
            .plan();
        assert_eq!(deeds(&plan), ["serve web-0"]);
    }
}

#[test]
fn scenario_47_a_pod_of_an_old_release_gets_its_short_hash() {
    let unlabelled = json!({"metadata": {"labels": {"pod-template-hash": null}}});
    let plan = Scene::of(&json!({"replicas": 1}))
        .pod_with("new", &unlabelled)
        .plan();
    let [Action::PutInService(write)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    let only_the_hash = MetadataChange {
        labels: BTreeMap::from([("pod-template-hash".to_owned(), Some("new".to_owned()))]),
        ..MetadataChange::default()
    };
    assert_eq!((write.gate, &write.metadata), (false, &only_the_hash));
    // A pod that is updated in the same pass gets the update and nothing else.
    let plan = Scene::of(&json!({"replicas": 1, "updateStrategy": {"maxUnavailable": 1}}))
        .pod_with("old", &unlabelled)
        .plan();
    assert_eq!(deeds(&plan), ["delete web-0 (uid-0) for update"]);
}

#[test]
fn a_gate_turned_false_is_opened_again_but_a_state_of_other_hands_is_left_alone() {
    let closed = json!({"status": {"conditions": [{"type": "InPlaceUpdateReady", "status": "False"}]}});
    let states = ["Normal", "Updating", "PreparingUpdate", "SomethingElse"];
    let opened = |state: &str| {
        let mut change = closed.clone();
        change["metadata"] = json!({"labels": {"lifecycle.apps.kruise.io/state": state}});
        !deeds(&Scene::of(&json!({"replicas": 1})).pod_with("new", &change).plan()).is_empty()
    };
    // Nothing on the pod says that there is anything to wait for in Updating; and what was to be updated has the
    // update revision already.
    assert_eq!(states.map(opened), [true, true, true, false]);
    let ungated = json!({"spec": {"readinessGates": null}, "status": closed["status"]});
    assert_eq!(
        deeds(
            &Scene::of(&json!({"replicas": 1}))
                .pod_with("new", &ungated)
                .plan()
        ),
        [""; 0]
    );
}

#[test]
fn finished_and_terminating_pods_are_replaced_and_their_ids_not_reused() {
    let scene = Scene::bare(&json!({"replicas": 2}));
    let ids = |scene: &Scene| -> Vec<String> {
        let created = |action: &Action| match action {
            Action::CreatePod(new) => Some(new.id.clone()),
            _ => None,
        };
        scene.plan().actions.iter().filter_map(created).collect()
    };
    let [first, second]: [String; 2] = ids(&scene).try_into().unwrap();
    let holding = |id: &str, words: &str| {
        scene.clone().pod_with(
            words,
            &json!({"metadata": {"labels": {"apps.kruise.io/cloneset-instance-id": id}}}),
        )
    };
    for words in ["new failed", "new terminating"] {
        let others = ids(&holding(&first, words));
        assert_eq!(others.len(), 2, "{words}");
        assert_eq!(others[0], second, "{words}");
    }
    // Kruise answers AlreadyExists for ever (deviation 11); here a name found taken is passed over.
    assert_eq!(ids(&scene.clone().reserve(&first))[0], second);
    assert_eq!(
        ids(&scene),
        [first, second],
        "the same snapshot gives the same names"
    );
}

#[test]
fn ready_pods_become_available_by_time_alone_and_the_plan_says_when() {
    let spec = json!({"replicas": 2, "minReadySeconds": 30, "updateStrategy": {"maxUnavailable": 1}});
    let plan = Scene::of(&spec).pod("old").pod("new fresh").plan();
    let until: Timestamp = "2026-01-01T12:00:20Z".parse().unwrap();
    assert_eq!(plan.recheck_at(), Some(until));
    assert!(plan.waits.contains(&Wait::MinReadySeconds { pods: 1, until }));
    assert!(plan.waits.contains(&Wait::UpdateBudget { pods: 1 }));
    assert_eq!(until.duration_since(now()), SignedDuration::from_secs(20));
    assert_eq!(
        Scene::of(&json!({"replicas": 1}))
            .pod("new fresh")
            .plan()
            .recheck_at(),
        None
    );
}

#[test]
fn the_short_hash_is_written_and_read() {
    let scene = Scene::of(&json!({"replicas": 2, "updateStrategy": {"partition": 0}}))
        .features(Features {
            short_hash: true,
            ..Features::default()
        })
        .pod_with(
            "new",
            &json!({"metadata": {"labels": {"controller-revision-hash": "new"}}}),
        );
    let plan = scene.plan();
    assert_eq!(plan.outlook.counts.updated, 1, "a short label is recognised");
    let [Action::CreatePod(new)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions)
    };
    assert_eq!(new.revision_label, "new");
}

#[test]
fn with_the_rollback_gate_a_raised_partition_moves_pods_back() {
    let spec = json!({"replicas": 3, "updateStrategy": {"partition": 2, "maxUnavailable": 1}});
    let scene = Scene::of(&spec).pod("old").pods(2, "new");
    assert_eq!(
        deeds(&scene.plan()),
        [""; 0],
        "without the gate a pod keeps what it has"
    );
    let gate = Features {
        partition_rollback: true,
        ..Features::default()
    };
    assert_eq!(
        deeds(&scene.clone().features(gate).plan()),
        ["delete web-1 (uid-1) for update"]
    );
    assert_eq!(
        deeds(&scene.current("web-new").features(gate).plan()),
        [""; 0],
        "there is nothing to go back to"
    );
}

#[test]
fn scenario_54_while_creation_is_held_the_update_goes_on() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 2, "maxSurge": 1}});
    let scene = Scene::of(&spec).pods(3, "old");
    assert_eq!(deeds(&scene.plan()), ["create web-new"]);
    let held = scene.hold_creation().plan();
    assert_eq!(
        deeds(&held),
        [
            "delete web-0 (uid-0) for update",
            "delete web-1 (uid-1) for update"
        ]
    );
    assert_eq!(held.waits, [Wait::BackingOff, Wait::UpdateBudget { pods: 1 }]);
}

#[test]
fn once_creation_has_been_stopped_nothing_is_given_up_that_would_have_to_be_replaced() {
    let spec = json!({"replicas": 3, "updateStrategy": {"maxUnavailable": 2, "maxSurge": 1}});
    let stopped = Scene::of(&spec).pods(3, "old").stop_creation();
    assert_eq!(deeds(&stopped.plan()), [""; 0]);
    assert_eq!(stopped.plan().waits, [Wait::RunawayCreation]);
    let surplus = Scene::of(&spec).pods(5, "new").stop_creation();
    assert_eq!(
        deeds(&surplus.plan()).len(),
        2,
        "what is too many goes all the same"
    );
}

#[test]
fn who_a_release_waits_for_is_told() {
    let gates = json!({
        "spec": {"readinessGates": [{"conditionType": "InPlaceUpdateReady"}, {"conditionType": "example.com/on"}]},
        "status": {"conditions": [
            {"type": "InPlaceUpdateReady", "status": "True"},
            {"type": "ContainersReady", "status": "True"},
            {"type": "Ready", "status": "False"}
        ]}
    });
    let spec = json!({"replicas": 2});
    let waiting = Scene::of(&spec).pod("new").pod_with("new", &gates).plan();
    let wait = Wait::AwaitingConfirmation {
        pods: 1,
        gate: "example.com/on".into(),
    };
    assert_eq!(waiting.waits, [wait]);
    assert!(waiting.outlook.awaiting_confirmation);
    let broken = Scene::of(&spec).pod("new broken").pod_with("new", &gates).plan();
    assert!(
        !broken.outlook.awaiting_confirmation,
        "one of them needs more than that"
    );
}

#[test]
fn a_pod_that_goes_is_not_put_in_service_first() {
    let plan = Scene::of(&json!({"replicas": 1})).pods(2, "new starting").plan();
    assert_eq!(
        deeds(&plan),
        ["serve web-1", "delete web-0 (uid-0) as surplus"],
        "the write would make the delete lose its race"
    );
}

#[test]
fn a_pod_that_was_taken_out_by_its_labels_is_released_before_it_is_replaced() {
    let taken_out = json!({"metadata": {"labels": {"app": "debugging"}}});
    let scene = Scene::of(&json!({"replicas": 3, "updateStrategy": {"partition": 3}}))
        .pods(2, "old")
        .pod_with("old", &taken_out);
    assert_eq!(deeds(&scene.plan()), ["release web-2 (uid-2)"]);
    let Some(Action::ReleasePod(release)) = scene.plan().actions.into_iter().next() else {
        panic!("no release");
    };
    assert_eq!(release.resource_version, "rv-2");
    // Nothing else is done to it: it is not deleted for the update or as surplus, and not put in service.
    let scene = Scene::of(&json!({"replicas": 1}))
        .pod("new")
        .pod_with("old starting", &taken_out);
    assert_eq!(deeds(&scene.plan()), ["release web-1 (uid-1)"]);
    // What cannot be replaced is not given up.
    assert_eq!(
        deeds(&scene.stop_creation().plan()),
        ["delete web-1 (uid-1) as surplus"]
    );
}

#[test]
fn pods_that_a_changed_selector_no_longer_matches_are_updated_not_released() {
    let changed = json!({
        "replicas": 3,
        "selector": {"matchLabels": {"app": null, "name": "web"}},
        "template": {"metadata": {"labels": {"app": null, "name": "web"}}},
        "updateStrategy": {"maxUnavailable": 1}
    });
    let deeds = deeds(&Scene::of(&changed).pods(3, "old").plan());
    assert!(deeds.iter().all(|deed| !deed.starts_with("release")), "{deeds:?}");
    assert_eq!(
        deeds.iter().filter(|deed| deed.starts_with("delete")).count(),
        1,
        "{deeds:?}"
    );
}
