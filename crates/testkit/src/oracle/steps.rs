//! The promises about single pods: who may be put into service, taken out of it or changed in place, and when.
//!
//! Numbers of pods are the parent's business.

use super::{Oracle, rule};
use crate::census::{image_of, is_live, template_image};
use crate::reading::{
    annotation, carries, containers, has_finalizer, has_gate, has_node, is_true, label, state, text,
};
use crate::words::version_of;
use cloneset_api::LifecycleHook;
use cloneset_api::names::{annotations, env, labels, lifecycle, pod_conditions};
use cloneset_plan::{DeleteReason, InPlaceChange, InService, OutOfService, OutReason};
use cloneset_status::Pod;
use serde_json::Value;

/// Is one of the hook's labels or finalizers on the pod?
fn holds(hook: &LifecycleHook, pod: &Pod) -> bool {
    let mut labels = hook.labels_handler.iter().flatten();
    let mut finalizers = hook.finalizers_handler.iter().flatten();
    labels.any(|(key, value)| label(pod, key) == Some(value))
        || finalizers.any(|finalizer| has_finalizer(pod, finalizer))
}

/// Are all of them?
fn is_complete(hook: &LifecycleHook, pod: &Pod) -> bool {
    let mut labels = hook.labels_handler.iter().flatten();
    let mut finalizers = hook.finalizers_handler.iter().flatten();
    labels.all(|(key, value)| label(pod, key) == Some(value))
        && finalizers.all(|finalizer| has_finalizer(pod, finalizer))
}

impl Oracle<'_> {
    fn hook(&self, name: &str) -> Option<&LifecycleHook> {
        let hooks = self.store.cloneset.spec.lifecycle.as_ref()?;
        match name {
            "preNormal" => hooks.pre_normal.as_ref(),
            "inPlaceUpdate" => hooks.in_place_update.as_ref(),
            _ => hooks.pre_delete.as_ref(),
        }
    }

    /// Does this hook hold the pod?
    pub(crate) fn is_held(&self, pod: &Pod, hook: &str) -> bool {
        self.hook(hook).is_some_and(|hook| holds(hook, pod))
    }

    /// Does the spec say that no update begins?
    pub(crate) fn holds_updates(&self) -> bool {
        let strategy = &self.store.cloneset.spec.update_strategy;
        strategy.paused == Some(true) || strategy.type_.as_deref() == Some("OnDelete")
    }

    /// S3: nothing is updated while the update is paused, or where only the user updates.
    pub(crate) fn may_update(&self, pod: &Pod) -> Result<(), String> {
        rule(!self.holds_updates(), || {
            format!("S3: {} is updated although updates are paused", pod.name())
        })
    }

    /// A pod is put in service; `pod` is as it was.
    pub(crate) fn put_in_service(&self, pod: &Pod, write: &InService) -> Result<(), String> {
        self.is_ours(pod)?;
        let was = state(pod);
        let written = write.metadata.labels.get(labels::LIFECYCLE_STATE);
        let enters = written.and_then(Option::as_deref).unwrap_or(was);
        let to_normal = enters == lifecycle::NORMAL && was != lifecycle::NORMAL;
        let is_new = was == lifecycle::PREPARING_NORMAL;
        rule(
            !(to_normal && is_new) || has_node(pod) || self.hook("preNormal").is_some(),
            || format!("{} is put in service without a node", pod.name()),
        )?;
        let was_updated = matches!(was, lifecycle::UPDATING | lifecycle::UPDATED);
        for (name, applies) in [("preNormal", is_new), ("inPlaceUpdate", was_updated)] {
            let complete = self.hook(name).is_none_or(|hook| is_complete(hook, pod));
            rule(!(to_normal && applies) || complete, || {
                format!(
                    "hook: {} enters service although hook {name} is not complete",
                    pod.name()
                )
            })?;
        }
        let pending = annotation(pod, annotations::IN_PLACE_GRACE).is_some();
        rule(!(pending && write.gate), || {
            format!("{} serves again before it was changed", pod.name())
        })?;
        let is_taken_for_updated = was == lifecycle::UPDATING && enters != was;
        rule(
            !(write.gate || is_taken_for_updated) || runs_its_spec(pod),
            || {
                format!(
                    "S9: {} is put in service before its containers were restarted",
                    pod.name()
                )
            },
        )?;
        rule(!is_taken_for_updated || self.has_its_template(pod), || {
            format!("S9: {} is taken for updated and runs other images", pod.name())
        })
    }

    /// A pod was taken out of service; `pod` and its version `from` are as they were, the store is as it is now.
    pub(crate) fn taken_out(&self, pod: &Pod, from: &str, write: &OutOfService) -> Result<(), String> {
        self.is_ours(pod)?;
        rule(!write.uid.is_empty() && is_live(pod), || {
            format!("S4: {} is taken out of service although it has ended", pod.name())
        })?;
        self.availability_is_kept(pod, true)?;
        match write.why {
            OutReason::InPlaceUpdate => {
                rule(!self.is_held(pod, "inPlaceUpdate"), || {
                    format!(
                        "hook: {} is updated although hook inPlaceUpdate holds it",
                        pod.name()
                    )
                })?;
                self.may_update(pod)?;
                self.shares_are_kept(pod, from)
            }
            OutReason::UpdateHook => {
                let is_there = self.hook("inPlaceUpdate").is_some();
                rule(is_there, || format!("hook: {} waits for no hook", pod.name()))?;
                self.may_update(pod)
            }
            OutReason::DeletionHook(why) => {
                rule(self.is_held(pod, "preDelete"), || {
                    format!("hook: {} is held although no hook preDelete is on it", pod.name())
                })?;
                if why == DeleteReason::Update {
                    self.may_update(pod)
                } else {
                    Ok(())
                }
            }
        }
    }

    /// S3, in place: each side keeps its share.
    fn shares_are_kept(&self, pod: &Pod, from: &str) -> Result<(), String> {
        let template = version_of(template_image(self.store));
        let (census, share_new) = (self.census(), self.limits.replicas - self.limits.partition);
        let keeps = if from == template {
            census.new_kept >= share_new
        } else {
            census.old_kept >= self.limits.partition
                && (census.new_kept <= share_new || self.current_is_template())
        };
        rule(keeps, || {
            format!(
                "S3: updating {} makes {} old and {} new pods, the partition gives them {} and {share_new}",
                pod.name(),
                census.old_kept,
                census.new_kept,
                self.limits.partition
            )
        })
    }

    /// A pod is changed in place; `pod` is as it was.
    pub(crate) fn changed(&self, pod: &Pod, change: &InPlaceChange) -> Result<(), String> {
        self.is_ours(pod)?;
        let serves = has_gate(pod) && is_true(pod, pod_conditions::IN_PLACE_UPDATE_READY);
        rule(change.images.is_empty() || !serves, || {
            format!("{} is changed while it serves", pod.name())
        })?;
        let Some(template) = self.template_of(pod) else {
            return Ok(());
        };
        for container in containers(&template).filter(|found| change.images.contains_key(text(found, "name")))
        {
            let priority = priority(container);
            let earlier = containers(&template).filter(|other| self::priority(other) > priority);
            for other in earlier {
                let name = text(other, "name");
                let changes_too = change.images.contains_key(name);
                rule(changes_too || !has_started(pod) || is_up(pod, other), || {
                    let later = text(container, "name");
                    format!(
                        "S9: {later} of {} is changed before {name} is ready with its image",
                        pod.name()
                    )
                })?;
            }
        }
        Ok(())
    }

    /// The template of the revision that it carries.
    fn template_of(&self, pod: &Pod) -> Option<Value> {
        let mut revisions = self.store.revisions();
        let revision = revisions.find(|revision| carries(pod, revision.name()))?;
        revision.template()
    }

    /// Are its images those of the revision it carries?
    fn has_its_template(&self, pod: &Pod) -> bool {
        let template = self.template_of(pod);
        template.iter().flat_map(containers).all(|container| {
            let mut live = pod.spec.containers.iter();
            live.any(|found| found.name == text(container, "name") && found.image == text(container, "image"))
        })
    }

    /// Do pods that are held back get the template's version as well?
    pub(super) fn current_is_template(&self) -> bool {
        self.current_image()
            .is_none_or(|image| image == template_image(self.store))
    }

    /// The version of the current revision.
    pub(super) fn current_image(&self) -> Option<String> {
        let status = self.store.cloneset.status.as_ref()?;
        let current = self.store.revision(status.current_revision.as_deref()?)?;
        Some(image_of(&current.template()?).to_owned())
    }
}

/// Does the kubelet run what the pod's spec says?
fn runs_its_spec(pod: &Pod) -> bool {
    let statuses = &pod.status.container_statuses;
    statuses.iter().all(|status| {
        let mut containers = pod.spec.containers.iter();
        containers.any(|container| container.name == status.name && container.image == status.image)
    })
}

fn has_started(pod: &Pod) -> bool {
    !pod.status.container_statuses.is_empty()
}

/// Does a container run the template's image, and is it ready?
fn is_up(pod: &Pod, container: &Value) -> bool {
    let mut statuses = pod.status.container_statuses.iter();
    statuses.any(|status| {
        status.name == text(container, "name") && status.image == text(container, "image") && status.ready
    })
}

/// The launch priority of a template's container.
fn priority(container: &Value) -> i32 {
    let variables = container.get("env").and_then(Value::as_array);
    let mut variables = variables.into_iter().flatten();
    let found = variables.find(|variable| text(variable, "name") == env::CONTAINER_PRIORITY);
    found
        .and_then(|found| text(found, "value").parse().ok())
        .unwrap_or(0)
}
