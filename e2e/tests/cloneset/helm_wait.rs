//! `helm install --wait` of a chart with a CloneSet in it: fails where pods do not start, and returns after they are
//! available where they do.
//!
//! Helm judges a custom resource by its status, and calls one without a status complete.

use anyhow::{Context as _, Result, ensure};
use e2e::fixtures::{NEW, OLD, changed, cloneset};
use e2e::{Counters, Namespace, in_namespace};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

const REPLICAS: i32 = 2;

/// A chart in a folder of its own, which is removed with it.
struct Chart(PathBuf);

impl Chart {
    /// One CloneSet, whose pods take some seconds to become Ready.
    fn new(ns: &Namespace) -> Result<Self> {
        let chart = Self(std::env::temp_dir().join(&ns.name));
        let templates = chart.0.join("templates");
        fs::create_dir_all(&templates).with_context(|| format!("cannot make {}", templates.display()))?;
        let probe = json!({"tcpSocket": {"port": 80}, "periodSeconds": 1, "initialDelaySeconds": 3});
        let containers = json!([{"name": "main", "image": "{{ .Values.image }}", "readinessProbe": probe}]);
        let object = cloneset("web", REPLICAS, &json!({}));
        let object = changed(object, &[("spec.template.spec.containers", containers)]);
        // JSON is YAML.
        fs::write(templates.join("cloneset.yaml"), object.to_string())?;
        let about = json!({"apiVersion": "v2", "name": "web", "version": "0.1.0"});
        fs::write(chart.0.join("Chart.yaml"), about.to_string())?;
        Ok(chart)
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Chart {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} is still there: {error}", self.0.display());
        }
    }
}

async fn install(ns: &Namespace, chart: &Chart, image: &str, timeout: &str) -> Result<String> {
    let chart = chart.path().to_str().context("a path that is not text")?;
    let image = format!("image={image}");
    let arguments = [
        "upgrade",
        "--install",
        "web",
        chart,
        "--namespace",
        &ns.name,
        "--wait",
        "--timeout",
        timeout,
        "--set",
        &image,
    ];
    ns.helm(arguments).await
}

/// Every pod is available at this moment: nothing is waited for.
async fn is_complete(ns: &Namespace) -> Result<()> {
    let reported = Counters::reported(&ns.clonesets().get("web").await?);
    ensure!(
        reported == Some(Counters::at_rest(REPLICAS, REPLICAS)),
        "Helm returned too early: {reported:?}"
    );
    Ok(())
}

#[tokio::test]
async fn helm_waits_for_available_pods_when_it_installs_and_when_it_upgrades() -> Result<()> {
    in_namespace(async |ns| {
        let chart = Chart::new(ns)?;
        install(ns, &chart, OLD, "2m").await?;
        is_complete(ns).await?;
        install(ns, &chart, NEW, "2m").await?;
        is_complete(ns).await
    })
    .await
}

#[tokio::test]
async fn helm_fails_when_the_image_does_not_exist() -> Result<()> {
    in_namespace(async |ns| {
        let chart = Chart::new(ns)?;
        let outcome = install(ns, &chart, "registry.local/missing:v9", "15s").await;
        let error = outcome.err().context("Helm reported success without a pod")?;
        let told = format!("{error:#}");
        ensure!(told.contains("deadline") || told.contains("timed out"), "{told}");
        Ok(())
    })
    .await
}
