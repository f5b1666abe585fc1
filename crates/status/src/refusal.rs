//! What to do about a request that the API server rejected, from its own words.
//!
//! Only where the words leave no doubt: other messages stay as they are. Nothing here decides what is tried again.

/// What a message says, and what then helps.
const ADVICE: [(&str, &str); 3] = [
    ("exceeded quota", "raise the quota, or lower spec.replicas"),
    (
        "error looking up service account",
        "create the service account, or correct spec.template.spec.serviceAccountName",
    ),
    (
        "cannot create resource",
        "grant the controller's service account the rules of the chart",
    ),
];

/// The API server's message, and after it what to do.
pub(crate) fn with_advice(message: String) -> String {
    let mut advice = ADVICE.iter().filter(|(said, _)| message.contains(said));
    match advice.next() {
        Some((_, advice)) => format!("{message}; {advice}"),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_followed_by_what_to_do_and_an_unknown_one_is_not() {
        let advised = |message: &str| with_advice(message.to_owned());
        assert_eq!(
            advised(
                "cannot create a pod: pods \"web-x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, \
                 limited: pods=2"
            ),
            "cannot create a pod: pods \"web-x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=2, \
             limited: pods=2; raise the quota, or lower spec.replicas"
        );
        assert_eq!(
            advised(
                "pods \"web-x\" is forbidden: error looking up service account t/robot: serviceaccount \"robot\" not found"
            ),
            "pods \"web-x\" is forbidden: error looking up service account t/robot: serviceaccount \"robot\" not found; \
             create the service account, or correct spec.template.spec.serviceAccountName"
        );
        let other = "admission webhook \"a.example.com\" denied the request: no";
        assert_eq!(advised(other), other);
    }
}
