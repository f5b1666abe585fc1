//! Stages told from what stands on a pod.

use super::*;
use serde_json::json;

fn pod(annotations: &Value, change: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": "web-0", "uid": "u", "resourceVersion": "7", "generation": 1, "annotations": annotations,
            "labels": {"controller-revision-hash": "web-new", "lifecycle.apps.kruise.io/state": "Updating"}
        },
        "spec": {"readinessGates": [{"conditionType": "InPlaceUpdateReady"}], "containers": [{"name": "c1", "image": "foo1"}]},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "InPlaceUpdateReady", "status": "False"}],
            "containerStatuses": [{"name": "c1", "image": "foo1", "imageID": "img1", "containerID": "a", "ready": true}]
        }
    });
    for (key, value) in change.as_object().unwrap() {
        pod[key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

fn pod_without_record() -> Pod {
    pod(&json!({}), &json!({}))
}

fn at(pod: &Pod, now: &str) -> Stage {
    let template = json!({"spec": {"containers": [{"name": "c1", "image": "foo2"}]}});
    stage(
        pod,
        &Around {
            template: Some(&template),
            resize: false,
            grace_seconds: 0,
            now: now.parse().unwrap(),
        },
    )
    .unwrap()
}

fn waiting() -> Value {
    json!({
        annotations::IN_PLACE_STATE: r#"{"revision":"web-new","updateTimestamp":"2026-01-01T00:00:00Z"}"#,
        annotations::IN_PLACE_GRACE: r#"{"revision":"web-new","containerImages":{"c1":"foo2"},"graceSeconds":3630}"#,
    })
}

/// What Kruise left behind in its grace period, an hour ago.
#[test]
fn scenario_170_the_grace_period_that_was_written_counts() {
    let pod = pod(&waiting(), &json!({}));
    assert_eq!(
        at(&pod, "2026-01-01T01:00:00Z"),
        Stage::Draining("2026-01-01T01:00:30Z".parse().unwrap())
    );
    let Stage::Due(change) = at(&pod, "2026-01-01T01:00:30Z") else {
        panic!()
    };
    assert_eq!(
        change.images,
        BTreeMap::from([("c1".to_owned(), "foo2".to_owned())])
    );
    assert_eq!(change.resource_version, "7");
    assert_eq!(change.metadata.annotations[annotations::IN_PLACE_GRACE], None);
    let state: Value = serde_json::from_str(
        change.metadata.annotations[annotations::IN_PLACE_STATE]
            .as_ref()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(
        state["lastContainerStatuses"],
        json!({"c1": {"imageID": "img1", "containerID": "a", "image": "foo1"}})
    );
}

/// As old versions of Kruise left it: read under the old keys, written under the new ones alone.
#[test]
fn what_stands_under_the_old_keys_is_taken_over_and_removed() {
    let mut old = json!({});
    for (old_key, key) in [
        (annotations::LEGACY_IN_PLACE_STATE, annotations::IN_PLACE_STATE),
        (annotations::LEGACY_IN_PLACE_GRACE, annotations::IN_PLACE_GRACE),
    ] {
        old[old_key] = waiting()[key].clone();
    }
    let pod = pod(&old, &json!({}));
    assert_eq!(
        at(&pod, "2026-01-01T01:00:00Z"),
        Stage::Draining("2026-01-01T01:00:30Z".parse().unwrap())
    );
    let Stage::Due(change) = at(&pod, "2026-01-01T01:00:30Z") else {
        panic!()
    };
    assert_eq!(change.images["c1"], "foo2");
    let written = &change.metadata.annotations;
    assert!(written[annotations::IN_PLACE_STATE].is_some());
    for gone in [
        annotations::LEGACY_IN_PLACE_STATE,
        annotations::LEGACY_IN_PLACE_GRACE,
    ] {
        assert_eq!(written[gone], None);
    }
}

#[test]
fn what_cannot_be_told_is_done_again_from_the_template() {
    for junk in ["{", r#"{"revision":"other","containerImages":{"c1":"foo9"}}"#] {
        let mut annotations = waiting();
        annotations[annotations::IN_PLACE_GRACE] = json!(junk);
        let Stage::Due(change) = at(&pod(&annotations, &json!({})), "2026-01-01T00:00:00Z") else {
            panic!()
        };
        assert_eq!(change.images["c1"], "foo2");
    }
}

#[test]
fn nothing_is_changed_while_it_serves_whatever_an_annotation_says() {
    let status = json!({"conditions": [{"type": "InPlaceUpdateReady", "status": "True"}]});
    let serving = pod(
        &json!({annotations::IN_PLACE_STATE: "{"}),
        &json!({"status": status}),
    );
    let template = json!({"spec": {"containers": [{"name": "c1", "image": "foo2"}]}});
    let around = Around {
        template: Some(&template),
        resize: false,
        grace_seconds: 0,
        now: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(stage(&serving, &around), Err(Unreadable::InService));
}

/// Oddity 27 and 28: what an overtaken update left undone is part of the next one, and its grace period counts.
#[test]
fn a_new_target_takes_over_what_was_left_undone() {
    let pod = pod(&waiting(), &json!({}));
    let metadata_only = Difference::default();
    let spec = spec_for(&pod, &Claimed::default(), "web-newer", &metadata_only, 5).unwrap();
    assert_eq!(
        spec.container_images["c1"], "foo2",
        "a change that had not been made yet"
    );
    // The same where another controller removed the record.
    let stripped = pod_without_record();
    let template = json!({"spec": {"containers": [{"name": "c1", "image": "foo2"}]}});
    let claimed = Claimed {
        template: Some(&template),
        resize: false,
    };
    let spec = spec_for(&stripped, &claimed, "web-newer", &metadata_only, 5).unwrap();
    assert_eq!(spec.container_images["c1"], "foo2");
    let back = Difference {
        images: BTreeMap::from([("c1".to_owned(), "foo1".to_owned())]),
        ..Difference::default()
    };
    let spec = spec_for(&pod, &Claimed::default(), "web-old", &back, 5).unwrap();
    assert!(spec.container_images.is_empty(), "it still runs that");
}

/// The image was changed and the restart is still to come: neither another image nor mere metadata forgets that.
#[test]
fn a_restart_that_is_still_to_come_is_waited_for_by_what_overtakes_it() {
    let state = r#"{"revision":"web-new","updateTimestamp":"2026-01-01T00:00:00Z",
        "lastContainerStatuses":{"c1":{"imageID":"img0","containerID":"a","image":"foo0"}},
        "containerBatchesRecord":[{"timestamp":"2026-01-01T00:00:00Z","containers":["c1"]}]}"#;
    let restarting = pod(&json!({annotations::IN_PLACE_STATE: state}), &json!({}));
    let now = "2026-01-01T00:00:01Z";
    assert!(matches!(at(&restarting, now), Stage::Restarting(Some(_))));
    let overtaken_by = |difference: &Difference| -> Value {
        let spec = spec_for(&restarting, &Claimed::default(), "web-new", difference, 0).unwrap();
        let announced = announce(&restarting, &spec, now.parse().unwrap()).annotations;
        let announced: BTreeMap<_, _> = announced.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
        let Stage::Due(change) = at(&pod(&json!(announced), &json!({})), now) else {
            panic!("no grace period")
        };
        let state = change.metadata.annotations[annotations::IN_PLACE_STATE].clone();
        serde_json::from_str::<Value>(&state.unwrap()).unwrap()["lastContainerStatuses"].take()
    };
    let was = json!({"imageID": "img0", "containerID": "a", "image": "foo0"});
    assert_eq!(overtaken_by(&Difference::default()), json!({"c1": was}));
    let images = BTreeMap::from([("c1".to_owned(), "foo2".to_owned())]);
    let another = Difference {
        images,
        ..Difference::default()
    };
    assert_eq!(
        overtaken_by(&another),
        json!({"c1": {"imageID": "img1", "containerID": "a", "image": "foo0", "inDoubt": true}})
    );
}

#[test]
fn a_grace_period_is_never_shorter_than_asked_for() {
    let serving = pod(&json!({}), &json!({"status": {}}));
    let announced = |grace| {
        let spec = spec_for(
            &serving,
            &Claimed::default(),
            "web-new",
            &Difference::default(),
            grace,
        )
        .unwrap();
        let change = announce(&serving, &spec, "2026-01-01T00:00:10.95Z".parse().unwrap());
        let written = change.annotations.into_iter();
        let written: BTreeMap<_, _> = written.filter_map(|(key, value)| Some((key, value?))).collect();
        pod(&json!(written), &json!({}))
    };
    let Stage::Draining(until) = at(&announced(1), "2026-01-01T00:00:11.01Z") else {
        panic!("after 60 milliseconds")
    };
    assert_eq!(until.to_string(), "2026-01-01T00:00:12Z");
    assert!(matches!(
        at(&announced(0), "2026-01-01T00:00:10.96Z"),
        Stage::Due(_)
    ));
}

/// Finalizers that were to come or go, and those that the newer update brings or takes.
#[test]
fn finalizers_of_an_overtaken_update_are_not_forgotten() {
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(ToString::to_string).collect() };
    let change = |come: &[&str], go: &[&str]| MetadataChange {
        finalizers: names(come),
        lost_finalizers: names(go),
        ..MetadataChange::default()
    };
    let waiting = UpdateSpec {
        revision: "web-new".to_owned(),
        metadata: change(&["a", "b"], &["c", "d"]),
        ..UpdateSpec::default()
    };
    let pod = pod(&json!({annotations::IN_PLACE_GRACE: text(&waiting)}), &json!({}));
    let newer = Difference {
        metadata: change(&["c", "e"], &["b", "f"]),
        ..Difference::default()
    };
    let spec = spec_for(&pod, &Claimed::default(), "web-newer", &newer, 0).unwrap();
    assert_eq!(spec.metadata, change(&["a", "c", "e"], &["d", "b", "f"]));
}

#[test]
fn a_label_that_was_to_be_read_and_then_went_does_not_come_back() {
    let waiting = r#"{"revision":"web-new","containerImages":{"c1":"foo2"},"containerRefMetadata":{"c1":{"labels":{"k":"v"}}}}"#;
    let pod = pod(&json!({annotations::IN_PLACE_GRACE: waiting}), &json!({}));
    let mut gone = MetadataChange::default();
    gone.labels.insert("k".to_owned(), None);
    let newer = Difference {
        metadata: gone.clone(),
        ..Difference::default()
    };
    let spec = spec_for(&pod, &Claimed::default(), "web-newer", &newer, 0).unwrap();
    assert_eq!(spec.metadata, gone);
    assert_eq!(spec.container_ref_metadata["c1"].labels, Some(BTreeMap::new()));
}
