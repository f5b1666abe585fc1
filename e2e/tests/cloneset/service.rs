//! A Service in front of the CloneSet "web", for tests that send requests through it.

use anyhow::{Context as _, Result};
use e2e::Namespace;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::net::SocketAddr;

/// Creates the Service; its address.
pub(crate) async fn service(ns: &Namespace) -> Result<SocketAddr> {
    let services: Api<Service> = Api::namespaced(ns.client.clone(), &ns.name);
    let service = json!({
        "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}
    });
    let created = services
        .create(&PostParams::default(), &serde_json::from_value(service)?)
        .await?;
    let address = created.spec.and_then(|spec| spec.cluster_ip);
    Ok(SocketAddr::new(
        address.context("a Service without an address")?.parse()?,
        80,
    ))
}
