//! The second judge: what a client of the CloneSet's Service sees.
//!
//! It counts the pods that a Service with the CloneSet's selector sends traffic to: Ready, not terminating, labels
//! matching. No write of the controller may take their number below min(R − U, the number before the write).
//!
//! It knows Kubernetes and the two numbers R and U, and nothing else: no availability, revision, lifecycle state or mark.
//! So it objects where the first judge, who counts available pods, sees nothing to protect.

use super::history::{Change, Event, History, PodFacts, Verb, Write};
use super::judge::{account, since};
use super::promise::Promise;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Every write that took a serving pod which its CloneSet could not spare.
pub(super) fn violations(history: &History) -> Vec<String> {
    let events = history.events();
    let mut found = Vec::new();
    for (at, (event, write)) in events.iter().enumerate() {
        if let Some(write) = write
            && history.is_complete_at(event.version)
            && let Err(broken) = judge(events.get(..at).unwrap_or_default(), event, write)
        {
            found.push(account(history, at, &broken));
        }
    }
    found
}

type Past = [(Event, Option<Write>)];

/// A write is right when it is right by any state of the pods and any spec that the controller may have had in its cache.
fn judge(past: &Past, event: &Event, write: &Write) -> Result<(), String> {
    let (after, is_gone) = match &event.change {
        Change::Pod(pod) => (pod, false),
        Change::PodGone(pod) => (pod, true),
        Change::CloneSet(_) | Change::Gap(_) => return Ok(()),
    };
    // A new pod serves nobody yet.
    if write.verb == Verb::Create {
        return Ok(());
    }
    let since = since(write);
    let mut verdict = Ok(());
    for view in views(past, since) {
        for spec in specs(past, after, since) {
            verdict = spares(&view, spec, after, is_gone);
            if verdict.is_ok() {
                return verdict;
            }
        }
    }
    verdict
}

/// Pods by UID.
type View<'a> = BTreeMap<&'a str, &'a PodFacts>;

/// The newest state, then states that lack the latest changes by others. The controller knows its own writes.
fn views(past: &Past, since: Timestamp) -> impl Iterator<Item = View<'_>> {
    let settled = past.iter().rposition(|(event, _)| event.seen < since);
    let first = settled.map_or(0, |last| last + 1);
    (first..=past.len()).rev().map(move |cut| {
        let mut view = View::new();
        for (index, (event, write)) in past.iter().enumerate() {
            if index >= cut && write.is_none() {
                continue;
            }
            match &event.change {
                Change::Pod(pod) => drop(view.insert(&pod.uid, pod)),
                Change::PodGone(pod) => drop(view.remove(pod.uid.as_str())),
                Change::CloneSet(_) | Change::Gap(_) => {}
            }
        }
        view
    })
}

/// Specs of the pod's CloneSet, newest first, as far back as the cache may be.
fn specs<'a>(past: &'a Past, pod: &PodFacts, since: Timestamp) -> Vec<Option<&'a Value>> {
    let mut specs = Vec::new();
    for (event, _) in past.iter().rev() {
        let Change::CloneSet(cloneset) = &event.change else {
            continue;
        };
        if Some(&cloneset.uid) != pod.owner.as_ref() {
            continue;
        }
        specs.push(cloneset.spec.as_deref());
        if event.seen < since {
            break;
        }
    }
    specs
}

/// Can the CloneSet spare what the write takes from the Service?
fn spares(view: &View<'_>, spec: Option<&Value>, after: &PodFacts, is_gone: bool) -> Result<(), String> {
    // A CloneSet that is being deleted promises nothing, and neither does one without a number of replicas.
    let Some((spec, promise)) = spec.and_then(|spec| Some((spec, Promise::of(spec)?))) else {
        return Ok(());
    };
    let selector = spec.get("selector").unwrap_or(&Value::Null);
    let serves = |pod: &PodFacts| pod.is_live && pod.is_ready && matches(selector, pod);
    let Some(before) = view.get(after.uid.as_str()).filter(|pod| serves(pod)) else {
        return Ok(());
    };
    if !is_gone && serves(after) && images(before) == images(after) {
        return Ok(());
    }
    let serving = view
        .values()
        .filter(|pod| pod.owner == before.owner && serves(pod))
        .count();
    let serving = i128::try_from(serving).unwrap_or(i128::MAX);
    let floor = promise.available.min(serving);
    if serving > floor {
        return Ok(());
    }
    Err(format!(
        "I1: {} serves and is taken, which leaves {} Ready pods behind the Service, at least {floor} must stay",
        before.name,
        serving - 1
    ))
}

/// Of the containers: one that gets another image ends, whatever the gates say.
fn images(pod: &PodFacts) -> Vec<&Value> {
    let containers = pod.made.pointer("/spec/containers").and_then(Value::as_array);
    containers
        .into_iter()
        .flatten()
        .map(|container| &container["image"])
        .collect()
}

/// A label selector, as Kubernetes reads it. An empty one selects nothing here, as in a Service.
fn matches(selector: &Value, pod: &PodFacts) -> bool {
    let label = |key: &str| pod.made.pointer("/metadata/labels")?.get(key);
    let exact = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    let is_empty = exact.is_none_or(serde_json::Map::is_empty) && expressions.is_none_or(Vec::is_empty);
    let holds = |expression: &Value| {
        let label = label(expression["key"].as_str().unwrap_or_default());
        let values = expression["values"].as_array();
        let is_listed = || label.is_some_and(|label| values.is_some_and(|values| values.contains(label)));
        match expression["operator"].as_str() {
            Some("In") => is_listed(),
            Some("NotIn") => !is_listed(),
            Some("Exists") => label.is_some(),
            Some("DoesNotExist") => label.is_none(),
            _ => false,
        }
    };
    !is_empty
        && exact
            .into_iter()
            .flatten()
            .all(|(key, value)| label(key) == Some(value))
        && expressions.into_iter().flatten().all(holds)
}

#[cfg(test)]
mod tests;
