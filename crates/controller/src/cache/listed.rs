//! What a list of one kind showed: names and versions, to be compared with the index.

use crate::key::{Key, Kind};
use std::collections::BTreeMap;

/// Objects of a kind by UID, each with its name and version.
pub type Versions = BTreeMap<String, (Key, u64)>;

/// What a list showed.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The kind of its objects.
    pub kind: Kind,
    /// The version of the list.
    pub version: u64,
    /// Its objects.
    pub objects: Versions,
}

impl Listed {
    /// A list without objects.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            version: 0,
            objects: Versions::new(),
        }
    }
}
