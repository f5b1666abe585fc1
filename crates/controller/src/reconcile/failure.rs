//! A write that failed, and what users read about it.
//!
//! What a failure means for the next reconcile is `WriteError::disposition`'s to say.

use crate::backoff::{self, Backoff};
use crate::reconcile::backoffs::BackoffKey;
use crate::write::error::{BackoffScope, Report, WriteError};
use cloneset_api::names::events;
use cloneset_plan::{Action, ActionKind, DeleteReason};

/// Failures in a row after which an unclear answer is reported, not only tried again.
const TOLERATED: u32 = 2;

/// A write that failed.
#[derive(Debug)]
pub struct Failure {
    /// What it was to do.
    pub kind: ActionKind,
    /// To which object; `None` for the CloneSet itself.
    pub target: Option<String>,
    /// Why the pod is to be deleted, if it is.
    pub delete_reason: Option<DeleteReason>,
    /// Why it failed.
    pub error: WriteError,
}

impl Failure {
    /// An action that failed.
    pub fn of(action: &Action, error: WriteError) -> Self {
        Self {
            kind: action.kind(),
            target: action.target().map(str::to_owned),
            delete_reason: action.delete_reason(),
            error,
        }
    }

    /// A write of a revision, or a dry run of a pod of it, that failed.
    pub fn of_revision(kind: ActionKind, revision: &str, error: WriteError) -> Self {
        Self {
            kind,
            target: Some(revision.to_owned()),
            delete_reason: None,
            error,
        }
    }

    /// What backs off because of it, and how; `None` when nothing does.
    pub fn backoff(&self) -> Option<(BackoffKey, Backoff)> {
        match self.error.disposition().backoff {
            BackoffScope::None => None,
            BackoffScope::Object => Some((
                BackoffKey::object(self.kind, self.target.as_deref()),
                backoff::OBJECT,
            )),
            BackoffScope::Kind => Some((BackoffKey::kind(self.kind), backoff::OBJECT)),
            BackoffScope::Quota => Some((BackoffKey::kind(self.kind), backoff::QUOTA)),
            BackoffScope::Server => Some((BackoffKey::kind(self.kind), backoff::SERVER)),
        }
    }

    /// The message for conditions and events; `None` when this failure is not reported. `failures`: how many reconciles
    /// in a row have failed before.
    pub fn message(&self, failures: u32) -> Option<String> {
        let is_reported = match self.error.disposition().report {
            Report::Always => true,
            Report::IfRepeated => failures >= TOLERATED,
            Report::Never => false,
        };
        is_reported.then(|| format!("{}: {}", self.what(), self.error))
    }

    fn what(&self) -> String {
        let name = self.target.as_deref().unwrap_or_default();
        match self.kind {
            ActionKind::WriteRevision => format!("cannot write revision {name}"),
            ActionKind::DryRunPod => {
                format!("update not started: the API server would reject every pod of revision {name}")
            }
            ActionKind::CreatePod => "cannot create a pod".to_owned(),
            ActionKind::DeletePod => format!("cannot delete pod {name}"),
            ActionKind::PutInService => format!("cannot put pod {name} in service"),
            ActionKind::TakeOutOfService => format!("cannot take pod {name} out of service"),
            ActionKind::ChangeInPlace => format!("cannot change pod {name} in place"),
            ActionKind::ReleasePod => {
                format!("cannot release pod {name}, which the selector no longer matches")
            }
            ActionKind::PruneNames => {
                "cannot remove the names of deleted pods from spec.scaleStrategy.podsToDelete".to_owned()
            }
            ActionKind::CreatePvc => format!("cannot create PVC {name}"),
            ActionKind::DeletePvc => format!("cannot delete PVC {name}"),
            ActionKind::HandOverPvc => format!("cannot make PVC {name} be deleted with its pod"),
            ActionKind::DeleteRevision => format!("cannot delete revision {name}"),
        }
    }

    /// Reason and action of the event about it; `None` when there is no event.
    pub fn event(&self) -> Option<(&'static str, &'static str)> {
        match (self.kind, self.delete_reason) {
            (ActionKind::WriteRevision, _) => Some((events::FAILED_CREATE, "WriteRevision")),
            (ActionKind::DryRunPod, _) => Some((events::FAILED_UPDATE_POD_RECREATE, "RehearsePod")),
            (ActionKind::CreatePod, _) => Some((events::FAILED_CREATE, "CreatePod")),
            (ActionKind::CreatePvc, _) => Some((events::FAILED_CREATE, "CreateClaim")),
            (ActionKind::DeletePod, Some(why)) => Some((why.event_reasons().1, "DeletePod")),
            (ActionKind::TakeOutOfService, Some(why)) => Some((why.event_reasons().1, "HoldPod")),
            (ActionKind::TakeOutOfService | ActionKind::ChangeInPlace, _) => {
                Some((events::FAILED_UPDATE_POD_IN_PLACE, "UpdatePodInPlace"))
            }
            (ActionKind::DeletePvc, _) => Some((events::FAILED_DELETE, "DeleteClaim")),
            (ActionKind::HandOverPvc, _) => Some((events::FAILED_UPDATE, "HandOverClaim")),
            (
                ActionKind::DeletePod
                | ActionKind::PutInService
                | ActionKind::ReleasePod
                | ActionKind::PruneNames
                | ActionKind::DeleteRevision,
                _,
            ) => None,
        }
    }
}
