//! The write of a revision that a plan asks for.
//!
//! Data only: which revision is written, and when, is decided in `revision.rs`.

use serde_json::Value;
use std::collections::BTreeMap;

/// A write of a revision.
#[derive(Clone, Debug, PartialEq)]
pub enum RevisionWrite {
    /// The template is new.
    Create(NewRevision),
    /// A revision with this template exists already, and something on it has to change.
    Update(RevisionUpdate),
}

/// A revision to update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionUpdate {
    /// The revision.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its new position in the history, if the template is an older one again.
    pub number: Option<i64>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
}

/// A revision to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRevision {
    /// `<cloneset>-<hash>`.
    pub name: String,
    /// Labels: the template's and the hash.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// `{"spec":{"template":…}}`.
    pub data: Value,
    /// Position in the history.
    pub number: i64,
}
