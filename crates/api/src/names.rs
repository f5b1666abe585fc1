//! Every label, annotation, condition type, reason and finalizer key we read or write, in one place.
//!
//! Keys are part of the contract with OpenKruise's users and tools (`behaviour.md`, appendix A): a literal of
//! one of these anywhere else is a defect. No behaviour lives here.

/// API group of the CloneSet, and the group every controller reference of ours carries.
pub const GROUP: &str = "apps.kruise.io";
/// Kind of the CloneSet.
pub const KIND: &str = "CloneSet";
/// The API version we serve and write into owner references: the garbage collector looks up the exact version.
pub const API_VERSION: &str = "apps.kruise.io/v1alpha1";

/// Keys of labels.
pub mod labels {
    /// On pods and claims: the five-character instance id, bare.
    pub const INSTANCE_ID: &str = "apps.kruise.io/cloneset-instance-id";
    /// On pods: the revision, full name or short form.
    pub const REVISION: &str = "controller-revision-hash";
    /// On pods: the short form of the revision, always.
    pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";
    /// On pods: "please delete me"; any value counts.
    pub const SPECIFIED_DELETE: &str = "apps.kruise.io/specified-delete";
    /// On pods: the lifecycle state.
    pub const LIFECYCLE_STATE: &str = "lifecycle.apps.kruise.io/state";
    /// On revisions: the hash of the content.
    pub const REVISION_HASH: &str = "controller.kubernetes.io/hash";
    /// On CloneSets: `"true"` excludes pods in `PreparingDelete` from the scaling arithmetic.
    pub const EXCLUDE_PREPARING_DELETE: &str = "apps.kruise.io/cloneset-scaling-exclude-preparing-delete";

    /// Labels that say what a pod is or what happens to it now. In a template they would say it of every pod.
    pub const CONTROL: [&str; 5] = [
        INSTANCE_ID,
        REVISION,
        POD_TEMPLATE_HASH,
        SPECIFIED_DELETE,
        LIFECYCLE_STATE,
    ];
}

/// Keys of labels on nodes.
pub mod node_labels {
    /// The node itself, as a part of the topology.
    pub const HOSTNAME: &str = "kubernetes.io/hostname";
}

/// Keys of annotations.
pub mod annotations {
    /// On pods: when the lifecycle state last changed, RFC 3339.
    pub const LIFECYCLE_TIMESTAMP: &str = "lifecycle.apps.kruise.io/timestamp";
    /// On pods: cost of deletion, an int32 in canonical decimal; lower goes first.
    pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
    /// On pods: how far an in-place update is.
    pub const IN_PLACE_STATE: &str = "apps.kruise.io/inplace-update-state";
    /// On pods: an in-place update that waits for the pod to be out of service.
    pub const IN_PLACE_GRACE: &str = "apps.kruise.io/inplace-update-grace";
    /// [`IN_PLACE_STATE`] as old versions of Kruise wrote it; read, never written.
    pub const LEGACY_IN_PLACE_STATE: &str = "inplace-update-state";
    /// [`IN_PLACE_GRACE`] as old versions of Kruise wrote it; read, never written.
    pub const LEGACY_IN_PLACE_GRACE: &str = "inplace-update-grace";
    /// On pods: `Ordered` restarts containers one after the other, in their order.
    pub const LAUNCH_PRIORITY: &str = "apps.kruise.io/container-launch-priority";
    /// On CloneSets: what `kubectl apply` applied last; not copied to revisions.
    pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
    /// On revisions: hash of the volume claim templates at the time the revision was made.
    pub const CLAIM_TEMPLATE_HASH: &str = "kruise.io/cloneset-volumeclaimtemplate-hash";
    /// On revisions: the volumeClaimTemplates that pods of the revision get, as JSON.
    pub const CLAIM_TEMPLATES: &str = "kruise.io/cloneset-volumeclaimtemplates";

    /// Annotations that say how far a pod is. In a template they would say it of every pod.
    pub const CONTROL: [&str; 5] = [
        LIFECYCLE_TIMESTAMP,
        IN_PLACE_STATE,
        IN_PLACE_GRACE,
        LEGACY_IN_PLACE_STATE,
        LEGACY_IN_PLACE_GRACE,
    ];
}

/// Values of the lifecycle state label (`behaviour.md` 6.1).
pub mod lifecycle {
    /// Every new pod starts here.
    pub const PREPARING_NORMAL: &str = "PreparingNormal";
    /// In service; the only state, besides no label at all, in which a pod can be available.
    pub const NORMAL: &str = "Normal";
    /// Chosen for an in-place update, held back by a hook.
    pub const PREPARING_UPDATE: &str = "PreparingUpdate";
    /// Being updated in place.
    pub const UPDATING: &str = "Updating";
    /// Updated in place, held back by a hook.
    pub const UPDATED: &str = "Updated";
    /// To be deleted, held back by a hook.
    pub const PREPARING_DELETE: &str = "PreparingDelete";
}

/// Condition types on pods.
pub mod pod_conditions {
    /// The kubelet's verdict.
    pub const READY: &str = "Ready";
    /// The kubelet's verdict on the containers alone.
    pub const CONTAINERS_READY: &str = "ContainersReady";
    /// The scheduler's verdict: does the pod have a node?
    pub const SCHEDULED: &str = "PodScheduled";
    /// The kubelet cannot apply new amounts of cpu or memory: never (`Infeasible`), or not now (`Deferred`).
    pub const RESIZE_PENDING: &str = "PodResizePending";
    /// The kubelet applies new amounts of cpu or memory; with reason `Error` it fails to.
    pub const RESIZE_IN_PROGRESS: &str = "PodResizeInProgress";
    /// Our readiness gate: False while we take a pod out of service for an in-place update.
    pub const IN_PLACE_UPDATE_READY: &str = "InPlaceUpdateReady";
}

/// Reasons of conditions on pods.
pub mod pod_reasons {
    /// Our gate: out of service for an in-place update.
    pub const START_IN_PLACE_UPDATE: &str = "StartInPlaceUpdate";
    /// Our gate: out of service while hook `inPlaceUpdate` holds the pod.
    pub const PREPARING_UPDATE: &str = "PreparingUpdate";
    /// Our gate: out of service while hook `preDelete` holds the pod.
    pub const PREPARING_DELETE: &str = "PreparingDelete";
    /// The kubelet's verdict, as the kubelet gives it while a gate is closed.
    pub const READINESS_GATES_NOT_READY: &str = "ReadinessGatesNotReady";
}

/// Environment variables of containers.
pub mod env {
    /// The launch priority of a container: an integer, higher goes first.
    pub const CONTAINER_PRIORITY: &str = "KRUISE_CONTAINER_PRIORITY";
}

/// Condition types on CloneSets.
pub mod conditions {
    /// kstatus: everything that should be available is.
    pub const READY: &str = "Ready";
    /// kstatus: work is under way.
    pub const RECONCILING: &str = "Reconciling";
    /// kstatus: the CloneSet cannot make progress until somebody changes something.
    pub const STALLED: &str = "Stalled";
    /// How far an update is, while `progressDeadlineSeconds` is set (`behaviour.md` 7.3).
    pub const PROGRESSING: &str = "Progressing";
    /// Pods that were created did not become ours, so no more are created.
    pub const RUNAWAY_CREATION: &str = "RunawayCreation";
    /// The template has fields that the API server does not know and drops from every pod.
    pub const UNKNOWN_FIELDS: &str = "UnknownFields";
    /// The last attempt to create or delete a pod failed (Kruise's type; here cleared on success).
    pub const FAILED_SCALE: &str = "FailedScale";
    /// The last attempt to update a pod failed (Kruise's type; here cleared on success).
    pub const FAILED_UPDATE: &str = "FailedUpdate";
}

/// Reasons of conditions on CloneSets.
pub mod reasons {
    /// `Stalled`: a field holds a value that no admission rule should have let through.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// `Stalled`: the API server or a policy takes no pod of this template.
    pub const POD_REFUSED: &str = "PodRefused";
    /// `Ready` and `Reconciling`: pods cannot start.
    pub const PODS_NOT_STARTING: &str = "PodsNotStarting";
    /// `RunawayCreation`: what the API server stored is not what was sent.
    pub const POD_ALTERED: &str = "PodAltered";
    /// `RunawayCreation`: pods vanish as soon as they are created.
    pub const PODS_VANISH: &str = "PodsVanish";
    /// `Progressing`: complete.
    pub const CLONESET_AVAILABLE: &str = "CloneSetAvailable";
    /// `Progressing`: held by `updateStrategy.paused`.
    pub const CLONESET_PAUSED: &str = "CloneSetPaused";
    /// `Progressing`: as far as the partition wants it.
    pub const PARTITION_AVAILABLE: &str = "ProgressPartitionAvailable";
    /// `Progressing`: under way.
    pub const CLONESET_UPDATED: &str = "CloneSetUpdated";
    /// `Progressing` and `Stalled`: under way for longer than `progressDeadlineSeconds`.
    pub const PROGRESS_DEADLINE_EXCEEDED: &str = "ProgressDeadlineExceeded";
}

/// Reasons of events on CloneSets (`behaviour.md` 11).
pub mod events {
    /// Pods were created.
    pub const SUCCESSFUL_CREATE: &str = "SuccessfulCreate";
    /// A pod, claim or revision could not be created.
    pub const FAILED_CREATE: &str = "FailedCreate";
    /// Pods were deleted.
    pub const SUCCESSFUL_DELETE: &str = "SuccessfulDelete";
    /// A pod or claim could not be deleted.
    pub const FAILED_DELETE: &str = "FailedDelete";
    /// A claim could not be made to go with its pod.
    pub const FAILED_UPDATE: &str = "FailedUpdate";
    /// Pods of a revision cannot start.
    pub const PODS_NOT_STARTING: &str = "PodsNotStarting";
    /// Lifecycle hook `preDelete` holds a pod that is to be deleted.
    pub const PREPARING_DELETE: &str = "PreparingDelete";
    /// Pods match the selector and have no owner.
    pub const ORPHAN_PODS: &str = "OrphanPods";
    /// Names in `scaleStrategy.podsToDelete` are those of no pod.
    pub const PODS_TO_DELETE_NOT_FOUND: &str = "PodsToDeleteNotFound";
    /// Creation is held back by `scaleStrategy.maxUnavailable`.
    pub const SCALE_UP_LIMITED: &str = "ScaleUpLimited";
    /// Pods were deleted so that the new revision can take their place.
    pub const SUCCESSFUL_UPDATE_POD_RECREATE: &str = "SuccessfulUpdatePodReCreate";
    /// Pods were changed in place.
    pub const SUCCESSFUL_UPDATE_POD_IN_PLACE: &str = "SuccessfulUpdatePodInPlace";
    /// A pod could not be changed in place.
    pub const FAILED_UPDATE_POD_IN_PLACE: &str = "FailedUpdatePodInPlace";
    /// Pods that were created did not become ours, so no more are created.
    pub const RUNAWAY_CREATION: &str = "RunawayCreation";
    /// The template has fields that the API server does not know and drops from every pod.
    pub const UNKNOWN_FIELDS: &str = "UnknownFields";
    /// The controller can read only the metadata of the CloneSet.
    pub const UNREADABLE: &str = "Unreadable";
    /// A pod that should make place for the new revision could not be deleted.
    pub const FAILED_UPDATE_POD_RECREATE: &str = "FailedUpdatePodReCreate";
}
