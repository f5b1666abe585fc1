//! Worlds that begin in the middle: pods of several versions in given states, as a test writes them down.
//!
//! Everything a settled controller would have left behind is there (revisions, labels, the current revision), so
//! the first pass decides about the pods and nothing else.

use crate::kubelet::{GRACE_SECONDS, later, set_condition, sync};
use crate::words::{Group, State, groups, image_of_version, reject};
use crate::world::World;
use cloneset_api::names::{labels, lifecycle, pod_conditions};
use cloneset_plan::manifest::RevisionTemplate;
use cloneset_plan::{NewPod, NewRevision};
use cloneset_status::Pod;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Seconds that pods of a scene have been in service.
const SINCE: i64 = 3600;

impl World {
    /// Lets the template say this version from the beginning.
    #[must_use]
    pub fn template(mut self, version: &str) -> Self {
        self.image(version);
        self.store
            .change_cloneset(|cloneset| cloneset.metadata.generation = Some(1));
        self
    }

    /// Adds pods: `"3 v1 available, 2 v2 unavailable marked"`. Versions count up: the lowest is the current one,
    /// and those of earlier pods and of the template are recorded.
    #[must_use]
    pub fn pods(mut self, text: &str) -> Self {
        let groups = groups(text);
        let template = self.template_version();
        let mut versions: Vec<&str> = groups.iter().map(|group| group.version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions.retain(|version| *version != template);
        versions.push(&template);
        for version in &versions {
            self.record(version);
        }
        if let Some(current) = versions.first() {
            self = self.current(current);
        }
        for group in &groups {
            for _ in 0..group.count {
                self.place(group);
            }
        }
        self.tell(format!("pods: {text}"));
        self
    }

    /// Makes this version the one that pods held back are made from.
    #[must_use]
    pub fn current(mut self, version: &str) -> Self {
        self.record(version);
        self.store.change_cloneset(|cloneset| {
            let status = cloneset.status.get_or_insert_default();
            status.current_revision = Some(revision_name(version));
        });
        self
    }

    fn template_of(&self, version: &str) -> Value {
        let mut template = self.store.cloneset.spec.template.0.clone();
        if let Some(image) = template.pointer_mut("/spec/containers/0/image") {
            *image = json!(image_of_version(version));
        }
        template
    }

    fn record(&mut self, version: &str) {
        let name = revision_name(version);
        if self.store.revision(&name).is_some() {
            return;
        }
        let newest = self
            .store
            .revisions()
            .map(|revision| revision.revision)
            .max()
            .unwrap_or(0);
        let new = NewRevision {
            name,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            data: json!({"spec": {"template": self.template_of(version)}}),
            number: newest + 1,
        };
        if self.store.create_revision(&new, self.now).is_err() {
            reject(&format!("revision {} cannot be recorded", new.name));
        }
    }

    fn place(&mut self, group: &Group) {
        let name = revision_name(&group.version);
        let id = format!("p{}", self.store.pods().count());
        let revision = RevisionTemplate {
            name: name.clone(),
            template: self.template_of(&group.version),
            claim_templates: Vec::new(),
        };
        let new = NewPod {
            name: format!("sample-{id}"),
            id,
            revision: Arc::new(revision),
            revision_label: name,
            claims: Vec::new(),
        };
        let since = later(self.now, -SINCE);
        let manifest = new.manifest(&self.store.cloneset, since);
        let Ok(uid) = self.store.create_pod(&manifest, since) else {
            reject(&format!("pod {} cannot be placed", new.name));
        };
        let now = self.now;
        let kubelet = &mut self.kubelet;
        self.store.change_pod(&uid, |pod| {
            for state in &group.states {
                put(pod, *state, since, now);
            }
            if pod.has_node() {
                kubelet.start(pod);
                let ready = group
                    .states
                    .iter()
                    .any(|state| matches!(state, State::Available | State::Fresh));
                for status in &mut pod.status.container_statuses {
                    status.ready = ready;
                }
            }
        });
        if group.states.contains(&State::Terminating) {
            self.kubelet.end(&uid, later(now, GRACE_SECONDS));
        }
        sync(
            &mut self.store,
            &uid,
            if group.states.contains(&State::Fresh) {
                now
            } else {
                since
            },
        );
    }
}

fn revision_name(version: &str) -> String {
    format!("sample-{version}")
}

/// Puts a pod into a state; several states add up.
fn put(pod: &mut Pod, state: State, since: Timestamp, now: Timestamp) {
    let mut label = |key: &str, value: &str| {
        pod.metadata
            .labels
            .get_or_insert_default()
            .insert(key.to_owned(), value.to_owned());
    };
    match state {
        State::Available | State::Fresh | State::Unavailable => {
            label(labels::LIFECYCLE_STATE, lifecycle::NORMAL);
            pod.spec.node_name = Some(format!("node-of-{}", pod.name()));
            pod.status.phase = Some("Running".to_owned());
            set_condition(pod, pod_conditions::IN_PLACE_UPDATE_READY, true, since);
            set_condition(pod, "ContainersReady", state != State::Unavailable, since);
        }
        State::Pending => {}
        State::Marked => label(labels::SPECIFIED_DELETE, "true"),
        State::Leaving => label(labels::LIFECYCLE_STATE, lifecycle::PREPARING_DELETE),
        State::Terminating => pod.metadata.deletion_timestamp = Some(Time(later(now, GRACE_SECONDS))),
        State::Failed => pod.status.phase = Some("Failed".to_owned()),
    }
}
