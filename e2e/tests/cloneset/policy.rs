//! Admission policies that a test puts in force for its own namespace only, and takes away whatever happens.
//!
//! They stand for what an administrator's policies do to pods; and so does a quota. A policy carries the namespace's name and matches
//! nothing outside it, so one that a killed run leaves behind disturbs nobody.

use anyhow::Result;
use e2e::Namespace;
use e2e::fixtures::with;
use e2e::waits::{Seen, until};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, DynamicObject, PostParams};
use kube::discovery::ApiResource;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, resume_unwind};

/// What a policy does to pods when they are created.
pub(crate) struct Policy {
    kind: &'static str,
    spec: Value,
    /// What its binding says besides its name.
    binding: Value,
    /// A pod that it changes or denies.
    probe: Value,
    /// Can the answer to the probe only come from the policy?
    shows: fn(&kube::Result<Pod>) -> bool,
}

/// What a denial says.
pub(crate) const DENIAL: &str = "images of this kind are not allowed here";

impl Policy {
    /// Denies pods whose first image is this one.
    pub(crate) fn denying_image(image: &str) -> Self {
        let expression = format!("object.spec.containers[0].image != '{image}'");
        Self {
            kind: "ValidatingAdmissionPolicy",
            spec: json!({"validations": [{"expression": expression, "message": DENIAL}]}),
            binding: json!({"validationActions": ["Deny"]}),
            probe: json!({
                "metadata": {"name": "probe"},
                "spec": {"containers": [{"name": "main", "image": image}]}
            }),
            shows: |answer| matches!(answer, Err(error) if error.to_string().contains(DENIAL)),
        }
    }

    /// Takes the owner references off pods.
    pub(crate) fn stripping_owners() -> Self {
        let remove = "[JSONPatch{op: 'remove', path: '/metadata/ownerReferences'}]";
        Self {
            shows: |answer| matches!(answer, Ok(pod) if pod.metadata.owner_references.is_none()),
            ..Self::mutating("has(object.metadata.ownerReferences)", remove, "app")
        }
    }

    /// Takes a label off pods.
    pub(crate) fn stripping_label(key: &str) -> Self {
        let condition = format!("has(object.metadata.labels) && '{key}' in object.metadata.labels");
        let path = format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"));
        let remove = format!("[JSONPatch{{op: 'remove', path: '{path}'}}]");
        Self {
            shows: |answer| matches!(answer, Ok(pod) if pod.labels().is_empty()),
            ..Self::mutating(&condition, &remove, key)
        }
    }

    /// Takes the readiness gates off pods.
    pub(crate) fn stripping_gates() -> Self {
        let remove = "[JSONPatch{op: 'remove', path: '/spec/readinessGates'}]";
        let mut policy = Self::mutating("has(object.spec.readinessGates)", remove, "app");
        if let Some(spec) = policy.probe.pointer_mut("/spec").and_then(Value::as_object_mut) {
            let gates = json!([{"conditionType": "example.com/probe"}]);
            spec.insert("readinessGates".to_owned(), gates);
        }
        Self {
            shows: |answer| matches!(answer, Ok(pod) if gates(pod) == 0),
            ..policy
        }
    }

    /// Adds a label to pods and rewrites their first image, as meshes and mirrors of registries do.
    pub(crate) fn decorating(image: &str) -> Self {
        let patch = format!(
            "[JSONPatch{{op: 'add', path: '/metadata/labels/mesh', value: 'injected'}}, \
              JSONPatch{{op: 'replace', path: '/spec/containers/0/image', value: '{image}'}}]"
        );
        Self {
            shows: |answer| matches!(answer, Ok(pod) if pod.labels().contains_key("mesh")),
            ..Self::mutating("has(object.metadata.labels)", &patch, "app")
        }
    }

    /// `label` is the probe's only one.
    fn mutating(condition: &str, patch: &str, label: &str) -> Self {
        Self {
            kind: "MutatingAdmissionPolicy",
            spec: json!({
                "reinvocationPolicy": "Never",
                "matchConditions": [{"name": "concerned", "expression": condition}],
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}]
            }),
            binding: json!({}),
            probe: json!({
                "metadata": {
                    "name": "probe",
                    "labels": {(label): "probe"},
                    "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "probe", "uid": "probe"}]
                },
                "spec": {"containers": [{"name": "main", "image": "probe"}]}
            }),
            shows: |_| false,
        }
    }
}

fn gates(pod: &Pod) -> usize {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.readiness_gates.as_ref())
        .map_or(0, Vec::len)
}

/// Runs a part of a test while a policy is in force. Afterwards it is not any more.
pub(crate) async fn under(
    ns: &Namespace,
    policy: Policy,
    test: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let outcome = AssertUnwindSafe(async {
        put_in_force(ns, &policy).await?;
        test().await
    })
    .catch_unwind()
    .await;
    for kind in [format!("{}Binding", policy.kind), policy.kind.to_owned()] {
        let removed = api(&ns.client, &kind)
            .delete(&ns.name, &DeleteParams::default())
            .await;
        if let Err(error) = removed {
            eprintln!("{kind} {} is still there: {error}", ns.name);
        }
    }
    outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
    goes_by(ns, &policy, false).await
}

/// Creates the policy, and waits until it shows.
async fn put_in_force(ns: &Namespace, policy: &Policy) -> Result<()> {
    let here = json!({
        "failurePolicy": "Fail",
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}},
            "resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]
            }]
        }
    });
    create(ns, policy.kind, &with(policy.spec.clone(), &here)).await?;
    let binding = with(json!({"policyName": ns.name}), &policy.binding);
    create(ns, &format!("{}Binding", policy.kind), &binding).await?;
    goes_by(ns, policy, true).await
}

/// Waits until the API server goes by the policy, or does no longer.
async fn goes_by(ns: &Namespace, policy: &Policy, wanted: bool) -> Result<()> {
    let probe: Pod = serde_json::from_value(policy.probe.clone())?;
    let rehearsal = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let what = if wanted { "goes by" } else { "has forgotten" };
    until(&format!("the API server {what} the policy"), async || {
        let answer = ns.pods().create(&rehearsal, &probe).await;
        Ok(Seen::when((policy.shows)(&answer) == wanted, || {
            format!("{answer:?}")
        }))
    })
    .await
}

async fn create(ns: &Namespace, kind: &str, spec: &Value) -> Result<()> {
    let object = serde_json::from_value(json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": ns.name},
        "spec": spec
    }))?;
    api(&ns.client, kind)
        .create(&PostParams::default(), &object)
        .await?;
    Ok(())
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let plural = if kind.ends_with('y') {
        format!("{}ies", kind.trim_end_matches('y').to_ascii_lowercase())
    } else {
        format!("{}s", kind.to_ascii_lowercase())
    };
    let resource = ApiResource {
        group: "admissionregistration.k8s.io".into(),
        version: "v1".into(),
        api_version: "admissionregistration.k8s.io/v1".into(),
        kind: kind.to_owned(),
        plural,
    };
    Api::all_with(client.clone(), &resource)
}

/// A quota of so many pods, once it is in force.
pub(crate) async fn quota(ns: &Namespace, pods: &str) -> Result<Api<ResourceQuota>> {
    let quotas: Api<ResourceQuota> = Api::namespaced(ns.client.clone(), &ns.name);
    let quota = serde_json::from_value(json!({
        "metadata": {"name": "pods"},
        "spec": {"hard": {"pods": pods}}
    }))?;
    quotas.create(&PostParams::default(), &quota).await?;
    until("the quota to be in force", async || {
        let status = quotas.get("pods").await?.status.unwrap_or_default();
        Ok(Seen::when(status.used.is_some(), || format!("{status:?}")))
    })
    .await?;
    Ok(quotas)
}
