//! Spreading the bearers of a label over the whole update: `updateStrategy.scatterStrategy` (`behaviour.md` 5.4.1).
//!
//! A permutation of the candidates and nothing else. Kruise compares two quotients in single precision; here they are
//! compared exactly, so the order does not depend on rounding.

use crate::of_pod::OfPod;
use cloneset_api::ScatterTerm;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// The labels to scatter, parsed once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scatter {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    key: String,
    value: String,
}

impl Term {
    fn matches<'a>(&self, item: impl OfPod<'a>) -> bool {
        item.pod().label(&self.key) == Some(self.value.as_str())
    }
}

impl Scatter {
    /// Takes over the terms. One that breaks a rule is told of by `rules` and does no harm here.
    #[must_use]
    pub fn of(terms: Option<&[ScatterTerm]>) -> Self {
        let copy = |term: &ScatterTerm| Term {
            key: term.key.clone(),
            value: term.value.clone(),
        };
        Self {
            terms: terms.unwrap_or_default().iter().map(copy).collect(),
        }
    }

    /// Spreads the candidates, which are some of `all`. Of several terms the one that most candidates have is applied
    /// first, each on the result of the one before.
    pub(crate) fn spread<'a, P: OfPod<'a>>(&self, candidates: Vec<P>, all: &[P]) -> Vec<P> {
        if candidates.len() <= 1 {
            return candidates;
        }
        let bearers = |term: &Term| candidates.iter().filter(|pod| term.matches(**pod)).count();
        let mut terms: Vec<(usize, &Term)> = self.terms.iter().map(|term| (bearers(term), term)).collect();
        terms.retain(|(bearers, _)| *bearers > 0);
        terms.sort_by_key(|(bearers, _)| Reverse(*bearers));
        terms
            .into_iter()
            .fold(candidates, |pods, (_, term)| spread_one(&pods, term, all))
    }
}

/// Applies one term.
///
/// Where bearers have been updated already (a partition stopped the update and was lowered), the last one of them may be
/// the one before: then others come first, and no two bearers are updated in a row while there are others between.
fn spread_one<'a, P: OfPod<'a>>(pods: &[P], term: &Term, all: &[P]) -> Vec<P> {
    let all_matching = all.iter().filter(|pod| term.matches(**pod)).count();
    let bearers = pods.iter().filter(|pod| term.matches(**pod)).count();
    let others = pods.len().saturating_sub(bearers);
    let spread = in_rhythm(pods, term, (all_matching, all.len().saturating_sub(all_matching)));
    if bearers == 0 || bearers >= all_matching {
        return spread;
    }
    let is_bearer: Vec<bool> = spread.iter().map(|pod| term.matches(*pod)).collect();
    let in_a_row = is_bearer.windows(2).filter(|pair| **pair == [true, true]).count();
    let too_soon = others >= bearers && is_bearer.first() == Some(&true);
    if !too_soon && in_a_row <= bearers.saturating_sub(others.saturating_add(1)) {
        return spread;
    }
    alternate(pods, term, bearers, others)
}

/// As evenly as it goes: others before each bearer, or, where these are fewer, one other between groups of bearers.
fn alternate<'a, P: OfPod<'a>>(pods: &[P], term: &Term, bearers: usize, others: usize) -> Vec<P> {
    let (mut matching, mut rest): (VecDeque<P>, VecDeque<P>) =
        pods.iter().copied().partition(|pod| term.matches(*pod));
    let mut order = Vec::with_capacity(pods.len());
    let groups = bearers.min(others.saturating_add(1));
    for group in 0..groups {
        let share = |number: usize| {
            let until = |groups_before: usize| quotient(number.saturating_mul(groups_before), groups);
            until(group + 1).saturating_sub(until(group))
        };
        if others >= bearers {
            order.extend(rest.drain(..share(others).min(rest.len())));
        }
        order.extend(matching.drain(..share(bearers).min(matching.len())));
        if others < bearers {
            order.extend(rest.pop_front());
        }
    }
    order.extend(rest);
    order.extend(matching);
    order
}

/// Kruise's order. With 10 pods of which 3 match, those are the 1st, the 6th and the 10th.
fn in_rhythm<'a, P: OfPod<'a>>(
    pods: &[P],
    term: &Term,
    (all_matching, all_others): (usize, usize),
) -> Vec<P> {
    let (mut matching, mut others): (VecDeque<P>, VecDeque<P>) =
        pods.iter().copied().partition(|pod| term.matches(*pod));
    if matching.len() <= 1 || others.len() <= 1 {
        return pods.to_vec();
    }
    let last = matching.pop_back();
    let rhythm = Rhythm::of(
        (matching.len(), others.len()),
        (all_matching.saturating_sub(1), all_others),
    );
    let mut spread = Vec::with_capacity(pods.len());
    let take =
        |from: &mut VecDeque<P>, count: usize| -> Vec<P> { from.drain(..count.min(from.len())).collect() };
    spread.extend(take(&mut others, rhythm.ahead));
    for _ in 0..rhythm.groups {
        spread.extend(take(&mut matching, rhythm.matching));
        spread.extend(take(&mut others, rhythm.others));
    }
    spread.extend(matching);
    spread.extend(others);
    spread.extend(last);
    spread
}

/// How bearers and others alternate: `ahead` others, then `groups` times so many of each.
struct Rhythm {
    ahead: usize,
    groups: usize,
    matching: usize,
    others: usize,
}

impl Rhythm {
    /// From the numbers (bearers, others) of the candidates, each at least 1, and of all pods. Where the others are
    /// fewer among all pods than among the candidates, the rhythm is that of all pods, and what the candidates have
    /// beyond it goes ahead.
    fn of((matching, others): (usize, usize), (all_matching, all_others): (usize, usize)) -> Self {
        if all_others.saturating_mul(matching) >= others.saturating_mul(all_matching) {
            let groups = matching.min(others);
            return Self {
                ahead: 0,
                groups,
                matching: rounded(matching, groups),
                others: rounded(others, groups),
            };
        }
        let all_groups = all_matching.min(all_others);
        let (size, other_size) = (rounded(all_matching, all_groups), rounded(all_others, all_groups));
        let groups = quotient(matching, size).min(quotient(others, other_size));
        Self {
            ahead: others.saturating_sub(groups.saturating_mul(other_size)),
            groups,
            matching: size,
            others: other_size,
        }
    }
}

fn quotient(number: usize, by: usize) -> usize {
    number.checked_div(by).unwrap_or(0)
}

/// The quotient, halves rounded up.
fn rounded(number: usize, by: usize) -> usize {
    quotient(number.saturating_mul(2).saturating_add(by), by.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_status::Pod;
    use serde_json::json;

    /// A set of so many pods; `labelled` are the bearers of each term.
    fn order(count: usize, labelled: &[&[usize]], candidates: std::ops::Range<usize>) -> Vec<usize> {
        let pods: Vec<Pod> = (0..count)
            .map(|index| {
                let terms = labelled
                    .iter()
                    .enumerate()
                    .filter(|(_, bearers)| bearers.contains(&index));
                let labels: serde_json::Map<_, _> = terms
                    .map(|(term, _)| (format!("term-{term}"), json!("yes")))
                    .collect();
                serde_json::from_value(json!({"metadata": {"name": index.to_string(), "labels": labels}}))
                    .unwrap()
            })
            .collect();
        let term = |term| ScatterTerm {
            key: format!("term-{term}"),
            value: "yes".to_owned(),
        };
        let terms: Vec<ScatterTerm> = (0..labelled.len()).map(term).collect();
        let all: Vec<&Pod> = pods.iter().collect();
        Scatter::of(Some(&terms))
            .spread(all[candidates].to_vec(), &all)
            .into_iter()
            .map(|pod| pod.name().parse().unwrap())
            .collect()
    }

    /// Every vector of Appendix C of the reference.
    #[test]
    fn the_vectors_of_the_reference() {
        for (count, labelled, candidates, expected) in [
            (6, &[&[4, 5][..]][..], 0..6, &[4, 0, 1, 2, 3, 5][..]),
            (6, &[&[3, 4, 5]], 0..6, &[3, 0, 1, 4, 2, 5]),
            (7, &[&[3, 6]], 0..7, &[3, 0, 1, 2, 4, 5, 6]),
            (9, &[&[6, 7, 8]], 0..9, &[6, 0, 1, 2, 7, 3, 4, 5, 8]),
            (6, &[&[2, 3, 4, 5]], 0..6, &[2, 3, 0, 4, 1, 5]),
            (6, &[&[4, 5], &[0, 1]], 0..6, &[0, 4, 2, 3, 5, 1]),
            (7, &[&[4, 5, 6]], 0..6, &[0, 1, 4, 2, 3, 5]),
            (10, &[&[0, 1, 9]], 0..7, &[2, 0, 3, 4, 5, 6, 1]),
            (10, &[&[0, 1, 2]], 0..10, &[0, 3, 4, 5, 6, 1, 7, 8, 9, 2]),
        ] {
            assert_eq!(
                order(count, labelled, candidates),
                expected,
                "{count} {labelled:?}"
            );
        }
    }

    #[test]
    fn scenario_141_three_of_ten_are_first_sixth_and_last() {
        let spread = order(10, &[&[2, 5, 7]], 0..10);
        let places: Vec<usize> = [2, 5, 7]
            .map(|pod| spread.iter().position(|found| *found == pod).unwrap())
            .into();
        assert_eq!(places, [0, 5, 9]);
    }

    #[test]
    fn too_few_of_either_kind_or_of_any_stay_as_they_are() {
        assert_eq!(order(4, &[&[1]], 0..4), [0, 1, 2, 3]);
        assert_eq!(order(4, &[&[0, 1, 2]], 0..4), [0, 1, 2, 3]);
        assert_eq!(order(4, &[&[]], 0..4), [0, 1, 2, 3]);
        assert_eq!(order(4, &[], 0..4), [0, 1, 2, 3]);
        assert_eq!(order(4, &[&[0, 1]], 0..1), [0]);
        assert_eq!(order(4, &[&[0, 1]], 0..0), [0; 0]);
    }

    /// Updates all pods step by step, each step up to one of `stops`, and gives which of them are bearers.
    fn stepwise(count: usize, bearers: &[usize], stops: &[usize]) -> Vec<bool> {
        let term = ScatterTerm {
            key: "term".to_owned(),
            value: "yes".to_owned(),
        };
        let pod = |index: usize| -> Pod {
            let labels = if bearers.contains(&index) {
                json!({"term": "yes"})
            } else {
                json!({})
            };
            serde_json::from_value(json!({"metadata": {"name": index.to_string(), "labels": labels}}))
                .unwrap()
        };
        let pods: Vec<Pod> = (0..count).map(pod).collect();
        let all: Vec<&Pod> = pods.iter().collect();
        let mut left = all.clone();
        let mut updated: Vec<&Pod> = Vec::new();
        for stop in stops {
            let spread = Scatter::of(Some(std::slice::from_ref(&term))).spread(left.clone(), &all);
            updated.extend(spread.iter().take(stop - updated.len()));
            left.retain(|pod| !updated.iter().any(|done| done.name() == pod.name()));
        }
        updated.iter().map(|pod| pod.label("term").is_some()).collect()
    }

    #[test]
    fn a_partition_that_is_lowered_step_by_step_never_updates_two_bearers_in_a_row() {
        assert_eq!(
            stepwise(6, &[0, 1], &[1, 6]),
            [true, false, false, false, false, true]
        );
        for count in 2..9_usize {
            for bearing in 2..=count.div_ceil(2) {
                if count - bearing < 2 {
                    continue;
                }
                let firsts: Vec<usize> = (0..bearing).collect();
                let lasts: Vec<usize> = (count - bearing..count).collect();
                for mask in 0..(1_usize << (count - 1)) {
                    let stops = (1..count).filter(|stop| mask >> (stop - 1) & 1 == 1);
                    let stops: Vec<usize> = stops.chain([count]).collect();
                    for bearers in [&firsts, &lasts] {
                        let updated = stepwise(count, bearers, &stops);
                        let in_a_row = updated.windows(2).any(|pair| pair == [true, true]);
                        assert!(!in_a_row, "{count} {bearers:?} {stops:?} {updated:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_is_lost_or_doubled_whatever_the_numbers() {
        for count in 0..14 {
            for mask in 0..(1_usize << count.min(7)) {
                let bearers: Vec<usize> = (0..count).filter(|index| mask >> (index % 7) & 1 == 1).collect();
                let mut spread = order(count, &[&bearers, &[0, 1, 2]], 0..count - count / 3);
                spread.sort_unstable();
                assert_eq!(spread, (0..count - count / 3).collect::<Vec<_>>());
            }
        }
    }
}
