//! When a step of the release has come true, and what must hold until then.
//! It must not wait, nor look at a cluster.

use std::collections::BTreeSet;

use cloneset_api::names::conditions;

use super::view::{Identity, Pod, View};

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
    /// How often the container of a pod of the new revision has restarted, when nobody else's has; not asked without.
    pub(super) restarts: Option<i64>,
}

impl Expectation {
    /// What is not so yet; nothing when the step has come true.
    pub(super) fn missing(&self, before: &BTreeSet<Identity>, view: &View) -> Vec<String> {
        let mut missing = self.missing_in_status(view);
        let mut demand = |so: bool, what: String| {
            if !so {
                missing.push(what);
            }
        };
        let count = |found: usize, wanted: usize, what: &str| {
            (found == wanted, format!("{found} {what}, not {wanted}"))
        };
        let kept = view.identities().intersection(before).count();
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
        for (pod, wanted) in self.restarts_of(view) {
            demand(
                pod.restarts == wanted,
                format!("{}: {} restarts, not {wanted}", pod.name, pod.restarts),
            );
        }
        missing
    }

    /// How often each pod's container should have restarted, where that is asked.
    fn restarts_of<'a>(&self, view: &'a View) -> impl Iterator<Item = (&'a Pod, i64)> {
        let of_new = self.restarts;
        view.staying()
            .filter_map(move |pod| Some((pod, if pod.is_new { of_new? } else { of_new.map(|_| 0)? })))
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
    use serde_json::{Value, json};

    const ONE_OF_THREE: Expectation = Expectation {
        replicas: 3,
        updated: 1,
        asked: 1,
        kept: 2,
        never_below: 2,
        image: "nginx:alpine",
        restarts: None,
    };

    fn before() -> BTreeSet<Identity> {
        let pods = ["sample-0", "sample-1", "sample-2"].map(|name| pod(name, "a", "True", false));
        view(&pods).identities()
    }

    /// The same in place.
    fn in_place() -> Expectation {
        Expectation {
            kept: 3,
            restarts: Some(1),
            ..ONE_OF_THREE
        }
    }

    /// `sample-0` has the new revision; its container restarted so often.
    fn moved(restarts: i64) -> [Value; 3] {
        let mut moved = pod("sample-0", "b", "True", false);
        moved["status"]["containerStatuses"] = json!([{ "restartCount": restarts }]);
        [
            moved,
            pod("sample-1", "a", "True", false),
            pod("sample-2", "a", "True", false),
        ]
    }

    #[test]
    fn in_place_the_pod_that_moved_is_the_same_and_its_container_restarted_once() {
        assert_eq!(
            in_place().missing(&before(), &view(&moved(1))),
            Vec::<String>::new()
        );
        for wrong in [0, 2] {
            assert_eq!(
                in_place().missing(&before(), &view(&moved(wrong))),
                [format!("sample-0: {wrong} restarts, not 1")]
            );
        }
    }

    #[test]
    fn a_pod_of_the_same_name_with_another_uid_or_address_is_another_pod() {
        for (pointer, value) in [("/metadata/uid", "other"), ("/status/podIP", "10.0.0.9")] {
            let mut pods = moved(1);
            let (parent, field) = pointer.rsplit_once('/').expect("a path");
            pods[0].pointer_mut(parent).expect("an object")[field] = json!(value);
            let missing = in_place().missing(&before(), &view(&pods));
            assert_eq!(missing, ["2 pods of before, not 3"], "{pointer}");
        }
    }

    #[test]
    fn a_restart_of_a_pod_that_stayed_behind_is_noticed() {
        let mut pods = moved(1);
        pods[2]["status"]["containerStatuses"] = json!([{ "restartCount": 1 }]);
        assert_eq!(
            in_place().missing(&before(), &view(&pods)),
            ["sample-2: 1 restarts, not 0"]
        );
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
