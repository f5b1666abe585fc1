//! Requests to the API server, under client-go's names: a layer around the client that counts and changes nothing.
//!
//! A request whose caller stops waiting counts too, as one without an answer: a server that hangs must show.

use http::{Method, Request, Response, StatusCode, Uri};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;
use tower::layer::layer_fn;
use tower::{Layer, Service};

/// Bounds of the buckets: those of Kubernetes' own components.
const SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    method: String,
    host: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct LatencyLabels {
    verb: String,
    host: String,
}

/// What is counted of requests.
#[derive(Clone, Debug)]
pub struct Requests {
    sent: Family<RequestLabels, Counter>,
    seconds: Family<LatencyLabels, Histogram>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let requests = Self {
            sent: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        registry.register(
            "rest_client_requests",
            "Requests sent to the API server",
            requests.sent.clone(),
        );
        registry.register(
            "rest_client_request_duration_seconds",
            "Time until an answer begins, of every request but watches",
            requests.seconds.clone(),
        );
        requests
    }

    /// Counts what goes through, as sent to this server.
    pub fn layer<S>(&self, server: &Uri) -> impl Layer<S, Service = Counted<S>> + use<S> {
        let counts = self.clone();
        let host: Arc<str> = host_and_port(server).into();
        layer_fn(move |inner| Counted {
            inner,
            counts: counts.clone(),
            host: Arc::clone(&host),
        })
    }
}

/// As client-go says it.
fn host_and_port(server: &Uri) -> String {
    match (server.host(), server.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "none".to_owned(),
    }
}

/// A service whose requests are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    counts: Requests,
    host: Arc<str>,
}

impl<S, B, A> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<A>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut under_way = UnderWay {
            counts: self.counts.clone(),
            host: Arc::clone(&self.host),
            method: request.method().clone(),
            is_watch: is_watch(request.uri()),
            started: Instant::now(),
            answer: None,
        };
        let answering = self.inner.call(request);
        Box::pin(async move {
            let result = answering.await;
            under_way.end(result.as_ref().ok().map(Response::status));
            result
        })
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query()
        .is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"))
}

/// A request that was sent; counted when it ends, however it does.
struct UnderWay {
    counts: Requests,
    host: Arc<str>,
    method: Method,
    is_watch: bool,
    started: Instant,
    answer: Option<StatusCode>,
}

impl UnderWay {
    /// Takes note of the answer. By a method, so that the future owns all of it and drops it where it ends.
    fn end(&mut self, answer: Option<StatusCode>) {
        self.answer = answer;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let code = match self.answer {
            Some(status) => status.as_str().to_owned(),
            // As client-go says it: errors may have any text.
            None => "<error>".to_owned(),
        };
        let (method, host) = (self.method.to_string(), self.host.to_string());
        let labels = RequestLabels {
            code,
            method: method.clone(),
            host: host.clone(),
        };
        self.counts.sent.get_or_create(&labels).inc();
        if !self.is_watch {
            let labels = LatencyLabels { verb: method, host };
            let seconds = self.started.elapsed().as_secs_f64();
            self.counts.seconds.get_or_create(&labels).observe(seconds);
        }
    }
}
