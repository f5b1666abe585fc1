//! What holds for every template: templates are made by putting two of the corpus together and cutting parts
//! out. The additions that must not count are listed here once more, on purpose: not read from the tables
//! that they test.

use crate::corpus::corpus;
use cloneset_plan::normalise::{canonical_text, normalise};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, prop_assert_ne, proptest};
use proptest::sample::Index;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// What may be added to each object that a path leads to, if it is not there. `*` stands for every entry of a
/// list.
const ADDITIONS: [(&str, &str, &str); 49] = [
    ("", "status", "{}"),
    ("", "$patch", "\"replace\""),
    ("/metadata", "creationTimestamp", "null"),
    ("/metadata", "generation", "0"),
    ("/spec", "dnsPolicy", "\"ClusterFirst\""),
    ("/spec", "hostPID", "false"),
    ("/spec", "initContainers", "null"),
    ("/spec", "nodeSelector", "{}"),
    ("/spec", "restartPolicy", "\"Always\""),
    ("/spec", "schedulerName", "\"default-scheduler\""),
    ("/spec", "securityContext", "{}"),
    ("/spec", "terminationGracePeriodSeconds", "30"),
    ("/spec", "tolerations", "[]"),
    ("CONTAINER", "terminationMessagePath", "\"/dev/termination-log\""),
    ("CONTAINER", "terminationMessagePolicy", "\"File\""),
    ("CONTAINER", "resources", "{}"),
    ("CONTAINER", "stdin", "false"),
    ("CONTAINER/ports/*", "protocol", "\"TCP\""),
    ("CONTAINER/ports/*", "hostPort", "0"),
    ("CONTAINER/env/*", "value", "\"\""),
    ("CONTAINER/env/*/valueFrom/fieldRef", "apiVersion", "\"v1\""),
    ("CONTAINER/env/*/valueFrom/resourceFieldRef", "divisor", "\"0\""),
    ("CONTAINER/volumeMounts/*", "readOnly", "false"),
    ("PROBE", "timeoutSeconds", "1"),
    ("PROBE", "periodSeconds", "10"),
    ("PROBE", "successThreshold", "1"),
    ("PROBE", "failureThreshold", "3"),
    ("PROBE", "initialDelaySeconds", "0"),
    ("PROBE/grpc", "service", "\"\""),
    ("PROBE/httpGet", "path", "\"/\""),
    ("PROBE/httpGet", "scheme", "\"HTTP\""),
    ("CONTAINER/lifecycle/postStart/httpGet", "path", "\"/\""),
    ("CONTAINER/lifecycle/preStop/httpGet", "scheme", "\"HTTP\""),
    ("/spec/volumes/*/hostPath", "type", "\"\""),
    ("/spec/volumes/*/secret", "defaultMode", "420"),
    ("/spec/volumes/*/configMap", "defaultMode", "420"),
    ("/spec/volumes/*/downwardAPI", "defaultMode", "420"),
    ("/spec/volumes/*/projected", "defaultMode", "420"),
    (
        "/spec/volumes/*/projected/sources/*/serviceAccountToken",
        "expirationSeconds",
        "3600",
    ),
    (
        "/spec/volumes/*/downwardAPI/items/*/fieldRef",
        "apiVersion",
        "\"v1\"",
    ),
    ("/spec/volumes/*/iscsi", "iscsiInterface", "\"default\""),
    ("/spec/volumes/*/rbd", "pool", "\"rbd\""),
    ("/spec/volumes/*/rbd", "user", "\"admin\""),
    ("/spec/volumes/*/rbd", "keyring", "\"/etc/ceph/keyring\""),
    ("/spec/volumes/*/azureDisk", "cachingMode", "\"ReadWrite\""),
    ("/spec/volumes/*/azureDisk", "kind", "\"Shared\""),
    ("/spec/volumes/*/scaleIO", "storageMode", "\"ThinProvisioned\""),
    ("/spec/volumes/*/scaleIO", "fsType", "\"xfs\""),
    (
        "/spec/volumes/*/ephemeral/volumeClaimTemplate/spec",
        "volumeMode",
        "\"Filesystem\"",
    ),
];

static WHOLE: LazyLock<Vec<Value>> = LazyLock::new(|| {
    corpus()
        .into_iter()
        .flat_map(|entry| [entry.bare, entry.server])
        .collect()
});

/// Two templates of the corpus put together, with parts cut out.
fn template() -> impl Strategy<Value = Value> {
    (any::<Index>(), any::<Index>(), vec(any::<Index>(), 0..12)).prop_map(|(one, other, cuts)| {
        let mut template = one.get(&WHOLE).clone();
        unite(&mut template, other.get(&WHOLE));
        for cut in cuts {
            let paths = paths(&template);
            if !paths.is_empty() {
                remove(&mut template, &paths[cut.index(paths.len())]);
            }
        }
        template
    })
}

fn unite(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                unite(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into @ Value::Null, from) => *into = from.clone(),
        _ => {}
    }
}

/// JSON pointers to everything inside the value.
fn paths(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (escape(name), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, value)| (index.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    let mut paths = Vec::new();
    for (step, child) in children {
        paths.push(format!("/{step}"));
        paths.extend(
            self::paths(child)
                .into_iter()
                .map(|path| format!("/{step}{path}")),
        );
    }
    paths
}

fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn remove(value: &mut Value, path: &str) {
    let (parent, step) = path.rsplit_once('/').expect("a pointer has a step");
    match value.pointer_mut(parent) {
        Some(Value::Object(members)) => {
            members.remove(&step.replace("~1", "/").replace("~0", "~"));
        }
        Some(Value::Array(items)) => {
            items.remove(step.parse().expect("an index"));
        }
        _ => {}
    }
}

/// Makes the value another one, whatever it is.
fn change(value: &mut Value) {
    *value = match value.take() {
        Value::Null => json!("x"),
        Value::Bool(flag) => json!(!flag),
        Value::Number(number) => json!(number.as_i64().expect("canonical numbers are integers") + 1),
        // In front, so that a quantity becomes another quantity.
        Value::String(text) => json!(format!("1{text}")),
        Value::Array(mut items) => {
            items.push(json!({}));
            Value::Array(items)
        }
        Value::Object(mut members) => {
            members.insert("fieldOfTheFuture".to_owned(), json!({}));
            Value::Object(members)
        }
    };
}

/// Every object that a path with stars and class names leads to.
fn each(template: &mut Value, path: &str, visit: &mut dyn FnMut(&mut Value)) {
    for (class, members) in [
        (
            "PROBE",
            [
                "CONTAINER/livenessProbe",
                "CONTAINER/readinessProbe",
                "CONTAINER/startupProbe",
            ],
        ),
        (
            "CONTAINER",
            [
                "/spec/containers/*",
                "/spec/initContainers/*",
                "/spec/ephemeralContainers/*",
            ],
        ),
    ] {
        if let Some(rest) = path.strip_prefix(class) {
            for member in members {
                each(template, &format!("{member}{rest}"), visit);
            }
            return;
        }
    }
    let (here, rest) = path
        .split_once("/*")
        .map_or((path, None), |(here, rest)| (here, Some(rest)));
    let Some(target) = template.pointer_mut(here) else {
        return;
    };
    match rest {
        None => visit(target),
        Some(rest) => {
            for item in target.as_array_mut().into_iter().flatten() {
                each(item, rest, visit);
            }
        }
    }
}

/// Adds what must not count, where `wanted` says so.
fn pad(template: &mut Value, mut wanted: impl FnMut() -> bool) {
    for (path, name, value) in ADDITIONS {
        let value: Value = serde_json::from_str(value).expect("valid JSON");
        each(template, path, &mut |object| {
            if let Some(members) = object.as_object_mut()
                && members.get(name).is_none_or(Value::is_null)
                && wanted()
            {
                members.insert(name.to_owned(), value.clone());
            }
        });
    }
    each(template, "CONTAINER", &mut |container| {
        let tagged = container["image"]
            .as_str()
            .is_some_and(|image| image.ends_with(":v1"));
        if tagged && container["imagePullPolicy"].is_null() && wanted() {
            container["imagePullPolicy"] = json!("IfNotPresent");
        }
    });
    each(template, "/spec/volumes/*", &mut |volume| {
        let sources = volume
            .as_object()
            .map_or(0, |volume| volume.keys().filter(|key| *key != "name").count());
        if sources == 0 && wanted() {
            volume["emptyDir"] = json!({});
        }
    });
    // The old name is overruled, so it may say anything.
    let named = template
        .pointer("/spec/serviceAccountName")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    if named && wanted() {
        template["spec"]["serviceAccount"] = json!("overruled");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_canonical_form_is_canonical(template in template()) {
        let once = normalise(&template);
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn defaults_and_zero_values_do_not_count(template in template(), wanted in vec(any::<bool>(), 1..64)) {
        let mut padded = template.clone();
        let mut wanted = wanted.iter().copied().cycle();
        pad(&mut padded, || wanted.next().unwrap_or_default());
        prop_assert_eq!(canonical_text(&padded), canonical_text(&template));
    }

    #[test]
    fn everything_in_the_canonical_form_counts(
        template in template(),
        place in any::<Index>(),
        cut in any::<bool>(),
    ) {
        let canonical = normalise(&template);
        let paths = paths(&canonical);
        if !paths.is_empty() {
            let path = &paths[place.index(paths.len())];
            let mut changed = canonical.clone();
            if cut {
                remove(&mut changed, path);
            } else {
                change(changed.pointer_mut(path).expect("the path exists"));
            }
            prop_assert_ne!(canonical_text(&changed), canonical_text(&canonical), "{}", path);
        }
    }

    #[test]
    fn a_field_of_the_future_counts_wherever_it_is(template in template(), place in any::<Index>()) {
        let mut objects = paths(&template);
        objects.retain(|path| template.pointer(path).is_some_and(Value::is_object));
        if !objects.is_empty() {
            let mut changed = template.clone();
            let object = changed.pointer_mut(&objects[place.index(objects.len())]).expect("the path exists");
            object["fieldOfTheFuture"] = json!("");
            prop_assert_ne!(canonical_text(&changed), canonical_text(&template));
        }
    }
}
