//! What a plan consists of: actions with their reasons, as data.
//!
//! An action carries all that doing it needs (name, preconditions) and nothing about how. The controller does
//! them, the plugin prints them, the simulated world applies them.

use crate::desired::Desired;
use crate::manifest::NewPod;
use crate::metadata::MetadataChange;
use crate::new_claim::NewClaim;
use crate::revision_write::RevisionWrite;
use cloneset_api::CloneSet;
use cloneset_api::names::events;
use cloneset_status::facts::Resources;
use cloneset_status::{ConditionUpdate, Counts, Observed, Pod, Wait};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Everything one pass decided.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Plan {
    /// A revision to write before anything else; if that fails, nothing else may be done.
    pub revision: Option<RevisionWrite>,
    /// What to do with pods and old revisions, in this order.
    pub actions: Vec<Action>,
    /// A pod of the revision that others make place for, where no such pod exists yet: whether the API server would
    /// take it must be known before a healthy pod is given up for it.
    pub rehearsal: Option<NewPod>,
    /// What is not done, and why.
    pub waits: Vec<Wait>,
    /// What status says about the pods as they are.
    pub outlook: Outlook,
}

impl Plan {
    /// When time alone will change the answer: the end of the first wait that ends by itself.
    pub fn recheck_at(&self) -> Option<Timestamp> {
        self.waits.iter().filter_map(Wait::until).min()
    }

    /// What keeps pods from being updated until somebody changes something, if anything does.
    pub fn impossible_update(&self) -> Option<String> {
        let mut waits = self.waits.iter();
        let wait =
            waits.find(|wait| matches!(wait, Wait::NotInPlace { .. } | Wait::UnreadableState { .. }))?;
        Some(wait.to_string())
    }

    /// What a status is computed from before anything is known of how acting went.
    pub fn observed<'a>(&'a self, cloneset: &CloneSet, desired: &'a Desired) -> Observed<'a> {
        let outlook = &self.outlook;
        Observed {
            generation: cloneset.metadata.generation.unwrap_or_default(),
            deleting: cloneset.metadata.deletion_timestamp.is_some(),
            replicas: desired.replicas,
            expected_updated: desired.expected_updated(),
            held: desired.held(),
            progress_deadline: desired.progress_deadline,
            label_selector: desired.selector.as_ref().map(ToString::to_string),
            problems: &desired.problems,
            counts: outlook.counts,
            awaiting_confirmation: outlook.awaiting_confirmation,
            update_revision: outlook.update_revision.as_deref(),
            current_revision: outlook.current_revision.as_deref(),
            collision_count: (outlook.collision_count > 0).then_some(outlook.collision_count),
            waits: &self.waits,
            scaling: ConditionUpdate::Keep,
            updating: ConditionUpdate::Keep,
            moving: outlook.unfinished,
            rejection: ConditionUpdate::Keep,
            runaway: None,
            with_kstatus: true,
        }
    }

    /// Is something left to do with pods, now or later? The counters are of before it, and may look complete.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.actions.iter().any(Action::moves_pod) || !self.waits.iter().all(Wait::is_at_rest)
    }

    /// Does it make new pods?
    pub fn creates_pods(&self) -> bool {
        self.actions
            .iter()
            .any(|action| matches!(action, Action::CreatePod(_)))
    }

    /// Does it rest on no pod being overlooked? One that nobody sees would get a second pod beside it, or lose its
    /// claims.
    pub fn needs_every_pod(&self) -> bool {
        let clears_up =
            |action: &Action| matches!(action, Action::DeleteClaim(claim) if claim.with_pod.is_none());
        self.creates_pods() || self.actions.iter().any(clears_up)
    }
}

/// The facts a status needs that only planning knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// The pods, counted.
    pub counts: Counts,
    /// Name of the update revision; `None` while the spec does not allow one to be made.
    pub update_revision: Option<String>,
    /// Name of the current revision, moved if the rollout is complete.
    pub current_revision: Option<String>,
    /// Collisions of revision names so far.
    pub collision_count: i32,
    /// Are there updated pods that are not available, all of which only wait for readiness gates of somebody else?
    pub awaiting_confirmation: bool,
    /// Is something left to do with pods, also if it is not done now because it failed earlier?
    pub unfinished: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Create a claim; the pod that mounts it follows.
    CreateClaim(NewClaim),
    /// Create a pod.
    CreatePod(NewPod),
    /// Delete a pod.
    DeletePod(PodDeletion),
    /// Put a pod in service: gate True, labels as they should be, in one write.
    PutInService(InService),
    /// Take a pod out of service, or hold it where it is: gate False, labels as they should be, in one write.
    TakeOutOfService(OutOfService),
    /// Change a pod that is out of service, or only the metadata of one that serves on.
    ChangeInPlace(InPlaceChange),
    /// Give a pod up without deleting it.
    ReleasePod(Release),
    /// Take the names of pods that are gone off `scaleStrategy.podsToDelete`.
    PruneNames(Pruning),
    /// Delete a claim.
    DeleteClaim(ClaimDeletion),
    /// Make a claim go with a pod that is going.
    HandOverClaim(ClaimHandOver),
    /// Delete a revision that nothing uses.
    DeleteRevision {
        /// The revision.
        name: String,
        /// Its UID, for the precondition.
        uid: String,
    },
}

/// What an action does, without its payload: failures, backoffs and events are recorded by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActionKind {
    /// Creating or updating a revision; nothing else can be done without it.
    WriteRevision,
    /// Asking the API server whether it would create a pod of a new revision; no pod is replaced before.
    DryRunPod,
    /// Creating a PVC.
    CreatePvc,
    /// Creating a pod.
    CreatePod,
    /// Deleting a pod.
    DeletePod,
    /// Putting a pod into service.
    PutInService,
    /// Taking a pod out of service, or holding its deletion or update.
    TakeOutOfService,
    /// Changing a pod in place.
    ChangeInPlace,
    /// Releasing a pod.
    ReleasePod,
    /// Removing the names of deleted pods from `scaleStrategy.podsToDelete`.
    PruneNames,
    /// Deleting a PVC.
    DeletePvc,
    /// Making a pod the owner of its PVC.
    HandOverPvc,
    /// Deleting a revision.
    DeleteRevision,
}

impl ActionKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::WriteRevision,
        Self::DryRunPod,
        Self::CreatePvc,
        Self::CreatePod,
        Self::DeletePod,
        Self::PutInService,
        Self::TakeOutOfService,
        Self::ChangeInPlace,
        Self::ReleasePod,
        Self::PruneNames,
        Self::DeletePvc,
        Self::HandOverPvc,
        Self::DeleteRevision,
    ];
}

impl Action {
    /// What it does.
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::CreateClaim(_) => ActionKind::CreatePvc,
            Self::CreatePod(_) => ActionKind::CreatePod,
            Self::DeletePod(_) => ActionKind::DeletePod,
            Self::PutInService(_) => ActionKind::PutInService,
            Self::TakeOutOfService(_) => ActionKind::TakeOutOfService,
            Self::ChangeInPlace(_) => ActionKind::ChangeInPlace,
            Self::ReleasePod(_) => ActionKind::ReleasePod,
            Self::PruneNames(_) => ActionKind::PruneNames,
            Self::DeleteClaim(_) => ActionKind::DeletePvc,
            Self::HandOverClaim(_) => ActionKind::HandOverPvc,
            Self::DeleteRevision { .. } => ActionKind::DeleteRevision,
        }
    }

    /// Name of the object that it creates, changes or deletes; `None` for the CloneSet itself.
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::CreateClaim(pvc) => Some(&pvc.name),
            Self::CreatePod(pod) => Some(&pod.name),
            Self::DeletePod(deletion) => Some(&deletion.name),
            Self::PutInService(pod) => Some(&pod.name),
            Self::TakeOutOfService(pod) => Some(&pod.name),
            Self::ChangeInPlace(change) => Some(&change.name),
            Self::ReleasePod(pod) => Some(&pod.name),
            Self::PruneNames(_) => None,
            Self::DeleteClaim(pvc) => Some(&pvc.name),
            Self::HandOverClaim(pvc) => Some(&pvc.name),
            Self::DeleteRevision { name, .. } => Some(name),
        }
    }

    /// Why its pod is deleted now, or will be once hook `preDelete` allows it; `None` when the pod stays.
    pub fn delete_reason(&self) -> Option<DeleteReason> {
        match self {
            Self::DeletePod(deletion) => Some(deletion.why),
            Self::TakeOutOfService(OutOfService {
                why: OutReason::DeletionHook(why),
                ..
            }) => Some(*why),
            _ => None,
        }
    }

    /// UID of the pod that it changes, deletes or gives up, if there is one.
    pub(crate) fn pod_uid(&self) -> Option<&str> {
        match self {
            Self::DeletePod(deletion) => Some(&deletion.uid),
            Self::ReleasePod(release) => Some(&release.uid),
            Self::PutInService(write) => Some(&write.uid),
            Self::TakeOutOfService(write) => Some(&write.uid),
            Self::ChangeInPlace(change) => Some(&change.uid),
            Self::CreateClaim(_)
            | Self::DeleteClaim(_)
            | Self::HandOverClaim(_)
            | Self::CreatePod(_)
            | Self::PruneNames(_)
            | Self::DeleteRevision { .. } => None,
        }
    }

    /// Does it move a pod to another revision, so that it must be known before whether the API server takes such a pod?
    pub fn begins_update(&self) -> bool {
        match self {
            Self::DeletePod(deletion) => deletion.why == DeleteReason::Update,
            Self::TakeOutOfService(write) => match write.why {
                OutReason::InPlaceUpdate | OutReason::UpdateHook => true,
                OutReason::DeletionHook(why) => why == DeleteReason::Update,
            },
            Self::ChangeInPlace(change) => change.begins,
            Self::CreateClaim(_)
            | Self::DeleteClaim(_)
            | Self::HandOverClaim(_)
            | Self::CreatePod(_)
            | Self::PutInService(_)
            | Self::ReleasePod(_)
            | Self::PruneNames(_)
            | Self::DeleteRevision { .. } => false,
        }
    }

    /// Is a pod made, or does one leave service, change or go? A pod that enters service, and what is put in order around
    /// pods, leave the counters no better than they look.
    fn moves_pod(&self) -> bool {
        match self {
            // A finished pod counts for nothing.
            Self::DeletePod(deletion) => deletion.why != DeleteReason::Finished,
            Self::CreatePod(_) | Self::TakeOutOfService(_) | Self::ChangeInPlace(_) | Self::ReleasePod(_) => {
                true
            }
            Self::PutInService(_)
            | Self::CreateClaim(_)
            | Self::DeleteClaim(_)
            | Self::HandOverClaim(_)
            | Self::PruneNames(_)
            | Self::DeleteRevision { .. } => false,
        }
    }

    /// Does it take an update on that has begun, or a pod into service? Then nothing has to be known before.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::PutInService(_) | Self::ChangeInPlace(_)) && !self.begins_update()
    }
}

/// A pod to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDeletion {
    /// The pod.
    pub name: String,
    /// Its UID: the precondition every delete carries.
    pub uid: String,
    /// Its resourceVersion: it must still be the pod that was chosen, with the labels and the state it was chosen for.
    pub resource_version: String,
    /// Why.
    pub why: DeleteReason,
}

/// The deletion of a pod, bound to the version of it that is in the cache.
pub(crate) fn delete(pod: &Pod, why: DeleteReason) -> Action {
    Action::DeletePod(PodDeletion {
        name: pod.name().to_owned(),
        uid: pod.uid().to_owned(),
        resource_version: pod.metadata.resource_version.clone().unwrap_or_default(),
        why,
    })
}

/// A pod to give up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// The pod.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion: it must still have the labels it was given up for.
    pub resource_version: String,
}

/// Names to take off `scaleStrategy.podsToDelete`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// The list as it was read: it must still be that.
    pub read: Vec<String>,
    /// What is left of it.
    pub keep: Vec<String>,
    /// Names that are taken off although no pod has them.
    pub unknown: Vec<String>,
}

/// A claim to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimDeletion {
    /// The claim.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion: it must still be ours.
    pub resource_version: String,
    /// UID of the pod that is deleted by the same plan: without that deletion the claim stays.
    pub with_pod: Option<String>,
}

/// A claim that gets a pod for its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHandOver {
    /// The claim.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion: it must still be ours.
    pub resource_version: String,
    /// The pod.
    pub pod_name: String,
    /// Its UID.
    pub pod_uid: String,
}

/// Why a pod is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteReason {
    /// There are more pods than there should be.
    ScaleIn,
    /// Somebody asked for this pod to go.
    Specified,
    /// It makes place for another revision.
    Update,
    /// It has run to an end, and newer ones that have are kept.
    Finished,
}

impl DeleteReason {
    /// Reasons of the events for success and failure.
    pub fn event_reasons(self) -> (&'static str, &'static str) {
        match self {
            Self::ScaleIn | Self::Specified | Self::Finished => {
                (events::SUCCESSFUL_DELETE, events::FAILED_DELETE)
            }
            Self::Update => (
                events::SUCCESSFUL_UPDATE_POD_RECREATE,
                events::FAILED_UPDATE_POD_RECREATE,
            ),
        }
    }
}

/// A pod to put in service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InService {
    /// The pod.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion, where it was looked at before whether it may serve.
    pub resource_version: Option<String>,
    /// Must the readiness gate be set to True?
    pub gate: bool,
    /// Labels and annotations.
    pub metadata: MetadataChange,
    /// The moment the condition turns True.
    pub at: Timestamp,
}

/// A pod to take out of service, or to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfService {
    /// The pod.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion: it was chosen for the state it was in.
    pub resource_version: String,
    /// Must the readiness gate be set to False, and with which reason?
    pub gate: Option<&'static str>,
    /// Is it Ready, so that Ready turns False in the same moment? Then endpoints react at once.
    pub unready: bool,
    /// Labels, annotations and finalizers.
    pub metadata: MetadataChange,
    /// Why.
    pub why: OutReason,
    /// The moment the conditions turn False.
    pub at: Timestamp,
}

/// Why a pod leaves service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutReason {
    /// It is about to be changed in place.
    InPlaceUpdate,
    /// Hook `inPlaceUpdate` holds its update.
    UpdateHook,
    /// Hook `preDelete` holds its deletion.
    DeletionHook(DeleteReason),
}

/// A change of a pod in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPlaceChange {
    /// The pod.
    pub name: String,
    /// Its UID, for the precondition.
    pub uid: String,
    /// Its resourceVersion: what runs in it was recorded.
    pub resource_version: String,
    /// The revision it leads to.
    pub revision: String,
    /// Images, by container.
    pub images: BTreeMap<String, String>,
    /// Limits and requests, by container.
    pub resources: BTreeMap<String, Resources>,
    /// Labels, annotations and finalizers.
    pub metadata: MetadataChange,
    /// Is it the whole update, of a pod that serves on because nothing restarts?
    pub begins: bool,
}
