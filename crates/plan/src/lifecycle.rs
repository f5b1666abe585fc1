//! Points in a pod's life at which somebody else has a say, and every transition between its states that is not a
//! choice of scaling or updating (`behaviour.md` 6).
//!
//! One write puts a pod in service or holds it: label, gate and annotations go together. What is chosen for deletion
//! or an update is `scale`'s and `update`'s business; they ask here whether a hook holds it.

use crate::action::{Action, DeleteReason, InService, OutOfService, OutReason, delete};
use crate::context::Context;
use crate::hooks::{Hook, Hooks};
use crate::inplace::{Around, Stage, stage};
use crate::member::Member;
use crate::metadata::MetadataChange;
use crate::regret::{MARKED_FOR_UPDATE, is_marked_for_update};
use crate::service::{enter, has_closed_gate, is_under_way, lost_labels, out_of_service};
use cloneset_api::names::{labels, lifecycle, pod_reasons};
use cloneset_status::{LifecycleState, Pod, StuckResize, Wait};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};

impl Hook {
    /// Puts it on a pod again.
    fn renew(&self, metadata: &mut MetadataChange) {
        for (key, value) in &self.labels {
            metadata.label(key, value);
        }
        metadata.finalizers.extend(self.finalizers.iter().cloned());
    }
}

/// Pods that go on in their life now, and what others wait for.
pub(crate) struct Refreshed {
    pub(crate) actions: Vec<Action>,
    pub(crate) waits: Vec<Wait>,
}

/// Takes every pod a step on, also while paused and for `OnDelete`, and also one that is to be deleted but has to stay for
/// now: gates are ours to open, and what has begun is finished. `chosen`: UIDs of the pods in `PreparingUpdate` that are still
/// to be updated.
pub(crate) fn refresh<'a>(context: &'a Context<'a>, chosen: HashSet<&'a str>) -> Refreshed {
    let mut refresh = Refresh {
        context,
        hooks: &context.desired.hooks,
        chosen,
        actions: Vec::new(),
        tally: Tally::default(),
    };
    for member in context.members.iter().filter(|member| !member.settled) {
        refresh.pod(member);
    }
    Refreshed {
        actions: refresh.actions,
        waits: refresh.tally.waits(),
    }
}

/// Pods that wait, by what they wait for.
#[derive(Default)]
struct Tally {
    unscheduled: i32,
    draining: i32,
    drained_at: Option<Timestamp>,
    restarting: i32,
    restarted_at: Option<Timestamp>,
    stuck_resize: Option<StuckResize>,
    held: BTreeMap<&'static str, i32>,
    unreadable: i32,
    first_unreadable: Option<String>,
    unreadable_pods: i32,
    first_unreadable_pod: Option<(String, String)>,
    unknown: i32,
    first_unknown: Option<(String, String)>,
}

impl Tally {
    fn hold(&mut self, hook: &'static str) {
        let pods = self.held.entry(hook).or_default();
        *pods = pods.saturating_add(1);
    }

    fn waits(self) -> Vec<Wait> {
        let mut waits = Vec::new();
        if self.unscheduled > 0 {
            waits.push(Wait::Unscheduled {
                pods: self.unscheduled,
            });
        }
        if let Some(until) = self.drained_at {
            waits.push(Wait::Draining {
                pods: self.draining,
                until,
            });
        }
        if self.restarting > 0 {
            waits.push(Wait::Restarting {
                pods: self.restarting,
                until: self.restarted_at,
                resize: self.stuck_resize,
            });
        }
        waits.extend(
            self.held
                .into_iter()
                .map(|(hook, pods)| Wait::Hook { pods, hook }),
        );
        if let Some(first) = self.first_unreadable {
            waits.push(Wait::UnreadableState {
                pods: self.unreadable,
                first,
            });
        }
        if let Some((pod, error)) = self.first_unreadable_pod {
            waits.push(Wait::UnreadablePods {
                pods: self.unreadable_pods,
                pod,
                error,
            });
        }
        if let Some((pod, state)) = self.first_unknown {
            waits.push(Wait::UnknownState {
                pods: self.unknown,
                pod,
                state,
            });
        }
        waits
    }
}

struct Refresh<'a> {
    context: &'a Context<'a>,
    hooks: &'a Hooks,
    /// UIDs of the pods in `PreparingUpdate` that are still to be updated.
    chosen: HashSet<&'a str>,
    actions: Vec<Action>,
    tally: Tally,
}

impl Refresh<'_> {
    fn pod(&mut self, member: &Member<'_>) {
        let (pod, state) = (member.pod, member.state);
        if let Some(error) = &pod.unreadable {
            self.tally.unreadable_pods = self.tally.unreadable_pods.saturating_add(1);
            let first = || (pod.name().to_owned(), error.to_string());
            self.tally.first_unreadable_pod.get_or_insert_with(first);
            return;
        }
        if member.regretted {
            self.put_back(pod);
            return;
        }
        let leaving_or_foreign = matches!(
            state,
            LifecycleState::PreparingDelete | LifecycleState::Unknown | LifecycleState::PreparingUpdate
        );
        if !leaving_or_foreign && is_under_way(pod) {
            self.update_under_way(pod);
            return;
        }
        match state {
            LifecycleState::PreparingNormal => self.preparing_normal(pod),
            LifecycleState::Unset | LifecycleState::Normal | LifecycleState::Updating => {
                self.serve(pod, None);
            }
            LifecycleState::PreparingUpdate => self.preparing_update(member),
            LifecycleState::Updated => self.updated(pod),
            LifecycleState::PreparingDelete => self.write(pod, None, false),
            LifecycleState::Unknown => {
                self.tally.unknown = self.tally.unknown.saturating_add(1);
                let state = pod.label(labels::LIFECYCLE_STATE).unwrap_or_default();
                let first = || (pod.name().to_owned(), state.to_owned());
                self.tally.first_unknown.get_or_insert_with(first);
                self.write(pod, None, false);
            }
        }
    }

    /// A pod whose deletion is not wanted any more starts again like a new one.
    fn put_back(&mut self, pod: &Pod) {
        let mut metadata = lost_labels(pod);
        enter(&mut metadata, lifecycle::PREPARING_NORMAL, self.context.now);
        if is_marked_for_update(pod) {
            metadata.no_label(labels::SPECIFIED_DELETE);
        }
        self.actions.push(Action::PutInService(InService {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            resource_version: pod.metadata.resource_version.clone(),
            gate: false,
            metadata,
            at: self.context.now,
        }));
    }

    /// A new pod waits until it has a node; with a hook, until the hook is complete. Its gate is opened meanwhile: who
    /// checks a pod before it counts may need it ready.
    fn preparing_normal(&mut self, pod: &Pod) {
        match &self.hooks.pre_normal {
            Some(hook) if hook.is_complete(pod) => self.serve(pod, Some(lifecycle::NORMAL)),
            Some(_) => {
                self.tally.hold("preNormal");
                self.write(pod, None, pod.has_node());
            }
            None if pod.has_node() => self.serve(pod, Some(lifecycle::NORMAL)),
            None => {
                self.tally.unscheduled = self.tally.unscheduled.saturating_add(1);
                self.write(pod, None, false);
            }
        }
    }

    /// A pod that was chosen for an update and is not to be updated any more goes back into service: the template is an
    /// old one again, the partition was raised above it, or the update became impossible.
    fn preparing_update(&mut self, member: &Member<'_>) {
        if self.chosen.contains(member.pod.uid()) {
            let hook = self.hooks.in_place_update.as_ref();
            if hook.is_some_and(|hook| hook.holds(member.pod)) {
                self.tally.hold("inPlaceUpdate");
            }
            self.write(member.pod, None, false);
            return;
        }
        self.finish(member.pod);
    }

    fn updated(&mut self, pod: &Pod) {
        match &self.hooks.in_place_update {
            Some(hook) if !hook.is_complete(pod) => {
                self.tally.hold("inPlaceUpdate");
                self.write(pod, None, true);
            }
            _ => self.serve(pod, Some(lifecycle::NORMAL)),
        }
    }

    fn update_under_way(&mut self, pod: &Pod) {
        let around = Around {
            template: self.context.templates.of(pod),
            resize: self.context.features.in_place_resize,
            grace_seconds: self.context.desired.grace_seconds,
            now: self.context.now,
        };
        match stage(pod, &around) {
            Ok(Stage::Draining(until)) => {
                self.tally.draining = self.tally.draining.saturating_add(1);
                let first = self.tally.drained_at.map_or(until, |at| at.min(until));
                self.tally.drained_at = Some(first);
            }
            Ok(Stage::Due(change)) => self.actions.push(Action::ChangeInPlace(*change)),
            Ok(Stage::Restarting(until)) => {
                self.tally.restarting = self.tally.restarting.saturating_add(1);
                let ends = [self.tally.restarted_at, until];
                self.tally.restarted_at = ends.into_iter().flatten().min();
                let first = self.tally.stuck_resize.take();
                self.tally.stuck_resize = first.or_else(|| StuckResize::of(pod));
            }
            Ok(Stage::Done) => self.after_update(pod),
            Err(unreadable) => {
                self.tally.unreadable = self.tally.unreadable.saturating_add(1);
                let text = || format!("{unreadable} on pod {}", pod.name());
                self.tally.first_unreadable.get_or_insert_with(text);
            }
        }
    }

    fn after_update(&mut self, pod: &Pod) {
        match pod.lifecycle_state() {
            LifecycleState::PreparingNormal => self.preparing_normal(pod),
            LifecycleState::Updated => self.updated(pod),
            LifecycleState::Updating => self.finish(pod),
            _ => self.serve(pod, None),
        }
    }

    /// After an update the hook has to be put back before the pod counts again. Without a hook nobody waits for
    /// `Updated`, so the pod does not stop there (Kruise's does).
    fn finish(&mut self, pod: &Pod) {
        let hook = self.hooks.in_place_update.as_ref();
        let waits = hook.is_some_and(|hook| !hook.is_complete(pod));
        let state = if waits {
            lifecycle::UPDATED
        } else {
            lifecycle::NORMAL
        };
        self.serve(pod, Some(state));
    }

    /// Opens the gate and enters a state, if one is named.
    fn serve(&mut self, pod: &Pod, state: Option<&str>) {
        self.write(pod, state, true);
    }

    /// One write for all that is to be so, if anything is not.
    fn write(&mut self, pod: &Pod, state: Option<&str>, open: bool) {
        let mut metadata = lost_labels(pod);
        if let Some(state) = state.filter(|state| pod.label(labels::LIFECYCLE_STATE) != Some(state)) {
            enter(&mut metadata, state, self.context.now);
        }
        let gate = open && has_closed_gate(pod);
        if !gate && metadata.is_empty() {
            return;
        }
        // A new pod's state changes by itself until it serves; what happens to it meanwhile is no reason to wait.
        let checked =
            is_under_way(pod) || pod.lifecycle_state() != LifecycleState::PreparingNormal && state.is_some();
        self.actions.push(Action::PutInService(InService {
            name: pod.name().to_owned(),
            uid: pod.uid().to_owned(),
            resource_version: pod.metadata.resource_version.clone().filter(|_| checked),
            gate,
            metadata,
            at: self.context.now,
        }));
    }
}

/// Deletes a pod, or holds it in `PreparingDelete` while hook `preDelete` is on it. A pod that makes place for another
/// revision is marked for deletion as well: being missed later is no reason to keep it, unless its own revision is the
/// wanted one again.
pub(crate) fn send_off(context: &Context<'_>, member: &Member<'_>, why: DeleteReason) -> Option<Action> {
    let (pod, hook) = (member.pod, context.desired.hooks.pre_delete.as_ref());
    let Some(hook) = hook.filter(|hook| hook.holds(pod)) else {
        return Some(delete(pod, why));
    };
    if member.fact.preparing_delete {
        return None;
    }
    let mut metadata = MetadataChange::default();
    enter(&mut metadata, lifecycle::PREPARING_DELETE, context.now);
    if why == DeleteReason::Update {
        metadata.label(labels::SPECIFIED_DELETE, MARKED_FOR_UPDATE);
    }
    let reason = hook.marks_not_ready.then_some(pod_reasons::PREPARING_DELETE);
    Some(Action::TakeOutOfService(out_of_service(
        pod,
        reason,
        metadata,
        OutReason::DeletionHook(why),
        context.now,
    )))
}

/// Holds a pod that is chosen for an in-place update in `PreparingUpdate`, if hook `inPlaceUpdate` is on it or, after
/// an update that is overtaken, has to be put back first.
pub(crate) fn hold_update(context: &Context<'_>, pod: &Pod) -> Hold {
    let Some(hook) = &context.desired.hooks.in_place_update else {
        return Hold::None;
    };
    let mut metadata = MetadataChange::default();
    match pod.lifecycle_state() {
        LifecycleState::PreparingUpdate if hook.holds(pod) => return Hold::Held,
        LifecycleState::Unset | LifecycleState::Normal | LifecycleState::PreparingNormal
            if hook.holds(pod) => {}
        LifecycleState::Updated => hook.renew(&mut metadata),
        _ => return Hold::None,
    }
    enter(&mut metadata, lifecycle::PREPARING_UPDATE, context.now);
    let reason = hook.marks_not_ready.then_some(pod_reasons::PREPARING_UPDATE);
    Hold::Begins(Box::new(out_of_service(
        pod,
        reason,
        metadata,
        OutReason::UpdateHook,
        context.now,
    )))
}

/// Does a hook hold a pod's update?
pub(crate) enum Hold {
    /// No.
    None,
    /// From now on.
    Begins(Box<OutOfService>),
    /// It does already.
    Held,
}
