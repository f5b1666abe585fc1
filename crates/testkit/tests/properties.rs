//! What holds whatever the spec, the edits on the way and the fates of the pods are.
//!
//! Every write is held against S1 to S11 by the world itself; here are the generators, and what must be true once
//! the world has come to rest. `PROPTEST_CASES` raises the number of cases; a failure prints the story of the
//! smallest one.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

use cloneset_api::CloneSetStatus;
use cloneset_plan::Features;
use cloneset_status::{Claim, Pod, Revision, Wait};
use cloneset_testkit::{Failure, Fate, World};
use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use std::sync::Arc;

/// Cases for each property: together about half a minute on two cores.
fn cases(default: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(default),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

impl From<Told> for TestCaseError {
    fn from(told: Told) -> Self {
        Self::fail(told.0.to_string())
    }
}

struct Told(Failure);

fn told(failure: Failure) -> TestCaseError {
    Told(failure).into()
}

/// A number of pods or a percentage.
fn amount(most: i32) -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (0..=most).prop_map(|count| json!(count)),
        1 => prop::sample::select(vec!["0%", "10%", "20%", "34%", "50%", "75%", "99%", "100%"]).prop_map(|text| json!(text)),
    ]
}

fn is_zero(amount: &Value) -> bool {
    *amount == json!(0) || *amount == json!("0%")
}

/// Labels that people put on pods, and that orders go by.
const KEYS: [&str; 2] = ["tier", "shard"];
const VALUES: [&str; 3] = ["a", "b-2", "b-10"];

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
fn strategy() -> impl Strategy<Value = Value> {
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
fn moving_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["ReCreate", "InPlaceIfPossible", "InPlaceOnly"])
}

fn version() -> impl Strategy<Value = String> {
    (1..=4).prop_map(|number| format!("v{number}"))
}

/// A change of the spec; `null` leaves nothing of the old value.
fn edit() -> impl Strategy<Value = Value> {
    let scale_limit = prop_oneof![3 => Just(Value::Null), 1 => (1..4).prop_map(|count| json!(count))];
    prop_oneof![
        3 => (0..8).prop_map(|replicas| json!({"replicas": replicas})),
        3 => amount(7).prop_map(|partition| json!({"updateStrategy": {"partition": partition}})),
        3 => strategy().prop_map(|strategy| json!({"updateStrategy": strategy})),
        1 => any::<bool>().prop_map(|paused| json!({"updateStrategy": {"paused": paused}})),
        1 => prop::sample::select(vec![0, 1, 7, 30]).prop_map(|seconds| json!({"minReadySeconds": seconds})),
        1 => scale_limit.prop_map(|limit| json!({"scaleStrategy": {"maxUnavailable": limit}})),
        1 => any::<bool>().prop_map(|off| json!({"scaleStrategy": {"disablePVCReuse": off}})),
        1 => (0..3).prop_map(|limit| json!({"revisionHistoryLimit": limit})),
        2 => hooks().prop_map(|hooks| json!({"lifecycle": hooks})),
    ]
}

/// The label of every hook.
const HELD: &str = "example.com/held";

/// Hooks by one label; whoever acts on them puts it on pods and takes it off as they like.
fn hooks() -> impl Strategy<Value = Value> {
    let hook = || {
        let marks = any::<bool>()
            .prop_map(|marks| json!({"labelsHandler": {HELD: "true"}, "markPodNotReady": marks}));
        prop_oneof![1 => Just(Value::Null), 1 => marks]
    };
    (hook(), hook(), hook()).prop_map(
        |(normal, update, delete)| json!({"preNormal": normal, "inPlaceUpdate": update, "preDelete": delete}),
    )
}

/// Something that happens to one of the live pods.
#[derive(Clone, Copy, Debug)]
enum Blow {
    Mark,
    /// Put on `podsToDelete`, with a name that no pod has.
    Name,
    Label(&'static str, &'static str),
    Hold,
    LetGo,
    DeleteByHand,
    Vanish,
    Fail,
    Crash(u32),
    LoseClaims,
}

#[derive(Clone, Debug)]
enum Step {
    Edit(Value),
    Image(String),
    Blow(Blow, usize),
    Quota(usize),
    Die(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let label = (
        prop::sample::select(KEYS.to_vec()),
        prop::sample::select(VALUES.to_vec()),
    );
    let blow = prop_oneof![
        Just(Blow::Mark),
        Just(Blow::Name),
        label.prop_map(|(key, value)| Blow::Label(key, value)),
        Just(Blow::Hold),
        Just(Blow::LetGo),
        Just(Blow::DeleteByHand),
        Just(Blow::Vanish),
        Just(Blow::Fail),
        (1..20_u32).prop_map(Blow::Crash),
        Just(Blow::LoseClaims),
    ];
    prop_oneof![
        3 => edit().prop_map(Step::Edit),
        2 => version().prop_map(Step::Image),
        3 => (blow, 0..8_usize).prop_map(|(blow, which)| Step::Blow(blow, which)),
        1 => (0..10_usize).prop_map(Step::Quota),
        1 => (0..6_usize).prop_map(Step::Die),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u32, Step)>> {
    vec((0..12_u32, step()), 0..10)
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..4_u32, 0..15_u32).prop_map(|(scheduled, ready)| Fate {
        scheduled_after: Some(scheduled),
        ready_after: Some(ready),
    });
    vec(fate, 1..5)
}

fn features() -> impl Strategy<Value = Features> {
    (any::<bool>(), any::<bool>()).prop_map(|(partition_rollback, short_hash)| Features {
        partition_rollback,
        short_hash,
        ..Features::default()
    })
}

/// No claims, one for each pod, or two.
fn claims() -> impl Strategy<Value = Value> {
    let template =
        |name: &&str| json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    prop::sample::select(vec![&[] as &[&str], &["data"], &["data", "logs"]])
        .prop_map(move |names| names.iter().map(template).collect())
}

/// A world and what happens to it.
#[derive(Clone, Debug)]
struct Life {
    replicas: i32,
    strategy: Value,
    spread: Vec<&'static str>,
    claims: Value,
    features: Features,
    fates: Vec<Fate>,
    lag: i64,
    steps: Vec<(u32, Step)>,
}

fn life() -> impl Strategy<Value = Life> {
    let lag = prop_oneof![2 => Just(0_i64), 1 => 1..4_000_i64];
    let topology = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];
    let spread = prop::sample::subsequence(topology.to_vec(), 0..=2);
    (
        0..8_i32,
        strategy(),
        spread,
        claims(),
        features(),
        fates(),
        lag,
        steps(),
    )
        .prop_map(
            |(replicas, strategy, spread, claims, features, fates, lag, steps)| Life {
                replicas,
                strategy,
                spread,
                claims,
                features,
                fates,
                lag,
                steps,
            },
        )
}

impl Life {
    fn world(&self) -> World {
        let constraint =
            |key: &&str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"});
        let constraints: Vec<Value> = self.spread.iter().map(constraint).collect();
        let spec = json!({
            "replicas": self.replicas, "updateStrategy": self.strategy, "volumeClaimTemplates": self.claims,
            "template": {"spec": {"topologySpreadConstraints": constraints}}
        });
        let mut world = World::of(&spec).with(self.features);
        world.fates(self.fates.clone());
        world.set_lag(SignedDuration::from_millis(self.lag));
        world
    }
}

fn take(world: &mut World, step: &Step) {
    match step {
        Step::Edit(change) => {
            world.edit(change);
            unstick(world);
        }
        Step::Image(version) => world.image(version),
        Step::Quota(pods) => world.quota(Some(*pods)),
        Step::Die(writes) => world.dies_after(*writes),
        Step::Blow(blow, which) => {
            let pods = world.live_pods();
            let Some(pod) = which.checked_rem(pods.len()).and_then(|index| pods.get(index)) else {
                return;
            };
            strike(world, *blow, pod);
        }
    }
}

fn strike(world: &mut World, blow: Blow, pod: &Pod) {
    match blow {
        Blow::Mark => world.mark(pod),
        Blow::Name => world.name_to_delete(&[pod.name(), "sample-nobody"]),
        Blow::Label(key, value) => world.label(pod, key, value),
        Blow::Hold => world.label(pod, HELD, "true"),
        Blow::LetGo => world.unlabel(pod, HELD),
        Blow::DeleteByHand => world.delete_by_hand(pod),
        Blow::Vanish => world.vanish(pod),
        Blow::Fail => world.fail(pod),
        Blow::Crash(seconds) => world.crash(pod, Some(seconds)),
        Blow::LoseClaims => {
            for claim in world
                .claims()
                .iter()
                .filter(|claim| claim.name().ends_with(pod.name()))
            {
                world.delete_claim_by_hand(claim);
            }
        }
    }
}

/// An edit of single fields may leave neither surge nor unavailability; admission would refuse it.
fn unstick(world: &mut World) {
    let strategy = serde_json::to_value(&world.cloneset().spec.update_strategy).unwrap();
    if strategy["type"] == "InPlaceOnly" && !is_zero(&strategy["maxSurge"]) {
        world.edit(&json!({"updateStrategy": {"maxSurge": 0, "maxUnavailable": 1}}));
    } else if is_zero(&strategy["maxSurge"]) && is_zero(&strategy["maxUnavailable"]) {
        world.edit(&json!({"updateStrategy": {"maxUnavailable": 1}}));
    }
}

fn live(world: &mut World, steps: &[(u32, Step)]) -> Result<(), TestCaseError> {
    for (delay, step) in steps {
        world.run_for(*delay).map_err(told)?;
        take(world, step);
    }
    world.settle().map_err(told)?;
    world.quota(None);
    let_go(world);
    world.settle().map_err(told)
}

/// Without its hooks a set moves on by itself. Only a pod that was held when its update was paused, or taken back by the
/// partition, stays where it is until the update goes on, as in Kruise.
fn let_go(world: &mut World) {
    let is_held = |pod: &Pod| pod.label("lifecycle.apps.kruise.io/state") == Some("PreparingUpdate");
    let any_held = world.live_pods().iter().any(is_held);
    world.edit(&json!({"lifecycle": null}));
    if any_held {
        world
            .edit(&json!({"updateStrategy": {"paused": false, "partition": 0, "type": "InPlaceIfPossible"}}));
        unstick(world);
    }
}

/// What a settled set of pods that can all become ready looks like.
fn is_as_wished(world: &World) -> Result<(), TestCaseError> {
    let status = world.status();
    let spec = &world.cloneset().spec;
    let replicas = spec.replicas.unwrap();
    let (told, pods) = (format!("{status:?}"), world.inventory());
    let held = spec.update_strategy.paused == Some(true)
        || spec.update_strategy.type_.as_deref() == Some("OnDelete");
    let marked = pods.contains("marked");
    prop_assert_eq!(status.replicas, replicas, "{} {}", pods, told);
    prop_assert_eq!(status.available_replicas, replicas, "{} {}", pods, told);
    // Without surge (held) and with maxUnavailable 0 a marked pod that serves can never go.
    prop_assert!(held || !marked, "{}", pods);
    let limits = world.limits();
    prop_assert_eq!(
        status.expected_updated_replicas,
        limits.replicas - limits.partition
    );
    if !held {
        prop_assert!(
            status.updated_replicas >= status.expected_updated_replicas,
            "{} {}",
            pods,
            told
        );
    }
    let scale = spec.scale_strategy.as_ref();
    let named = scale
        .and_then(|scale| scale.pods_to_delete.clone())
        .unwrap_or_default();
    prop_assert!(marked || named.is_empty(), "{:?} still to be deleted", named);
    let mut waits = world.plan().waits;
    // What a raised partition does not bring back is at rest all the same.
    waits.retain(|wait| !matches!(wait, Wait::PartitionRaised { .. }));
    let only_held = |wait: &Wait| {
        matches!(wait, Wait::Paused { .. } | Wait::OnDelete { .. })
            || (marked && matches!(wait, Wait::DeletionBudget { .. }))
    };
    claims_are_in_order(world)?;
    prop_assert!(waits.iter().all(|wait| held && only_held(wait)), "{:?}", waits);
    Ok(())
}

/// Without reuse no claim is left over; every claim there is can be used.
fn claims_are_in_order(world: &World) -> Result<(), TestCaseError> {
    let pods = world.live_pods();
    let pods_that_ended = world.snapshot().pods;
    let claims = world.claims();
    let pod_of = |claim: &Claim| {
        let id = claim.instance_of("sample").map(str::to_owned);
        pods.iter().find(|pod| pod.named_id().map(str::to_owned) == id)
    };
    let scale = world.cloneset().spec.scale_strategy.as_ref();
    let reuses = scale.is_none_or(|scale| scale.disable_pvc_reuse != Some(true));
    for claim in &claims {
        let of_a_pod = pod_of(claim).is_some();
        prop_assert!(
            of_a_pod || reuses || claim.is_terminating(),
            "{} is left over",
            claim.name()
        );
        // A pod that has run to an end keeps its claims.
        let is_held = of_a_pod
            || pods_that_ended
                .iter()
                .any(|pod| claim.name().ends_with(pod.name()));
        prop_assert!(is_held || !claim.is_terminating(), "{} does not go", claim.name());
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(800))]

    #[test]
    fn whatever_happens_the_limits_hold_and_the_wish_is_reached_and_kept(life in life()) {
        let mut world = life.world();
        live(&mut world, &life.steps)?;
        is_as_wished(&world)?;
    }

    #[test]
    fn with_a_version_that_never_works_the_limits_hold_and_the_world_comes_to_rest(
        life in life(),
        broken in version(),
        type_ in moving_type(),
    ) {
        let mut world = life.world();
        world.breaks(&broken);
        live(&mut world, &life.steps)?;
        // The way out of it is always open. Only where scaleStrategy.maxUnavailable lets nothing be created
        // beside broken pods, and maxUnavailable 0 lets nothing be deleted before, that throttle has to go too.
        world.edit(&json!({
            "updateStrategy": {"paused": false, "type": type_, "partition": 0, "maxSurge": 0, "maxUnavailable": 1},
            "scaleStrategy": {"maxUnavailable": null}
        }));
        world.image("v5");
        world.settle().map_err(told)?;
        is_as_wished(&world)?;
        prop_assert_eq!(world.pods_of("v5").len(), world.live_pods().len());
    }

    /// Up to names, and to old pods that the partition lets stay, the end does not tell the way.
    #[test]
    fn the_end_is_that_of_the_last_spec_on_a_fresh_set(life in life(), last in version(), type_ in moving_type()) {
        let mut world = life.world();
        live(&mut world, &life.steps)?;
        world.edit(&json!({"updateStrategy": {"paused": false, "type": type_}}));
        unstick(&mut world);
        world.image(&last);
        world.settle().map_err(told)?;

        let mut fresh = World::of(&serde_json::to_value(&world.cloneset().spec).unwrap()).with(life.features);
        fresh.settle().map_err(told)?;
        let (limits, end, wished) = (world.limits(), world.status(), fresh.status());
        if limits.updates_all {
            prop_assert_eq!(world.inventory(), fresh.inventory());
            let fresh_but_for_its_age = CloneSetStatus {
                observed_generation: end.observed_generation,
                collision_count: end.collision_count,
                conditions: end.conditions.clone(),
                ..wished
            };
            prop_assert_eq!(&end, &fresh_but_for_its_age);
            prop_assert_eq!(world.conditions(), fresh.conditions());
        } else {
            prop_assert_eq!(end.replicas, wished.replicas);
            prop_assert_eq!(end.available_replicas, wished.available_replicas);
            prop_assert_eq!(end.expected_updated_replicas, wished.expected_updated_replicas);
            prop_assert_eq!(&end.update_revision, &wished.update_revision);
            prop_assert!(end.replicas - end.updated_replicas <= limits.partition, "{}", world.inventory());
        }
        prop_assert!(is_trimmed(&world), "{:?} of {}", world.history(), world.inventory());
    }

    /// A release step by step, nobody interfering: exactly as many pods as said, and the promises kept at every
    /// moment, not only when we write.
    #[test]
    fn a_calm_release_moves_exactly_what_the_partition_lets_go(
        replicas in 0..9_i32,
        strategy in strategy(),
        min_ready_seconds in prop::sample::select(vec![0, 5]),
        mut partitions in vec(amount(9), 1..4),
        fates in fates(),
        features in features(),
        type_ in moving_type(),
    ) {
        let mut world = World::of(&json!({
            "replicas": replicas, "minReadySeconds": min_ready_seconds, "updateStrategy": strategy
        })).with(features);
        world.fates(fates);
        world.edit(&json!({"updateStrategy": {"paused": false, "type": type_, "partition": "100%"}}));
        unstick(&mut world);
        world.settle().map_err(told)?;
        world.take_extremes();
        world.image("v2");
        let count = |world: &mut World, partition: &Value| {
            world.partition(partition.clone());
            world.limits().partition
        };
        partitions.sort_by_key(|partition| std::cmp::Reverse(count(&mut world.clone(), partition)));
        let mut released = false;
        for partition in partitions {
            let held = count(&mut world, &partition);
            world.settle().map_err(told)?;
            let status = world.status();
            prop_assert_eq!(status.updated_available_replicas, replicas - held);
            prop_assert_eq!(status.replicas, replicas);
            let (limits, extremes) = (world.limits(), world.take_extremes());
            prop_assert!(extremes.fewest_available >= replicas - limits.unavailable, "{:?}", extremes);
            prop_assert!(extremes.most_pods <= replicas + limits.surge, "{:?}", extremes);
            released |= limits.updates_all;
            prop_assert_eq!(world.current_version() == "v2", released);
        }
    }
}

/// No more revisions that nothing uses than the history limit.
fn is_trimmed(world: &World) -> bool {
    let (snapshot, status) = (world.snapshot(), world.status());
    let limit = usize::try_from(world.cloneset().spec.revision_history_limit.unwrap()).unwrap();
    let is_used = |revision: &&Arc<Revision>| {
        let name = Some(revision.name().to_owned());
        name == status.current_revision
            || name == status.update_revision
            || snapshot.pods.iter().any(|pod| pod.has_revision(revision.name()))
    };
    snapshot
        .revisions
        .iter()
        .filter(|revision| !is_used(revision))
        .count()
        <= limit
}
