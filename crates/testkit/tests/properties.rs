//! What holds whatever the spec, the edits on the way and the fates of the pods are.
//!
//! Every write is held against S1 to S11 by the world itself; here is what must be true once the world has come to
//! rest. `PROPTEST_CASES` sets the number of histories of each property, `PROPTEST_RNG_SEED` the first of their seeds; a
//! failure prints the story of the smallest history that breaks a rule, and how to repeat it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test is the point of a panic"
)]

#[path = "properties/histories.rs"]
mod histories;
#[path = "properties/life.rs"]
mod life;
#[path = "properties/settled.rs"]
mod settled;
#[path = "properties/specs.rs"]
mod specs;
#[path = "properties/versions.rs"]
mod versions;

use cloneset_api::CloneSetStatus;
use cloneset_testkit::World;
use life::{any_without_gate, fates, life, live, told, unstick};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use settled::{demand, is_as_wished, is_trimmed};
use specs::{amount, features, moving_type, strategy, version};

/// Histories of each of the four properties: 52,000 together.
const EACH: u32 = 13_000;

#[test]
fn whatever_happens_the_limits_hold_and_the_wish_is_reached_and_kept() {
    histories::each(EACH, life, |life| {
        let mut world = life.world();
        live(&mut world, &life)?;
        demand(&world, is_as_wished)
    });
}

#[test]
fn with_a_version_that_never_works_the_limits_hold_and_the_world_comes_to_rest() {
    let histories = || (life(), version(), moving_type());
    histories::each(EACH, histories, |(life, broken, type_)| {
        let life = life.of_images();
        let mut world = life.world();
        world.breaks(&broken);
        live(&mut world, &life)?;
        // The way out of it is always open. Only where scaleStrategy.maxUnavailable lets nothing be created
        // beside broken pods, and maxUnavailable 0 lets nothing be deleted before, that throttle has to go too.
        let type_ = that_fits(type_, &world);
        world.edit(&json!({
            "updateStrategy": {"paused": false, "type": type_, "partition": 0, "maxSurge": 0, "maxUnavailable": 1},
            "scaleStrategy": {"maxUnavailable": null}
        }));
        life.shape.write(&mut world, "v5");
        world.settle().map_err(told)?;
        demand(&world, is_as_wished)?;
        prop_assert_eq!(world.pods_of("v5").len(), world.live_pods().len());
        Ok(())
    });
}

/// A type with which every pod can be updated.
fn that_fits(type_: &'static str, world: &World) -> &'static str {
    if type_ == "InPlaceOnly" && any_without_gate(world) {
        return "InPlaceIfPossible";
    }
    type_
}

/// Path independence: up to names, and to old pods that the partition lets stay, the end does not tell the way.
#[test]
fn the_end_is_that_of_the_last_spec_on_a_fresh_set() {
    let histories = || (life(), version(), moving_type());
    histories::each(EACH, histories, |(life, last, type_)| {
        let mut world = life.world();
        live(&mut world, &life)?;
        let type_ = that_fits(type_, &world);
        world.edit(&json!({"updateStrategy": {"paused": false, "type": type_}}));
        unstick(&mut world);
        life.shape.write(&mut world, &last);
        world.settle().map_err(told)?;

        let mut fresh = World::of(&serde_json::to_value(&world.cloneset().spec).unwrap()).with(life.features);
        fresh.settle().map_err(told)?;
        demand(&world, |world| is_like_fresh(world, &fresh))
    });
}

fn is_like_fresh(world: &World, fresh: &World) -> Result<(), TestCaseError> {
    let (limits, end, wished) = (world.limits(), world.status(), fresh.status());
    if limits.updates_all {
        prop_assert_eq!(world.inventory(), fresh.inventory());
        let fresh_but_for_its_age = CloneSetStatus {
            observed_generation: end.observed_generation,
            collision_count: end.collision_count,
            conditions: end.conditions.clone(),
            // Without pods no revision serves, so the current one is that of before.
            current_revision: match end.replicas {
                0 => end.current_revision.clone(),
                _ => wished.current_revision,
            },
            ..wished
        };
        prop_assert_eq!(&end, &fresh_but_for_its_age);
        prop_assert_eq!(world.conditions(), fresh.conditions());
    } else {
        prop_assert_eq!(end.replicas, wished.replicas);
        prop_assert_eq!(end.available_replicas, wished.available_replicas);
        prop_assert_eq!(end.expected_updated_replicas, wished.expected_updated_replicas);
        prop_assert_eq!(&end.update_revision, &wished.update_revision);
        prop_assert!(
            end.replicas - end.updated_replicas <= limits.partition,
            "{}",
            world.inventory()
        );
    }
    prop_assert!(
        is_trimmed(world),
        "{:?} of {}",
        world.history(),
        world.inventory()
    );
    Ok(())
}

/// A release step by step, nobody interfering: exactly as many pods as said, and the promises kept at every
/// moment, not only when we write.
#[test]
fn a_calm_release_moves_exactly_what_the_partition_lets_go() {
    let histories = || {
        let min_ready_seconds = prop::sample::select(vec![0, 5]);
        let partitions = vec(amount(9), 1..4);
        let set = (0..9_i32, strategy(), min_ready_seconds, moving_type());
        (set, partitions, fates(), features())
    };
    histories::each(EACH, histories, |(set, mut partitions, fates, features)| {
        let (replicas, strategy, min_ready_seconds, type_) = set;
        let mut world = World::of(&json!({
            "replicas": replicas, "minReadySeconds": min_ready_seconds, "updateStrategy": strategy
        }))
        .with(features);
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
            prop_assert!(
                extremes.fewest_available >= replicas - limits.unavailable,
                "{:?}",
                extremes
            );
            prop_assert!(extremes.most_pods <= replicas + limits.surge, "{:?}", extremes);
            released |= limits.updates_all && replicas > 0;
            prop_assert_eq!(world.current_version() == "v2", released);
        }
        Ok(())
    });
}
