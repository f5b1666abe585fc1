//! The API client: no blind retries.
//!
//! kube's default client repeats any request on 429 and 5xx, also a POST that may have been carried out. This one sends a
//! request once; whether to send another one is decided by reading the object. Every caller sets its own time-out: a
//! watch may be silent for longer than any other call may last.

use crate::telemetry::metrics::requests::Requests;
use http::HeaderValue;
use http::header::USER_AGENT;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::ConfigExt as _;
use kube::{Client, Config};
use std::time::Duration;
use tower::{BoxError, ServiceBuilder};

/// Name of the field manager in managed fields.
pub const FIELD_MANAGER: &str = "cloneset-controller";
/// Name and version, as every request carries them, for the API server's audit log.
const AGENT: &str = concat!("cloneset-controller/", env!("CARGO_PKG_VERSION"));
/// Time to reach the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection on which nothing comes back for so long is closed: 5 s without traffic, then three probes 5 s apart. A load
/// balancer that forgets connections drops them without a word, and every request on one would wait for its time-out.
const PROBE_AFTER: Duration = Duration::from_secs(5);
const PROBES: u32 = 3;
const DEAD_AFTER: Duration = Duration::from_secs(20);
/// An idle connection is kept for so long, and at most so many.
const IDLE: Duration = Duration::from_secs(30);
const MAX_IDLE: usize = 32;

/// The cluster that the environment points to.
///
/// # Errors
/// When there is neither a service account nor a kubeconfig.
pub async fn config() -> Result<Config, ConnectError> {
    Config::infer()
        .await
        .map_err(|error| ConnectError::Config(Box::new(error)))
}

/// A client with connections of its own, whose requests are counted.
///
/// # Errors
/// When the configuration cannot be used.
pub fn client_of(mut config: Config, requests: &Requests) -> Result<Client, ConnectError> {
    config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
    let client = |error| ConnectError::Client(Box::new(error));
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_keepalive(Some(PROBE_AFTER));
    tcp.set_keepalive_interval(Some(PROBE_AFTER));
    tcp.set_keepalive_retries(Some(PROBES));
    tcp.set_tcp_user_timeout(Some(DEAD_AFTER));
    let tls = config
        .rustls_https_connector_with_connector(tcp)
        .map_err(client)?;
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MAX_IDLE)
        .build(tls);
    let service = ServiceBuilder::new()
        .layer(requests.layer(&config.cluster_url))
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(client)?)
        .layer(config.extra_headers_layer().map_err(client)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
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
