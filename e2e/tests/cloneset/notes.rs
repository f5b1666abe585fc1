//! A note in a pod's volume, to see whether the data stays with the pod.

use anyhow::Result;
use e2e::Namespace;

/// Where the volume is mounted.
pub(crate) const PLACE: &str = "/data";

/// Writes it.
pub(crate) async fn write(ns: &Namespace, pod: &str, note: &str) -> Result<()> {
    let command = format!("echo {note} > {PLACE}/note");
    ns.kubectl(&["exec", pod, "--", "sh", "-c", &command]).await?;
    Ok(())
}

/// Reads it; empty where there is none.
pub(crate) async fn read(ns: &Namespace, pod: &str) -> Result<String> {
    let command = format!("cat {PLACE}/note 2>/dev/null || true");
    let told = ns.kubectl(&["exec", pod, "--", "sh", "-c", &command]).await?;
    Ok(told.trim().to_owned())
}
