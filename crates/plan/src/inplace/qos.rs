//! The quality-of-service class that Kubernetes gives a pod for its containers' resources.
//!
//! Works on a canonical pod spec. It only serves to tell whether a resize would change the class, which the API server
//! refuses.

use serde_json::{Map, Value};

/// The class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QosClass {
    Guaranteed,
    Burstable,
    BestEffort,
}

/// The class of a pod with this spec. Resources of the pod as a whole are the caller's to compare.
pub(super) fn qos_class(spec: &Map<String, Value>) -> QosClass {
    let containers = ["containers", "initContainers"]
        .into_iter()
        .filter_map(|field| spec.get(field).and_then(Value::as_array))
        .flatten();
    let (mut any, mut guaranteed) = (false, true);
    for container in containers {
        for resource in ["cpu", "memory"] {
            let limit = amount(container, "limits", resource);
            let request = amount(container, "requests", resource).or(limit);
            any |= limit.is_some() || request.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => QosClass::BestEffort,
        (true, true) => QosClass::Guaranteed,
        (true, false) => QosClass::Burstable,
    }
}

/// A quantity, in canonical form; zero counts as none.
fn amount<'a>(container: &'a Value, field: &str, resource: &str) -> Option<&'a str> {
    container
        .pointer(&format!("/resources/{field}/{resource}"))
        .and_then(Value::as_str)
        .filter(|quantity| *quantity != "0")
}
