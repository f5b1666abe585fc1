//! One case a line: two fragments of a template and whether they are the same.

use cloneset_plan::normalise::{canonical_text, normalise};
use serde_json::{Map, Value, json};

/// A template with this pod spec.
fn pod(spec: &Value) -> Value {
    json!({ "spec": spec })
}

/// A template with this container, which gets an image if it has none.
fn container(container: &Value) -> Value {
    let mut full = json!({ "name": "main", "image": "web:v1" });
    merge(&mut full, container);
    pod(&json!({ "containers": [full] }))
}

/// A template with this volume.
fn volume(volume: &Value) -> Value {
    let mut full = json!({ "name": "data" });
    merge(&mut full, volume);
    pod(&json!({ "volumes": [full] }))
}

fn merge(into: &mut Value, from: &Value) {
    let from: Map<_, _> = from.as_object().cloned().unwrap_or_default();
    into.as_object_mut().expect("an object").extend(from);
}

type Wrap = fn(&Value) -> Value;

fn same(wrap: Wrap, cases: &[(Value, Value)]) {
    for (a, b) in cases {
        assert_eq!(canonical_text(&wrap(a)), canonical_text(&wrap(b)), "{a} and {b}");
    }
}

fn different(wrap: Wrap, cases: &[(Value, Value)]) {
    for (a, b) in cases {
        assert_ne!(canonical_text(&wrap(a)), canonical_text(&wrap(b)), "{a} and {b}");
    }
}

fn requests(cpu: &Value) -> Value {
    container(&json!({ "resources": { "requests": { "cpu": cpu } } }))
}

#[test]
fn text_has_sorted_keys_and_no_white_space() {
    let labels = json!({ "b": "1", "a": "2" });
    let template = json!({ "spec": { "nodeName": "n", "hostname": "h" }, "metadata": { "labels": labels } });
    let text = r#"{"metadata":{"labels":{"a":"2","b":"1"}},"spec":{"hostname":"h","nodeName":"n"}}"#;
    assert_eq!(canonical_text(&template), text);
}

#[test]
fn the_marks_of_a_revision_and_of_a_typed_client_do_not_count() {
    same(
        Value::clone,
        &[
            (
                json!({ "$patch": "replace", "spec": { "hostname": "h" } }),
                json!({ "spec": { "hostname": "h" } }),
            ),
            (
                json!({ "metadata": { "creationTimestamp": null }, "status": {} }),
                json!({}),
            ),
            (
                json!({ "metadata": { "labels": {}, "annotations": null }, "spec": {} }),
                json!({ "metadata": null }),
            ),
            (json!({ "metadata": { "generation": 0, "uid": "" } }), json!({})),
        ],
    );
}

#[test]
fn what_a_template_says_about_its_pods_counts() {
    different(
        Value::clone,
        &[
            (json!({ "metadata": { "labels": { "a": "" } } }), json!({})),
            (
                json!({ "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z" } }),
                json!({}),
            ),
            (json!({ "status": { "phase": "Running" } }), json!({})),
            (json!({ "spec": { "$patch": "replace" } }), json!({})),
            (
                json!({ "metadata": { "annotations": { "n": "1" } } }),
                json!({ "metadata": { "annotations": { "n": "1000m" } } }),
            ),
        ],
    );
}

#[test]
fn zero_values_of_typed_structs_do_not_count() {
    same(
        container,
        &[
            (
                json!({ "resources": {}, "command": [], "stdin": false, "workingDir": "" }),
                json!({}),
            ),
            (
                json!({ "resources": { "limits": {}, "requests": null } }),
                json!({}),
            ),
            (
                json!({ "env": [{ "name": "A", "value": "" }] }),
                json!({ "env": [{ "name": "A" }] }),
            ),
            (
                json!({ "ports": [{ "containerPort": 1, "hostPort": 0 }] }),
                json!({ "ports": [{ "containerPort": 1 }] }),
            ),
        ],
    );
}

#[test]
fn pointers_to_zero_count() {
    different(
        container,
        &[
            (json!({ "securityContext": {} }), json!({})),
            (
                json!({ "securityContext": { "runAsUser": 0 } }),
                json!({ "securityContext": {} }),
            ),
            (
                json!({ "securityContext": { "privileged": false } }),
                json!({ "securityContext": {} }),
            ),
            (json!({ "restartPolicy": "" }), json!({})),
            (json!({ "livenessProbe": {} }), json!({})),
        ],
    );
    different(
        pod,
        &[
            (json!({ "terminationGracePeriodSeconds": 0 }), json!({})),
            (json!({ "enableServiceLinks": true }), json!({})),
            (json!({ "shareProcessNamespace": false }), json!({})),
            (
                json!({ "affinity": { "podAntiAffinity": {} } }),
                json!({ "affinity": {} }),
            ),
            (json!({ "affinity": {} }), json!({})),
        ],
    );
}

#[test]
fn an_empty_selector_selects_everything_and_no_selector_nothing() {
    let term = |selector: Value| {
        let mut term = json!({ "topologyKey": "zone" });
        merge(&mut term, &selector);
        json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [term] } } })
    };
    different(pod, &[(term(json!({ "labelSelector": {} })), term(json!({})))]);
    same(
        pod,
        &[(
            term(json!({ "labelSelector": { "matchLabels": {} } })),
            term(json!({ "labelSelector": {} })),
        )],
    );
}

#[test]
fn defaults_of_the_pod_do_not_count_and_other_values_do() {
    let defaults = json!({
        "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "schedulerName": "default-scheduler",
        "securityContext": {}, "terminationGracePeriodSeconds": 30, "hostNetwork": false,
    });
    same(pod, &[(defaults, json!({}))]);
    different(
        pod,
        &[
            (json!({ "dnsPolicy": "Default" }), json!({})),
            (json!({ "terminationGracePeriodSeconds": 31 }), json!({})),
            (json!({ "securityContext": { "fsGroup": 0 } }), json!({})),
        ],
    );
}

#[test]
fn the_old_name_of_the_service_account_is_the_new_one() {
    same(
        pod,
        &[
            (
                json!({ "serviceAccount": "a" }),
                json!({ "serviceAccountName": "a" }),
            ),
            (
                json!({ "serviceAccount": "b", "serviceAccountName": "a" }),
                json!({ "serviceAccountName": "a" }),
            ),
            (
                json!({ "serviceAccount": "a", "serviceAccountName": "" }),
                json!({ "serviceAccountName": "a" }),
            ),
            (json!({ "serviceAccount": "" }), json!({})),
        ],
    );
    different(pod, &[(json!({ "serviceAccount": "a" }), json!({}))]);
}

#[test]
fn the_default_pull_policy_follows_the_image() {
    let digest = format!("@sha256:{}", "a".repeat(64));
    let always = [
        "nginx",
        "nginx:latest",
        "localhost:5000/x",
        "A.example/x",
        "a_b.c/d",
        "[::1]:80/x",
    ];
    let if_not_present = [
        "nginx:v1",
        "localhost:5000/x:v1",
        "Not/An/Image",
        "",
        "x:",
        "-x",
        "a___b",
        "a.b:latest/x",
    ];
    for (images, policy, other) in [
        (&always[..], "Always", "IfNotPresent"),
        (&if_not_present[..], "IfNotPresent", "Always"),
    ] {
        for image in images {
            let bare = json!({ "image": image });
            same(
                container,
                &[(json!({ "image": image, "imagePullPolicy": policy }), bare.clone())],
            );
            different(
                container,
                &[(json!({ "image": image, "imagePullPolicy": other }), bare.clone())],
            );
            different(
                container,
                &[(json!({ "image": image, "imagePullPolicy": "Never" }), bare)],
            );
        }
    }
    for (tag, policy) in [
        ("", "IfNotPresent"),
        (":v1", "IfNotPresent"),
        (":latest", "Always"),
    ] {
        let image = format!("nginx{tag}{digest}");
        same(
            container,
            &[(
                json!({ "image": image, "imagePullPolicy": policy }),
                json!({ "image": image }),
            )],
        );
    }
    let image = format!("nginx:latest{}", digest.replace('a', "A"));
    same(
        container,
        &[(
            json!({ "image": image, "imagePullPolicy": "IfNotPresent" }),
            json!({ "image": image }),
        )],
    );
}

#[test]
fn quantities_of_one_value_are_the_same() {
    let spellings: [&[Value]; 9] = [
        &[
            json!("1"),
            json!("1000m"),
            json!(1),
            json!(1.0),
            json!("1e0"),
            json!(" 1 "),
            json!("+1"),
            json!("01.0"),
        ],
        &[
            json!("500m"),
            json!("0.5"),
            json!(0.5),
            json!(".5"),
            json!("5e-1"),
        ],
        &[
            json!("1Gi"),
            json!("1024Mi"),
            json!("1073741824"),
            json!("1073741824000m"),
        ],
        &[json!("1.5Gi"), json!("1536Mi")],
        &[json!("2G"), json!("2e9"), json!("2000M"), json!("2E9")],
        &[json!("0"), json!("0Mi"), json!(0), json!(null), json!("-0")],
        &[
            json!("1m"),
            json!("100u"),
            json!("1n"),
            json!("0.0001"),
            json!("0.00000000001"),
        ],
        &[json!("9223372036854775807"), json!("16Ei"), json!("99Ei")],
        &[json!("1E"), json!("1e18"), json!("1000P")],
    ];
    for (index, value) in spellings.iter().enumerate() {
        for spelling in *value {
            assert_eq!(
                normalise(&requests(spelling)),
                normalise(&requests(&value[0])),
                "{spelling}"
            );
            for other in spellings.iter().skip(index + 1) {
                assert_ne!(
                    normalise(&requests(spelling)),
                    normalise(&requests(&other[0])),
                    "{spelling}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_quantity_counts_as_it_is() {
    let odd = [
        json!("1Qi"),
        json!("one"),
        json!(""),
        json!("1 Gi"),
        json!([1]),
        json!(true),
        json!("1e99999999999"),
    ];
    for (index, value) in odd.iter().enumerate() {
        for other in odd.iter().skip(index + 1) {
            assert_ne!(
                normalise(&requests(value)),
                normalise(&requests(other)),
                "{value} {other}"
            );
        }
        assert_ne!(
            normalise(&requests(value)),
            normalise(&requests(&json!("0"))),
            "{value}"
        );
    }
}

#[test]
fn a_size_limit_keeps_steps_finer_than_a_thousandth_and_a_zero() {
    let limit = |limit: Value| volume(&json!({ "emptyDir": { "sizeLimit": limit } }));
    assert_ne!(normalise(&limit(json!("1u"))), normalise(&limit(json!("1m"))));
    assert_ne!(normalise(&limit(json!("0"))), normalise(&limit(json!(null))));
    assert_eq!(
        normalise(&limit(json!("2048Mi"))),
        normalise(&limit(json!("2Gi")))
    );
}

#[test]
fn a_volume_without_a_source_is_an_empty_directory() {
    same(
        volume,
        &[
            (json!({ "emptyDir": {} }), json!({})),
            (
                json!({ "emptyDir": { "medium": "" } }),
                json!({ "emptyDir": null }),
            ),
            (json!({ "emptyDir": {}, "hostPath": null }), json!({})),
        ],
    );
    different(
        volume,
        &[
            (json!({ "emptyDir": { "medium": "Memory" } }), json!({})),
            (
                json!({ "emptyDir": {}, "hostPath": { "path": "/" } }),
                json!({ "hostPath": { "path": "/" } }),
            ),
            (
                json!({ "emptyDir": {}, "sourceOfTheFuture": {} }),
                json!({ "sourceOfTheFuture": {} }),
            ),
            (json!({ "sourceOfTheFuture": {} }), json!({})),
        ],
    );
}

#[test]
fn with_the_hosts_network_a_host_port_equal_to_the_container_port_is_implied() {
    let spec = |network: bool, containers: &str, ports: Value| {
        pod(&json!({ "hostNetwork": network, containers: [{ "image": "web:v1", "ports": [ports] }] }))
    };
    let implied = json!({ "containerPort": 80, "hostPort": 80 });
    let bare = json!({ "containerPort": 80 });
    for (network, containers, implies) in [
        (true, "containers", true),
        (true, "initContainers", true),
        (true, "ephemeralContainers", false),
        (false, "containers", false),
    ] {
        let a = normalise(&spec(network, containers, implied.clone()));
        let b = normalise(&spec(network, containers, bare.clone()));
        assert_eq!(a == b, implies, "{containers} with hostNetwork {network}");
    }
}

#[test]
fn ports_of_probes_are_numbers_or_names_and_never_both() {
    let probe = |port: Value| json!({ "readinessProbe": { "httpGet": { "port": port } } });
    different(
        container,
        &[
            (probe(json!(80)), probe(json!("80"))),
            (probe(json!("")), probe(json!(null))),
        ],
    );
}

#[test]
fn order_of_lists_counts() {
    different(
        container,
        &[
            (json!({ "args": ["a", "b"] }), json!({ "args": ["b", "a"] })),
            (json!({ "args": [""] }), json!({})),
            (json!({ "args": ["", "a"] }), json!({ "args": ["a"] })),
        ],
    );
    different(pod, &[(json!({ "tolerations": [{}] }), json!({}))]);
}

#[test]
fn a_null_entry_is_the_zero_of_its_type() {
    same(
        container,
        &[
            (json!({ "args": [null] }), json!({ "args": [""] })),
            (json!({ "ports": [null] }), json!({ "ports": [{}] })),
        ],
    );
    same(
        pod,
        &[(
            json!({ "nodeSelector": { "a": null } }),
            json!({ "nodeSelector": { "a": "" } }),
        )],
    );
}

#[test]
fn unknown_fields_count_with_every_value_but_null() {
    for wrap in [pod as Wrap, container, volume] {
        for value in [
            json!({}),
            json!([]),
            json!(""),
            json!(0),
            json!(false),
            json!({ "a": {} }),
        ] {
            different(wrap, &[(json!({ "fieldOfTheFuture": value }), json!({}))]);
        }
        same(wrap, &[(json!({ "fieldOfTheFuture": null }), json!({}))]);
        same(
            wrap,
            &[(
                json!({ "future": { "a": null, "b": 1.0 } }),
                json!({ "future": { "b": 1 } }),
            )],
        );
        different(wrap, &[(json!({ "future": [null] }), json!({ "future": [] }))]);
    }
}

#[test]
fn values_of_the_wrong_type_count() {
    different(
        pod,
        &[
            (json!({ "dnsPolicy": 0 }), json!({})),
            (json!({ "hostNetwork": "" }), json!({})),
            (json!({ "containers": {} }), json!({})),
            (json!({ "nodeSelector": [] }), json!({})),
            (json!({ "terminationGracePeriodSeconds": "30" }), json!({})),
            (json!({ "serviceAccount": 1 }), json!({})),
        ],
    );
    different(Value::clone, &[(json!([]), json!({})), (json!("x"), json!({}))]);
}
