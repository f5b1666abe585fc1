//! Each rule once kept and once broken, as histories of a few events.

use super::super::history::{CloneSetFacts, FIELD_MANAGER};
use super::*;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use std::sync::Arc;

const OLD: &str = "nginx:mainline";
const NEW: &str = "nginx:alpine";
/// Between events, unless a test says otherwise: longer than the controller may lag behind.
const STEP: SignedDuration = SignedDuration::from_secs(10);

/// A history in the making.
struct Story {
    events: Vec<Event>,
    writes: Vec<Write>,
    now: Timestamp,
    step: SignedDuration,
}

impl Story {
    fn of(spec: &Value) -> Self {
        let mut story = Self {
            events: Vec::new(),
            writes: Vec::new(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            step: STEP,
        };
        story.spec(spec);
        story
    }

    /// With so many ready pods of the old template.
    fn with_pods(spec: &Value, pods: &[&str]) -> Self {
        let mut story = Self::of(spec);
        for name in pods {
            story.created(name, OLD);
            story.ready(name, OLD);
        }
        story
    }

    fn happens(&mut self, change: Change) -> u64 {
        self.now += self.step;
        let version = u64::try_from(self.events.len()).unwrap() + 1;
        self.events.push(Event {
            version,
            seen: self.now,
            change,
        });
        version
    }

    fn spec(&mut self, spec: &Value) {
        self.happens(Change::CloneSet(CloneSetFacts {
            uid: "web-uid".into(),
            name: "web".into(),
            spec: Some(Arc::new(spec.clone())),
        }));
    }

    fn deleted(&mut self) {
        self.happens(Change::CloneSet(CloneSetFacts {
            uid: "web-uid".into(),
            name: "web".into(),
            spec: None,
        }));
    }

    fn wrote(&mut self, verb: Verb, name: &str, bound_to: Option<&str>, change: Change) {
        let version = self.happens(change);
        self.writes.push(Write {
            verb,
            name: name.into(),
            uid: name.into(),
            version,
            received: self.now - SignedDuration::from_millis(5),
            completed: self.now,
            bound_to: bound_to.map(Into::into),
        });
    }

    fn created(&mut self, name: &str, image: &str) {
        self.wrote(Verb::Create, name, None, Change::Pod(pod(name, image, None)));
    }

    fn ready(&mut self, name: &str, image: &str) {
        let since = self.now + self.step;
        self.happens(Change::Pod(pod(name, image, Some(since))));
    }

    fn broke(&mut self, name: &str) {
        self.happens(Change::Pod(pod(name, OLD, None)));
    }

    /// Deletes a pod; the kubelet lets it go.
    fn took(&mut self, name: &str) {
        self.takes(pod(name, OLD, Some(self.now)), Some(name));
    }

    fn takes(&mut self, mut pod: PodFacts, bound_to: Option<&str>) {
        let name = pod.name.clone();
        pod.is_live = false;
        self.wrote(Verb::Delete, &name, bound_to, Change::Pod(pod.clone()));
        self.happens(Change::PodGone(pod));
    }

    /// Takes a pod out of service, to give it another image then.
    fn drains(&mut self, name: &str, from: &str, to: &str) {
        let mut drained = pod(name, from, None);
        drained.revision = to.into();
        drained.is_changed = false;
        self.wrote(Verb::Patch, name, None, Change::Pod(drained));
    }

    fn changes(&mut self, name: &str, from: &str, to: &str) {
        self.drains(name, from, to);
        for ready_since in [None, Some(self.now)] {
            let mut changed = pod(name, to, ready_since);
            changed.revision = to.into();
            self.wrote(Verb::Patch, name, None, Change::Pod(changed));
        }
    }

    fn verdict(self) -> Vec<String> {
        let history = History::new(self.events, self.writes);
        assert!(history.unseen.is_empty(), "{:?}", history.unseen);
        violations(&history)
    }

    fn holds(self) {
        assert_eq!(self.verdict(), [""; 0]);
    }

    fn breaks(self, rule: &str) {
        let verdict = self.verdict();
        let [broken] = verdict.as_slice() else {
            unreachable!("one violation of {rule}, not {verdict:#?}")
        };
        assert!(broken.starts_with(rule), "{broken}");
        assert!(broken.contains("<- "), "the account shows the write: {broken}");
    }
}

fn spec(replicas: i32, image: &str, strategy: &Value) -> Value {
    json!({
        "replicas": replicas,
        "updateStrategy": strategy,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": image}]}
        }
    })
}

/// As the API server would show it.
fn pod(name: &str, image: &str, ready_since: Option<Timestamp>) -> PodFacts {
    let ready =
        ready_since.map(|since| json!({"type": "Ready", "status": "True", "lastTransitionTime": since}));
    let pod: DynamicObject = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "uid": name,
            "labels": {"app": "web", "apps.kruise.io/cloneset-instance-id": name},
            "ownerReferences": [{
                "apiVersion": "apps.kruise.io/v1alpha1", "kind": "CloneSet", "name": "web", "uid": "web-uid",
                "controller": true
            }],
            "managedFields": [{"manager": FIELD_MANAGER}, {"manager": "kubelet"}]
        },
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {"phase": "Running", "conditions": ready.into_iter().collect::<Vec<_>>()}
    }))
    .unwrap();
    PodFacts::of(&pod)
}

#[test]
fn s1_no_pod_is_created_above_replicas_and_surge() {
    let strategy = json!({"maxSurge": 1, "maxUnavailable": 0});
    let two = || Story::with_pods(&spec(2, OLD, &strategy), &["a", "b"]);
    let mut within = two();
    within.spec(&spec(2, NEW, &strategy));
    within.created("c", NEW);
    within.ready("c", NEW);
    within.took("a");
    within.created("d", NEW);
    within.holds();

    let mut beyond = two();
    beyond.spec(&spec(2, NEW, &strategy));
    beyond.created("c", NEW);
    beyond.created("d", NEW);
    beyond.breaks("S1: d is created as live pod number 4, 3 are promised");
}

#[test]
fn s1_scaling_in_is_not_known_at_once_but_soon() {
    let scaled_in = || {
        let mut story = Story::with_pods(&spec(3, OLD, &json!({})), &["a", "b"]);
        story.spec(&spec(2, OLD, &json!({})));
        story
    };
    let mut at_once = scaled_in();
    at_once.step = SignedDuration::from_secs(1);
    at_once.created("c", OLD);
    at_once.holds();
    let mut late = scaled_in();
    late.created("c", OLD);
    late.breaks("S1: c is created as live pod number 3, 2 are promised");
}

#[test]
fn s2_no_available_pod_is_taken_below_what_has_to_stay() {
    let strategy = json!({"maxUnavailable": 1});
    let three = || Story::with_pods(&spec(3, NEW, &strategy), &["a", "b", "c"]);
    let mut one = three();
    one.took("a");
    one.holds();
    let mut two = three();
    two.took("a");
    two.took("b");
    two.breaks("S2: b is taken out of service, which leaves 1 pods available, at least 2");

    // Also at once: its own writes are known to it.
    let mut at_once = three();
    at_once.step = SignedDuration::from_millis(1);
    at_once.took("a");
    at_once.took("b");
    at_once.breaks("S2: b");
}

#[test]
fn s2_a_deletion_without_grace_is_two_events_and_one_write() {
    let mut story = Story::with_pods(&spec(1, NEW, &json!({"maxUnavailable": 0})), &["a"]);
    let mut going = pod("a", OLD, Some(story.now));
    going.is_live = false;
    story.happens(Change::Pod(going.clone()));
    story.wrote(Verb::Delete, "a", Some("a"), Change::PodGone(going));
    if let Some(write) = story.writes.last_mut() {
        write.received -= STEP;
    }
    story.breaks("S2: a is taken out of service, which leaves 0");
}

#[test]
fn s2_broken_pods_are_free_and_so_is_what_somebody_named() {
    let strategy = json!({"maxUnavailable": 0, "maxSurge": 1});
    let mut broken = Story::with_pods(&spec(2, OLD, &strategy), &["a", "b"]);
    broken.broke("a");
    broken.took("a");
    broken.holds();

    let mut named = Story::with_pods(&spec(2, OLD, &strategy), &["a", "b"]);
    let mut marked = pod("a", OLD, Some(named.now));
    marked.is_named = true;
    named.happens(Change::Pod(marked.clone()));
    named.takes(marked, Some("a"));
    named.holds();
}

#[test]
fn s2_what_others_broke_a_moment_ago_is_not_the_controllers_to_answer_for() {
    let story = |step| {
        let mut story = Story::with_pods(&spec(2, NEW, &json!({"maxUnavailable": 1})), &["a", "b"]);
        story.step = step;
        story.broke("b");
        story.took("a");
        story
    };
    story(SignedDuration::from_millis(100)).holds();
    story(STEP).breaks("S2: a is taken out of service, which leaves 0 pods available, at least 1");
}

#[test]
fn s2_a_pod_is_available_only_after_min_ready_seconds() {
    let mut patient = spec(2, NEW, &json!({"maxUnavailable": 1}));
    patient["minReadySeconds"] = json!(15);
    // The pods became ready 30 and 10 seconds before.
    let mut the_new = Story::with_pods(&patient, &["a", "b"]);
    the_new.took("b");
    the_new.holds();
    let mut the_old = Story::with_pods(&patient, &["a", "b"]);
    the_old.took("a");
    the_old.breaks("S2: a");
}

#[test]
fn s2_a_gate_that_is_closed_takes_a_pod_as_a_deletion_does() {
    let mut story = Story::with_pods(&spec(1, NEW, &json!({"maxUnavailable": 0})), &["a"]);
    story.wrote(Verb::Patch, "a", None, Change::Pod(pod("a", OLD, None)));
    story.breaks("S2: a is taken out of service, which leaves 0");
}

#[test]
fn s3_no_pod_is_brought_to_the_new_template_beyond_the_partition() {
    let strategy = json!({"maxUnavailable": 3, "partition": 2});
    let begun = || {
        let mut story = Story::with_pods(&spec(3, OLD, &strategy), &["a", "b", "c"]);
        story.spec(&spec(3, NEW, &strategy));
        story.took("a");
        story.created("d", NEW);
        story.took("b");
        story
    };
    let mut kept = begun();
    kept.created("e", OLD);
    kept.holds();
    let mut broken = begun();
    broken.created("e", NEW);
    broken.breaks("S3: e is updated pod number 2, the partition promises 1");
}

#[test]
fn s3_a_stand_in_for_a_pod_that_the_spec_names_to_go_does_not_count_twice() {
    let strategy = json!({"maxUnavailable": 0, "maxSurge": 1, "partition": 1});
    let mut story = Story::with_pods(&spec(2, OLD, &strategy), &["a", "b"]);
    let mut released = spec(2, NEW, &strategy);
    story.spec(&released);
    story.created("c", NEW);
    story.ready("c", NEW);
    story.took("a");
    released["scaleStrategy"] = json!({"podsToDelete": ["c"]});
    story.spec(&released);
    story.created("d", NEW);
    story.holds();
}

#[test]
fn s3_the_first_template_and_one_that_is_fully_rolled_out_are_not_held_by_a_partition() {
    let mut first = Story::of(&spec(2, OLD, &json!({"partition": 2})));
    first.created("a", OLD);
    first.created("b", OLD);
    first.holds();

    let mut released = Story::with_pods(&spec(1, OLD, &json!({"maxUnavailable": 1})), &["a"]);
    released.spec(&spec(1, NEW, &json!({"maxUnavailable": 1})));
    released.took("a");
    released.created("b", NEW);
    released.spec(&spec(2, NEW, &json!({"partition": 2})));
    released.created("c", NEW);
    released.holds();
}

#[test]
fn s3_a_pod_that_is_changed_in_place_counts_from_the_moment_its_revision_changes() {
    let strategy = json!({"type": "InPlaceIfPossible", "maxUnavailable": 3, "partition": 2});
    let begun = || {
        let mut story = Story::with_pods(&spec(3, OLD, &strategy), &["a", "b", "c"]);
        story.spec(&spec(3, NEW, &strategy));
        story.changes("a", OLD, NEW);
        story
    };
    let mut back = begun();
    back.spec(&spec(3, OLD, &strategy));
    back.changes("a", NEW, OLD);
    back.holds();
    let mut beyond = begun();
    beyond.drains("b", OLD, NEW);
    beyond.breaks("S3: b is updated pod number 2, the partition promises 1");
    // People who edit pods update none.
    let mut edited = begun();
    let mut foreign = pod("a", OLD, None);
    foreign.revision = NEW.into();
    edited.happens(Change::Pod(foreign));
    edited.drains("b", OLD, NEW);
    edited.breaks("S3: b is updated pod number 2, the partition promises 1");
}

#[test]
fn s3_a_template_that_all_pods_were_given_in_place_is_not_held_by_a_partition() {
    let strategy = json!({"type": "InPlaceIfPossible", "maxUnavailable": 1});
    let mut story = Story::with_pods(&spec(1, OLD, &strategy), &["a"]);
    story.spec(&spec(1, NEW, &strategy));
    story.changes("a", OLD, NEW);
    story.spec(&spec(2, NEW, &json!({"partition": 2})));
    story.created("b", NEW);
    story.holds();
}

#[test]
fn s4_only_pods_of_a_cloneset_that_is_there_are_written_to() {
    let mut stranger = Story::with_pods(&spec(1, OLD, &json!({})), &["a"]);
    let mut other = pod("a", OLD, None);
    other.owner = Some("another-uid".into());
    stranger.happens(Change::Pod(other.clone()));
    stranger.takes(other, Some("a"));
    stranger.breaks("S4: a is written to, which no CloneSet of this namespace controls");

    let mut ownerless = Story::with_pods(&spec(2, OLD, &json!({})), &["a"]);
    let mut robbed = pod("b", OLD, None);
    robbed.owner = None;
    ownerless.wrote(Verb::Create, "b", None, Change::Pod(robbed));
    ownerless.holds();

    let mut late = Story::with_pods(&spec(2, OLD, &json!({})), &["a"]);
    late.deleted();
    late.created("b", OLD);
    late.breaks("S4: CloneSet web is being deleted");

    let mut in_flight = Story::with_pods(&spec(2, OLD, &json!({})), &["a"]);
    in_flight.deleted();
    in_flight.step = SignedDuration::from_millis(20);
    in_flight.created("b", OLD);
    in_flight.holds();
}

#[test]
fn s5_a_deletion_is_bound_to_the_pods_uid() {
    for bound_to in [None, Some("another")] {
        let mut story = Story::with_pods(&spec(2, OLD, &json!({"maxUnavailable": 2})), &["a", "b"]);
        story.takes(pod("a", OLD, None), bound_to);
        story.breaks("S5: the deletion of a is bound to ");
    }
}

#[test]
fn s6_no_instance_id_is_used_twice() {
    let mut story = Story::with_pods(&spec(2, OLD, &json!({})), &["a"]);
    let mut twin = pod("b", OLD, None);
    twin.instance_id = Some("a".into());
    story.wrote(Verb::Create, "b", None, Change::Pod(twin));
    story.breaks("S6: b gets the instance id of a");
}

#[test]
fn nothing_is_judged_where_changes_may_have_gone_unseen_but_a_write_that_no_watch_showed_is_told() {
    let mut gap = Story::with_pods(&spec(1, OLD, &json!({})), &["a"]);
    gap.created("b", OLD);
    let (from, to) = (2, u64::try_from(gap.events.len()).unwrap());
    gap.happens(Change::Gap(from));
    gap.events.last_mut().unwrap().version = to;
    gap.holds();

    let mut unseen = Story::of(&spec(1, OLD, &json!({})));
    unseen.created("a", OLD);
    unseen.events.pop();
    let history = History::new(unseen.events, unseen.writes);
    assert_eq!(history.unseen.len(), 1);
}

#[test]
fn a_create_that_the_log_lost_is_known_by_its_only_author() {
    let mut story = Story::with_pods(&spec(1, OLD, &json!({})), &["a"]);
    let mut lost = pod("b", OLD, None);
    lost.is_written_by_us_alone = true;
    story.happens(Change::Pod(lost));
    story.breaks("S1: b is created as live pod number 2, 1 are promised");
}
