//! A small recording API server: stores objects, feeds watches, plays the kubelet's part, and fails on request.
//!
//! Only what the controller asks of a server, and only as far as the wire tests need it: it knows no schema, no
//! admission and no other clients. What it cannot do must be an e2e test.

use axum::body::Body;
use cloneset_controller::telemetry::metrics::requests::Requests;
use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use tower::Layer as _;

/// A request as it came in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Recorded {
    /// Method.
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// Body, if it was JSON.
    pub(crate) body: Value,
}

impl Recorded {
    /// Is it a write to this resource, such as "pods" or "pods/status"?
    pub(crate) fn writes(&self, method: &Method, resource: &str) -> bool {
        let path = self.path.split('?').next().unwrap_or_default();
        let mut parts = path
            .split("/namespaces/")
            .nth(1)
            .unwrap_or_default()
            .split('/')
            .skip(1);
        let collection = parts.next().unwrap_or_default();
        let subresource = parts.nth(1);
        let full = subresource.map_or_else(|| collection.to_owned(), |sub| format!("{collection}/{sub}"));
        self.method == *method && full == resource && !self.is_rehearsal()
    }

    /// Does it only ask whether it would be carried out?
    pub(crate) fn is_rehearsal(&self) -> bool {
        self.path.contains("dryRun=All")
    }
}

/// What is done to a request instead of answering it as it deserves.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is carried out, and the answer is lost.
    LoseReply,
    /// It is carried out, and by the time of the answer somebody has deleted what it made.
    Undo,
    /// It is refused with this status object.
    Refuse(Value),
    /// It is never answered.
    Hang,
}

type Admission = Box<dyn FnMut(&mut Value) + Send>;
type Faults = Box<dyn FnMut(&Recorded) -> Fault + Send>;
type Watcher = (String, mpsc::UnboundedSender<Result<String, Infallible>>);

pub(crate) struct State {
    pub(crate) version: u64,
    /// By collection ("pods"), then "namespace/name".
    pub(crate) objects: BTreeMap<String, BTreeMap<String, Value>>,
    watchers: Vec<Watcher>,
    requests: Vec<Recorded>,
    faults: Faults,
    /// What mutating admission makes of a new pod.
    admission: Admission,
    /// Stops events from reaching watches, as a slow cache would.
    silent: bool,
    /// Watches end after this time, as the API server ends them.
    pub(crate) close_after: Option<std::time::Duration>,
    /// The collection whose events are held back.
    pub(crate) lag: Option<String>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) state: Arc<Mutex<State>>,
}

impl Server {
    /// An empty cluster.
    pub(crate) fn new() -> Self {
        let state = State {
            version: 100,
            objects: BTreeMap::new(),
            watchers: Vec::new(),
            requests: Vec::new(),
            faults: Box::new(|_| Fault::None),
            admission: Box::new(|_| {}),
            silent: false,
            close_after: None,
            lag: None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A client of it, counted as in production.
    pub(crate) fn client(&self, requests: &Requests) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let server = server.clone();
            async move { server.answer(request).await }
        });
        let counted = requests.layer(&"https://server:6443".parse().unwrap());
        Client::new(counted.layer(service), "default")
    }

    /// From now on, what is done to requests.
    pub(crate) fn fail(&self, faults: impl FnMut(&Recorded) -> Fault + Send + 'static) {
        self.state.lock().unwrap().faults = Box::new(faults);
    }

    /// From now on, what mutating admission makes of a new pod.
    pub(crate) fn admit(&self, admission: impl FnMut(&mut Value) + Send + 'static) {
        self.state.lock().unwrap().admission = Box::new(admission);
    }

    /// Holds back watch events, or lets them through again (those held back are lost, as with a broken watch).
    pub(crate) fn hold_back_events(&self, silent: bool) {
        let mut state = self.state.lock().unwrap();
        state.silent = silent;
        if !silent {
            state.watchers.clear();
        }
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.state.lock().unwrap().requests.clone()
    }

    /// The objects of a collection.
    pub(crate) fn objects(&self, collection: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state
            .objects
            .get(collection)
            .map(|objects| objects.values().cloned().collect())
            .unwrap_or_default()
    }

    async fn answer(&self, request: Request<kube::client::Body>) -> Result<Response<Body>, Infallible> {
        let (head, body) = request.into_parts();
        let bytes = body.collect_bytes().await.unwrap();
        let recorded = Recorded {
            method: head.method.clone(),
            path: head.uri.path_and_query().unwrap().to_string(),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        };
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.requests.push(recorded.clone());
            (state.faults)(&recorded)
        };
        match fault {
            Fault::None => Ok(self.carry_out(&recorded)),
            Fault::LoseReply => {
                self.carry_out(&recorded);
                Ok(status(504, "Timeout", "the answer was lost"))
            }
            Fault::Undo => {
                let answer = self.carry_out(&recorded);
                self.state.lock().unwrap().vanish("pods", &key_of(&recorded.body));
                Ok(answer)
            }
            Fault::Refuse(refusal) => {
                let code = u16::try_from(refusal["code"].as_u64().unwrap_or(500)).unwrap();
                Ok(respond(code, &refusal))
            }
            Fault::Hang => std::future::pending().await,
        }
    }

    fn carry_out(&self, request: &Recorded) -> Response<Body> {
        let mut state = self.state.lock().unwrap();
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let Some((collection, key, subresource)) = locate(path) else {
            return status(404, "NotFound", "no such path");
        };
        match (&request.method, key) {
            (&Method::GET, None) if query.contains("watch=true") => state.watch(collection),
            (&Method::GET, None) => state.list(collection, query),
            (&Method::GET, Some(key)) => state.get(collection, &key),
            (&Method::POST, _) if query.contains("dryRun=All") => {
                let mut object = request.body.clone();
                (state.admission)(&mut object);
                respond(201, &object)
            }
            (&Method::POST, _) => state.create(collection, request.body.clone()),
            (&Method::PATCH, Some(key)) => state.patch(collection, &key, subresource, &request.body),
            (&Method::DELETE, Some(key)) => state.delete(collection, &key, &request.body),
            _ => status(405, "MethodNotAllowed", "not here"),
        }
    }
}

/// Collection, "namespace/name" and subresource of a path.
fn locate(path: &str) -> Option<(&'static str, Option<String>, Option<&str>)> {
    const COLLECTIONS: [&str; 7] = [
        "clonesets",
        "pods",
        "persistentvolumeclaims",
        "controllerrevisions",
        "events",
        "leases",
        "customresourcedefinitions",
    ];
    let parts: Vec<&str> = path.split('/').collect();
    let at = parts.iter().position(|part| COLLECTIONS.contains(part))?;
    let collection = COLLECTIONS.into_iter().find(|known| *known == parts[at])?;
    let namespace = parts
        .iter()
        .position(|part| *part == "namespaces")
        .and_then(|at| parts.get(at + 1));
    let key = parts
        .get(at + 1)
        .map(|name| format!("{}/{name}", namespace.unwrap_or(&"")));
    Some((collection, key, parts.get(at + 2).copied()))
}

pub(crate) fn key_of(object: &Value) -> String {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("namespace"), text("name"))
}

fn respond(code: u16, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn status(code: u16, reason: &str, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                      "code": code, "reason": reason, "message": message});
    respond(code, &body)
}

impl State {
    /// Watches that somebody still reads.
    pub(crate) fn open_watches(&mut self) -> usize {
        self.watchers.retain(|(_, sender)| !sender.is_closed());
        self.watchers.len()
    }

    /// Of selectors only two forms are known: a key that must be there, and `key=value`.
    fn list(&self, collection: &str, query: &str) -> Response<Body> {
        let selector = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("labelSelector="))
            .unwrap_or_default();
        let selector = selector.replace("%2F", "/").replace("%3D", "=");
        let matches = |object: &&Value| {
            let labels = &object["metadata"]["labels"];
            match selector.split_once('=') {
                Some((key, value)) => labels[key] == value,
                None => selector.is_empty() || !labels[&selector].is_null(),
            }
        };
        let items: Vec<&Value> = self
            .objects
            .get(collection)
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(matches)
            .collect();
        let version = self.version.to_string();
        respond(
            200,
            &json!({"kind": "List", "apiVersion": "v1",
                             "metadata": {"resourceVersion": version}, "items": items}),
        )
    }

    fn watch(&mut self, collection: &str) -> Response<Body> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.watchers.push((collection.to_owned(), sender));
        let close = self.close_after.map(|after| tokio::time::Instant::now() + after);
        let stream = futures::stream::unfold(receiver, move |mut receiver| async move {
            match close {
                None => receiver.recv().await.map(|line| (line, receiver)),
                Some(at) => tokio::time::timeout_at(at, receiver.recv())
                    .await
                    .ok()
                    .flatten()
                    .map(|line| (line, receiver)),
            }
        });
        Response::new(Body::from_stream(stream.boxed()))
    }

    fn get(&self, collection: &str, key: &str) -> Response<Body> {
        match self.objects.get(collection).and_then(|objects| objects.get(key)) {
            Some(object) => respond(200, object),
            None => status(404, "NotFound", "not found"),
        }
    }

    /// Somebody else deletes an object, and it goes at once.
    pub(crate) fn vanish(&mut self, collection: &str, key: &str) {
        let gone = self
            .objects
            .get_mut(collection)
            .and_then(|objects| objects.remove(key));
        if let Some(mut gone) = gone {
            self.version += 1;
            gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.announce(collection, "DELETED", &gone);
        }
    }

    fn create(&mut self, collection: &str, mut object: Value) -> Response<Body> {
        let key = key_of(&object);
        if self
            .objects
            .get(collection)
            .is_some_and(|objects| objects.contains_key(&key))
        {
            return status(409, "AlreadyExists", &format!("{key} already exists"));
        }
        if collection == "pods" {
            (self.admission)(&mut object);
        }
        object["metadata"]["uid"] = json!(format!("uid-{collection}-{}", self.version));
        object["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
        let stored = self.store(collection, object);
        if collection == "pods" {
            self.run_pod(&key);
        }
        respond(201, &stored)
    }

    /// The scheduler's and the kubelet's part: a pod runs at once, and is ready when its gate is True.
    fn run_pod(&mut self, key: &str) {
        let Some(mut pod) = self.objects.get("pods").and_then(|pods| pods.get(key)).cloned() else {
            return;
        };
        let conditions = pod["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_true = |type_: &str| {
            conditions
                .iter()
                .any(|c| c["type"] == type_ && c["status"] == "True")
        };
        let gate_open = is_true("InPlaceUpdateReady");
        if pod["spec"]["nodeName"].is_null() || (gate_open && !is_true("Ready")) {
            pod["spec"]["nodeName"] = json!("node");
            pod["status"]["phase"] = json!("Running");
            let mut kept: Vec<Value> = conditions
                .iter()
                .filter(|c| c["type"] != "Ready")
                .cloned()
                .collect();
            let ready = if gate_open { "True" } else { "False" };
            kept.push(
                json!({"type": "Ready", "status": ready, "lastTransitionTime": "2026-01-01T00:00:01Z"}),
            );
            pod["status"]["conditions"] = json!(kept);
            self.store("pods", pod);
        }
    }

    fn patch(
        &mut self,
        collection: &str,
        key: &str,
        subresource: Option<&str>,
        patch: &Value,
    ) -> Response<Body> {
        let Some(mut object) = self
            .objects
            .get(collection)
            .and_then(|objects| objects.get(key))
            .cloned()
        else {
            return status(404, "NotFound", "not found");
        };
        if patch.is_array() {
            let steps: json_patch::Patch = serde_json::from_value(patch.clone()).unwrap();
            if json_patch::patch(&mut object, &steps).is_err() {
                return status(
                    422,
                    "Invalid",
                    "the server rejected our request due to an error in our request",
                );
            }
            let generation = object["metadata"]["generation"].as_i64().unwrap_or_default();
            object["metadata"]["generation"] = json!(generation + 1);
            return respond(200, &self.store(collection, object));
        }
        let meta = &patch["metadata"];
        if !meta["uid"].is_null() && meta["uid"] != object["metadata"]["uid"] {
            return status(409, "Conflict", "the UID in the precondition does not match");
        }
        if !meta["resourceVersion"].is_null()
            && meta["resourceVersion"] != object["metadata"]["resourceVersion"]
        {
            return status(409, "Conflict", "the object has been modified");
        }
        let mut patch = patch.clone();
        if collection == "pods" && subresource == Some("status") {
            // Strategic merge: conditions are a map by type.
            let mut conditions = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            for new in patch["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default()
            {
                conditions.retain(|old| old["type"] != new["type"]);
                conditions.push(new);
            }
            patch["status"]["conditions"] = json!(conditions);
        }
        json_patch::merge(&mut object, &patch);
        let stored = self.store(collection, object);
        if collection == "pods" {
            self.run_pod(key);
        }
        respond(200, &stored)
    }

    fn delete(&mut self, collection: &str, key: &str, options: &Value) -> Response<Body> {
        let Some(mut object) = self
            .objects
            .get(collection)
            .and_then(|objects| objects.get(key))
            .cloned()
        else {
            return status(404, "NotFound", "not found");
        };
        for field in ["uid", "resourceVersion"] {
            let wanted = &options["preconditions"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return status(409, "Conflict", "a precondition does not match");
            }
        }
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:02Z");
        let leaving = self.store(collection, object);
        self.objects.get_mut(collection).unwrap().remove(key);
        self.version += 1;
        let mut gone = leaving.clone();
        gone["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.announce(collection, "DELETED", &gone);
        respond(200, &leaving)
    }

    pub(crate) fn store(&mut self, collection: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let objects = self.objects.entry(collection.to_owned()).or_default();
        let known = objects.insert(key_of(&object), object.clone()).is_some();
        self.announce(collection, if known { "MODIFIED" } else { "ADDED" }, &object);
        object
    }

    pub(crate) fn announce(&mut self, collection: &str, type_: &str, object: &Value) {
        if self.silent || self.lag.as_deref() == Some(collection) {
            return;
        }
        let line = json!({"type": type_, "object": object}).to_string() + "\n";
        self.watchers
            .retain(|(of, sender)| of != collection || sender.send(Ok(line.clone())).is_ok());
    }
}
