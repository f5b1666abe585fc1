//! What deciding starts from: one CloneSet and everything it owns, at one moment.
//!
//! Plain data put together by whoever observes (the controller's index, the plugin, a simulated world). It holds
//! no client and no clock, and nothing in it is fetched lazily.

use cloneset_api::CloneSet;
use cloneset_status::{Claim, Pod, Revision};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Labels of nodes by the node's name.
pub type NodeLabels = BTreeMap<String, Arc<BTreeMap<String, String>>>;

/// One CloneSet and what it owns.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The CloneSet, as read.
    pub cloneset: Arc<CloneSet>,
    /// Every pod it controls, also finished and terminating ones.
    pub pods: Vec<Arc<Pod>>,
    /// Every revision it controls.
    pub revisions: Vec<Arc<Revision>>,
    /// Every claim it controls, also terminating ones.
    pub claims: Vec<Arc<Claim>>,
    /// UIDs of claims whose pod was deleted by us, and that have to follow it.
    pub doomed_claims: BTreeSet<String>,
    /// UIDs of claims that were made for a pod which could not be made: nothing has written to them yet.
    pub fresh_claims: BTreeSet<String>,
    /// Instance ids that must not be used now although no pod carries them: freed a moment ago, or found taken
    /// by somebody else's object.
    pub reserved_ids: BTreeSet<String>,
    /// Names of pods that must not be deleted or taken out of service now: a moment ago that was refused.
    pub kept_pods: BTreeSet<String>,
    /// May pods be created?
    pub creation: Creation,
    /// The nodes its pods run on, where [`crate::Desired::topology_keys`] asks for them; `None` when they may not be
    /// read.
    pub nodes: Option<NodeLabels>,
}

/// May pods be created?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Creation {
    /// Yes.
    #[default]
    Allowed,
    /// It was refused a moment ago and is not to be tried now. Updates go on meanwhile: a quota that is used up must
    /// not stop a release.
    BackingOff,
    /// What was created did not become ours. Nothing is created, and nothing that would have to be replaced is given
    /// up, until the spec changes.
    Stopped,
}

impl Snapshot {
    /// Pods that count as replicas.
    pub(crate) fn active_pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.iter().map(AsRef::as_ref).filter(|pod| pod.is_active())
    }

    /// How many pods count as replicas.
    pub fn active_count(&self) -> i32 {
        i32::try_from(self.active_pods().count()).unwrap_or(i32::MAX)
    }
}
