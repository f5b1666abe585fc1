//! The API client: no blind retries.
//!
//! kube's default client repeats any request on 429 and 5xx, also a POST that may have been carried out. This one sends a
//! request once; whether to send another one is decided by reading the object. Every caller sets its own time-out: a
//! watch may be silent for longer than any other call may last.

use crate::telemetry::metrics::requests::Requests;
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use std::time::Duration;

/// Name of the field manager in managed fields.
pub const FIELD_MANAGER: &str = "cloneset-controller";
/// Name and version, as every request carries them, for the API server's audit log.
const AGENT: &str = concat!("cloneset-controller/", env!("CARGO_PKG_VERSION"));
/// Time to reach the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for the cluster the environment points to, whose requests are counted.
///
/// # Errors
/// When there is neither a service account nor a kubeconfig, or it cannot be used.
pub async fn connect(requests: &Requests) -> Result<Client, ConnectError> {
    let config = Config::infer()
        .await
        .map_err(|error| ConnectError::Config(Box::new(error)))?;
    client_of(config, requests)
}

/// A client for this cluster, as [`connect`] gives it.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client_of(mut config: Config, requests: &Requests) -> Result<Client, ConnectError> {
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = None;
    config.write_timeout = Some(CONNECT_TIMEOUT);
    let counted = requests.layer(&config.cluster_url);
    let builder = ClientBuilder::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))?;
    Ok(builder.with_layer(&counted).build())
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No usable configuration.
    #[error("no way to the API server: neither a service account nor a kubeconfig could be used")]
    Config(#[source] Box<kube::config::InferConfigError>),
    /// A configuration that makes no client.
    #[error("the configuration of the API server's address or certificates is not usable")]
    Client(#[source] Box<kube::Error>),
}
