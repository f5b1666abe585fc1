//! Which revision the template is, which one pods held back stay on, and what to write for that
//! (`behaviour.md` 2, `design.md` 5).
//!
//! Two revisions are equal when their normalised templates are, so an upgrade of this controller or a takeover
//! from Kruise never makes a revision and never touches a pod. Nothing is written here.

use crate::action::Action;
use crate::claim_template::{self, ClaimTemplate};
use crate::instance_ids::encode;
use crate::manifest::RevisionTemplate;
use crate::new_claim;
use crate::normalise::canonical_text;
use crate::revision_write::{NewRevision, RevisionUpdate, RevisionWrite};
use crate::snapshot::Snapshot;
use cloneset_api::names::{annotations, labels};
use cloneset_status::facts::is_revision;
use cloneset_status::{Pod, Revision};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Letters of a revision's hash.
const HASH_LENGTH: usize = 10;
/// Bytes of a CloneSet's name that go into a revision's name, as in Kruise.
const MAX_NAME_PREFIX: usize = 223;

/// The revisions of one CloneSet that matter now.
#[derive(Clone, Debug)]
pub struct Revisions {
    /// What new pods are made from.
    pub update: Arc<RevisionTemplate>,
    /// The last revision that served; what pods held back by the partition are made from.
    pub current: Arc<RevisionTemplate>,
    /// What must be written before either is used.
    pub write: Option<RevisionWrite>,
    /// Collisions of names so far, this reconcile included.
    pub collision_count: i32,
    /// Names of every revision with the update revision's content, `update` included.
    same_as_update: BTreeSet<String>,
    /// The update revision of the status, if the template has changed since.
    superseded: Option<Arc<RevisionTemplate>>,
}

impl Revisions {
    /// Finds the revisions of the snapshot's CloneSet.
    pub fn resolve(snapshot: &Snapshot) -> Self {
        let mut history: Vec<&Arc<Revision>> = snapshot.revisions.iter().collect();
        history.sort_by_cached_key(|revision| {
            let created = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (revision.revision, created, revision.name().to_owned())
        });
        let spec = &snapshot.cloneset.spec;
        let wanted = canonical_text(&spec.template.0);
        let wanted_digest = Sha256::digest(&wanted).into();
        let digest = |template: &Value| Sha256::digest(canonical_text(template)).into();
        let equal: Vec<&Arc<Revision>> = history
            .iter()
            .filter(|revision| revision.data.digest(digest) == Some(wanted_digest))
            .copied()
            .collect();
        let newest = history.last().map_or(0, |revision| revision.revision);
        let status = snapshot.cloneset.status.as_ref();
        let mut collision_count = status.and_then(|status| status.collision_count).unwrap_or(0);
        let today = claim_template::parse(claim_template::written(spec));
        let mut same_as_update: BTreeSet<String> =
            equal.iter().map(|revision| revision.name().to_owned()).collect();
        let (update, write) = if let Some(revision) = equal.last() {
            let update = recorded(revision, today.clone());
            (update, revision_update(snapshot, revision, newest))
        } else {
            let (name, collisions) = free_name(snapshot, &wanted, collision_count);
            collision_count = collisions;
            same_as_update.insert(name.clone());
            let update = RevisionTemplate {
                name: name.clone(),
                template: spec.template.0.clone(),
                claim_templates: today.clone(),
            };
            let new = new_revision(snapshot, name, newest);
            (Arc::new(update), Some(RevisionWrite::Create(new)))
        };
        let named = |name: &String| {
            if *name == update.name {
                return Some(Arc::clone(&update));
            }
            let revision = history.iter().find(|revision| revision.name() == name)?;
            revision.data.digest(digest)?;
            let own =
                claim_template::recorded(revision).filter(|_| !same_as_update.contains(revision.name()));
            let claim_templates = own.map_or_else(|| today.clone(), |own| claim_template::parse(&own));
            Some(recorded(revision, claim_templates))
        };
        let current = status.and_then(|status| named(status.current_revision.as_ref()?));
        let superseded = status
            .and_then(|status| status.update_revision.as_ref())
            .filter(|name| !same_as_update.contains(*name))
            .and_then(named);
        Self {
            current: current.unwrap_or_else(|| Arc::clone(&update)),
            update,
            write,
            collision_count,
            same_as_update,
            superseded,
        }
    }

    /// The revision that serves, where every pod that is wanted is available.
    ///
    /// A template may change between the moment its last pod became available and the next reconcile (a controller
    /// that restarts, two changes in a row); then it is the revision that was the update revision until now.
    pub(crate) fn serving<'p>(
        &self,
        all_updated: bool,
        mut pods: impl Iterator<Item = &'p Pod>,
    ) -> &Arc<RevisionTemplate> {
        if all_updated {
            return &self.update;
        }
        let has = |superseded: &&Arc<RevisionTemplate>| pods.all(|pod| pod.has_revision(&superseded.name));
        self.superseded.as_ref().filter(has).unwrap_or(&self.current)
    }

    /// The hash of the volumeClaimTemplates that a revision records once [`Self::write`] is done.
    pub(crate) fn claim_hash<'a>(&'a self, snapshot: &'a Snapshot, name: &str) -> Option<&'a str> {
        let written = match &self.write {
            Some(RevisionWrite::Create(new)) if new.name == name => Some(&new.annotations),
            Some(RevisionWrite::Update(update)) if update.name == name => Some(&update.annotations),
            _ => None,
        };
        let written = written.and_then(|annotations| annotations.get(annotations::CLAIM_TEMPLATE_HASH));
        let mut revisions = snapshot.revisions.iter();
        let stored = || recorded_hash(revisions.find(|revision| revision.name() == name)?);
        written.or_else(stored).map(String::as_str)
    }

    /// Does the pod already run what the template says?
    pub fn is_new(&self, pod: &Pod) -> bool {
        pod.label(labels::REVISION)
            .is_some_and(|label| self.is_update(label))
    }

    /// Does this label name a revision with the content of the template?
    pub(crate) fn is_update(&self, label: &str) -> bool {
        self.same_as_update.iter().any(|name| is_revision(label, name))
    }

    /// Are pods that are held back made from the same content as new ones?
    pub fn current_is_update(&self) -> bool {
        self.same_as_update.contains(&self.current.name)
    }
}

/// Revisions beyond the history limit that nothing uses, oldest first (`behaviour.md` 2.7).
pub(crate) fn surplus(snapshot: &Snapshot, live: [&str; 3], limit: usize) -> Vec<Action> {
    let revisions = snapshot.revisions.iter();
    let mut unused: Vec<&Arc<Revision>> = revisions
        .filter(|revision| !live.contains(&revision.name()) && revision.unreadable.is_none())
        .collect();
    if unused.len() <= limit {
        return Vec::new();
    }
    // Thousands of pods carry but a handful of revisions.
    let carried = snapshot.pods.iter().filter_map(|pod| pod.label(labels::REVISION));
    let carried: BTreeSet<&str> = carried.collect();
    unused.retain(|revision| !carried.iter().any(|label| is_revision(label, revision.name())));
    unused.sort_by_key(|revision| revision.revision);
    let too_many = unused.len().saturating_sub(limit);
    unused
        .into_iter()
        .take(too_many)
        .map(|revision| Action::DeleteRevision {
            name: revision.name().to_owned(),
            uid: revision.uid().to_owned(),
        })
        .collect()
}

/// The hash of the claim templates at the time it was written.
pub(crate) fn recorded_hash(revision: &Revision) -> Option<&String> {
    let annotations = revision.metadata.annotations.as_ref()?;
    annotations.get(annotations::CLAIM_TEMPLATE_HASH)
}

fn recorded(revision: &Revision, claim_templates: Vec<Arc<ClaimTemplate>>) -> Arc<RevisionTemplate> {
    let mut template = revision.template().unwrap_or_default();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Arc::new(RevisionTemplate {
        name: revision.name().to_owned(),
        template,
        claim_templates,
    })
}

/// What has to change on the revision that the template is equal to.
///
/// A revision that becomes the newest again is recorded as if it were made now, with the CloneSet's annotations
/// (`kubernetes.io/change-cause`). One that is the newest only follows the volumeClaimTemplates: the hash stays, as its
/// older pods have PVCs of the templates that it was made with.
fn revision_update(snapshot: &Snapshot, revision: &Revision, newest: i64) -> Option<RevisionWrite> {
    let templates = claim_template::written(&snapshot.cloneset.spec);
    let number = (revision.revision != newest).then(|| newest.saturating_add(1));
    let mut annotations = match number {
        Some(_) => annotations_of(snapshot),
        None => BTreeMap::new(),
    };
    let recorded = claim_template::recorded(revision);
    if recorded.as_deref().unwrap_or_default() != templates
        && let Some(record) = claim_template::record(templates)
    {
        annotations.insert(annotations::CLAIM_TEMPLATES.to_owned(), record);
    }
    let stored = revision.metadata.annotations.as_ref();
    annotations.retain(|key, value| stored.and_then(|stored| stored.get(key)) != Some(value));
    (number.is_some() || !annotations.is_empty()).then(|| {
        RevisionWrite::Update(RevisionUpdate {
            name: revision.name().to_owned(),
            uid: revision.uid().to_owned(),
            number,
            annotations,
        })
    })
}

/// The annotations of a revision that is made now: the CloneSet's, and what is recorded of its volumeClaimTemplates.
fn annotations_of(snapshot: &Snapshot) -> BTreeMap<String, String> {
    let cloneset = &snapshot.cloneset;
    let mut found = cloneset.metadata.annotations.clone().unwrap_or_default();
    // The whole object once more; the template in it is recorded anyway.
    found.remove(annotations::LAST_APPLIED);
    found.remove(annotations::CLAIM_TEMPLATES);
    let hash = new_claim::hash(&cloneset.spec);
    found.insert(annotations::CLAIM_TEMPLATE_HASH.to_owned(), hash);
    found
}

/// The revision's name, and how many collisions it took. A name that other content of ours has is passed over here;
/// one that another owner's object has shows when the revision is created.
///
/// The count starts again at 0 after the largest number, so that the search ends: fewer revisions exist than numbers.
fn free_name(snapshot: &Snapshot, canonical: &str, collisions: i32) -> (String, i32) {
    let cloneset = snapshot.cloneset.metadata.name.as_deref().unwrap_or_default();
    let prefix = cloneset.get(..MAX_NAME_PREFIX).unwrap_or(cloneset);
    let name = |count: i32| format!("{prefix}-{}", hash(canonical, count));
    let taken: BTreeSet<&str> = snapshot
        .revisions
        .iter()
        .map(|revision| revision.name())
        .collect();
    let mut counts = (collisions..=i32::MAX).chain(0..collisions);
    let free = counts.find(|count| !taken.contains(name(*count).as_str()));
    let count = free.unwrap_or(collisions);
    (name(count), count)
}

fn hash(canonical: &str, collisions: i32) -> String {
    encode(
        &Sha256::new()
            .chain_update(canonical)
            .chain_update(collisions.to_string())
            .finalize(),
        HASH_LENGTH,
    )
}

fn new_revision(snapshot: &Snapshot, name: String, newest: i64) -> NewRevision {
    let spec = &snapshot.cloneset.spec;
    let mut revision_labels = spec.template.labels();
    let hash = cloneset_status::facts::short_revision(&name).to_owned();
    revision_labels.insert(labels::REVISION_HASH.to_owned(), hash);
    let mut annotations = annotations_of(snapshot);
    let templates = claim_template::written(spec);
    if !templates.is_empty() {
        let record = claim_template::record(templates);
        annotations.extend(record.map(|record| (annotations::CLAIM_TEMPLATES.to_owned(), record)));
    }
    let mut recorded = spec.template.0.as_object().cloned().unwrap_or_else(Map::new);
    // As Kruise records it, so that going back to Kruise finds its own form.
    recorded.insert("$patch".to_owned(), json!("replace"));
    NewRevision {
        name,
        labels: revision_labels,
        annotations,
        data: json!({"spec": {"template": recorded}}),
        number: newest.saturating_add(1),
    }
}
