//! The templates of a snapshot's revisions, each parsed at most once in a reconcile.
//!
//! Revisions keep their data as text. Thousands of pods ask for the template of a handful of revisions.

use cloneset_api::names::labels;
use cloneset_status::facts::is_revision;
use cloneset_status::{Pod, Revision};
use serde_json::Value;
use std::cell::OnceCell;
use std::sync::Arc;

/// The revisions, and the templates that were needed so far.
pub(crate) struct Templates<'a> {
    revisions: Vec<(&'a Arc<Revision>, OnceCell<Option<Value>>)>,
}

impl<'a> Templates<'a> {
    /// Nothing is parsed yet.
    pub(crate) fn new(revisions: &'a [Arc<Revision>]) -> Self {
        let unparsed = |revision| (revision, OnceCell::new());
        Self {
            revisions: revisions.iter().map(unparsed).collect(),
        }
    }

    /// The template of the revision that the pod has.
    pub(crate) fn of(&self, pod: &Pod) -> Option<&Value> {
        let label = pod.label(labels::REVISION)?;
        let mut revisions = self.revisions.iter();
        let (revision, template) = revisions.find(|(revision, _)| is_revision(label, revision.name()))?;
        template.get_or_init(|| revision.template()).as_ref()
    }
}
