//! Taking over from OpenKruise: what it stored must be recognised (`crates/testkit/fixtures/kruise`).

use cloneset_plan::normalise::canonical_text;
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/../testkit/fixtures/kruise/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture is there")).expect("valid JSON")
}

/// The template of the CloneSet, as OpenKruise stored it.
fn stored() -> Value {
    fixture("cloneset")["spec"]["template"].clone()
}

/// The template that the user applied, before OpenKruise filled in defaults.
fn manifest() -> Value {
    let cloneset = fixture("cloneset");
    let applied = &cloneset["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"];
    let applied: Value = serde_json::from_str(applied.as_str().expect("a text")).expect("valid JSON");
    applied["spec"]["template"].clone()
}

fn revision(name: &str) -> Value {
    let list = fixture("controllerrevisions");
    let items = list["items"].as_array().expect("a list");
    let revision = items
        .iter()
        .find(|item| item["metadata"]["name"] == name)
        .expect("the revision is there");
    revision["data"]["spec"]["template"].clone()
}

#[test]
fn the_stored_template_is_kruises_update_revision() {
    assert_eq!(
        canonical_text(&stored()),
        canonical_text(&revision("sample-775c54bff4"))
    );
}

#[test]
fn the_stored_template_is_not_kruises_current_revision() {
    assert_ne!(
        canonical_text(&stored()),
        canonical_text(&revision("sample-6765fd5789"))
    );
}

#[test]
fn the_users_manifest_is_the_revision_that_kruise_made_of_it() {
    assert_eq!(
        canonical_text(&manifest()),
        canonical_text(&revision("sample-6765fd5789"))
    );
}

#[test]
fn the_users_manifest_with_the_new_image_is_the_update_revision() {
    let mut manifest = manifest();
    manifest["spec"]["containers"][0]["image"] = Value::from("registry.local/web:v2");
    assert_eq!(
        canonical_text(&manifest),
        canonical_text(&revision("sample-775c54bff4"))
    );
}

#[test]
fn the_pull_policy_that_kruise_writes_where_none_is_given_counts() {
    // Without a policy in the manifest, OpenKruise stores Always, which is not what Kubernetes would do with
    // web:v1.
    let mut bare = manifest();
    let container = bare["spec"]["containers"][0].as_object_mut().expect("an object");
    container.remove("imagePullPolicy");
    let mut kruises = bare.clone();
    kruises["spec"]["containers"][0]["imagePullPolicy"] = Value::from("Always");
    assert_ne!(canonical_text(&kruises), canonical_text(&bare));
}
