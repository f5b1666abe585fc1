//! The annotations as Kruise writes them.

use super::*;
use serde_json::json;

fn pod(annotations: &Value) -> Pod {
    serde_json::from_value(json!({"metadata": {"annotations": annotations}})).unwrap()
}

#[test]
fn what_kruise_wrote_is_read_and_written_again_the_same() {
    let written = r#"{"revision":"sample-775c54bff4","updateTimestamp":"2026-11-23T02:50:46Z","lastContainerStatuses":{"main":{"imageID":"sha256:3c20"}},"updateImages":true,"containerBatchesRecord":[{"timestamp":"2026-11-23T02:50:46Z","containers":["main"]}]}"#;
    let found = UpdateState::of(&pod(&json!({annotations::IN_PLACE_STATE: written})))
        .unwrap()
        .unwrap();
    assert_eq!(found.last_container_statuses["main"].image_id, "sha256:3c20");
    let again: Value = serde_json::from_str(&text(&found)).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(written).unwrap());
}

#[test]
fn the_shortest_spec_of_real_life() {
    let written = r#"{"revision":"rev_new","containerImages":{"c1":"foo2"},"graceSeconds":3630}"#;
    for key in [annotations::IN_PLACE_GRACE, annotations::LEGACY_IN_PLACE_GRACE] {
        let found = UpdateSpec::of(&pod(&json!({key: written}))).unwrap().unwrap();
        assert_eq!(found.grace_seconds, 3630);
        assert_eq!(found.container_images["c1"], "foo2");
        assert_eq!(text(&found), written);
    }
}

#[test]
fn the_patch_of_metadata_is_in_base64_and_what_is_ours_is_left_out_of_it() {
    let patch = json!({"metadata": {
        "labels": {"a": "b", "gone": null, "controller-revision-hash": "x"},
        "$deleteFromPrimitiveList/finalizers": ["c/d"]
    }});
    let encoded = STANDARD.encode(patch.to_string());
    let found = UpdateSpec::of(&pod(&json!({
        annotations::IN_PLACE_GRACE: json!({"revision": "r", "metaDataPatch": encoded}).to_string()
    })))
    .unwrap()
    .unwrap();
    let expected = MetadataChange {
        labels: BTreeMap::from([("a".to_owned(), Some("b".to_owned())), ("gone".to_owned(), None)]),
        lost_finalizers: vec!["c/d".to_owned()],
        ..MetadataChange::default()
    };
    assert_eq!(found.metadata, expected);
    let again = UpdateSpec::of(&pod(&json!({annotations::IN_PLACE_GRACE: text(&found)})));
    assert_eq!(again.unwrap().unwrap(), found);
}

#[test]
fn nulls_as_go_writes_them_are_nothing() {
    let found = UpdateState::of(&pod(&json!({
        annotations::IN_PLACE_STATE:
            r#"{"revision":"r","updateTimestamp":"2026-01-01T00:00:00Z","lastContainerStatuses":null,"nextContainerImages":null}"#
    })))
    .unwrap()
    .unwrap();
    assert!(found.last_container_statuses.is_empty() && found.next.is_empty());
}

#[test]
fn what_cannot_be_read_names_its_annotation() {
    let huge = format!("{{\"revision\": \"{}\"}}", "x".repeat(MOST_BYTES));
    for junk in [
        "",
        "{",
        "7",
        "[]",
        r#"{"revision":[]}"#,
        r#"{"updateImages":"yes"}"#,
        &huge,
    ] {
        assert_eq!(
            UpdateState::of(&pod(&json!({annotations::IN_PLACE_STATE: junk}))),
            Err(Unreadable::Annotation(annotations::IN_PLACE_STATE)),
            "{junk:.40}"
        );
    }
    let bad_patch = r#"{"revision":"r","metaDataPatch":"%%%"}"#;
    assert_eq!(
        UpdateSpec::of(&pod(&json!({annotations::IN_PLACE_GRACE: bad_patch}))),
        Err(Unreadable::Annotation(annotations::IN_PLACE_GRACE))
    );
    assert_eq!(UpdateState::of(&Pod::default()), Ok(None));
}
