//! Which pods the user wants updated first: `updateStrategy.priorityStrategy` (`behaviour.md` 5.4, step 2).
//!
//! Orders only, by labels alone. Every sort is stable, so what is equal here keeps the order it came in. That broken
//! pods go before any of this is `update`'s business.

use crate::of_pod::OfPod;
use cloneset_api::PriorityStrategy;
use cloneset_status::Pod;
use cloneset_status::selector::Selector;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A priority strategy, parsed once. Terms that break a rule count for nothing; `rules` tells of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Priority {
    /// None is given.
    #[default]
    None,
    /// The higher the sum of the weights that match, the earlier.
    Weights(Vec<(i32, Selector)>),
    /// Keys of labels: the first that a pod has is its level.
    Keys(Vec<String>),
}

impl Priority {
    /// Parses a strategy. Where weights and keys are given, which admission refuses, the weights count, as in Kruise.
    #[must_use]
    pub fn of(strategy: Option<&PriorityStrategy>) -> Self {
        let Some(strategy) = strategy else {
            return Self::None;
        };
        let weights = strategy.weight_priority.as_deref().unwrap_or_default();
        let keys = strategy.order_priority.as_deref().unwrap_or_default();
        if !weights.is_empty() {
            let terms = weights.iter().filter(|term| (0..=100).contains(&term.weight));
            let parse = |selector| Selector::parse(selector).ok().filter(|s| !s.is_empty());
            let terms = terms.filter_map(|term| Some((term.weight, parse(&term.match_selector)?)));
            return Self::Weights(terms.collect());
        }
        if keys.is_empty() {
            Self::None
        } else {
            Self::Keys(keys.iter().map(|term| term.ordered_key.clone()).collect())
        }
    }

    /// Sorts pods so that those to be updated first come first.
    pub(crate) fn sort<'a>(&self, pods: &mut [impl OfPod<'a>]) {
        match self {
            Self::None => {}
            Self::Weights(terms) => pods.sort_by_cached_key(|item| Reverse(weight(terms, item.pod()))),
            Self::Keys(keys) => pods.sort_by_cached_key(|item| level(keys, item.pod())),
        }
    }
}

fn weight(terms: &[(i32, Selector)], pod: &Pod) -> i64 {
    let none = BTreeMap::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    let matching = terms.iter().filter(|(_, selector)| selector.matches(labels));
    matching.map(|(weight, _)| i64::from(*weight)).sum()
}

/// The place of the first key the pod has, and within it the higher number first. Pods with none of the keys come
/// before all others (Kruise's documentation says last, its code does this).
fn level(keys: &[String], pod: &Pod) -> Option<(usize, Reverse<u64>)> {
    let mut levels = keys.iter().enumerate();
    levels.find_map(|(level, key)| Some((level, Reverse(trailing_number(pod.label(key)?)))))
}

/// `"sts-10"` is 10; 0 when there is none or it is too large for Go's `int`.
fn trailing_number(text: &str) -> u64 {
    let prefix = text.trim_end_matches(|letter: char| letter.is_ascii_digit());
    let digits = text.strip_prefix(prefix).unwrap_or_default();
    digits.parse::<i64>().map_or(0, i64::unsigned_abs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(name: &str, labels: &Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name, "uid": name, "labels": labels}})).unwrap()
    }

    fn sorted(strategy: Value, pods: &[Pod]) -> Vec<&str> {
        let strategy: PriorityStrategy = serde_json::from_value(strategy).unwrap();
        let mut order: Vec<&Pod> = pods.iter().collect();
        Priority::of(Some(&strategy)).sort(&mut order);
        order.into_iter().map(Pod::name).collect()
    }

    #[test]
    fn scenario_140_pods_without_any_key_first_then_by_level_and_number() {
        let strategy = json!({"orderPriority": [{"orderedKey": "k1"}, {"orderedKey": "k2"}]});
        let pods = [
            pod("k2-7", &json!({"k2": "7"})),
            pod("k1-9", &json!({"k1": "sts-9", "k2": "100"})),
            pod("none", &json!({"k3": "1"})),
            pod("k1-10", &json!({"k1": "sts-10"})),
            pod("k1-no-number", &json!({"k1": "sts-"})),
            pod("k1-too-large", &json!({"k1": "99999999999999999999"})),
            pod("no-labels", &Value::Null),
        ];
        assert_eq!(
            sorted(strategy, &pods),
            [
                "none",
                "no-labels",
                "k1-10",
                "k1-9",
                "k1-no-number",
                "k1-too-large",
                "k2-7"
            ]
        );
    }

    #[test]
    fn weights_that_match_add_up_and_terms_that_break_a_rule_count_for_nothing() {
        let equals = |key: &str, value: &str| json!({"matchLabels": {key: value}});
        let strategy = json!({"weightPriority": [
            {"weight": 40, "matchSelector": equals("a", "1")},
            {"weight": 30, "matchSelector": {"matchExpressions": [{"key": "b", "operator": "Exists"}]}},
            {"weight": 50, "matchSelector": equals("c", "1")},
            {"weight": 100, "matchSelector": {}},
            {"weight": 100, "matchSelector": {"matchExpressions": [{"key": "b", "operator": "Maybe"}]}},
            {"weight": 101, "matchSelector": equals("d", "1")},
            {"weight": -1, "matchSelector": equals("d", "1")},
        ]});
        let pods = [
            pod("0", &json!({"d": "1"})),
            pod("30", &json!({"b": ""})),
            pod("50", &json!({"c": "1"})),
            pod("70", &json!({"a": "1", "b": "x"})),
            pod("0 too", &Value::Null),
        ];
        assert_eq!(sorted(strategy, &pods), ["70", "50", "30", "0", "0 too"]);
    }

    #[test]
    fn scenario_144_what_is_equal_keeps_its_order() {
        let strategy = json!({"orderPriority": [{"orderedKey": "k"}]});
        let names: Vec<String> = (0..50).map(|n| format!("{:02}", (n * 7) % 50)).collect();
        let pods: Vec<Pod> = names
            .iter()
            .map(|name| pod(name, &json!({"k": "same-3"})))
            .collect();
        assert_eq!(sorted(strategy, &pods), names);
        assert_eq!(sorted(json!({}), &pods), names);
    }
}
