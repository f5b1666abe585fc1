//! When a step of the release has come true, and what must hold until then.
//! It must not wait, nor look at a cluster.

use std::collections::BTreeSet;

use cloneset_api::names::conditions;

use super::view::View;

/// What a step leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expectation {
    /// Pods, all of them ready in the end.
    pub(super) replicas: usize,
    /// Pods of the new revision: exactly so many in the end, never more on the way.
    pub(super) updated: usize,
    /// Pods that the partition asks to be of the new revision.
    pub(super) asked: usize,
    /// Pods of before that are still the same ones.
    pub(super) kept: usize,
    /// Pods in service at every moment.
    pub(super) never_below: usize,
    /// The image of the new revision.
    pub(super) image: &'static str,
}

impl Expectation {
    /// What is not so yet; nothing when the step has come true.
    pub(super) fn missing(&self, before: &BTreeSet<String>, view: &View) -> Vec<String> {
        let mut missing = self.missing_in_status(view);
        let mut demand = |so: bool, what: String| {
            if !so {
                missing.push(what);
            }
        };
        let count = |found: usize, wanted: usize, what: &str| {
            (found == wanted, format!("{found} {what}, not {wanted}"))
        };
        let kept = view.uids().intersection(before).count();
        for (so, what) in [
            count(view.pods.len(), self.replicas, "pods"),
            count(view.ready(), self.replicas, "pods ready"),
            count(view.updated(), self.updated, "pods of the new revision"),
            count(kept, self.kept, "pods of before"),
        ] {
            demand(so, what);
        }
        for pod in view.staying().filter(|pod| pod.is_new && pod.image != self.image) {
            demand(
                false,
                format!("{} is of the new revision and runs {}", pod.name, pod.image),
            );
        }
        missing
    }

    fn missing_in_status(&self, view: &View) -> Vec<String> {
        let status = view.status();
        let generation = view.clone.as_ref().and_then(|clone| clone.metadata.generation);
        let mut missing = Vec::new();
        if generation.is_none() || status.observed_generation != generation {
            missing.push(format!(
                "status.observedGeneration is {:?}, the CloneSet's generation {generation:?}",
                status.observed_generation
            ));
        }
        let counters = [
            ("replicas", status.replicas, self.replicas),
            ("readyReplicas", status.ready_replicas, self.replicas),
            ("updatedReplicas", status.updated_replicas, self.updated),
            (
                "updatedReadyReplicas",
                status.updated_ready_replicas,
                self.updated,
            ),
            (
                "updatedAvailableReplicas",
                status.updated_available_replicas,
                self.updated,
            ),
            (
                "expectedUpdatedReplicas",
                status.expected_updated_replicas,
                self.asked,
            ),
        ];
        for (name, found, wanted) in counters {
            if usize::try_from(found) != Ok(wanted) {
                missing.push(format!("status.{name} is {found}, not {wanted}"));
            }
        }
        let one_revision = status.update_revision == status.current_revision;
        if one_revision != (self.updated == self.replicas) {
            missing.push(format!(
                "status.updateRevision is {:?}, currentRevision {:?}",
                status.update_revision, status.current_revision
            ));
        }
        missing
    }

    /// What must never be so, and is.
    pub(super) fn violated(&self, view: &View) -> Option<String> {
        let (updated, ready) = (view.updated(), view.ready());
        if updated > self.updated {
            return Some(format!(
                "{updated} pods of the new revision, at most {} may be",
                self.updated
            ));
        }
        if ready < self.never_below {
            return Some(format!(
                "{ready} pods ready, at least {} must be",
                self.never_below
            ));
        }
        let bad = [
            conditions::STALLED,
            conditions::FAILED_SCALE,
            conditions::FAILED_UPDATE,
        ];
        let conditions = view.status().conditions.unwrap_or_default();
        conditions
            .into_iter()
            .find(|condition| bad.contains(&condition.type_.as_str()) && condition.status == "True")
            .map(|condition| {
                format!(
                    "condition {} is True: {} {}",
                    condition.type_,
                    condition.reason.unwrap_or_default(),
                    condition.message.unwrap_or_default()
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::view::tests::{pod, view};

    const ONE_OF_THREE: Expectation = Expectation {
        replicas: 3,
        updated: 1,
        asked: 1,
        kept: 2,
        never_below: 2,
        image: "nginx:alpine",
    };

    fn before() -> BTreeSet<String> {
        ["sample-0", "sample-1", "sample-2"].map(str::to_owned).into()
    }

    #[test]
    fn a_release_that_moved_one_pod_of_three() {
        let view = view(&[
            pod("sample-1", "a", "True", false),
            pod("sample-2", "a", "True", false),
            pod("sample-3", "b", "True", false),
        ]);
        assert_eq!(ONE_OF_THREE.missing(&before(), &view), Vec::<String>::new());
        assert_eq!(ONE_OF_THREE.violated(&view), None);
    }

    #[test]
    fn a_pod_replaced_without_need_is_noticed() {
        let view = view(&[
            pod("sample-1", "a", "True", false),
            pod("sample-4", "a", "True", false),
            pod("sample-3", "b", "True", false),
        ]);
        assert_eq!(
            ONE_OF_THREE.missing(&before(), &view),
            ["1 pods of before, not 2"]
        );
    }

    #[test]
    fn too_many_new_pods_and_too_few_ready_ones_are_violations() {
        let two_new = view(&[
            pod("sample-1", "a", "True", false),
            pod("sample-2", "b", "True", false),
            pod("sample-3", "b", "True", false),
        ]);
        assert!(
            ONE_OF_THREE
                .violated(&two_new)
                .expect("too many")
                .contains("2 pods of the new revision")
        );
        let one_ready = view(&[
            pod("sample-1", "a", "True", false),
            pod("sample-2", "a", "True", true),
            pod("sample-3", "b", "False", false),
        ]);
        assert!(
            ONE_OF_THREE
                .violated(&one_ready)
                .expect("too few")
                .contains("1 pods ready")
        );
    }
}
