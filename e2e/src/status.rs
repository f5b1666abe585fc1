//! What a CloneSet's status says, in the form tests compare.
//!
//! Reads; computes nothing that the controller should have computed.

use cloneset_api::names::conditions::{FAILED_SCALE, FAILED_UPDATE, RUNAWAY_CREATION, STALLED};
use cloneset_api::{CloneSet, Condition};

/// Every counter of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// `status.replicas`
    pub replicas: i32,
    /// `status.readyReplicas`
    pub ready: i32,
    /// `status.availableReplicas`
    pub available: i32,
    /// `status.updatedReplicas`
    pub updated: i32,
    /// `status.updatedReadyReplicas`
    pub updated_ready: i32,
    /// `status.updatedAvailableReplicas`
    pub updated_available: i32,
    /// `status.expectedUpdatedReplicas`
    pub expected_updated: i32,
}

impl Counters {
    /// The counters of a CloneSet at rest: every pod available, and as many updated as the partition asks for.
    pub fn at_rest(replicas: i32, updated: i32) -> Self {
        Self {
            replicas,
            ready: replicas,
            available: replicas,
            updated,
            updated_ready: updated,
            updated_available: updated,
            expected_updated: updated,
        }
    }

    /// The counters a CloneSet reports; `None` while it has no status for its present generation.
    pub fn reported(cloneset: &CloneSet) -> Option<Self> {
        let status = cloneset.status.as_ref()?;
        (status.observed_generation.is_some() && status.observed_generation == cloneset.metadata.generation)
            .then_some(Self {
                replicas: status.replicas,
                ready: status.ready_replicas,
                available: status.available_replicas,
                updated: status.updated_replicas,
                updated_ready: status.updated_ready_replicas,
                updated_available: status.updated_available_replicas,
                expected_updated: status.expected_updated_replicas,
            })
    }
}

/// A condition by its type.
pub fn condition<'a>(cloneset: &'a CloneSet, type_: &str) -> Option<&'a Condition> {
    let conditions = cloneset.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// The conditions that say something failed or cannot go on.
pub fn failures(cloneset: &CloneSet) -> Vec<&Condition> {
    let conditions = cloneset
        .status
        .iter()
        .filter_map(|status| status.conditions.as_ref())
        .flatten();
    conditions
        .filter(|condition| match condition.type_.as_str() {
            STALLED | FAILED_SCALE | FAILED_UPDATE | RUNAWAY_CREATION => condition.status != "False",
            "Progressing" => condition.status == "False",
            _ => false,
        })
        .collect()
}
