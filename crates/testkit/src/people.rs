//! What people and nodes do to a world while the controller works: edits, marks, deletions, crashes.
//!
//! Each is one step at the present moment; nothing here runs the controller.

use crate::census::is_live;
use crate::kubelet::{Fate, GRACE_SECONDS, later, set_condition, sync};
use crate::words::{image_of_version, reject};
use crate::world::World;
use cloneset_api::names::labels;
use cloneset_status::{Claim, Pod};
use serde_json::{Value, json};
use std::sync::Arc;

impl World {
    /// Merges a change into the spec, as `kubectl patch --type merge` does.
    pub fn edit(&mut self, change: &Value) {
        self.tell(format!("edit {change}"));
        let mut spec = serde_json::to_value(&self.store.cloneset.spec).unwrap_or_default();
        merge(&mut spec, change);
        match serde_json::from_value(spec) {
            Ok(spec) => self.store.change_cloneset(|cloneset| cloneset.spec = spec),
            Err(error) => reject(&format!("{change} makes no spec: {error}")),
        }
    }

    /// Sets `spec.updateStrategy.partition`.
    pub fn partition(&mut self, partition: impl Into<Value>) {
        self.edit(&json!({"updateStrategy": {"partition": partition.into()}}));
    }

    /// Sets `spec.replicas`.
    pub fn scale(&mut self, replicas: i32) {
        self.edit(&json!({ "replicas": replicas }));
    }

    /// Changes the image.
    pub fn image(&mut self, version: &str) {
        let template = &self.store.cloneset.spec.template.0;
        let mut containers = template.pointer("/spec/containers").cloned().unwrap_or_default();
        if let Some(image) = containers.pointer_mut("/0/image") {
            *image = json!(image_of_version(version));
        }
        self.edit(&json!({"template": {"spec": {"containers": containers}}}));
    }

    /// From now on pods of this version never become ready.
    pub fn breaks(&mut self, version: &str) {
        self.kubelet.break_image(&image_of_version(version));
    }

    /// Fates of the pods to come, taken in turn.
    pub fn fates(&mut self, fates: impl Into<Vec<Fate>>) {
        self.kubelet.set_fates(fates.into());
    }

    /// At most this many pods may exist; a create beyond it is refused.
    pub fn quota(&mut self, pods: Option<usize>) {
        self.store.quota = pods;
        self.creation_hold = None;
    }

    /// Somebody else's object has this name.
    pub fn take_name(&mut self, name: &str) {
        self.store.add_stranger(name);
    }

    /// Somebody deletes the claim.
    pub fn delete_claim_by_hand(&mut self, claim: &Claim) {
        self.tell(format!("somebody deletes claim {}", claim.name()));
        let now = self.now;
        self.store.delete_claim(claim.name(), now);
    }

    /// At most this many claims may exist; a create beyond it is refused.
    pub fn claim_quota(&mut self, claims: Option<usize>) {
        self.store.claims.quota = claims;
        self.creation_hold = None;
    }

    /// A claim of somebody else has this name.
    pub fn take_claim_name(&mut self, name: &str) {
        let claim = json!({"metadata": {"name": name}});
        if self.store.create_claim(&claim, self.now).is_err() {
            reject(&format!("claim {name} exists"));
        }
    }

    /// The controller dies after so many more writes, and another one goes on from what is stored.
    pub fn dies_after(&mut self, writes: usize) {
        self.dies_after = Some(writes);
    }

    /// The claims that are ours, by name.
    pub fn claims(&self) -> Vec<Claim> {
        let claims = self.owned_claims();
        claims.iter().map(|claim| claim.as_ref().clone()).collect()
    }

    /// Every claim, also those that were handed over and those of others, by name.
    pub fn every_claim(&self) -> Vec<Claim> {
        self.store.claims().map(|claim| claim.as_ref().clone()).collect()
    }

    /// Does a pod mount the PVC? A released pod counts as well.
    pub fn is_mounted(&self, claim: &Claim) -> bool {
        self.store.is_mounted(claim.name())
    }

    /// Somebody labels the pod for deletion.
    pub fn mark(&mut self, pod: &Pod) {
        self.tell(format!("somebody marks {}", pod.name()));
        self.store.change_pod(pod.uid(), |pod| {
            let labels = pod.metadata.labels.get_or_insert_default();
            labels.insert(labels::SPECIFIED_DELETE.to_owned(), "true".to_owned());
        });
    }

    /// Somebody names pods in `scaleStrategy.podsToDelete`, after those that are named already.
    pub fn name_to_delete(&mut self, pods: &[&str]) {
        let scale = self.store.cloneset.spec.scale_strategy.as_ref();
        let mut names = scale
            .and_then(|scale| scale.pods_to_delete.clone())
            .unwrap_or_default();
        for pod in pods.iter().map(ToString::to_string) {
            if !names.contains(&pod) {
                names.push(pod);
            }
        }
        self.edit(&json!({"scaleStrategy": {"podsToDelete": names}}));
    }

    /// Somebody labels the CloneSet.
    pub fn label_cloneset(&mut self, key: &str, value: &str) {
        self.store.change_cloneset(|cloneset| {
            let labels = cloneset.metadata.labels.get_or_insert_default();
            labels.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Somebody labels the pod.
    pub fn label(&mut self, pod: &Pod, key: &str, value: &str) {
        self.tell(format!("somebody labels {} {key}={value}", pod.name()));
        self.store.change_pod(pod.uid(), |pod| {
            let labels = pod.metadata.labels.get_or_insert_default();
            labels.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Somebody deletes or evicts the pod.
    pub fn delete_by_hand(&mut self, pod: &Pod) {
        self.tell(format!("somebody deletes {}", pod.name()));
        let gone_at = later(self.now, GRACE_SECONDS);
        if self
            .store
            .delete_pod(pod.name(), pod.uid(), None, gone_at)
            .is_ok()
        {
            self.kubelet.end(pod.uid(), gone_at);
        }
    }

    /// Somebody deletes the pod, and it never goes: its node is lost.
    pub fn hang_in_deletion(&mut self, pod: &Pod) {
        self.tell(format!("somebody deletes {}, which hangs", pod.name()));
        let gone_at = later(self.now, GRACE_SECONDS);
        let _ = self.store.delete_pod(pod.name(), pod.uid(), None, gone_at);
    }

    /// The pod's node is lost: the object goes at once.
    pub fn vanish(&mut self, pod: &Pod) {
        self.tell(format!("{} vanishes", pod.name()));
        self.store.remove_pod(pod.uid());
    }

    /// The pod's containers run to an end: it is Failed and stays.
    pub fn fail(&mut self, pod: &Pod) {
        self.tell(format!("{} fails", pod.name()));
        let now = self.now;
        self.store.change_pod(pod.uid(), |pod| {
            pod.status.phase = Some("Failed".to_owned());
            set_condition(pod, cloneset_api::names::pod_conditions::READY, false, now);
        });
    }

    /// The pod's containers restart and are back after so many seconds; `None`: never.
    pub fn crash(&mut self, pod: &Pod, back_after: Option<u32>) {
        self.tell(format!("{} crashes", pod.name()));
        self.kubelet
            .crash(&mut self.store, pod.uid(), back_after, self.now);
    }

    /// Two versions are the same image under two names.
    pub fn same_image(&mut self, one: &str, other: &str) {
        self.kubelet
            .same_image(&image_of_version(one), &image_of_version(other));
    }

    /// Kubelets do not tell which generation of a pod they have seen, as before Kubernetes 1.34.
    pub fn old_kubelets(&mut self) {
        self.kubelet.tell_no_generation();
    }

    /// Somebody takes a label off the pod.
    pub fn unlabel(&mut self, pod: &Pod, key: &str) {
        self.tell(format!("somebody takes {key} off {}", pod.name()));
        self.store.change_pod(pod.uid(), |pod| {
            pod.metadata.labels.get_or_insert_default().remove(key);
        });
    }

    /// Somebody sets an annotation of the pod.
    pub fn annotate(&mut self, pod: &Pod, key: &str, value: &str) {
        self.tell(format!("somebody annotates {} with {key}", pod.name()));
        self.store.change_pod(pod.uid(), |pod| {
            let annotations = pod.metadata.annotations.get_or_insert_default();
            annotations.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Another controller removes every annotation of the pod.
    pub fn strip_annotations(&mut self, pod: &Pod) {
        self.tell(format!("another controller strips {}", pod.name()));
        self.store
            .change_pod(pod.uid(), |pod| pod.metadata.annotations = None);
    }

    /// The pod is one that a policy created without readiness gates.
    pub fn without_gates(&mut self, pod: &Pod) {
        let now = self.now;
        self.store
            .change_pod(pod.uid(), |pod| pod.spec.readiness_gates.clear());
        sync(&mut self.store, pod.uid(), now);
    }

    /// Somebody takes a finalizer off the pod, or puts it on.
    pub fn finalizer(&mut self, pod: &Pod, finalizer: &str, on: bool) {
        self.store.change_pod(pod.uid(), |pod| {
            let finalizers = pod.metadata.finalizers.get_or_insert_default();
            finalizers.retain(|found| found != finalizer);
            if on {
                finalizers.push(finalizer.to_owned());
            }
        });
        self.let_go_without_finalizers(pod.uid());
    }

    /// Nobody holds a pod by a finalizer any more.
    pub fn drop_finalizers(&mut self) {
        let pods: Vec<Arc<Pod>> = self.store.pods().cloned().collect();
        for pod in pods {
            let change = |pod: &mut Pod| pod.metadata.finalizers = None;
            self.store.change_pod(pod.uid(), change);
            self.let_go_without_finalizers(pod.uid());
        }
    }

    /// A pod that was asked to go and waits for its finalizers goes with the last of them.
    fn let_go_without_finalizers(&mut self, uid: &str) {
        let stored = self.store.pod_by_uid(uid);
        let asked = stored.and_then(|pod| pod.metadata.deletion_timestamp.as_ref());
        if let Some(at) = asked.map(|time| time.0.max(self.now)) {
            self.kubelet.end(uid, at);
        }
    }

    /// Somebody takes annotations off the pod.
    pub fn strip(&mut self, pod: &Pod, keys: &[&str]) {
        self.tell(format!("somebody takes {keys:?} off {}", pod.name()));
        self.store.change_pod(pod.uid(), |pod| {
            let annotations = pod.metadata.annotations.get_or_insert_default();
            annotations.retain(|key, _| !keys.contains(&key.as_str()));
        });
    }

    /// An administrator's policy takes the readiness gates off new pods from now on, or no longer does.
    pub fn strip_gates(&mut self, on: bool) {
        self.tell(format!("a policy takes readiness gates off new pods: {on}"));
        self.store.strips_gates = on;
    }

    /// Somebody sets a condition that the pod's readiness gates wait for.
    pub fn confirm(&mut self, pod: &Pod, condition: &str) {
        let now = self.now;
        self.store
            .change_pod(pod.uid(), |pod| set_condition(pod, condition, true, now));
        sync(&mut self.store, pod.uid(), now);
    }

    /// The live pods of a version, by name.
    pub fn pods_of(&self, version: &str) -> Vec<Pod> {
        let image = image_of_version(version);
        let live = self
            .store
            .pods()
            .filter(|pod| is_live(pod) && self.store.image(pod) == image);
        live.map(|pod| pod.as_ref().clone()).collect()
    }

    /// All live pods, by name.
    pub fn live_pods(&self) -> Vec<Pod> {
        self.store
            .pods()
            .filter(|pod| is_live(pod))
            .map(|pod| pod.as_ref().clone())
            .collect()
    }
}

/// RFC 7386.
fn merge(into: &mut Value, change: &Value) {
    let Some(changes) = change.as_object() else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    if let Some(fields) = into.as_object_mut() {
        for (key, value) in changes {
            if value.is_null() {
                fields.remove(key);
            } else {
                merge(fields.entry(key).or_insert(Value::Null), value);
            }
        }
    }
}
