//! What holds for the numbers whatever the spec and the pods are. Examples with their exact numbers: `vectors.rs`.
#![allow(clippy::indexing_slicing, reason = "a failed test is the point of a panic")]

use cloneset_plan::diff::{Diff, PodFact, Targets, diff};
use cloneset_plan::floor::{Floor, Purpose, UpdateLimit};
use proptest::collection::vec;
use proptest::prelude::*;

/// Small sets, because their edges meet more often.
fn any_targets() -> impl Strategy<Value = Targets> {
    let scale = prop_oneof![Just(i32::MAX), 0..6];
    (
        0..12_i32,
        0..12_i32,
        0..6,
        0..6,
        scale,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(replicas, partition, max_unavailable, max_surge, scale_max_unavailable, exclude, roll_back)| {
                Targets {
                    replicas,
                    partition: partition.min(replicas),
                    max_unavailable,
                    max_surge,
                    scale_max_unavailable,
                    exclude_preparing_delete: exclude,
                    may_roll_back: roll_back,
                }
            },
        )
}

fn any_pods() -> impl Strategy<Value = Vec<PodFact>> {
    let kinds = (any::<bool>(), 0..8_u8, 0..5_u8, 0..12_u8, 0..6_u8);
    let pod = kinds.prop_map(|(is_new, leaving, specified, released, health)| {
        let (preparing_delete, released) = (leaving == 0, released == 0);
        let serves = !preparing_delete && !released && health > 0;
        let in_service = health != 1;
        PodFact {
            is_new,
            preparing_delete,
            specified_delete: specified == 0,
            preparing_update: in_service && specified == 1,
            released,
            serves,
            available: serves && in_service && health > 2,
            in_service,
        }
    });
    vec(pod, 0..18)
}

fn count(pods: &[PodFact], is_counted: impl Fn(&PodFact) -> bool) -> i32 {
    i32::try_from(pods.iter().filter(|pod| is_counted(pod)).count()).unwrap_or(i32::MAX)
}

fn floor(targets: &Targets, pods: &[PodFact]) -> Floor {
    Floor::of(
        targets.replicas,
        targets.max_unavailable,
        false,
        pods.iter().copied(),
    )
}

/// What one pass of updates takes, as indexes into the pods.
fn updated(targets: &Targets, pods: &[PodFact], numbers: &Diff) -> Vec<usize> {
    let to_new = numbers.update_num > 0;
    let candidates: Vec<usize> = (0..pods.len())
        .filter(|index| pods[*index].is_new != to_new && !pods[*index].preparing_delete)
        .collect();
    let limit = UpdateLimit {
        update_num: numbers.update_num,
        update_max_unavailable: numbers.update_max_unavailable,
        max_unavailable: targets.max_unavailable,
        unavailable_at_target: count(pods, |pod| !pod.available && pod.is_new == to_new),
    };
    let mut floor = floor(targets, pods);
    let taken = limit.take(&mut floor, candidates.iter().map(|index| pods[*index]));
    taken.into_iter().map(|index| candidates[index]).collect()
}

proptest! {
    // What fails becomes a row of the vectors, not a seed in a file.
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_pass_creates_or_removes_but_never_both(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods);
        prop_assert!(numbers.up == 0 || numbers.down == 0);
        prop_assert!((0..=numbers.up).contains(&numbers.up_limit));
        for number in [numbers.up_old, numbers.down_old, numbers.surge_old] {
            prop_assert!(number >= 0);
        }
    }

    #[test]
    fn there_are_never_more_pods_than_replicas_and_surge(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods.iter().copied());
        prop_assert!(numbers.surge <= targets.max_surge);
        prop_assert!(numbers.surge_old <= numbers.surge);
        let counted = count(&pods, |pod| !(targets.exclude_preparing_delete && pod.preparing_delete));
        prop_assert!(numbers.up == 0 || counted + numbers.up <= targets.replicas + targets.max_surge);
    }

    #[test]
    fn scaling_in_leaves_the_replicas_wanted(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods.iter().copied());
        let staying = count(&pods, |pod| !pod.preparing_delete && !pod.specified_delete);
        prop_assert!(numbers.down == 0 || staying - numbers.down >= targets.replicas);
        let staying_old = count(&pods, |pod| !pod.preparing_delete && !pod.specified_delete && !pod.is_new);
        let gone_old = numbers.down_old.min(numbers.down);
        prop_assert!(gone_old == 0 || staying_old - gone_old >= targets.partition);
    }

    #[test]
    fn the_floor_keeps_the_promised_pods_available(targets in any_targets(), pods in any_pods(), for_update in any::<bool>()) {
        let purpose = if for_update { Purpose::Update } else { Purpose::Removal };
        let mut floor = floor(&targets, &pods);
        let left: Vec<PodFact> = pods.iter().copied().filter(|pod| !floor.take(*pod, purpose)).collect();
        let promised = targets.replicas - targets.max_unavailable;
        let (before, after) = (count(&pods, |pod| pod.available), count(&left, |pod| pod.available));
        prop_assert!(after == before || after >= promised, "{} of {}", after, before);
        let serving = |pods: &[PodFact]| count(pods, |pod| pod.serves);
        prop_assert!(serving(&left) == serving(&pods) || serving(&left) >= promised);
        prop_assert!(left.iter().all(|pod| pod.serves), "what serves nothing may always go");
    }

    #[test]
    fn an_update_never_goes_past_the_partition(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods.iter().copied());
        let old = count(&pods, |pod| !pod.preparing_delete && !pod.is_new);
        prop_assert!(numbers.update_num <= 0 || old - numbers.update_num >= targets.partition);
        prop_assert!(numbers.update_num >= 0 || targets.may_roll_back);
        let new = count(&pods, |pod| !pod.preparing_delete && pod.is_new);
        let expected_new = targets.replicas - targets.partition;
        prop_assert!(numbers.update_num >= 0 || new + numbers.update_num >= expected_new);
    }

    #[test]
    fn the_order_of_the_pods_is_of_no_account(targets in any_targets(), pods in any_pods(), at in 0..18_usize) {
        let mut turned = pods.clone();
        turned.rotate_left(at.min(pods.len()));
        let found = diff(&targets, turned.iter().rev().copied());
        prop_assert_eq!(found, diff(&targets, pods));
    }

    #[test]
    fn a_set_in_place_is_left_alone(targets in any_targets()) {
        let pod = |index| PodFact {
            is_new: index >= targets.partition,
            ..serving_pod(true)
        };
        prop_assert_eq!(diff(&targets, (0..targets.replicas).map(pod)), Diff::default());
    }

    #[test]
    fn an_update_takes_no_availability_that_was_promised(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods.iter().copied());
        let taken = updated(&targets, &pods, &numbers);
        prop_assert!(taken.len() <= numbers.update_num.unsigned_abs() as usize);
        prop_assert!(taken.is_sorted() && taken.windows(2).all(|pair| pair[0] != pair[1]));

        let available = count(&pods, |pod| pod.available);
        let lost = i32::try_from(taken.iter().filter(|index| pods[**index].available).count()).unwrap_or(i32::MAX);
        let promised = targets.replicas - targets.max_unavailable;
        prop_assert!(lost == 0 || available - lost >= promised);

        let to_new = numbers.update_num > 0;
        let unproven = count(&pods, |pod| !pod.available && pod.is_new == to_new);
        let after = unproven + i32::try_from(taken.len()).unwrap_or(i32::MAX);
        let allowed = numbers.update_max_unavailable.max(targets.max_unavailable).max(1);
        prop_assert!(taken.is_empty() || after <= allowed);
    }

    #[test]
    fn broken_old_pods_are_replaced_wherever_they_stand(targets in any_targets(), pods in any_pods()) {
        let numbers = diff(&targets, pods.iter().copied());
        let taken = updated(&targets, &pods, &numbers);
        let to_new = numbers.update_num > 0;
        let unproven = count(&pods, |pod| !pod.available && pod.is_new == to_new);
        let allowed = numbers.update_max_unavailable.max(targets.max_unavailable).max(1);
        let waits = |index: &usize| pods[*index].preparing_update && pods[*index].is_new != to_new && !taken.contains(index);
        let moving = taken.len() + (0..pods.len()).filter(waits).count();
        let has_room = unproven + i32::try_from(moving).unwrap_or(i32::MAX) < allowed;
        if has_room && moving < numbers.update_num.unsigned_abs() as usize {
            let missed = (0..pods.len()).find(|index| {
                let pod = pods[*index];
                pod.is_new != to_new && !pod.preparing_delete && !pod.serves && !taken.contains(index)
            });
            prop_assert_eq!(missed, None);
        }
    }

    #[test]
    fn numbers_at_the_edge_of_their_type_do_not_overflow(
        replicas in any::<i32>(), partition in any::<i32>(), limit in any::<i32>(), pods in any_pods(),
    ) {
        let clamp = |number: i32| number.saturating_abs();
        let targets = Targets {
            replicas: clamp(replicas),
            partition: clamp(partition).min(clamp(replicas)),
            max_unavailable: clamp(limit),
            max_surge: clamp(limit),
            scale_max_unavailable: i32::MAX,
            exclude_preparing_delete: false,
            may_roll_back: true,
        };
        let numbers = diff(&targets, pods.iter().copied());
        prop_assert!(numbers.up == 0 || numbers.down == 0);
        updated(&targets, &pods, &numbers);
    }

    /// The rollout as counts: every pod a pass creates serves by the next one.
    #[test]
    fn a_rollout_ends_at_the_partition_and_stays_there(
        targets in any_targets(), old in 0..14_usize, new in 0..14_usize,
    ) {
        let targets = Targets {
            // A limit of 0 with no surge asks for no rollout at all (refused at admission).
            max_unavailable: if targets.max_surge == 0 { targets.max_unavailable.max(1) } else { targets.max_unavailable },
            scale_max_unavailable: targets.scale_max_unavailable.max(1),
            may_roll_back: false,
            ..targets
        };
        let mut pods = serving(old, new);
        let mut passes = 0;
        while pass(&targets, &mut pods) {
            passes += 1;
            prop_assert!(passes < 200, "still moving: {:?} {:?}", targets, pods);
        }
        let left = count(&pods, |pod| !pod.is_new);
        prop_assert_eq!(count(&pods, |_| true), targets.replicas);
        prop_assert!(left <= targets.partition);
        if i32::try_from(old).unwrap_or(i32::MAX) >= targets.partition {
            prop_assert_eq!(left, targets.partition);
        }
    }
}

fn serving_pod(is_new: bool) -> PodFact {
    PodFact {
        is_new,
        preparing_delete: false,
        specified_delete: false,
        preparing_update: false,
        released: false,
        serves: true,
        available: true,
        in_service: true,
    }
}

fn serving(old: usize, new: usize) -> Vec<PodFact> {
    [vec![serving_pod(false); old], vec![serving_pod(true); new]].concat()
}

/// One pass: create, else remove what is too many, else re-create for the update. False when there is nothing to do.
fn pass(targets: &Targets, pods: &mut Vec<PodFact>) -> bool {
    let numbers = diff(targets, pods.iter().copied());
    let size = |number: i32| usize::try_from(number).unwrap_or(0);
    if numbers.up_limit > 0 {
        let old = size(numbers.up_old.min(numbers.up_limit));
        pods.extend(serving(old, size(numbers.up_limit) - old));
        return true;
    }
    let before = pods.len();
    if numbers.down > 0 {
        let spare = count(pods, |pod| pod.available) - (targets.replicas - targets.max_unavailable);
        let allowed = numbers.down.min(spare.max(0));
        let mut from_old = numbers.down_old.min(allowed);
        let mut from_new = allowed - from_old;
        pods.retain(|pod| {
            let left = if pod.is_new { &mut from_new } else { &mut from_old };
            *left -= 1;
            *left < 0
        });
    } else {
        let taken = updated(targets, pods, &numbers);
        let mut index = 0..;
        pods.retain(|_| !index.next().is_some_and(|index| taken.contains(&index)));
    }
    pods.len() < before
}
