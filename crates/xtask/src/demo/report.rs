//! What somebody needs to see when a step of the release does not come true.
//! It must not fail itself: what cannot be read is said to be so.

use super::install::{Installation, NAMESPACE};
use super::session::Session;

/// How much of the controller's log is shown.
const LOG_LINES: &str = "--tail=40";

/// The CloneSet, its pods, their events, and what the controller said last.
pub(super) fn state(session: &Session, installation: &Installation) -> String {
    let release = format!("app.kubernetes.io/instance={}", installation.release);
    let namespace = installation.namespace.as_str();
    let parts: [(&str, &[&str]); 5] = [
        (
            "the CloneSet",
            &["get", "clonesets", "--namespace", NAMESPACE, "--output", "yaml"],
        ),
        (
            "its pods",
            &["get", "pods", "--namespace", NAMESPACE, "--output", "wide"],
        ),
        (
            "events",
            &[
                "get",
                "events",
                "--namespace",
                NAMESPACE,
                "--sort-by=.metadata.creationTimestamp",
            ],
        ),
        (
            "the controller's pods",
            &["get", "pods", "--namespace", namespace, "--output", "wide"],
        ),
        (
            "the controller's log",
            &[
                "logs",
                "--namespace",
                namespace,
                "--selector",
                &release,
                "--prefix",
                LOG_LINES,
            ],
        ),
    ];
    parts.iter().fold(String::new(), |text, (what, arguments)| {
        let said = session
            .output("kubectl", arguments)
            .unwrap_or_else(|error| format!("cannot be read: {error:#}"));
        format!("{text}\n-- {what}\n{}\n", said.trim_end())
    })
}
