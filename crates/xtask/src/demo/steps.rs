//! The partition release, step by step: a command, what it means, and what must come true.
//! It must not run anything.

use super::expect::Expectation;

const OLD_IMAGE: &str = "nginx:mainline";
const NEW_IMAGE: &str = "nginx:alpine";

/// Version 2.
const CHANGE_IMAGE: &[&str] = &[
    "patch",
    "clone",
    "sample",
    "--type=json",
    "--patch",
    r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:alpine"}]"#,
];
/// One pod stays on version 1.
const KEEP_ONE: &[&str] = &[
    "patch",
    "clone",
    "sample",
    "--type=merge",
    "--patch",
    r#"{"spec":{"updateStrategy":{"partition":1}}}"#,
];
/// No pod stays on version 1.
const RELEASE_ALL: &[&str] = &[
    "patch",
    "clone",
    "sample",
    "--type=merge",
    "--patch",
    r#"{"spec":{"updateStrategy":{"partition":0}}}"#,
];

/// One step.
pub(super) struct Step {
    /// What the command means, for somebody who has never seen it.
    pub(super) says: &'static str,
    /// kubectl's arguments, but for the namespace.
    pub(super) command: &'static [&'static str],
    pub(super) expected: Expectation,
    /// What came true, in a person's words.
    pub(super) outcome: &'static str,
}

/// The release by re-creation: whoever moves is another pod.
pub(super) const RECREATE: [Step; 6] = [
    Step {
        says: "5 pods of version 1. The partition (3) holds nothing back yet: there is only one version.",
        command: &["apply", "--filename", "examples/sample.yaml"],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 2,
            kept: 0,
            never_below: 0,
            image: OLD_IMAGE,
            restarts: None,
        },
        outcome: "5 pods on version 1",
    },
    Step {
        says: "Version 2. The partition keeps 3 pods on version 1, so exactly 2 move.",
        command: CHANGE_IMAGE,
        expected: Expectation {
            replicas: 5,
            updated: 2,
            asked: 2,
            kept: 3,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: None,
        },
        outcome: "2 pods updated and ready, 3 untouched on version 1",
    },
    Step {
        says: "Version 2 looks good: keep 1 pod on version 1 only.",
        command: KEEP_ONE,
        expected: Expectation {
            replicas: 5,
            updated: 4,
            asked: 4,
            kept: 3,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: None,
        },
        outcome: "4 pods updated and ready, 1 untouched on version 1",
    },
    Step {
        says: "All of them.",
        command: RELEASE_ALL,
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 5,
            kept: 4,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: None,
        },
        outcome: "5 pods updated and ready; the release is complete",
    },
    Step {
        says: "More load: 2 more pods, of version 2.",
        command: &["scale", "clone", "sample", "--replicas=7"],
        expected: Expectation {
            replicas: 7,
            updated: 7,
            asked: 7,
            kept: 5,
            never_below: 5,
            image: NEW_IMAGE,
            restarts: None,
        },
        outcome: "7 pods ready, the 5 of before untouched",
    },
    Step {
        says: "And back.",
        command: &["scale", "clone", "sample", "--replicas=5"],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 5,
            kept: 5,
            never_below: 5,
            image: NEW_IMAGE,
            restarts: None,
        },
        outcome: "5 pods ready, none of them replaced",
    },
];

/// The release in place: every pod stays who it is.
pub(super) const IN_PLACE: [Step; 4] = [
    Step {
        says: "5 pods of version 1. Type InPlaceIfPossible: a pod is changed, not replaced, wherever the change allows it.",
        command: &["apply", "--filename", "examples/in-place.yaml"],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 2,
            kept: 0,
            never_below: 0,
            image: OLD_IMAGE,
            restarts: Some(0),
        },
        outcome: "5 pods on version 1; no container has restarted",
    },
    Step {
        says: "Version 2. The partition keeps 3 pods on version 1. Watch names, addresses and restarts of the 2 that move.",
        command: CHANGE_IMAGE,
        expected: Expectation {
            replicas: 5,
            updated: 2,
            asked: 2,
            kept: 5,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: Some(1),
        },
        outcome: "2 pods updated and ready: the same pods with the same addresses, whose container restarted once",
    },
    Step {
        says: "Version 2 looks good: keep 1 pod on version 1 only.",
        command: KEEP_ONE,
        expected: Expectation {
            replicas: 5,
            updated: 4,
            asked: 4,
            kept: 5,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: Some(1),
        },
        outcome: "4 pods updated and ready, 1 untouched on version 1",
    },
    Step {
        says: "All of them.",
        command: RELEASE_ALL,
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 5,
            kept: 5,
            never_below: 4,
            image: NEW_IMAGE,
            restarts: Some(1),
        },
        outcome: "5 pods updated and ready, not one of them replaced; the release is complete",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use cloneset_api::CloneSet;

    /// The file that the first of the steps applies.
    fn applied(steps: &[Step]) -> CloneSet {
        let path = crate::repository_root()
            .expect("a checkout")
            .join(steps[0].command[2]);
        serde_saphyr::from_str(&std::fs::read_to_string(path).expect("an example")).expect("a CloneSet")
    }

    #[test]
    fn what_is_applied_first_is_what_the_steps_speak_of() {
        for (steps, type_) in [(&RECREATE[..], "ReCreate"), (&IN_PLACE[..], "InPlaceIfPossible")] {
            let clone = applied(steps);
            assert_eq!(clone.metadata.name.as_deref(), Some("sample"));
            assert_eq!(clone.spec.replicas, Some(5));
            assert_eq!(clone.spec.update_strategy.type_.as_deref(), Some(type_));
            let template = serde_json::to_value(&clone.spec.template).expect("a template");
            assert_eq!(template["spec"]["containers"][0]["image"], OLD_IMAGE);
        }
    }

    /// The numbers of each step follow from the partition: nobody is replaced in place, and who moved restarted once.
    #[test]
    fn in_place_the_numbers_are_those_of_the_release_and_every_pod_is_kept() {
        for (step, usual) in IN_PLACE.iter().zip(&RECREATE).skip(1) {
            let (step, usual) = (&step.expected, &usual.expected);
            assert_eq!(
                (step.updated, step.asked, step.never_below),
                (usual.updated, usual.asked, usual.never_below)
            );
            assert_eq!((step.kept, step.restarts), (step.replicas, Some(1)));
        }
    }
}
