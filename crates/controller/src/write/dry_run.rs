//! Asks the API server, once for each revision, whether it would take a pod of it and which fields it does not know.
//!
//! The first question is strict (`fieldValidation=Strict`). A pod with an unknown field is made all the same, so only a
//! second question, asked in that case alone, tells whether it would be taken. What follows is the caller's business.

use crate::reconcile::memory::Memory;
use crate::run::Context;
use crate::write::perform::altered;
use crate::write::writer::{self, FieldValidation, Target, WriteError};
use cloneset_api::CloneSet;
use cloneset_plan::{Action, NewPod};
use cloneset_status::{Pod, Runaway};

/// How the API server rejects a dry run because of a webhook with side effects, which says nothing about the pod.
pub const NOT_SUPPORTED: &str = "does not support dry run";

/// Would the API server take this pod, and store what ties it to us? Unknown fields go to the memory.
pub async fn ask(
    context: &Context,
    cloneset: &CloneSet,
    memory: &mut Memory,
    pod: &NewPod,
) -> Result<Option<Runaway>, WriteError> {
    let revision = &pod.revision.name;
    let mut answer = one(context, cloneset, pod, FieldValidation::Strict).await;
    let unknown = match &answer {
        Err(WriteError::Refused(message)) => unknown_fields(message),
        _ => Vec::new(),
    };
    let is_clear = matches!(
        answer,
        Ok(_) | Err(WriteError::Refused(_) | WriteError::OverQuota(_) | WriteError::AlreadyExists)
    );
    if !unknown.is_empty() {
        answer = one(context, cloneset, pod, FieldValidation::Warn).await;
    }
    if is_clear {
        memory.unknown_fields.insert(revision.clone(), unknown);
    }
    answer
}

/// Asks for each of these new pods whose revision nobody has asked about yet. The pods are created whatever the answer is;
/// only an API server that asks to come back later, or another leader, is an error, and nothing more may be sent.
pub async fn find_unknown_fields(
    context: &Context,
    cloneset: &CloneSet,
    memory: &mut Memory,
    creations: &[&Action],
) -> Result<(), (String, WriteError)> {
    for action in creations {
        let Action::CreatePod(pod) = action else { continue };
        let revision = &pod.revision.name;
        if memory.unknown_fields.contains_key(revision) {
            continue;
        }
        match ask(context, cloneset, memory, pod).await {
            Ok(None) => drop(memory.rehearsed.insert(revision.clone())),
            Err(error @ (WriteError::NotLeading | WriteError::Throttled { .. })) => {
                return Err((revision.clone(), error));
            }
            // The creation itself shows what is wrong with the pod.
            Ok(Some(_)) | Err(_) => drop(memory.unknown_fields.entry(revision.clone()).or_default()),
        }
    }
    Ok(())
}

async fn one(
    context: &Context,
    cloneset: &CloneSet,
    pod: &NewPod,
    validation: FieldValidation,
) -> Result<Option<Runaway>, WriteError> {
    let target = Target::of::<Pod>(cloneset.metadata.namespace.as_deref(), "pods");
    let manifest = match validation {
        FieldValidation::Strict => pod.strict_manifest(cloneset, context.now()),
        FieldValidation::Warn => pod.manifest(cloneset, context.now()),
    };
    let stored: Pod = writer::dry_run(context, &target, &manifest, validation).await?;
    Ok(altered(cloneset, pod, &manifest, &stored))
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
