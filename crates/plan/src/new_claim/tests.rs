//! Claims and volumes as they are sent, and what counts as a change of the templates.

use super::*;
use crate::claim_template::{parse, problem};

fn spec(templates: &Value) -> CloneSetSpec {
    serde_json::from_value(json!({
        "selector": {"matchLabels": {"app": "web"}}, "template": {}, "volumeClaimTemplates": templates
    }))
    .unwrap()
}

fn data(storage: &str) -> Value {
    json!({
        "metadata": {"name": "data", "labels": {"tier": "hot", "app": "other"}, "annotations": {"a": "b"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": storage}}}
    })
}

fn only(templates: &Value) -> Arc<ClaimTemplate> {
    parse(written(&spec(templates))).remove(0)
}

#[test]
fn a_claim_is_its_template_plus_what_makes_it_ours() {
    let owner: CloneSet = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u-1"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {}}
    }))
    .unwrap();
    let mut template = data("1Gi");
    template["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u-2"}]);
    template["status"] = json!({"phase": "Pending"});
    let claim = NewClaim::new(&only(&json!([template])), "web-bcdfg", "bcdfg");
    assert_eq!(
        claim.manifest(&owner),
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": "data-web-bcdfg",
                "namespace": "shop",
                "labels": {"tier": "hot", "app": "web", "apps.kruise.io/cloneset-instance-id": "bcdfg"},
                "annotations": {"a": "b"},
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u-2"},
                    {"apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web", "uid": "u-1",
                     "controller": true, "blockOwnerDeletion": true}
                ]
            },
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        })
    );
}

#[test]
fn claims_come_before_the_volumes_of_the_template_and_in_place_of_those_of_their_name() {
    let claims = [NewClaim::new(&only(&json!([data("1Gi")])), "web-bcdfg", "bcdfg")];
    let own = json!({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]});
    let claim = json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-web-bcdfg"}});
    assert_eq!(
        with_claims(own.clone(), &claims)["volumes"],
        json!([claim, {"name": "tmp", "emptyDir": {}}])
    );
    assert_eq!(
        with_claims(json!({"volumes": null}), &claims)["volumes"],
        json!([claim])
    );
    assert_eq!(with_claims(own.clone(), &[]), own);
}

#[test]
fn names_and_specs_count_in_any_order_and_spelling() {
    let logs = json!({"metadata": {"name": "logs"}, "spec": {"accessModes": ["ReadWriteMany"]}});
    let of = |templates: Value| hash(&spec(&templates));
    let both = of(json!([data("1Gi"), logs]));
    let mut spelt = data("1024Mi");
    spelt["metadata"] = json!({"name": "data", "creationTimestamp": null});
    spelt["spec"]["volumeMode"] = json!("Filesystem");
    spelt["status"] = json!({"phase": "Pending"});
    assert_eq!(of(json!([logs, spelt])), both);
    for other in [json!([data("2Gi"), logs]), json!([logs]), json!([])] {
        assert_ne!(of(other.clone()), both, "{other}");
    }
    assert_eq!((of(json!([])), of(Value::Null)), (String::new(), String::new()));
    assert!(both.parse::<u64>().is_err(), "never taken for one of Kruise's");
}

#[test]
fn what_cannot_be_compared_does_not_differ() {
    for (one, other, differs) in [
        (Some("vbcd"), Some("vbcf"), true),
        (Some("vbcd"), Some(""), true),
        (Some("3393200110"), Some(""), true),
        (Some("3393200110"), Some("12"), true),
        (Some("vbcd"), Some("vbcd"), false),
        (Some("3393200110"), Some("vbcd"), false),
        (None, Some("vbcd"), false),
    ] {
        assert_eq!(differ(one, other), differs, "{one:?} {other:?}");
        assert_eq!(differ(other, one), differs, "{other:?} {one:?}");
    }
}

#[test]
fn a_template_without_a_name_of_its_own_is_a_problem() {
    for templates in [
        json!([{"spec": {}}]),
        json!([data("1Gi"), data("2Gi")]),
        json!(["data"]),
    ] {
        let problem = problem(&spec(&templates));
        assert!(problem.is_some_and(|problem| problem.blocks()), "{templates}");
    }
    assert_eq!(problem(&spec(&json!([data("1Gi")]))), None);
}
