//! How much the controller may write for a pod, and how much it wrote, counted from the audit log.
//! It must not believe anything the controller says about itself.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use cloneset_api::names::{labels, lifecycle};
use serde_json::Value;

use super::audit::Event;

/// A pod costs its create and one status patch, which carries gate and label together. To replace it costs one
/// more: its deletion. To update it in place costs three: out of service, changed, in service again; one more for each
/// state that a lifecycle hook holds it in, and for each further batch of containers or resize. What somebody edits by
/// hand may have to be put right.
const BUDGET: &str = "a create and a status patch for a new pod; a deletion to replace it; three patches to update it in \
                      place, one more for each state a hook holds it in and each further batch or resize; a patch for \
                      each edit by hand";

/// States that only a lifecycle hook holds a pod in.
const HELD: [&str; 3] = [
    lifecycle::PREPARING_UPDATE,
    lifecycle::UPDATED,
    lifecycle::PREPARING_DELETE,
];

/// Fails when the controller wrote more for a pod than it needs to.
pub(super) fn check_writes(events: &[Event]) -> Result<()> {
    let writes = Writes::count(events);
    ensure!(
        !writes.pods.is_empty(),
        "the audit log has no pod that a CloneSet controller wrote to, so it proves nothing"
    );
    println!("{}", writes.summary());
    let excess = writes.excess();
    ensure!(
        excess.is_empty(),
        "the controller writes more than it needs ({BUDGET}), says the audit log:\n{}",
        excess.join("\n")
    );
    Ok(())
}

/// Writes to pods of one name. Most names are used once; a later pod may get the name of one that is gone.
#[derive(Debug, Default, PartialEq, Eq)]
struct PodWrites {
    creates: usize,
    /// Creates that failed and may have been carried out all the same: whoever asked was killed meanwhile, or etcd hung.
    unclear: usize,
    patches: usize,
    deletes: usize,
    /// In-place updates: the revision that it has is another one.
    moves: usize,
    /// Further steps: a state of a hook entered, or left without an update, a further batch of containers, a resize.
    steps: usize,
}

/// What a pod was after the last write of a controller.
#[derive(Debug, Default)]
struct Seen {
    revision: Option<String>,
    state: Option<String>,
    /// Changes of its spec since the revision is what it is.
    specs: Vec<Value>,
}

impl PodWrites {
    fn add(&mut self, write: &Event, seen: &mut Seen) {
        match write.verb.as_str() {
            "create" => {
                self.creates += 1;
                *seen = Seen::default();
            }
            "delete" | "deletecollection" => {
                self.deletes += 1;
                return;
            }
            _ => self.patches += 1,
        }
        let label = |key| write.stored_label(key).map(str::to_owned);
        let (revision, state) = (label(labels::REVISION), label(labels::LIFECYCLE_STATE));
        if seen.revision.is_some() && seen.revision != revision {
            self.moves += 1;
            seen.specs.clear();
        }
        if seen.state != state {
            let entered = |state: &Option<String>| HELD.iter().any(|held| state.as_deref() == Some(*held));
            let regretted = seen.state.as_deref() == Some(lifecycle::PREPARING_DELETE);
            self.steps += usize::from(entered(&state)) + usize::from(regretted);
        }
        let change = write.sent_spec().filter(|_| write.verb == "patch");
        if write.is_on("pods", Some("resize")) {
            self.steps += 1;
        } else if let Some(spec) = change.filter(|spec| !seen.specs.contains(spec)) {
            self.steps += usize::from(!seen.specs.is_empty());
            seen.specs.push(spec.clone());
        }
        (seen.revision, seen.state) = (revision, state);
    }

    /// Patches that it may have cost, when people edited it so often.
    fn allowed(&self, edits: usize) -> usize {
        self.lives() + edits + 3 * self.moves + self.steps
    }

    /// A pod that was there before the log began has no create in it.
    fn lives(&self) -> usize {
        (self.creates + self.unclear).max(1)
    }
}

/// What the controllers of CloneSets wrote.
#[derive(Debug, Default)]
struct Writes {
    pods: BTreeMap<(String, String), PodWrites>,
    /// How often people wrote to a pod.
    edits: BTreeMap<(String, String), usize>,
    /// How often the server answered so, by status code.
    refused: BTreeMap<u16, usize>,
}

impl Writes {
    fn count(events: &[Event]) -> Self {
        // Nobody else writes the status of a CloneSet, whatever release and namespace it runs in.
        let controllers: BTreeSet<&str> = events
            .iter()
            .filter(|event| event.is_on("clonesets", Some("status")))
            .map(|event| event.user.username.as_str())
            .filter(|name| name.starts_with("system:serviceaccount:"))
            .collect();
        let mut writes = Self::default();
        let mut seen: BTreeMap<(String, String), Seen> = BTreeMap::new();
        for event in events {
            if event.is_edit_by_hand() {
                *writes.edits.entry(event.object()).or_default() += 1;
            }
            if !controllers.contains(event.user.username.as_str())
                || !event.is_on("pods", None)
                || !event.is_write()
                || event.is_dry_run()
            {
                continue;
            }
            if !event.succeeded() {
                let code = event.code();
                *writes.refused.entry(code).or_default() += 1;
                if event.verb == "create" && code >= 500 {
                    writes.pods.entry(event.object()).or_default().unclear += 1;
                }
                continue;
            }
            let pod = writes.pods.entry(event.object()).or_default();
            pod.add(event, seen.entry(event.object()).or_default());
        }
        writes
    }

    fn total(&self, part: fn(&PodWrites) -> usize) -> usize {
        self.pods.values().map(part).sum()
    }

    fn summary(&self) -> String {
        let mut summary = format!(
            "audit log: {} pods created, {} patches, {} deletions",
            self.total(|pod| pod.creates),
            self.total(|pod| pod.patches),
            self.total(|pod| pod.deletes),
        );
        for (code, times) in &self.refused {
            // Writing to a String cannot fail.
            let _ = write!(summary, ", {times} refused with {code}");
        }
        summary
    }

    /// One line for each pod that cost too much.
    fn excess(&self) -> Vec<String> {
        self.pods
            .iter()
            .filter(|(object, pod)| {
                let edits = self.edits.get(*object).copied().unwrap_or_default();
                pod.deletes > pod.lives() || pod.patches > pod.allowed(edits)
            })
            .map(|((namespace, name), pod)| {
                format!(
                    "  {namespace}/{name}: {} creates, {} patches, {} deletions",
                    pod.creates, pod.patches, pod.deletes
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::audit::{CONTROLLER, ResponseStatus, check_policy};
    use super::*;
    use serde_json::json;

    fn event(user: &str, verb: &str, resource: &str, subresource: Option<&str>, name: &str) -> Event {
        let event = json!({
            "verb": verb,
            "requestURI": "/some/path?fieldManager=cloneset",
            "level": if resource == "pods" { "RequestResponse" } else { "Metadata" },
            "user": { "username": user },
            "objectRef": { "resource": resource, "subresource": subresource, "namespace": "n", "name": name },
            "responseStatus": { "code": 200 },
        });
        serde_json::from_value(event).expect("an event")
    }

    /// A new pod, its replacement, and one status of the CloneSet.
    fn usual() -> Vec<Event> {
        vec![
            event(CONTROLLER, "create", "pods", None, "a"),
            event(CONTROLLER, "patch", "pods", Some("status"), "a"),
            event(CONTROLLER, "patch", "clonesets", Some("status"), "sample"),
            event(CONTROLLER, "delete", "pods", None, "a"),
            event(CONTROLLER, "create", "pods", None, "b"),
            event(CONTROLLER, "patch", "pods", Some("status"), "b"),
        ]
    }

    #[test]
    fn two_writes_for_a_new_pod_and_three_for_a_replaced_one_are_right() {
        let writes = Writes::count(&usual());
        assert_eq!(writes.excess(), Vec::<String>::new());
        assert!(
            writes
                .summary()
                .contains("2 pods created, 2 patches, 1 deletions")
        );
    }

    #[test]
    fn a_second_patch_is_one_too_many() {
        let mut events = usual();
        events.push(event(CONTROLLER, "patch", "pods", None, "b"));
        let excess = Writes::count(&events).excess();
        assert_eq!(excess, ["  n/b: 1 creates, 2 patches, 0 deletions"]);
    }

    #[test]
    fn what_somebody_edited_may_be_put_right() {
        let mut events = usual();
        let repair = || event(CONTROLLER, "patch", "pods", Some("status"), "b");
        events.push(event("admin", "patch", "pods", None, "b"));
        events.push(repair());
        assert_eq!(Writes::count(&events).excess(), Vec::<String>::new());
        events.push(repair());
        assert_eq!(Writes::count(&events).excess().len(), 1);
    }

    /// A write to pod c that left it so, and changed its containers so.
    fn left(
        verb: &str,
        subresource: Option<&str>,
        revision: &str,
        state: &str,
        image: Option<&str>,
    ) -> Event {
        let mut write = json!({
            "verb": verb,
            "requestURI": "/some/path?fieldManager=cloneset",
            "level": "RequestResponse",
            "user": { "username": CONTROLLER },
            "objectRef": { "resource": "pods", "subresource": subresource, "namespace": "n", "name": "c" },
            "responseStatus": { "code": 200 },
            "requestObject": { "metadata": {} },
            "responseObject": { "metadata": { "labels": {
                "controller-revision-hash": revision,
                "lifecycle.apps.kruise.io/state": state,
            } } },
        });
        if let Some(image) = image {
            write["requestObject"]["spec"] = json!({ "containers": [{ "name": "main", "image": image }] });
        }
        serde_json::from_value(write).expect("an event")
    }

    /// A new pod and its update in place.
    fn in_place() -> Vec<Event> {
        let status = Some("status");
        vec![
            event(CONTROLLER, "patch", "clonesets", status, "sample"),
            left("create", None, "one", "PreparingNormal", Some("old")),
            left("patch", status, "one", "Normal", None),
            left("patch", status, "two", "Updating", None),
            left("patch", None, "two", "Updating", Some("new")),
            left("patch", status, "two", "Normal", None),
        ]
    }

    fn excess_with(index: usize, write: Event) -> usize {
        let mut events = in_place();
        events.insert(index, write);
        Writes::count(&events).excess().len()
    }

    #[test]
    fn three_patches_for_an_update_in_place_are_right_and_a_fourth_is_one_too_many() {
        assert_eq!(Writes::count(&in_place()).excess(), Vec::<String>::new());
        let again = |image| left("patch", None, "two", "Updating", image);
        assert_eq!(excess_with(5, again(None)), 1);
        assert_eq!(
            excess_with(5, again(Some("new"))),
            1,
            "the same again is no batch"
        );
        assert_eq!(
            excess_with(6, left("patch", Some("status"), "two", "Normal", None)),
            1
        );
    }

    #[test]
    fn a_further_batch_a_resize_and_each_state_of_a_hook_cost_one_more() {
        assert_eq!(
            excess_with(5, left("patch", None, "two", "Updating", Some("side"))),
            0
        );
        assert_eq!(
            excess_with(4, left("patch", Some("resize"), "two", "Updating", Some("more"))),
            0
        );
        assert_eq!(
            excess_with(3, left("patch", None, "one", "PreparingUpdate", None)),
            0
        );
        assert_eq!(excess_with(5, left("patch", None, "two", "Updated", None)), 0);
    }

    #[test]
    fn a_name_that_is_used_again_is_another_pod() {
        let mut events = usual();
        events.extend(usual());
        assert_eq!(Writes::count(&events).excess(), Vec::<String>::new());
    }

    #[test]
    fn a_log_without_reads_or_bodies_proves_nothing() {
        let mut events = usual();
        assert!(check_policy(&events).is_err(), "no reads");
        events.push(event(CONTROLLER, "watch", "pods", None, ""));
        assert!(check_policy(&events).is_ok());
        assert_eq!(
            Writes::count(&events).excess(),
            Vec::<String>::new(),
            "a read is no write"
        );
        if let Some(first) = events.first_mut() {
            first.level = "Metadata".to_owned();
        }
        assert!(check_policy(&events).is_err(), "no bodies");
    }

    #[test]
    fn a_create_that_failed_may_have_made_a_pod() {
        let mut events = usual();
        let mut again = usual();
        again[0].response_status = Some(ResponseStatus { code: 409 });
        events.extend(again);
        let excess = |events: &[Event]| Writes::count(events).excess().len();
        assert_eq!(excess(&events), 1, "a refused one made none");
        events[6].response_status = Some(ResponseStatus { code: 504 });
        assert_eq!(excess(&events), 0);
    }

    #[test]
    fn others_dry_runs_and_refusals_do_not_count() {
        let mut events = usual();
        for _ in 0..5 {
            events.push(event("system:node:local", "patch", "pods", Some("status"), "a"));
            let mut dry = event(CONTROLLER, "create", "pods", None, "a");
            dry.request_uri.push_str("&dryRun=All");
            events.push(dry);
        }
        let mut refused = event(CONTROLLER, "create", "pods", None, "b");
        refused.response_status = Some(ResponseStatus { code: 409 });
        events.push(refused);
        let writes = Writes::count(&events);
        assert_eq!(writes.excess(), Vec::<String>::new());
        assert_eq!(writes.refused, BTreeMap::from([(409, 1)]));
        assert!(writes.summary().ends_with("1 refused with 409"));
    }

    #[test]
    fn a_log_without_a_controller_counts_nothing() {
        let events = [event("admin", "patch", "pods", None, "a")];
        assert!(Writes::count(&events).pods.is_empty());
    }
}
