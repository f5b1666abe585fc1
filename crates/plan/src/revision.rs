//! Which revision the template is, which one pods held back stay on, and what to write for that
//! (`behaviour.md` 2, `design.md` 5).
//!
//! Two revisions are equal when their normalised templates are, so an upgrade of this controller or a takeover
//! from Kruise never makes a revision and never touches a pod. Nothing is written here.

use crate::action::{Action, NewRevision, RevisionWrite};
use crate::instance_ids::encode;
use crate::manifest::RevisionTemplate;
use crate::new_claim;
use crate::normalise::canonical_text;
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

/// The revisions of one CloneSet, told apart.
#[derive(Clone, Debug)]
pub struct Revisions {
    /// What new pods are made from.
    pub update: Arc<RevisionTemplate>,
    /// What pods held back by the partition are made from.
    pub current: Arc<RevisionTemplate>,
    /// What must be written before either is used.
    pub write: Option<RevisionWrite>,
    /// Collisions of names so far, this pass included.
    pub collision_count: i32,
    /// Names of every revision with the update revision's content, `update` included.
    same_as_update: BTreeSet<String>,
}

impl Revisions {
    /// Finds the revisions of the snapshot's CloneSet.
    pub fn resolve(snapshot: &Snapshot) -> Self {
        let mut history: Vec<&Arc<Revision>> = snapshot.revisions.iter().collect();
        history.sort_by_cached_key(|revision| {
            let created = revision.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (revision.revision, created, revision.name().to_owned())
        });
        let template = &snapshot.cloneset.spec.template.0;
        let wanted = canonical_text(template);
        let equal: Vec<&Arc<Revision>> = history
            .iter()
            .filter(|revision| revision.template().map(canonical_text).as_ref() == Some(&wanted))
            .copied()
            .collect();
        let newest = history.last().map_or(0, |revision| revision.revision);
        let stored_collisions = snapshot
            .cloneset
            .status
            .as_ref()
            .and_then(|status| status.collision_count)
            .unwrap_or(0);

        let claim_hash = new_claim::hash(&snapshot.cloneset.spec);
        let mut collision_count = stored_collisions;
        let (update, write) = match equal.last() {
            Some(revision) if revision.revision == newest => (recorded(revision), None),
            Some(revision) => {
                let write = RevisionWrite::Renumber {
                    name: revision.name().to_owned(),
                    uid: revision.uid().to_owned(),
                    to: newest.saturating_add(1),
                    claim_hash: Some(claim_hash).filter(|hash| recorded_hash(revision) != Some(hash)),
                };
                (recorded(revision), Some(write))
            }
            None => {
                let (name, collisions) = free_name(snapshot, &wanted, stored_collisions);
                collision_count = collisions;
                let mut new = new_revision(&snapshot.cloneset.spec.template.labels(), name, template, newest);
                new.annotations = snapshot.cloneset.metadata.annotations.clone().unwrap_or_default();
                // The whole object once more; the template in it is recorded anyway.
                new.annotations.remove(annotations::LAST_APPLIED);
                new.annotations
                    .insert(annotations::CLAIM_TEMPLATE_HASH.to_owned(), claim_hash);
                let update = RevisionTemplate {
                    name: new.name.clone(),
                    template: template.clone(),
                };
                (Arc::new(update), Some(RevisionWrite::Create(new)))
            }
        };
        let mut same_as_update: BTreeSet<String> =
            equal.iter().map(|revision| revision.name().to_owned()).collect();
        same_as_update.insert(update.name.clone());
        let stored_current = snapshot
            .cloneset
            .status
            .as_ref()
            .and_then(|status| status.current_revision.as_deref());
        let current = history
            .iter()
            .find(|revision| Some(revision.name()) == stored_current && revision.template().is_some())
            .map_or_else(|| Arc::clone(&update), |revision| recorded(revision));
        Self {
            update,
            current,
            write,
            collision_count,
            same_as_update,
        }
    }

    /// Does the pod already run what the template says?
    pub fn is_new(&self, pod: &Pod) -> bool {
        let label = pod.label(labels::REVISION);
        label.is_some_and(|label| self.same_as_update.iter().any(|name| is_revision(label, name)))
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
        .filter(|revision| !live.contains(&revision.name()))
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

fn recorded(revision: &Revision) -> Arc<RevisionTemplate> {
    let mut template = revision.template().cloned().unwrap_or_default();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("$patch");
    }
    Arc::new(RevisionTemplate {
        name: revision.name().to_owned(),
        template,
    })
}

/// The revision's name, and how many collisions it took. A name in use by other content of ours is passed over
/// here; one in use by somebody else's object shows when the revision is created.
fn free_name(snapshot: &Snapshot, canonical: &str, collisions: i32) -> (String, i32) {
    let cloneset = snapshot.cloneset.metadata.name.as_deref().unwrap_or_default();
    let prefix = cloneset.get(..MAX_NAME_PREFIX).unwrap_or(cloneset);
    let mut count = collisions;
    loop {
        let name = format!("{prefix}-{}", hash(canonical, count));
        if !snapshot.revisions.iter().any(|revision| revision.name() == name) {
            return (name, count);
        }
        count = count.saturating_add(1);
    }
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

fn new_revision(
    template_labels: &BTreeMap<String, String>,
    name: String,
    template: &Value,
    newest: i64,
) -> NewRevision {
    let mut revision_labels = template_labels.clone();
    let hash = cloneset_status::facts::short_revision(&name).to_owned();
    revision_labels.insert(labels::REVISION_HASH.to_owned(), hash);
    let mut recorded = template.as_object().cloned().unwrap_or_else(Map::new);
    // As Kruise records it, so that going back to Kruise finds its own form.
    recorded.insert("$patch".to_owned(), json!("replace"));
    NewRevision {
        name,
        labels: revision_labels,
        annotations: BTreeMap::new(),
        data: json!({"spec": {"template": recorded}}),
        number: newest.saturating_add(1),
    }
}
