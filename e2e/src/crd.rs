//! The CRD of CloneSets, changed behind Helm's back as other installers and older versions would have it.
//!
//! Only tests that run alone may: every CloneSet of the cluster goes by it. They put it back.

use crate::cluster::Cluster;
use anyhow::Result;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Its name.
pub const NAME: &str = "clonesets.apps.kruise.io";
const MANAGER: &str = "e2e";

/// Merges something into it, and leaves no trace of who did: owned by us, the fields would be a conflict for the next
/// `helm upgrade` that brings others.
pub async fn merge(cluster: &Cluster, change: Value) -> Result<()> {
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    let me = PatchParams {
        field_manager: Some(MANAGER.into()),
        ..PatchParams::default()
    };
    let mut crd = crds.patch(NAME, &me, &Patch::Merge(change)).await?;
    let mut owners = crd.metadata.managed_fields.take().unwrap_or_default();
    owners.retain(|owner| owner.manager.as_deref() != Some(MANAGER));
    let owners = json!({"metadata": {"managedFields": owners}});
    crds.patch(NAME, &me, &Patch::Merge(owners)).await?;
    Ok(())
}
