//! The admin pages: `/livez`, `/readyz`, `/metrics`.
//!
//! Read-only, and without any detail of a CloneSet.

use crate::telemetry::metrics::Format;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// Binds an address.
///
/// # Errors
/// When the address cannot be bound, naming it.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        // "Every address" on a machine without IPv6 is every IPv4 address.
        Err(source) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            TcpListener::bind(v4)
                .await
                .map_err(|_| BindError { address, source })
        }
        Err(source) => Err(BindError { address, source }),
    }
}

/// An address that cannot be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Where the pages get their contents.
pub struct Admin {
    /// Why this replica is not ready, if it is not.
    pub not_ready: Box<dyn Fn() -> Option<String> + Send + Sync>,
    /// The metrics page.
    pub metrics: Box<dyn Fn(Format) -> String + Send + Sync>,
}

/// Serves the pages; never ends.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, admin: Arc<Admin>) -> std::io::Result<()> {
    axum::serve(listener, pages(admin)).await
}

/// The pages.
pub fn pages(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(admin)
}

async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, String) {
    match (admin.not_ready)() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}; see the log\n")),
    }
}

async fn metrics(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> impl IntoResponse {
    let accept = headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok());
    let format = Format::accepted(accept.unwrap_or_default());
    let kind = [(header::CONTENT_TYPE, format.content_type())];
    (kind, (admin.metrics)(format))
}
