//! Dry runs: would the API server accept a pod of a revision, and which of its fields does it not know?
//!
//! The first request is strict (`fieldValidation=Strict`). A pod with an unknown field is created all the same, so only a
//! second request, made in that case alone, shows whether it would be accepted. What follows is the caller's to decide.

use crate::write::error::WriteError;
use crate::write::owner::Owner;
use crate::write::pods::{altered, target};
use crate::write::writer::FieldValidation;
use cloneset_plan::NewPod;
use cloneset_status::{Pod, Runaway};

/// How the API server rejects a dry run because of a webhook with side effects, which says nothing about the pod.
pub const NOT_SUPPORTED: &str = "does not support dry run";

/// The answer to a dry run.
#[derive(Debug)]
pub struct DryRun {
    /// Whether the pod would be created, and if so, whether without what ties it to its CloneSet.
    pub answer: Result<Option<Runaway>, WriteError>,
    /// Fields that the API server does not know, as paths in the CloneSet; `None` when the answer does not show it.
    pub unknown_fields: Option<Vec<String>>,
}

/// Asks the API server to create this pod without storing it.
pub async fn dry_run(owner: &Owner<'_>, pod: &NewPod) -> DryRun {
    let mut answer = ask(owner, pod, FieldValidation::Strict).await;
    let unknown = match &answer {
        Err(WriteError::Rejected(message)) => unknown_fields(message),
        _ => Vec::new(),
    };
    let is_clear = matches!(
        answer,
        Ok(_) | Err(WriteError::Rejected(_) | WriteError::OverQuota(_) | WriteError::AlreadyExists)
    );
    if !unknown.is_empty() {
        answer = ask(owner, pod, FieldValidation::Warn).await;
    }
    DryRun {
        answer,
        unknown_fields: is_clear.then_some(unknown),
    }
}

async fn ask(
    owner: &Owner<'_>,
    pod: &NewPod,
    validation: FieldValidation,
) -> Result<Option<Runaway>, WriteError> {
    let now = (owner.clock)();
    let manifest = match validation {
        FieldValidation::Strict => pod.strict_manifest(owner.cloneset, now),
        FieldValidation::Warn => pod.manifest(owner.cloneset, now),
    };
    let stored: Pod = owner
        .writer
        .dry_run(&target(owner, "pods"), &manifest, validation)
        .await?;
    Ok(altered(owner, pod, &manifest, &stored))
}

/// The unknown fields that a strict answer names, as paths in the CloneSet. The API server gives them in its message
/// only: `strict decoding error: unknown field "spec.containers[0].resource", unknown field …`.
fn unknown_fields(message: &str) -> Vec<String> {
    let Some((_, errors)) = message.split_once("strict decoding error: ") else {
        return Vec::new();
    };
    let fields = errors.split("unknown field \"").skip(1);
    fields
        .filter_map(|field| field.split('"').next())
        .map(|path| format!("spec.template.{path}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paths_of_a_strict_answer_are_those_of_the_cloneset() {
        let message = "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \
                       \"metadata.foo\", unknown field \"spec.containers[0].livenessProb\"";
        assert_eq!(
            unknown_fields(message),
            [
                "spec.template.metadata.foo",
                "spec.template.spec.containers[0].livenessProb"
            ]
        );
        assert_eq!(
            unknown_fields("Pod \"web-x\" is invalid: unknown field \"a\""),
            [""; 0]
        );
    }
}
