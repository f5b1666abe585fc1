//! Random specs and edits of them: all of them valid, as admission would let them pass.

use cloneset_plan::Features;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A number of pods or a percentage.
pub(crate) fn amount(most: i32) -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0..=most).prop_map(|count| json!(count)),
        1 => prop::sample::select(vec!["0%", "10%", "20%", "34%", "50%", "75%", "99%", "100%"]).prop_map(|text| json!(text)),
    ]
}

pub(crate) fn is_zero(amount: &Value) -> bool {
    *amount == json!(0) || *amount == json!("0%")
}

/// Labels that people put on pods, and that orders go by.
pub(crate) const KEYS: [&str; 2] = ["tier", "shard"];
pub(crate) const VALUES: [&str; 3] = ["a", "b-2", "b-10"];

/// An order of updates: by weights, by keys, or none; and labels to scatter.
fn order() -> impl Strategy<Value = (Value, Value)> {
    let label = || {
        (
            prop::sample::select(KEYS.to_vec()),
            prop::sample::select(VALUES.to_vec()),
        )
    };
    let weight = (0..=100_i32, label()).prop_map(
        |(weight, (key, value))| json!({"weight": weight, "matchSelector": {"matchLabels": {key: value}}}),
    );
    let key = prop::sample::select(KEYS.to_vec()).prop_map(|key| json!({"orderedKey": key}));
    let priority = prop_oneof![
        2 => Just(Value::Null),
        1 => vec(weight, 1..4).prop_map(|terms| json!({"weightPriority": terms})),
        1 => vec(key, 1..3).prop_map(|keys| json!({"orderPriority": keys})),
    ];
    let scatter = prop_oneof![
        2 => Just(Value::Null),
        1 => prop::collection::btree_set(label(), 1..3).prop_map(|terms| {
            json!(terms.into_iter().map(|(key, value)| json!({"key": key, "value": value})).collect::<Vec<_>>())
        }),
    ];
    (priority, scatter)
}

/// A valid update strategy: one of maxSurge and maxUnavailable is above 0.
pub(crate) fn strategy() -> impl Strategy<Value = Value> {
    let type_ = prop_oneof![
        4 => Just("ReCreate"), 4 => Just("InPlaceIfPossible"), 2 => Just("InPlaceOnly"), 1 => Just("OnDelete")
    ];
    let numbers = (amount(7), amount(3), amount(3), prop::bool::weighted(0.15), type_);
    (numbers, order(), grace()).prop_map(
        |((partition, surge, unavailable, paused, type_), (priority, scatter), grace)| {
            let surge = if type_ == "InPlaceOnly" { json!(0) } else { surge };
            let stuck = is_zero(&surge) && is_zero(&unavailable);
            let unavailable = if stuck { json!(1) } else { unavailable };
            json!({
                "type": type_, "partition": partition, "maxSurge": surge, "maxUnavailable": unavailable,
                "paused": paused, "priorityStrategy": priority, "scatterStrategy": scatter,
                "inPlaceUpdateStrategy": {"gracePeriodSeconds": grace}
            })
        },
    )
}

fn grace() -> impl Strategy<Value = i32> {
    prop_oneof![3 => Just(0), 1 => 1..20_i32]
}

/// The types that move pods by themselves.
pub(crate) fn moving_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ReCreate", "InPlaceIfPossible", "InPlaceOnly"])
}

pub(crate) fn version() -> impl Strategy<Value = String> {
    (1..=4).prop_map(|number| format!("v{number}"))
}

/// A change of the spec; `null` leaves nothing of the old value.
pub(crate) fn edit() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => replicas().prop_map(|replicas| json!({"replicas": replicas})),
        3 => amount(7).prop_map(|partition| json!({"updateStrategy": {"partition": partition}})),
        3 => strategy().prop_map(|strategy| json!({"updateStrategy": strategy})),
        1 => any::<bool>().prop_map(|paused| json!({"updateStrategy": {"paused": paused}})),
        2 => min_ready_seconds().prop_map(|seconds| json!({"minReadySeconds": seconds})),
        1 => scale_limit().prop_map(|limit| json!({"scaleStrategy": {"maxUnavailable": limit}})),
        1 => any::<bool>().prop_map(|off| json!({"scaleStrategy": {"disablePVCReuse": off}})),
        1 => (0..3).prop_map(|limit| json!({"revisionHistoryLimit": limit})),
        1 => claims().prop_map(|claims| json!({"volumeClaimTemplates": claims})),
        2 => hooks().prop_map(|hooks| json!({"lifecycle": hooks})),
    ]
}

/// Mostly few pods, as their edges meet more often.
pub(crate) fn replicas() -> impl Strategy<Value = i32> {
    prop_oneof![30 => 0..8_i32, 1 => 0..=40_i32]
}

/// Release tools write the largest number to keep new pods from being available before they say so.
pub(crate) fn min_ready_seconds() -> impl Strategy<Value = i32> {
    prop_oneof![
        6 => Just(0), 1 => Just(1), 1 => Just(7), 1 => Just(30), 1 => Just(3600), 1 => Just(i32::MAX - 1)
    ]
}

/// How many unavailable pods stop creation.
pub(crate) fn scale_limit() -> impl Strategy<Value = Value> {
    prop_oneof![2 => Just(Value::Null), 1 => (1..4).prop_map(|count| json!(count))]
}

/// The label and the finalizer of every hook.
pub(crate) const HELD: &str = "example.com/held";

/// Hooks by one label; whoever acts on them puts it on pods and takes it off as they like.
fn hooks() -> impl Strategy<Value = Value> {
    let hook = || {
        let handlers = prop_oneof![
            3 => Just(json!({"labelsHandler": {HELD: "true"}})),
            1 => Just(json!({"finalizersHandler": [HELD]})),
            1 => Just(json!({"labelsHandler": {HELD: "true"}, "finalizersHandler": [HELD]})),
        ];
        let marks = (handlers, any::<bool>()).prop_map(|(mut hook, marks)| {
            hook["markPodNotReady"] = json!(marks);
            hook
        });
        prop_oneof![1 => Just(Value::Null), 1 => marks]
    };
    (hook(), hook(), hook()).prop_map(
        |(normal, update, delete)| json!({"preNormal": normal, "inPlaceUpdate": update, "preDelete": delete}),
    )
}

/// The gates that have a say in which pods there are.
pub(crate) fn features() -> impl Strategy<Value = Features> {
    let rarely = || prop::bool::weighted(0.2);
    let common = (any::<bool>(), any::<bool>());
    (common, rarely(), rarely(), rarely()).prop_map(
        |((partition_rollback, short_hash), exclude_preparing_delete, recreate_for_claims, as_update)| {
            Features {
                partition_rollback,
                short_hash,
                exclude_preparing_delete,
                recreate_for_claims,
                preparing_update_as_update: as_update,
                ..Features::default()
            }
        },
    )
}

/// No claims, one for each pod, or two.
pub(crate) fn claims() -> impl Strategy<Value = Value> {
    let template =
        |name: &&str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    prop::sample::select(vec![&[] as &[&str], &["data"], &["data", "logs"]])
        .prop_map(move |names| names.iter().map(template).collect())
}
