//! Holds each write of the controller against what its CloneSet promises.
//!
//! The rules: S1 no pod is created above replicas and surge; S2 no
//! available pod is taken below what has to stay available; S3 no pod is brought to the new template beyond the
//! partition, be it created or changed in place; S4 only pods of a CloneSet that is there are written to; S5 a deletion is bound to the pod's UID; S6 no
//! instance id is used twice.
//!
//! A pure function over a [`History`]. It judges writes, not states: pods that others break, delete or add are not the
//! controller's to answer for.

use super::history::{Change, CloneSetFacts, Event, History, PodFacts, Verb, Write};
use super::promise::Promise;
use super::state::{Lineage, Pods};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A write may be right by what was true so long before the API server received it.
///
/// The controller acts on what its watches have shown. That takes milliseconds, on a machine that is busy with a whole
/// cluster some hundreds of them; a controller that is further behind has lost its watches and should not act. Its own
/// writes are never excused so: those it knows of.
const LAG: SignedDuration = SignedDuration::from_secs(2);
/// Events before a violation that its account shows.
const CONTEXT: usize = 16;

/// Every write that broke a promise, with an account of what led to it.
pub(super) fn violations(history: &History) -> Vec<String> {
    let mut trial = Trial {
        history,
        lineages: Lineage::all(history),
        pods: Pods::default(),
    };
    let mut found = Vec::new();
    for (at, (event, write)) in history.events().iter().enumerate() {
        if let Some(write) = write
            && history.is_complete_at(event.version)
            && let Err(broken) = trial.judge(at, event, write)
        {
            found.push(account(history, at, &broken));
        }
        trial.pods.see(event);
        trial.follow(at, event);
    }
    found
}

struct Trial<'a> {
    history: &'a History,
    lineages: BTreeMap<&'a str, Lineage<'a>>,
    pods: Pods<'a>,
}

/// One write, and the pod before and after it.
struct Deed<'a> {
    write: &'a Write,
    before: Option<&'a PodFacts>,
    after: &'a PodFacts,
    is_gone: bool,
}

impl Deed<'_> {
    fn takes_pod_away(&self) -> bool {
        self.is_gone || !self.after.is_live
    }

    /// Gives it another template, in place.
    fn moves(&self, lineage: &Lineage<'_>) -> bool {
        let had = self.before.and_then(|pod| lineage.template_of(pod));
        self.write.verb == Verb::Patch && had.is_some() && had != lineage.template_of(self.after)
    }
}

impl<'a> Trial<'a> {
    fn judge(&self, at: usize, event: &'a Event, write: &'a Write) -> Result<(), String> {
        let (after, is_gone) = match &event.change {
            Change::Pod(pod) => (pod, false),
            Change::PodGone(pod) => (pod, true),
            Change::CloneSet(_) | Change::Gap(_) => return Ok(()),
        };
        let deed = Deed {
            write,
            before: self.pods.get(&after.uid),
            after,
            is_gone,
        };
        let Some(lineage) = self.owner_of(&deed) else {
            // Made without an owner, because a policy took it off on the way: it was nobody else's either.
            if write.verb == Verb::Create && after.owner.is_none() {
                return Ok(());
            }
            return Err(format!(
                "S4: {} is written to, which no CloneSet of this namespace controls",
                after.name
            ));
        };
        is_bound(&deed)?;
        self.has_an_id_of_its_own(&deed)?;
        self.keeps_promises(at, lineage, &deed)
    }

    fn owner_of(&self, deed: &Deed<'_>) -> Option<&Lineage<'a>> {
        let owner = deed.before.unwrap_or(deed.after).owner.as_deref()?;
        self.lineages.get(owner)
    }

    fn has_an_id_of_its_own(&self, deed: &Deed<'_>) -> Result<(), String> {
        let (Some(owner), Some(id), Verb::Create) =
            (&deed.after.owner, &deed.after.instance_id, deed.write.verb)
        else {
            return Ok(());
        };
        let twin = self
            .pods
            .live_of(owner)
            .find(|pod| pod.instance_id.as_ref() == Some(id));
        twin.map_or(Ok(()), |twin| {
            Err(format!(
                "S6: {} gets the instance id of {}",
                deed.after.name, twin.name
            ))
        })
    }

    /// Right by any spec that may have been the newest one known, and any state of other people's doing that may have
    /// been; told by the newest of both.
    fn keeps_promises(&self, at: usize, lineage: &Lineage<'a>, deed: &Deed<'a>) -> Result<(), String> {
        let specs = self.specs(at, lineage, deed.write);
        let judge = |pods: &Pods<'_>| {
            let mut verdicts = specs
                .iter()
                .map(|(version, cloneset)| keeps(pods, lineage, (*version, cloneset), deed));
            let newest = verdicts
                .next()
                .unwrap_or_else(|| Err("S4: there is no such CloneSet any more".to_owned()));
            newest.or_else(|broken| {
                if verdicts.any(|verdict| verdict.is_ok()) {
                    Ok(())
                } else {
                    Err(broken)
                }
            })
        };
        let verdict = judge(&self.pods);
        let Err(broken) = verdict else { return Ok(()) };
        if self
            .earlier_views(at, deed.write)
            .any(|pods| judge(&pods).is_ok())
        {
            return Ok(());
        }
        Err(broken)
    }

    /// Versions of the CloneSet that may have been the newest one known, newest first.
    fn specs(&self, at: usize, lineage: &Lineage<'a>, write: &Write) -> Vec<(usize, &'a CloneSetFacts)> {
        let mut specs = Vec::new();
        for (version, cloneset) in lineage.versions.iter().rev().filter(|(version, _)| *version < at) {
            specs.push((*version, *cloneset));
            if self.seen(*version) < since(write) {
                break;
            }
        }
        specs
    }

    fn seen(&self, at: usize) -> Timestamp {
        self.history
            .events()
            .get(at)
            .map_or(Timestamp::MAX, |(event, _)| event.seen)
    }

    /// States that lack the latest of what others did, but nothing that the controller did itself.
    fn earlier_views(&self, at: usize, write: &Write) -> impl Iterator<Item = Pods<'a>> {
        let events = self.history.events().get(..at).unwrap_or_default();
        let since = since(write);
        let first = events
            .iter()
            .rposition(|(event, _)| event.seen < since)
            .map_or(0, |last| last + 1);
        (first..at).rev().map(move |cut| {
            let mut pods = Pods::default();
            for (index, (event, write)) in events.iter().enumerate() {
                if index < cut || write.is_some() {
                    pods.see(event);
                }
            }
            pods
        })
    }

    /// Keeps track of which template is current.
    fn follow(&mut self, at: usize, event: &Event) {
        let owner = match &event.change {
            Change::CloneSet(cloneset) => Some(cloneset.uid.as_str()),
            Change::Pod(pod) | Change::PodGone(pod) => pod.owner.as_deref(),
            Change::Gap(_) => None,
        };
        let Some(lineage) = owner.and_then(|owner| self.lineages.get_mut(owner)) else {
            return;
        };
        let newest = lineage.versions.iter().rev().find(|(version, _)| *version <= at);
        if let Some((_, newest)) = newest.copied() {
            lineage.follow(newest, &self.pods);
        }
    }
}

/// What was broken, and what led to it.
pub(super) fn account(history: &History, at: usize, broken: &str) -> String {
    let mut text = format!("{broken}. What led to it:\n");
    let events = history.events();
    let first = (at + 1).saturating_sub(CONTEXT);
    for (event, write) in events.iter().take(at + 1).skip(first) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {}", line(event, write.as_ref()));
    }
    text
}

/// The earliest moment whose state may justify a write.
pub(super) fn since(write: &Write) -> Timestamp {
    write.received.checked_sub(LAG).unwrap_or(Timestamp::MIN)
}

/// What holds for a deed under one version of the spec and one view of the pods.
fn keeps(
    pods: &Pods<'_>,
    lineage: &Lineage<'_>,
    (version, cloneset): (usize, &CloneSetFacts),
    deed: &Deed<'_>,
) -> Result<(), String> {
    let creates = deed.write.verb == Verb::Create;
    let Some(spec) = &cloneset.spec else {
        let idle = !creates && !deed.takes_pod_away();
        return if idle {
            Ok(())
        } else {
            Err(format!("S4: CloneSet {} is being deleted", cloneset.name))
        };
    };
    let Some(promise) = Promise::of(spec) else {
        return Ok(());
    };
    if creates {
        fits(pods, &promise, deed)?;
        return is_due(pods, lineage, (version, cloneset), &promise, deed);
    }
    if deed.moves(lineage) {
        is_due(pods, lineage, (version, cloneset), &promise, deed)?;
    }
    if is_named(deed.after, spec) {
        return Ok(());
    }
    leaves_enough(pods, &promise, deed)
}

/// Did the user ask for this very pod to go?
fn is_named(pod: &PodFacts, spec: &Value) -> bool {
    let names = spec
        .pointer("/scaleStrategy/podsToDelete")
        .and_then(Value::as_array);
    pod.is_named || names.is_some_and(|names| names.iter().any(|name| *name == pod.name))
}

/// S5.
fn is_bound(deed: &Deed<'_>) -> Result<(), String> {
    let bound = deed.write.bound_to.as_ref();
    if deed.write.verb != Verb::Delete || bound == Some(&deed.after.uid) {
        return Ok(());
    }
    Err(format!(
        "S5: the deletion of {} is bound to {}, and not to the pod's UID {}",
        deed.after.name,
        bound.map_or("no UID", String::as_str),
        deed.after.uid
    ))
}

/// S1.
fn fits(pods: &Pods<'_>, promise: &Promise, deed: &Deed<'_>) -> Result<(), String> {
    let owner = deed.after.owner.as_deref().unwrap_or_default();
    let others = pods
        .live_of(owner)
        .filter(|pod| pod.uid != deed.after.uid)
        .count();
    if number(others) < promise.live {
        return Ok(());
    }
    Err(format!(
        "S1: {} is created as live pod number {}, {} are promised at the most",
        deed.after.name,
        others + 1,
        promise.live
    ))
}

/// S3.
fn is_due(
    pods: &Pods<'_>,
    lineage: &Lineage<'_>,
    (version, cloneset): (usize, &CloneSetFacts),
    promise: &Promise,
    deed: &Deed<'_>,
) -> Result<(), String> {
    let (Some(given), Some(wanted)) = (lineage.template_of(deed.after), lineage.template_at(cloneset)) else {
        return Ok(());
    };
    if lineage.is_old_news(given) || lineage.is_old_news(wanted) {
        return Ok(());
    }
    if given != wanted {
        return if lineage.is_known_at(given, version) {
            Ok(())
        } else {
            Err(format!(
                "S3: {} is given a template that the spec did not hold yet",
                deed.after.name
            ))
        };
    }
    // A pod that is named to go has its stand-in before it goes.
    let stays = |pod: &PodFacts| !is_named(pod, cloneset.spec.as_deref().unwrap_or(&Value::Null));
    let is_updated =
        |pod: &&PodFacts| pod.uid != deed.after.uid && stays(pod) && lineage.template_of(pod) == Some(wanted);
    let updated = pods.live_of(&cloneset.uid).filter(is_updated).count();
    if lineage.released == Some(wanted) || number(updated) < promise.updated {
        return Ok(());
    }
    Err(format!(
        "S3: {} is updated pod number {}, the partition promises {} at the most",
        deed.after.name,
        updated + 1,
        promise.updated
    ))
}

/// S2.
fn leaves_enough(pods: &Pods<'_>, promise: &Promise, deed: &Deed<'_>) -> Result<(), String> {
    let Some(before) = deed.before else {
        return Ok(());
    };
    let is_still_available =
        !deed.is_gone && deed.after.is_available(promise.min_ready, deed.write.completed);
    // Time alone may have made it available since it was looked at.
    if before.is_named || is_still_available || !before.is_available(promise.min_ready, since(deed.write)) {
        return Ok(());
    }
    let owner = before.owner.as_deref().unwrap_or_default();
    let left = pods
        .live_of(owner)
        .filter(|pod| pod.uid != before.uid && pod.is_available(promise.min_ready, deed.write.completed))
        .count();
    if number(left) >= promise.available {
        return Ok(());
    }
    Err(format!(
        "S2: {} is taken out of service, which leaves {left} pods available, at least {} are promised",
        before.name, promise.available
    ))
}

fn number(count: usize) -> i128 {
    i128::try_from(count).unwrap_or(i128::MAX)
}

/// Of the first container.
fn image(template: &Value) -> &str {
    let image = template.pointer("/spec/containers/0/image");
    image.and_then(Value::as_str).unwrap_or("no image")
}

/// One event, for people.
fn line(event: &Event, write: Option<&Write>) -> String {
    let what = match &event.change {
        Change::Pod(pod) if !pod.is_live => format!("{} is ending", pod.name),
        Change::Pod(pod) => {
            let ready = if pod.ready_since.is_some() {
                "ready"
            } else {
                "not ready"
            };
            format!("{} ({ready}, {})", pod.name, image(&pod.made))
        }
        Change::PodGone(pod) => format!("{} is gone", pod.name),
        Change::CloneSet(cloneset) => match &cloneset.spec {
            None => format!("CloneSet {} is being deleted", cloneset.name),
            Some(spec) => format!(
                "CloneSet {} ({}): replicas {}, {}",
                cloneset.name,
                image(&spec["template"]),
                spec["replicas"],
                spec["updateStrategy"]
            ),
        },
        Change::Gap(from) => format!("nothing was seen since version {from}"),
    };
    let by = write.map_or("", |write| match write.verb {
        Verb::Create => "  <- created by the controller",
        Verb::Patch => "  <- patched by the controller",
        Verb::Delete => "  <- deleted by the controller",
    });
    format!("{} version {} {what}{by}", event.seen, event.version)
}

#[cfg(test)]
mod tests;
