//! The rules of the CRD that are about more than one number, judged again for objects that slipped past them
//! (`behaviour.md` 10.2).
//!
//! The CRD may have been installed without its rules, or the object be older than they are. Rules about single
//! counts live in `desired`, where the cautious value is made, and those about templates in `template_rules`; a test against a real API server holds both crates to
//! the same verdicts.

use cloneset_api::{CloneSetSpec, IntOrString, Rounding};
use cloneset_status::why::{Problem, Verdict};
use std::collections::BTreeSet;

/// Every broken rule.
pub(crate) fn broken(spec: &CloneSetSpec) -> Vec<Problem> {
    let mut problems = strategy(spec);
    problems.extend(priorities(spec));
    problems.extend(lists(spec));
    problems.extend(progress_deadline(spec));
    problems
}

fn problem(
    field: &'static str,
    value: impl Into<String>,
    rule: impl Into<String>,
    verdict: Verdict,
) -> Problem {
    Problem {
        field,
        value: value.into(),
        rule: rule.into(),
        verdict,
    }
}

/// Zero as written: no number of replicas makes it more.
fn is_zero(value: Option<&IntOrString>) -> bool {
    value.is_none_or(|value| value.resolve(i32::MAX, Rounding::Up) == Ok(0))
}

/// With neither surge nor unavailable pods nothing moves; that is what the numbers say too, so they stand.
fn strategy(spec: &CloneSetSpec) -> Vec<Problem> {
    let strategy = &spec.update_strategy;
    let (type_, no_surge) = (strategy.type_.as_deref(), is_zero(strategy.max_surge.as_ref()));
    let mut problems = Vec::new();
    let stuck = no_surge && strategy.max_unavailable.is_some() && is_zero(strategy.max_unavailable.as_ref());
    if stuck && spec.replicas != Some(0) && type_ != Some("OnDelete") {
        let rule = "above 0 while maxSurge is 0: with both 0 no pod could ever be updated";
        let value = strategy
            .max_unavailable
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        problems.push(problem(
            "spec.updateStrategy.maxUnavailable",
            value,
            rule,
            Verdict::InvalidCautious,
        ));
    }
    // A surge that is no count or percentage has a problem of its own.
    let surges = strategy
        .max_surge
        .as_ref()
        .is_some_and(|surge| surge.resolve(i32::MAX, Rounding::Up).is_ok_and(|count| count > 0));
    if type_ == Some("InPlaceOnly") && surges {
        let value = strategy
            .max_surge
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let rule = "0 with type InPlaceOnly";
        problems.push(problem(
            "spec.updateStrategy.maxSurge",
            value,
            rule,
            Verdict::InvalidBlocking,
        ));
    }
    problems
}

fn priorities(spec: &CloneSetSpec) -> Vec<Problem> {
    let Some(priority) = &spec.update_strategy.priority_strategy else {
        return Vec::new();
    };
    let weights = priority.weight_priority.as_deref().unwrap_or_default();
    let orders = priority.order_priority.as_deref().unwrap_or_default();
    let mut problems = Vec::new();
    if !weights.is_empty() && !orders.is_empty() {
        let rule = "weightPriority or orderPriority, not both";
        let value = format!("{} weights and {} keys", weights.len(), orders.len());
        problems.push(problem(
            "spec.updateStrategy.priorityStrategy",
            value,
            rule,
            Verdict::InvalidCautious,
        ));
    }
    for term in weights {
        let path = "spec.updateStrategy.priorityStrategy.weightPriority";
        if !(0..=100).contains(&term.weight) {
            let value = format!("weight {}", term.weight);
            problems.push(problem(path, value, "0 to 100", Verdict::InvalidCautious));
        }
        match cloneset_status::selector::Selector::parse(&term.match_selector) {
            Ok(selector) if !selector.is_empty() => {}
            Ok(_) => {
                let rule = "a selector with at least one requirement";
                problems.push(problem(path, "matchSelector {}", rule, Verdict::InvalidCautious));
            }
            Err(rule) => problems.push(problem(
                path,
                rule,
                "a valid label selector",
                Verdict::InvalidCautious,
            )),
        }
    }
    if orders.iter().any(|term| term.ordered_key.is_empty()) {
        let path = "spec.updateStrategy.priorityStrategy.orderPriority";
        problems.push(problem(
            path,
            "orderedKey \"\"",
            "the key of a label",
            Verdict::InvalidCautious,
        ));
    }
    problems
}

fn lists(spec: &CloneSetSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let names = spec
        .scale_strategy
        .iter()
        .flat_map(|scale| scale.pods_to_delete.iter().flatten());
    if let Some(name) = first_repeated(names) {
        let path = "spec.scaleStrategy.podsToDelete";
        problems.push(problem(
            path,
            format!("{name:?}"),
            "named once",
            Verdict::InvalidCautious,
        ));
    }
    let path = "spec.updateStrategy.scatterStrategy";
    let terms = || spec.update_strategy.scatter_strategy.iter().flatten();
    if let Some((key, value)) = first_repeated(terms().map(|term| (&term.key, &term.value))) {
        problems.push(problem(
            path,
            format!("{key}={value}"),
            "given once",
            Verdict::InvalidCautious,
        ));
    }
    if terms().any(|term| term.key.is_empty()) {
        problems.push(problem(
            path,
            "key \"\"",
            "the key of a label",
            Verdict::InvalidCautious,
        ));
    }
    problems
}

fn first_repeated<T: Ord + Copy>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut seen = BTreeSet::new();
    items.into_iter().find(|item| !seen.insert(*item))
}

fn progress_deadline(spec: &CloneSetSpec) -> Option<Problem> {
    let seconds = spec
        .progress_deadline_seconds
        .filter(|seconds| *seconds != i32::MAX)?;
    let least = spec.min_ready_seconds.unwrap_or(0);
    (seconds <= least).then(|| {
        let rule = format!("greater than spec.minReadySeconds ({least})");
        problem(
            "spec.progressDeadlineSeconds",
            seconds.to_string(),
            rule,
            Verdict::InvalidCautious,
        )
    })
}
