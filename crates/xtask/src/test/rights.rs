//! Which of its rights the controller used, told by the API server's audit log, held against the rules that the chart
//! asks for: a right that nothing uses is one too many, and one that is refused was forgotten.
//!
//! It must not decide what the controller should do: whoever adds a rule to the chart makes a test use it, or lists it
//! in [`EXCEPTIONS`] with the reason.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::audit::{CONTROLLER, Event};

/// A right that the end-to-end tests need not use.
struct Exception {
    /// As [`Right`] is printed.
    right: &'static str,
    kind: Kind,
    /// The field or the situation that needs it.
    because: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nothing uses it. When something does, the entry has to go.
    NotYetUsed,
    /// Chance decides whether a run needs it.
    SometimesUsed,
}

/// Rules of the chart that the tests do not use, or not always.
const EXCEPTIONS: &[Exception] = &[
    Exception {
        right: "update clonesets/finalizers.apps.kruise.io",
        kind: Kind::NotYetUsed,
        because: "no request: admission asks for it when a pod is created whose owner reference blocks the deletion of \
                  its CloneSet (OwnerReferencesPermissionEnforcement)",
    },
    Exception {
        right: "get clonesets.apps.kruise.io",
        kind: Kind::SometimesUsed,
        because: "a CloneSet is read live when no watch has shown a write to it in time, or a new leader's view lacks it",
    },
    Exception {
        right: "get controllerrevisions.apps",
        kind: Kind::SometimesUsed,
        because: "a revision is read live when its name is taken, or no watch has shown a write to it in time",
    },
    Exception {
        right: "get persistentvolumeclaims",
        kind: Kind::SometimesUsed,
        because: "a claim is read live when its name is taken, or no watch has shown a write to it in time",
    },
    Exception {
        right: "patch persistentvolumeclaims",
        kind: Kind::SometimesUsed,
        because: "a claim is handed over to a dying pod with scaleStrategy.disablePVCReuse, if the pod is still there",
    },
    Exception {
        right: "list nodes",
        kind: Kind::SometimesUsed,
        because: "a controller lists them once, and one that stays up between runs has done so already",
    },
    Exception {
        right: "create leases.coordination.k8s.io",
        kind: Kind::SometimesUsed,
        because: "a cluster that stays up between runs has the Lease already",
    },
];

/// Something that may be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    /// With its subresource.
    resource: String,
    group: String,
    /// For one object only.
    name: Option<String>,
}

impl Right {
    /// What a request asks for.
    fn asked_for(event: &Event) -> Option<Self> {
        let object = event.object_ref.as_ref()?;
        let subresource = object.subresource.iter().map(|sub| format!("/{sub}"));
        Some(Self {
            verb: event.verb.clone(),
            resource: std::iter::once(object.resource.clone())
                .chain(subresource)
                .collect(),
            group: object.api_group.clone().unwrap_or_default(),
            name: object.name.clone(),
        })
    }

    /// Does it allow a request?
    fn covers(&self, asked: &Self) -> bool {
        let same = (&self.verb, &self.resource, &self.group) == (&asked.verb, &asked.resource, &asked.group);
        same && (self.name.is_none() || self.name == asked.name)
    }
}

impl fmt::Display for Right {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(out, ".{}", self.group)?;
        }
        self.name.iter().try_for_each(|name| write!(out, "/{name}"))
    }
}

/// Fails unless the rights that were used are those of the chart's rules.
pub(super) fn check(events: &[Event], rules: &[Value]) -> Result<()> {
    let granted = granted(rules);
    let findings = findings(events, &granted, EXCEPTIONS);
    ensure!(
        findings.is_empty(),
        "the controller's rights are not those it uses (charts/cloneset/templates/rbac-*.yaml, EXCEPTIONS in \
         crates/xtask/src/test/rights.rs):\n  {}",
        findings.join("\n  ")
    );
    println!(
        "audit log: the controller used the {} rights it has",
        granted.len()
    );
    Ok(())
}

fn findings(events: &[Event], granted: &BTreeSet<Right>, exceptions: &[Exception]) -> Vec<String> {
    let ours = || events.iter().filter(|event| event.user.username == CONTROLLER);
    let used: BTreeSet<Right> = ours()
        .filter(|event| event.is_authorized())
        .filter_map(Right::asked_for)
        .collect();
    let mut findings = Vec::new();
    for right in granted {
        let is_used = used.iter().any(|used| right.covers(used));
        let exception = exceptions.iter().find(|entry| entry.right == right.to_string());
        match (is_used, exception.map(|exception| exception.kind)) {
            (true, None | Some(Kind::SometimesUsed)) | (false, Some(_)) => {}
            (false, None) => findings.push(format!(
                "{right}: granted, and never used; remove the rule, use it in a test, or say in EXCEPTIONS why it is there"
            )),
            (true, Some(Kind::NotYetUsed)) => {
                findings.push(format!("{right}: used, so EXCEPTIONS must not list it any more"));
            }
        }
    }
    for Exception { right, because, .. } in exceptions {
        if !granted.iter().any(|granted| granted.to_string() == *right) {
            findings.push(format!(
                "{right}: in EXCEPTIONS ({because}), but the chart does not grant it"
            ));
        }
    }
    // An API server that has just been started, or a release that is being removed, refuses what is granted.
    let refused: BTreeSet<Right> = ours()
        .filter(|event| event.is_forbidden())
        .filter_map(Right::asked_for)
        .filter(|asked| !granted.iter().any(|right| right.covers(asked)))
        .collect();
    findings.extend(
        refused
            .iter()
            .map(|asked| format!("{asked}: asked for, and no rule grants it")),
    );
    findings
}

/// Rules, taken apart.
fn granted(rules: &[Value]) -> BTreeSet<Right> {
    let words = |rule: &Value, field: &str| -> Vec<String> {
        let list = rule.get(field).and_then(Value::as_array);
        let words = list.into_iter().flatten().filter_map(Value::as_str);
        words.map(str::to_owned).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules {
        let mut names: Vec<_> = words(rule, "resourceNames").into_iter().map(Some).collect();
        if names.is_empty() {
            names.push(None);
        }
        for verb in words(rule, "verbs") {
            for resource in words(rule, "resources") {
                for group in words(rule, "apiGroups") {
                    rights.extend(names.iter().map(|name| Right {
                        verb: verb.clone(),
                        resource: resource.clone(),
                        group: group.clone(),
                        name: name.clone(),
                    }));
                }
            }
        }
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(verb: &str, resource: &str, name: Option<&str>, decision: &str) -> Event {
        let event = json!({
            "verb": verb,
            "requestURI": "/some/path",
            "level": "Metadata",
            "user": {"username": CONTROLLER},
            "objectRef": {"resource": resource, "apiGroup": "g", "name": name, "namespace": "n"},
            "annotations": {"authorization.k8s.io/decision": decision}
        });
        serde_json::from_value(event).expect("an event")
    }

    fn exception(right: &'static str, kind: Kind) -> Exception {
        Exception {
            right,
            kind,
            because: "spec.later",
        }
    }

    fn judged(events: &[Event], exceptions: &[Exception]) -> Vec<String> {
        let rules = [
            json!({"apiGroups": ["g"], "resources": ["things"], "verbs": ["get", "watch"]}),
            json!({"apiGroups": ["g"], "resources": ["leases"], "resourceNames": ["a"], "verbs": ["get"]}),
        ];
        findings(events, &granted(&rules), exceptions)
    }

    fn usual() -> Vec<Event> {
        vec![
            event("get", "things", Some("b"), "allow"),
            event("get", "leases", Some("a"), "allow"),
        ]
    }

    #[test]
    fn every_right_is_used_or_an_exception() {
        let found = judged(&usual(), &[]);
        assert!(
            found.len() == 1 && found[0].starts_with("watch things.g: granted, and never used"),
            "{found:?}"
        );
        for kind in [Kind::NotYetUsed, Kind::SometimesUsed] {
            assert_eq!(judged(&usual(), &[exception("watch things.g", kind)]), [""; 0]);
        }
    }

    #[test]
    fn an_exception_that_is_used_or_not_granted_has_to_go() {
        let mut events = usual();
        events.push(event("watch", "things", None, "allow"));
        let sometimes = exception("watch things.g", Kind::SometimesUsed);
        assert_eq!(judged(&events, &[sometimes]), [""; 0]);
        for right in ["watch things.g", "list things.g"] {
            let found = judged(&events, &[exception(right, Kind::NotYetUsed)]);
            assert!(found.len() == 1 && found[0].starts_with(right), "{found:?}");
        }
    }

    #[test]
    fn another_object_does_not_use_a_right_on_one() {
        let mut events = usual();
        events[1] = event("get", "leases", Some("b"), "allow");
        let found = judged(&events, &[exception("watch things.g", Kind::NotYetUsed)]);
        assert!(
            found[0].starts_with("get leases.g/a: granted, and never used"),
            "{found:?}"
        );
    }

    #[test]
    fn what_no_rule_grants_is_told_when_it_is_refused() {
        let unused = || exception("watch things.g", Kind::NotYetUsed);
        let mut events = usual();
        events.push(event("watch", "things", None, "forbid"));
        assert_eq!(
            judged(&events, &[unused()]),
            [""; 0],
            "granted: it was not in force"
        );
        events.push(event("list", "things", None, "forbid"));
        let found = judged(&events, &[unused()]);
        assert_eq!(found, ["list things.g: asked for, and no rule grants it"]);
    }
}
