//! A fake API server that holds a generated cluster: it lists and watches, and answers the other requests that the
//! controller makes at start and at rest.
//!
//! It plays no other component. It stores writes of leases and of the status of CloneSets, and counts and denies all others.

use super::objects::{Form, Objects};
use super::population::{Item, Kind};
use super::query::{Page, Query, Selection};
use super::state::{LeaseError, State};
use super::template::Field;
use super::watching::{PIECE, watch};
use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State as Shared};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;

/// The largest write that is read.
const LARGEST_WRITE: usize = 8 << 20;

/// Serves the cluster on a free port of this machine, until the runtime ends.
pub(super) async fn serve(objects: Objects) -> Result<(SocketAddr, Arc<State>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .context("cannot listen on 127.0.0.1")?;
    let address = listener.local_addr()?;
    let state = Arc::new(State::new(objects));
    let router = Router::new().fallback(answer).with_state(Arc::clone(&state));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok((address, state))
}

/// The parts of a path.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    resource: &'a str,
    namespace: Option<&'a str>,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.split('/').skip(1);
        match parts.next()? {
            "api" => parts.next()?,
            "apis" => parts.nth(1)?,
            _ => return None,
        };
        let mut parts = parts.peekable();
        let mut resource = parts.next()?;
        let mut namespace = None;
        if resource == "namespaces" {
            namespace = Some(parts.next()?);
            resource = parts.next()?;
        }
        Some(Self {
            resource,
            namespace,
            name: parts.next(),
            subresource: parts.next(),
        })
    }

    fn resource_and_subresource(&self) -> String {
        match self.subresource {
            Some(subresource) => format!("{}/{subresource}", self.resource),
            None => self.resource.to_owned(),
        }
    }
}

async fn answer(Shared(state): Shared<Arc<State>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    let accept = head
        .headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .unwrap_or_default();
    let by_metadata = accept.contains("as=PartialObjectMetadata");
    let Some(target) = Target::of(path) else {
        return unknown(&state, &head.method, path);
    };
    let kind = Kind::of_resource(target.resource);
    match (&head.method, target.resource, kind) {
        (&Method::GET, "customresourcedefinitions", _) => respond(StatusCode::OK, &crd()),
        (&Method::GET, _, Some(kind)) => read(
            &state,
            &target,
            kind,
            head.uri.query().unwrap_or_default(),
            by_metadata,
        ),
        (&Method::GET, "leases", _) => match state.lease(target.name.unwrap_or_default()) {
            Some(lease) => respond(StatusCode::OK, &lease),
            None => failure(StatusCode::NOT_FOUND, "NotFound", "there is no such lease"),
        },
        (&Method::GET, ..) => unknown(&state, &head.method, path),
        (method, resource, _) => {
            let Ok(bytes) = to_bytes(body, LARGEST_WRITE).await else {
                return failure(StatusCode::BAD_REQUEST, "BadRequest", "the body cannot be read");
            };
            match (method, resource) {
                (_, "leases") => write_lease(&state, method, &target, &bytes),
                (&Method::PATCH, "clonesets") if target.subresource == Some("status") => {
                    write_status(&state, &target, &bytes, by_metadata)
                }
                _ => deny(&state, method, &target, &bytes),
            }
        }
    }
}

fn read(state: &Arc<State>, target: &Target<'_>, kind: Kind, query: &str, by_metadata: bool) -> Response {
    let whole = if by_metadata { Form::Metadata } else { Form::Whole };
    if target.name.is_some() {
        let Some(item) = find(state, target, kind) else {
            return failure(StatusCode::NOT_FOUND, "NotFound", "there is no such object");
        };
        return json_body(render(state, item, whole));
    }
    let query = match Query::parse(query) {
        Ok(query) => query,
        Err(error) => {
            state.count(|traffic| *traffic.unknown.entry(error.clone()).or_default() += 1);
            return failure(StatusCode::BAD_REQUEST, "BadRequest", &error);
        }
    };
    let selection = Selection {
        kind,
        namespace: target.namespace.map(str::to_owned),
        selector: query.selector.clone(),
    };
    if query.is_watch {
        return stream_body(Body::from_stream(watch(state, selection, whole, &query)));
    }
    list(state, &selection, &query, by_metadata)
}

/// Answers a list piece by piece, so that the server never holds a whole list.
fn list(state: &Arc<State>, selection: &Selection, query: &Query, by_metadata: bool) -> Response {
    let kind = selection.kind;
    let page = Page::of(&state.objects, selection, query, state.version());
    let (api_version, name, form) = if by_metadata {
        ("meta.k8s.io/v1", "PartialObjectMetadata", Form::Metadata)
    } else {
        let (api_version, name) = kind.names();
        (api_version, name, Form::Listed)
    };
    let metadata = match page.token.as_str() {
        "" => json!({"resourceVersion": page.version.to_string()}),
        token => json!({"resourceVersion": page.version.to_string(), "continue": token}),
    };
    let begin =
        format!(r#"{{"kind":"{name}List","apiVersion":"{api_version}","metadata":{metadata},"items":["#);
    let first = page.items.first().copied();
    let pieces: Vec<Vec<usize>> = page.items.chunks(PIECE).map(<[usize]>::to_vec).collect();
    let state = Arc::clone(state);
    let items = pieces.into_iter().map(move |piece| {
        let mut text = String::new();
        if piece.first().copied() != first {
            text.push(',');
        }
        let items = piece.into_iter().map(|index| Item { kind, index });
        state.render(items, form, &mut text, |_| {}, ",");
        text.pop();
        state.count(|traffic| traffic.listed += u64::try_from(text.len()).unwrap_or(0));
        text
    });
    let all = std::iter::once(begin).chain(items).chain(["]}\n".to_owned()]);
    let all = all.map(|text| Ok::<_, Infallible>(Bytes::from(text)));
    stream_body(Body::from_stream(futures::stream::iter(all)))
}

fn find(state: &State, target: &Target<'_>, kind: Kind) -> Option<Item> {
    let (name, namespace) = (target.name?, target.namespace?);
    let mut items = (0..state.objects.population.count(kind)).map(|index| Item { kind, index });
    items.find(|item| {
        state.objects.value(*item, Field::Name) == name
            && state.objects.value(*item, Field::Namespace) == namespace
    })
}

fn render(state: &State, item: Item, form: Form) -> String {
    let mut text = String::new();
    state.render(std::iter::once(item), form, &mut text, |_| {}, "");
    text
}

fn write_lease(state: &State, method: &Method, target: &Target<'_>, body: &[u8]) -> Response {
    let Ok(mut lease) = serde_json::from_slice::<Value>(body) else {
        return failure(StatusCode::BAD_REQUEST, "BadRequest", "the lease is not JSON");
    };
    let creates = *method == Method::POST;
    let name = match target.name {
        Some(name) => name.to_owned(),
        None => text_at(&lease, "/metadata/name"),
    };
    if *method == Method::PATCH
        && let Some(mut stored) = state.lease(&name)
    {
        json_patch::merge(&mut stored, &lease);
        lease = stored;
    }
    match state.store_lease(&name, lease, !creates) {
        Ok(stored) if creates => respond(StatusCode::CREATED, &stored),
        Ok(stored) => respond(StatusCode::OK, &stored),
        Err(LeaseError::NotFound) => failure(StatusCode::NOT_FOUND, "NotFound", "there is no such lease"),
        Err(LeaseError::AlreadyExists) => {
            failure(StatusCode::CONFLICT, "AlreadyExists", "the lease exists already")
        }
        Err(LeaseError::Conflict) => failure(StatusCode::CONFLICT, "Conflict", "the lease has been modified"),
    }
}

/// Merges a patch into the status of a CloneSet.
fn write_status(state: &State, target: &Target<'_>, body: &[u8], by_metadata: bool) -> Response {
    let Some(item) = find(state, target, Kind::CloneSet) else {
        return failure(StatusCode::NOT_FOUND, "NotFound", "there is no such CloneSet");
    };
    let stored = serde_json::from_str::<Value>(&render(state, item, Form::Whole));
    let (Ok(mut cloneset), Ok(patch)) = (stored, serde_json::from_slice::<Value>(body)) else {
        return failure(StatusCode::BAD_REQUEST, "BadRequest", "the patch is not JSON");
    };
    json_patch::merge(&mut cloneset, &patch);
    let status = cloneset.get("status").unwrap_or(&Value::Null).to_string();
    state.count(|traffic| {
        traffic.keep("patch clonesets/status", &String::from_utf8_lossy(body));
    });
    state.set_status(item, status);
    json_body(render(
        state,
        item,
        if by_metadata { Form::Metadata } else { Form::Whole },
    ))
}

/// Denies a write, and keeps it for the report.
fn deny(state: &State, method: &Method, target: &Target<'_>, body: &[u8]) -> Response {
    let what = format!(
        "{} {}",
        method.as_str().to_lowercase(),
        target.resource_and_subresource()
    );
    state.count(|traffic| {
        traffic.keep(&what, &String::from_utf8_lossy(body));
        *traffic.others.entry(what.clone()).or_default() += 1;
    });
    failure(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "this cluster is at rest: the benchmark expects no such write",
    )
}

fn unknown(state: &State, method: &Method, path: &str) -> Response {
    state.count(|traffic| *traffic.unknown.entry(format!("{method} {path}")).or_default() += 1);
    failure(StatusCode::NOT_FOUND, "NotFound", "no such path")
}

/// The CRD, as far as the controller reads it.
fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clonesets.apps.kruise.io"},
        "spec": {
            "group": cloneset_api::names::GROUP, "scope": "Namespaced",
            "names": {"kind": "CloneSet", "plural": "clonesets"},
            "conversion": {"strategy": "None"},
            "versions": [{"name": "v1alpha1", "served": true, "storage": true}],
        },
        "status": {"storedVersions": ["v1alpha1"]},
    })
}

fn text_at(object: &Value, pointer: &str) -> String {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn respond(code: StatusCode, object: &Value) -> Response {
    (code, json_body(object.to_string())).into_response()
}

fn json_body(text: String) -> Response {
    stream_body(Body::from(text))
}

fn stream_body(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn failure(code: StatusCode, reason: &str, message: &str) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16(),
    });
    respond(code, &status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::population::Population;

    const PODS: &str = "/api/v1/namespaces/team-000/pods";
    const CLONESETS: &str = "/apis/apps.kruise.io/v1alpha1/namespaces/team-000/clonesets";

    fn state() -> Arc<State> {
        let population = Population {
            clonesets: 2,
            revisions: 1,
            pods: 20,
        };
        Arc::new(State::new(Objects::new(population).expect("objects")))
    }

    async fn ask(state: &Arc<State>, method: Method, path: &str, body: &Value, accept: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::ACCEPT, accept);
        let request = request.body(Body::from(body.to_string())).expect("a request");
        let response = answer(Shared(Arc::clone(state)), request).await;
        let code = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 8 << 20).await.expect("a body");
        (code, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn get(state: &Arc<State>, path: &str, accept: &str) -> Value {
        ask(state, Method::GET, path, &Value::Null, accept).await.1
    }

    fn items(list: &Value) -> usize {
        list["items"].as_array().expect("items").len()
    }

    #[tokio::test]
    async fn lists_are_json_with_and_without_objects_and_pages() {
        let state = state();
        let pods = get(&state, "/api/v1/pods", "").await;
        assert_eq!((items(&pods), pods["kind"].as_str()), (40, Some("PodList")));
        assert_eq!(items(&get(&state, "/api/v1/persistentvolumeclaims", "").await), 0);
        let page = get(&state, "/api/v1/pods?limit=30", "").await;
        let token = page["metadata"]["continue"].as_str().expect("a token");
        let last = get(&state, &format!("/api/v1/pods?limit=30&continue={token}"), "").await;
        assert_eq!((items(&page), items(&last)), (30, 10));
        assert_eq!(last["metadata"].get("continue"), None);
        let accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        let partial = get(&state, PODS, accept).await;
        assert_eq!(partial["kind"], "PartialObjectMetadataList");
        assert_eq!(partial["items"][0].get("spec"), None);
    }

    #[tokio::test]
    async fn a_status_is_stored_and_every_other_write_is_denied_and_counted() {
        let state = state();
        let path = format!("{CLONESETS}/checkout-00001");
        let patch = json!({"status": {"readyReplicas": 7}});
        let (code, stored) = ask(&state, Method::PATCH, &format!("{path}/status"), &patch, "").await;
        assert_eq!((code, &stored["status"]["readyReplicas"]), (200, &json!(7)));
        assert_eq!(get(&state, &path, "").await, stored);
        let (code, _) = ask(&state, Method::POST, PODS, &json!({}), "").await;
        assert_eq!(code, 403);
        let traffic = state.traffic();
        assert_eq!((traffic.statuses, traffic.others["post pods"]), (1, 1));
    }

    #[tokio::test]
    async fn a_lease_is_created_once_and_replaced_at_its_version() {
        let state = state();
        let path = "/apis/coordination.k8s.io/v1/namespaces/kruise-system/leases";
        let lease = json!({"metadata": {"name": "cloneset-controller"}, "spec": {}});
        let one = format!("{path}/cloneset-controller");
        assert_eq!(get(&state, &one, "").await["code"], 404);
        let (code, stored) = ask(&state, Method::POST, path, &lease, "").await;
        assert_eq!(code, 201);
        assert_eq!(ask(&state, Method::POST, path, &lease, "").await.0, 409);
        assert_eq!(ask(&state, Method::PUT, &one, &stored, "").await.0, 200);
        assert_eq!(
            ask(&state, Method::PUT, &one, &stored, "").await.0,
            409,
            "an old version"
        );
    }

    #[tokio::test]
    async fn a_request_that_is_not_supported_is_counted() {
        let state = state();
        get(&state, "/version", "").await;
        get(&state, "/api/v1/pods?fieldSelector=a%3Db", "").await;
        assert_eq!(state.traffic().unknown.len(), 2);
    }

    #[test]
    fn paths_name_resources_in_all_namespaces_in_one_and_single_objects() {
        let target = |resource, namespace, name, subresource| {
            Some(Target {
                resource,
                namespace,
                name,
                subresource,
            })
        };
        assert_eq!(Target::of("/api/v1/pods"), target("pods", None, None, None));
        assert_eq!(
            Target::of("/apis/apps.kruise.io/v1alpha1/namespaces/team-1/clonesets/web/status"),
            target("clonesets", Some("team-1"), Some("web"), Some("status"))
        );
        assert_eq!(
            Target::of("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"),
            target("customresourcedefinitions", None, Some("x"), None)
        );
        assert_eq!(Target::of("/version"), None);
    }
}
