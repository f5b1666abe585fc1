//! In-place updates and lifecycle holds, carried out on the store: the part of acting that changes pods without
//! replacing them. It decides nothing.

use crate::act::Written;
use crate::census::image_of;
use crate::kubelet::{set_condition, sync};
use crate::store::Refusal;
use crate::words::{Deed, version_of};
use crate::world::World;
use cloneset_api::names::{labels, pod_conditions};
use cloneset_plan::MetadataChange;
use cloneset_plan::{InPlaceChange, InService, OutOfService, OutReason};
use cloneset_status::{Pod, Revision};
use std::collections::BTreeMap;

impl World {
    pub(crate) fn put_in_service(&mut self, write: &InService) -> Written {
        let Some(pod) = self.pod_at(&write.uid, write.resource_version.as_deref()) else {
            return Ok(Err(Refusal::Raced));
        };
        self.judge(|oracle| oracle.put_in_service(&pod, write))?;
        self.store.change_pod(&write.uid, |pod| {
            if write.gate {
                set_condition(pod, pod_conditions::IN_PLACE_UPDATE_READY, true, write.at);
            }
            merge(pod, &write.metadata);
        });
        sync(&mut self.store, &write.uid, self.now);
        Ok(Ok(Deed::Serve(version_of(self.store.image(&pod)))))
    }

    pub(crate) fn take_out_of_service(&mut self, write: &OutOfService) -> Written {
        let Some(pod) = self.pod_at(&write.uid, Some(&write.resource_version)) else {
            return Ok(Err(Refusal::Raced));
        };
        let from = version_of(self.store.image(&pod));
        self.store.change_pod(&write.uid, |pod| {
            if write.gate.is_some() {
                set_condition(pod, pod_conditions::IN_PLACE_UPDATE_READY, false, write.at);
            }
            if write.unready {
                set_condition(pod, pod_conditions::READY, false, write.at);
            }
            merge(pod, &write.metadata);
        });
        self.note_revision(&write.uid, &write.metadata);
        sync(&mut self.store, &write.uid, self.now);
        self.judge(|oracle| oracle.taken_out(&pod, &from, write))?;
        Ok(Ok(match write.why {
            OutReason::InPlaceUpdate => Deed::Begin(from),
            OutReason::UpdateHook => Deed::Hold(from, "update"),
            OutReason::DeletionHook(_) => Deed::Hold(from, "deletion"),
        }))
    }

    pub(crate) fn change_in_place(&mut self, change: &InPlaceChange) -> Written {
        let Some(pod) = self.pod_at(&change.uid, Some(&change.resource_version)) else {
            return Ok(Err(Refusal::Raced));
        };
        self.judge(|oracle| oracle.changed(&pod, change))?;
        self.store.change_pod(&change.uid, |pod| {
            merge(pod, &change.metadata);
            for container in &mut pod.spec.containers {
                if let Some(image) = change.images.get(&container.name) {
                    container.image.clone_from(image);
                }
            }
            if !change.images.is_empty() || !change.resources.is_empty() {
                *pod.metadata.generation.get_or_insert(1) += 1;
            }
        });
        self.note_revision(&change.uid, &change.metadata);
        self.kubelet
            .resize(&mut self.store, &change.uid, &change.resources);
        for container in change.images.keys() {
            self.kubelet.restart(&change.uid, container, self.now);
        }
        sync(&mut self.store, &change.uid, self.now);
        Ok(Ok(Deed::Change(version_of(self.store.image(&pod)))))
    }

    /// A pod that gets another revision's label stands for its version from now on.
    fn note_revision(&mut self, uid: &str, metadata: &MetadataChange) {
        if let Some(Some(revision)) = metadata.labels.get(labels::REVISION) {
            let image = self.image_of_revision(revision);
            self.store.set_image(uid, &image);
        }
    }

    /// The pod as it is, if it is still at this version.
    fn pod_at(&self, uid: &str, resource_version: Option<&str>) -> Option<Pod> {
        let pod = self.store.pod_by_uid(uid)?;
        let stored = pod.metadata.resource_version.as_deref();
        resource_version
            .is_none_or(|version| stored == Some(version))
            .then(|| pod.clone())
    }

    fn image_of_revision(&self, label: &str) -> String {
        let named = Pod {
            metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                labels: Some(BTreeMap::from([(labels::REVISION.to_owned(), label.to_owned())])),
                ..Default::default()
            },
            ..Pod::default()
        };
        let revision = self
            .store
            .revisions()
            .find(|revision| named.has_revision(revision.name()));
        let template = revision.and_then(|revision| Revision::template(revision));
        template.as_ref().map_or("", image_of).to_owned()
    }
}

/// As the API server merges it.
fn merge(pod: &mut Pod, change: &MetadataChange) {
    for (into, entries) in [
        (&mut pod.metadata.labels, &change.labels),
        (&mut pod.metadata.annotations, &change.annotations),
    ] {
        let into = into.get_or_insert_default();
        for (key, value) in entries {
            match value {
                Some(value) => _ = into.insert(key.clone(), value.clone()),
                None => _ = into.remove(key),
            }
        }
    }
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    finalizers.retain(|finalizer| !change.lost_finalizers.contains(finalizer));
    for finalizer in &change.finalizers {
        if !finalizers.contains(finalizer) {
            finalizers.push(finalizer.clone());
        }
    }
}
