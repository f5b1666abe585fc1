//! The pods of a namespace after some of its events, and which template each has.
//!
//! Replays facts; it must not say whether they are right.

use super::history::{Change, CloneSetFacts, Event, History, PodFacts};
use super::promise::Promise;
use super::template::{bears, weight};
use serde_json::Value;
use std::collections::BTreeMap;

/// Pods by UID.
#[derive(Clone, Debug, Default)]
pub(super) struct Pods<'a>(BTreeMap<&'a str, &'a PodFacts>);

impl<'a> Pods<'a> {
    pub(super) fn see(&mut self, event: &'a Event) {
        match &event.change {
            Change::Pod(pod) => {
                self.0.insert(&pod.uid, pod);
            }
            Change::PodGone(pod) => {
                self.0.remove(pod.uid.as_str());
            }
            Change::CloneSet(_) | Change::Gap(_) => {}
        }
    }

    pub(super) fn get(&self, uid: &str) -> Option<&'a PodFacts> {
        self.0.get(uid).copied()
    }

    /// Live pods of a CloneSet.
    pub(super) fn live_of(&self, owner: &str) -> impl Iterator<Item = &'a PodFacts> {
        self.0
            .values()
            .copied()
            .filter(move |pod| pod.is_live && pod.owner.as_deref() == Some(owner))
    }
}

/// A CloneSet's versions and templates over the whole history.
#[derive(Debug, Default)]
pub(super) struct Lineage<'a> {
    /// Indexes of its events.
    pub(super) versions: Vec<(usize, &'a CloneSetFacts)>,
    templates: Vec<Template<'a>>,
    /// The revision that each pod was made with, by the pod's UID.
    made_with: BTreeMap<&'a str, &'a str>,
    /// The template that each pod bore with each of its revisions; where it bore none of them, there is nothing here.
    bore: BTreeMap<(&'a str, &'a str), usize>,
    /// The same, by revision only: for pods that never got what their revision brings.
    brings: BTreeMap<&'a str, usize>,
    /// Pods made so far, and the template that is current: the one that pods have that are not to be updated.
    has_had_pods: bool,
    pub(super) released: Option<usize>,
}

#[derive(Debug)]
struct Template<'a> {
    body: &'a Value,
    first: usize,
    /// Pods from before it was written bear it too: it says nothing new, and nothing moves because of it.
    is_old_news: bool,
}

impl<'a> Lineage<'a> {
    /// Of every CloneSet in a history, by UID.
    pub(super) fn all(history: &'a History) -> BTreeMap<&'a str, Self> {
        let mut all: BTreeMap<&str, Self> = BTreeMap::new();
        for (at, (event, _)) in history.events().iter().enumerate() {
            if let Change::CloneSet(cloneset) = &event.change {
                all.entry(&cloneset.uid).or_default().add_version(at, cloneset);
            }
        }
        for (at, (event, _)) in history.events().iter().enumerate() {
            if let Change::Pod(pod) = &event.change
                && let Some(lineage) = pod.owner.as_deref().and_then(|owner| all.get_mut(owner))
            {
                lineage.add_pod(at, pod);
            }
        }
        all
    }

    fn add_version(&mut self, at: usize, cloneset: &'a CloneSetFacts) {
        self.versions.push((at, cloneset));
        let Some(body) = template_in(cloneset) else { return };
        if self.index_of(body).is_none() {
            self.templates.push(Template {
                body,
                first: at,
                is_old_news: false,
            });
        }
    }

    /// A pod has the template that it bears when it is made, and another one when its revision is another and it has
    /// been changed. What people edit afterwards makes no difference.
    fn add_pod(&mut self, at: usize, pod: &'a PodFacts) {
        let (uid, revision) = (pod.uid.as_str(), pod.revision.as_str());
        let is_new = !self.made_with.contains_key(uid);
        if !is_new && (revision.is_empty() || !pod.is_changed || self.bore.contains_key(&(uid, revision))) {
            return;
        }
        if is_new {
            self.made_with.insert(uid, revision);
        }
        let Some(index) = self.borne_by(pod) else { return };
        self.bore.insert((uid, revision), index);
        self.brings.entry(revision).or_insert(index);
        if let Some(template) = self.templates.get_mut(index).filter(|_| is_new) {
            template.is_old_news |= at < template.first;
        }
    }

    fn borne_by(&self, pod: &PodFacts) -> Option<usize> {
        let borne = |(_, template): &(usize, &Template<'_>)| bears(&pod.made, template.body);
        let templates = self.templates.iter().enumerate().filter(borne);
        let best = templates.max_by_key(|(_, template)| weight(template.body));
        best.map(|(index, _)| index)
    }

    fn index_of(&self, body: &Value) -> Option<usize> {
        self.templates.iter().position(|template| template.body == body)
    }

    /// The template of a version.
    pub(super) fn template_at(&self, version: &CloneSetFacts) -> Option<usize> {
        self.index_of(template_in(version)?)
    }

    /// The template that a pod has, or is to have: it counts from the moment its revision changes.
    pub(super) fn template_of(&self, pod: &PodFacts) -> Option<usize> {
        let made_with = self.made_with.get(pod.uid.as_str()).copied()?;
        let revision = match pod.revision.as_str() {
            // Somebody took it away.
            "" => made_with,
            revision => revision,
        };
        let bore = self.bore.get(&(pod.uid.as_str(), revision));
        // What a pod was made from is told by nothing but itself.
        let brings = || self.brings.get(revision).filter(|_| revision != made_with);
        bore.or_else(brings).copied()
    }

    pub(super) fn is_old_news(&self, template: usize) -> bool {
        self.templates
            .get(template)
            .is_some_and(|template| template.is_old_news)
    }

    /// Was the template there when this version was written?
    pub(super) fn is_known_at(&self, template: usize, version: usize) -> bool {
        self.templates
            .get(template)
            .is_some_and(|template| template.first <= version)
    }

    /// Moves the current template: it is the spec's until there are pods, and becomes the spec's again once every
    /// pod was to be updated and has been.
    pub(super) fn follow(&mut self, now: &CloneSetFacts, pods: &Pods<'_>) {
        let Some(template) = self.template_at(now) else {
            return;
        };
        let live: Vec<_> = pods.live_of(&now.uid).collect();
        self.has_had_pods |= !live.is_empty();
        let promise = now.spec.as_deref().and_then(Promise::of);
        let is_complete = promise.is_some_and(|promise| {
            promise.updates_all
                && usize::try_from(promise.replicas) == Ok(live.len())
                && live.iter().all(|pod| self.template_of(pod) == Some(template))
        });
        if is_complete || !self.has_had_pods {
            self.released = Some(template);
        }
    }
}

fn template_in(cloneset: &CloneSetFacts) -> Option<&Value> {
    cloneset.spec.as_ref()?.get("template")
}
