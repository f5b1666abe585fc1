//! Random lives: a world, and what people, pods and nodes do in it while the controller works.

use crate::specs::{
    HELD, KEYS, VALUES, claims, edit, features, is_zero, min_ready_seconds, replicas, scale_limit, strategy,
    version,
};
use crate::versions::{Shape, shape};
use cloneset_api::names::annotations;
use cloneset_plan::Features;
use cloneset_status::Pod;
use cloneset_testkit::{Failure, Fate, Verb, World};
use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

/// Something that happens to one of the live pods.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Blow {
    Mark,
    /// Put on `podsToDelete`, with a name that no pod has.
    Name,
    Label(&'static str, &'static str),
    Hold,
    LetGo,
    /// A finalizer by which a hook may hold it.
    Finalizer(bool),
    /// What an update keeps on the pod becomes unreadable.
    Scrawl,
    /// What an update keeps on the pod is taken off.
    Strip,
    Deny(Verb),
    DeleteByHand,
    Vanish,
    Fail,
    Crash(u32),
    LoseClaims,
}

#[derive(Clone, Debug)]
pub(crate) enum Step {
    Edit(Value),
    Image(String),
    Blow(Blow, usize),
    Quota(usize),
    Die(usize),
    /// Creation is stopped until the spec changes.
    Stop,
    /// The controller's clock is set.
    Skew(i64),
    /// A policy takes the readiness gates off new pods, or does so no longer.
    StripGates(bool),
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
        Just(Blow::Scrawl),
        Just(Blow::Strip),
        any::<bool>().prop_map(Blow::Finalizer),
        prop::sample::select(vec![Verb::Delete, Verb::TakeOut, Verb::PutIn]).prop_map(Blow::Deny),
        Just(Blow::Hold),
        Just(Blow::LetGo),
        Just(Blow::DeleteByHand),
        Just(Blow::Vanish),
        Just(Blow::Fail),
        (1..20_u32).prop_map(Blow::Crash),
        Just(Blow::LoseClaims),
    ];
    prop_oneof![
        6 => edit().prop_map(Step::Edit),
        4 => version().prop_map(Step::Image),
        6 => (blow, 0..8_usize).prop_map(|(blow, which)| Step::Blow(blow, which)),
        2 => (0..10_usize).prop_map(Step::Quota),
        2 => (0..6_usize).prop_map(Step::Die),
        1 => Just(Step::Stop),
        1 => (-40..40_i64).prop_map(Step::Skew),
        1 => any::<bool>().prop_map(Step::StripGates),
    ]
}

fn steps() -> impl Strategy<Value = Vec<(u32, Step)>> {
    vec((0..12_u32, step()), 0..10)
}

pub(crate) fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = (0..4_u32, 0..15_u32).prop_map(|(scheduled, ready)| Fate {
        scheduled_after: Some(scheduled),
        ready_after: Some(ready),
    });
    vec(fate, 1..5)
}

/// A world and what happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) shape: Shape,
    replicas: i32,
    min_ready_seconds: i32,
    strategy: Value,
    scale_limit: Value,
    spread: Vec<&'static str>,
    claims: Value,
    pub(crate) features: Features,
    fates: Vec<Fate>,
    old_kubelets: bool,
    lag: i64,
    pub(crate) steps: Vec<(u32, Step)>,
}

pub(crate) fn life() -> impl Strategy<Value = Life> {
    let lag = prop_oneof![2 => Just(0_i64), 1 => 1..4_000_i64];
    let topology = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"];
    let spread = prop::sample::subsequence(topology.to_vec(), 0..=2);
    let pods = (shape(), replicas(), min_ready_seconds());
    let set = (pods, strategy(), scale_limit(), spread, claims(), features());
    let nodes = (fates(), prop::bool::weighted(0.2), lag);
    (set, nodes, steps()).prop_map(|(set, nodes, steps)| {
        let (fates, old_kubelets, lag) = nodes;
        let (pods, strategy, scale_limit, spread, claims, mut features) = set;
        let (shape, replicas, min_ready_seconds) = pods;
        features.in_place_resize |= shape.resizes();
        Life {
            shape,
            replicas,
            min_ready_seconds,
            strategy,
            scale_limit,
            spread,
            claims,
            features,
            fates,
            old_kubelets,
            lag,
            steps,
        }
    })
}

impl Life {
    /// The same life, with versions that differ in their images.
    pub(crate) fn of_images(self) -> Self {
        let shape = self.shape.changes_images();
        Self { shape, ..self }
    }

    pub(crate) fn world(&self) -> World {
        let constraint =
            |key: &&str| json!({"topologyKey": key, "maxSkew": 1, "whenUnsatisfiable": "ScheduleAnyway"});
        let constraints: Vec<Value> = self.spread.iter().map(constraint).collect();
        let spec = json!({
            "replicas": self.replicas, "minReadySeconds": self.min_ready_seconds, "updateStrategy": self.strategy, "volumeClaimTemplates": self.claims,
            "scaleStrategy": {"maxUnavailable": self.scale_limit},
            "template": self.shape.template("v1")
        });
        let mut world = World::of(&spec).with(self.features);
        world.edit(&json!({"template": {"spec": {"topologySpreadConstraints": constraints}}}));
        world.fates(self.fates.clone());
        if self.old_kubelets {
            world.old_kubelets();
        }
        world.set_lag(SignedDuration::from_millis(self.lag));
        world
    }
}

fn take(world: &mut World, shape: Shape, step: &Step) {
    match step {
        Step::Edit(change) => {
            world.edit(change);
            unstick(world);
        }
        Step::Image(version) => shape.write(world, version),
        Step::Quota(pods) => world.quota(Some(*pods)),
        Step::Die(writes) => world.dies_after(*writes),
        Step::Stop => world.stop_creation(),
        Step::Skew(seconds) => world.set_skew(SignedDuration::from_secs(*seconds)),
        Step::StripGates(on) => world.strip_gates(*on),
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
        Blow::Scrawl => {
            for key in [annotations::IN_PLACE_STATE, annotations::IN_PLACE_GRACE] {
                if pod.annotation(key).is_some() {
                    world.annotate(pod, key, "{");
                }
            }
        }
        Blow::Strip => world.strip(pod, &[annotations::IN_PLACE_STATE, annotations::IN_PLACE_GRACE]),
        Blow::Finalizer(on) => world.finalizer(pod, HELD, on),
        Blow::Deny(verb) => world.deny(verb, pod),
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
pub(crate) fn unstick(world: &mut World) {
    let strategy = serde_json::to_value(&world.cloneset().spec.update_strategy).unwrap();
    if strategy["type"] == "InPlaceOnly" && !is_zero(&strategy["maxSurge"]) {
        world.edit(&json!({"updateStrategy": {"maxSurge": 0, "maxUnavailable": 1}}));
    } else if is_zero(&strategy["maxSurge"]) && is_zero(&strategy["maxUnavailable"]) {
        world.edit(&json!({"updateStrategy": {"maxUnavailable": 1}}));
    }
}

pub(crate) fn live(world: &mut World, life: &Life) -> Result<(), TestCaseError> {
    for (delay, step) in &life.steps {
        world.run_for(*delay).map_err(told)?;
        take(world, life.shape, step);
    }
    world.settle().map_err(told)?;
    world.allow_everything();
    world.set_skew(SignedDuration::ZERO);
    world.strip_gates(false);
    let_go(world);
    world.drop_finalizers();
    world.settle().map_err(told)
}

/// Without its hooks a set moves on by itself. Only a pod that was held when its update was paused, or taken back by the
/// partition, stays where it is until the update goes on, as in Kruise.
fn let_go(world: &mut World) {
    let is_held = |pod: &Pod| pod.label("lifecycle.apps.kruise.io/state") == Some("PreparingUpdate");
    let any_held = world.live_pods().iter().any(is_held);
    world.edit(&json!({"lifecycle": null}));
    if world.cloneset().spec.update_strategy.type_.as_deref() == Some("InPlaceOnly")
        && any_without_gate(world)
    {
        world.edit(&json!({"updateStrategy": {"type": "InPlaceIfPossible"}}));
    }
    if any_held {
        world
            .edit(&json!({"updateStrategy": {"paused": false, "partition": 0, "type": "InPlaceIfPossible"}}));
        unstick(world);
    }
}

/// Is there a pod without our readiness gate? Type `InPlaceOnly` leaves it as it is: nothing can take it out of service.
pub(crate) fn any_without_gate(world: &World) -> bool {
    let has_gate = |pod: &Pod| {
        let mut gates = pod.spec.readiness_gates.iter();
        gates.any(|gate| gate.condition_type == "InPlaceUpdateReady")
    };
    !world.live_pods().iter().all(has_gate)
}

/// A broken promise fails the test, with its story.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(crate) fn told(failure: Failure) -> TestCaseError {
    TestCaseError::fail(failure.to_string())
}
