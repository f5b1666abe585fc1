//! The lifecycle hooks that a spec asks for, and which of them are on a pod (`behaviour.md` 6.1).
//!
//! Predicates only: what becomes of a pod that a hook holds is `lifecycle`'s to say.

use cloneset_api::{Lifecycle, LifecycleHook};
use cloneset_status::Pod;
use std::collections::BTreeMap;

/// Labels and finalizers by which somebody else holds a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hook {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) finalizers: Vec<String>,
    /// Is a pod that it holds taken out of service?
    pub marks_not_ready: bool,
}

impl Hook {
    fn of(hook: &LifecycleHook) -> Self {
        Self {
            labels: hook.labels_handler.clone().unwrap_or_default(),
            finalizers: hook.finalizers_handler.clone().unwrap_or_default(),
            marks_not_ready: hook.mark_pod_not_ready.unwrap_or(false),
        }
    }

    /// Is one of its labels or finalizers on the pod?
    pub fn holds(&self, pod: &Pod) -> bool {
        self.labels.iter().any(|label| has_label(pod, label))
            || self
                .finalizers
                .iter()
                .any(|finalizer| has_finalizer(pod, finalizer))
    }

    /// Are all of them?
    pub fn is_complete(&self, pod: &Pod) -> bool {
        self.labels.iter().all(|label| has_label(pod, label))
            && self
                .finalizers
                .iter()
                .all(|finalizer| has_finalizer(pod, finalizer))
    }
}

fn has_label(pod: &Pod, (key, value): (&String, &String)) -> bool {
    pod.label(key) == Some(value)
}

fn has_finalizer(pod: &Pod, finalizer: &String) -> bool {
    let finalizers = pod.metadata.finalizers.as_ref();
    finalizers.is_some_and(|finalizers| finalizers.contains(finalizer))
}

/// The hooks of a CloneSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Before we delete a pod.
    pub pre_delete: Option<Hook>,
    /// Before and after an in-place update.
    pub in_place_update: Option<Hook>,
    /// Before a new pod counts as available.
    pub pre_normal: Option<Hook>,
}

impl Hooks {
    /// The hooks that a spec asks for.
    pub fn of(lifecycle: Option<&Lifecycle>) -> Self {
        let hook = |of: fn(&Lifecycle) -> &Option<LifecycleHook>| {
            lifecycle
                .and_then(|lifecycle| of(lifecycle).as_ref())
                .map(Hook::of)
        };
        Self {
            pre_delete: hook(|lifecycle| &lifecycle.pre_delete),
            in_place_update: hook(|lifecycle| &lifecycle.in_place_update),
            pre_normal: hook(|lifecycle| &lifecycle.pre_normal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_hook_goes_by_labels_and_by_finalizers() {
        let handlers = json!({"labelsHandler": {"held": "true"}, "finalizersHandler": ["example.com/held"]});
        for (name, of) in [
            (
                "preDelete",
                (|hooks| hooks.pre_delete) as fn(Hooks) -> Option<Hook>,
            ),
            ("inPlaceUpdate", |hooks| hooks.in_place_update),
            ("preNormal", |hooks| hooks.pre_normal),
        ] {
            let lifecycle: Lifecycle = serde_json::from_value(json!({ name: handlers })).unwrap();
            let hook = of(Hooks::of(Some(&lifecycle))).unwrap();
            // What is on the pod => is it held by one of them, are all of them there?
            for (on_pod, verdict) in [
                (json!({}), (false, false)),
                (json!({"labels": {"held": "false"}}), (false, false)),
                (json!({"labels": {"held": "true"}}), (true, false)),
                (json!({"finalizers": ["example.com/held"]}), (true, false)),
                (
                    json!({"labels": {"held": "true"}, "finalizers": ["example.com/other", "example.com/held"]}),
                    (true, true),
                ),
            ] {
                let pod: Pod = serde_json::from_value(json!({ "metadata": on_pod })).unwrap();
                assert_eq!(
                    (hook.holds(&pod), hook.is_complete(&pod)),
                    verdict,
                    "{name} {on_pod}"
                );
            }
        }
    }
}
