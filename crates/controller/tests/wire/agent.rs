//! Every request says who sends it.

use cloneset_controller::client::client_of;
use cloneset_controller::telemetry::metrics::Metrics;
use cloneset_status::Pod;
use kube::api::{ListParams, WatchParams};
use kube::{Api, Config};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn every_request_carries_name_and_version() {
    let agents: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&agents);
    let answer = move |headers: axum::http::HeaderMap| {
        let agent = headers
            .get("user-agent")
            .map(|agent| agent.to_str().unwrap().to_owned());
        seen.lock().unwrap().push(agent.unwrap_or_default());
        async { axum::http::StatusCode::NOT_FOUND }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap())
        .parse()
        .unwrap();
    let server = tokio::spawn(async move {
        axum::serve(listener, axum::Router::new().fallback(answer))
            .await
            .unwrap();
    });
    let client = client_of(Config::new(url), &Metrics::default().requests).unwrap();
    let pods: Api<Pod> = Api::namespaced(client, "shop");
    assert!(pods.get("web-a").await.is_err());
    assert!(pods.list(&ListParams::default()).await.is_err());
    assert!(pods.watch(&WatchParams::default(), "0").await.is_err());
    server.abort();
    let expected = concat!("cloneset-controller/", env!("CARGO_PKG_VERSION"));
    assert_eq!(*agents.lock().unwrap(), [expected; 3]);
}
