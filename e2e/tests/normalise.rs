//! The canonical form of pod templates, checked against what a real API server makes of them. It must NOT
//! create anything: every request is a dry run or a read.
//!
//! The same corpus and the server's recorded answers are checked without a cluster in
//! `crates/plan/tests/normalise.rs`. After a change of the corpus or of the Kubernetes version, `RECORD=1`
//! writes new answers.
#![allow(clippy::indexing_slicing, reason = "a failed test is the point of a panic")]

use anyhow::{Context, Result, ensure};
use cloneset_plan::normalise::{canonical_text, normalise};
use k8s_openapi::api::core::v1::PodTemplate;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const PLAN_TESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/plan/tests");

#[tokio::test]
async fn what_the_server_makes_of_a_template_is_the_same_template() -> Result<()> {
    let server = Server::connect().await?;
    for (path, template) in corpus()? {
        let answer = server.template(&path, &template).await?;
        assert_eq!(
            canonical_text(&answer),
            canonical_text(&template),
            "{}",
            path.display()
        );
        record(&path.with_extension("server.json"), &answer)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_server_makes_the_same_of_the_canonical_form_as_of_the_template() -> Result<()> {
    let server = Server::connect().await?;
    for (path, template) in corpus()? {
        // The server takes divisors in a few spellings only, none of them ours.
        let template = without(&["divisor"], &template);
        let original = server.template(&path, &template).await?;
        let canonical = server.template(&path, &normalise(&template)).await?;
        // It keeps the notation of quantities of equal value, and fills in host ports for pods only.
        let spelled = ["limits", "requests", "overhead", "sizeLimit", "hostPort"];
        assert_eq!(
            without(&spelled, &canonical),
            without(&spelled, &original),
            "{}",
            path.display()
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_recorded_field_list_is_the_servers() -> Result<()> {
    let server = Server::connect().await?;
    let fields = server.fields().await?;
    let path = Path::new(PLAN_TESTS).join("kubernetes-fields.json");
    record(&path, &fields)?;
    let recorded: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    assert_eq!(
        fields, recorded,
        "this server's pod template has other fields: record them with RECORD=1, then complete the tables of \
         crates/plan/src/normalise until its tests pass"
    );
    Ok(())
}

/// The server that `KUBECONFIG` points to.
struct Server {
    client: kube::Client,
}

impl Server {
    async fn connect() -> Result<Self> {
        ensure!(
            std::env::var_os("KUBECONFIG").is_some(),
            "KUBECONFIG is not set. This needs a real API server: `cargo xtask test --only e2e` starts one"
        );
        let client = kube::Client::try_default()
            .await
            .context("no client for the cluster of KUBECONFIG")?;
        Ok(Self { client })
    }

    /// What the server would store of the template.
    async fn template(&self, path: &Path, template: &Value) -> Result<Value> {
        let resource = ApiResource::erase::<PodTemplate>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "default", &resource);
        let object = DynamicObject::new("normalise", &resource).data(json!({ "template": template }));
        let dry_run = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let answer = api.create(&dry_run, &object).await;
        let mut answer = answer.with_context(|| format!("the server refused {}", path.display()))?;
        Ok(answer.data["template"].take())
    }

    /// The types that a pod template is made of, with the class of each field, from the server's own
    /// description.
    async fn fields(&self) -> Result<Value> {
        let request = http::Request::get("/openapi/v3/api/v1").body(Vec::new())?;
        let document: Value = self.client.request(request).await?;
        let schemas = &document["components"]["schemas"];
        let mut types = BTreeMap::new();
        let mut queue = vec!["io.k8s.api.core.v1.PodTemplateSpec".to_owned()];
        while let Some(name) = queue.pop() {
            let schema = &schemas[&name];
            let properties = schema["properties"]
                .as_object()
                .with_context(|| format!("{name} is no object"))?;
            let mut fields = BTreeMap::new();
            for (field, schema) in properties {
                let mut class = class(schemas, schema, &mut queue);
                if schema["default"] == json!({}) {
                    // Go's zero struct: the field is no pointer.
                    class.push_str(" by value");
                }
                fields.insert(field.clone(), class);
            }
            types.insert(short(&name).to_owned(), fields);
            queue.retain(|name| !types.contains_key(short(name)));
        }
        Ok(serde_json::to_value(types)?)
    }
}

/// `string`, `list of string`, `ContainerPort`, `list of ContainerPort`, `map of Quantity` and so on.
fn class(schemas: &Value, schema: &Value, queue: &mut Vec<String>) -> String {
    let reference = schema["$ref"]
        .as_str()
        .or_else(|| schema["allOf"][0]["$ref"].as_str());
    if let Some(name) = reference.and_then(|reference| reference.strip_prefix("#/components/schemas/")) {
        if schemas[name]["properties"].is_object() {
            queue.push(name.to_owned());
        }
        return short(name).to_owned();
    }
    match schema["type"].as_str() {
        Some("array") => format!("list of {}", class(schemas, &schema["items"], queue)),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!(
                "map of {}",
                class(schemas, &schema["additionalProperties"], queue)
            )
        }
        other => other.unwrap_or("anything").to_owned(),
    }
}

fn short(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn corpus() -> Result<Vec<(PathBuf, Value)>> {
    let folder = Path::new(PLAN_TESTS).join("corpus");
    let mut corpus = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("no corpus in {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let template = serde_saphyr::from_str(&std::fs::read_to_string(&path)?);
            corpus.push((
                path.clone(),
                template.with_context(|| path.display().to_string())?,
            ));
        }
    }
    ensure!(!corpus.is_empty(), "no templates in {}", folder.display());
    Ok(corpus)
}

/// The value without the members of these names, at any depth.
fn without(names: &[&str], value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !names.contains(&name.as_str()));
            let kept: Map<_, _> = kept
                .map(|(name, value)| (name.clone(), without(names, value)))
                .collect();
            Value::Object(kept)
        }
        Value::Array(items) => items.iter().map(|item| without(names, item)).collect(),
        other => other.clone(),
    }
}

fn record(path: &Path, value: &Value) -> Result<()> {
    if std::env::var_os("RECORD").is_some() {
        std::fs::write(path, serde_json::to_string_pretty(value)? + "\n")?;
    }
    Ok(())
}
