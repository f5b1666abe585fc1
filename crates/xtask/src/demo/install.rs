//! The controller's installation and the demo's own namespace, both made anew however an earlier run ended.
//! It must not take over anything that the demo did not make.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::session::Session;
use crate::image::ImageInfo;
use crate::oci::full_name;

/// Where the CloneSet of the demo lives.
pub(super) const NAMESPACE: &str = "demo";
/// The CRD that comes with the chart.
pub(super) const CRD: &str = "clonesets.apps.kruise.io";
/// On the demo's namespace: it may be deleted.
const OWNER_LABEL: &str = "cloneset-demo";

/// A Helm release to be made.
pub(super) struct Installation {
    /// The release's name.
    pub(super) release: String,
    /// The release's namespace.
    pub(super) namespace: String,
    values: Vec<String>,
}

impl Installation {
    /// As the README has it, on a cluster that is ours alone.
    pub(super) fn own(image: &ImageInfo) -> Self {
        Self {
            release: "cloneset".to_owned(),
            namespace: "cloneset-system".to_owned(),
            // The tag is the same after every build, so the digest tells whether pods have to be replaced.
            values: vec![format!("manager.image.digest={}", image.digest)],
        }
    }

    /// Under names of its own and with rights in the demo's namespace only: on a cluster that is not ours the
    /// controller must not see anybody else's CloneSets.
    pub(super) fn existing(image: &str) -> Result<Self> {
        let full = full_name(image);
        let parts = full
            .rsplit_once(':')
            .and_then(|(name, tag)| Some((name.split_once('/')?, tag)));
        let Some(((registry, repository), tag)) = parts else {
            bail!("--image must be REPOSITORY:TAG, and is {image:?}");
        };
        Ok(Self {
            release: "cloneset-demo".to_owned(),
            namespace: "cloneset-demo-system".to_owned(),
            values: vec![
                format!("manager.image.registry={registry}"),
                format!("manager.image.repository={repository}"),
                format!("manager.image.tag={tag}"),
                format!("watchNamespace={NAMESPACE}"),
                "rbac.aggregatedRoles=false".to_owned(),
            ],
        })
    }
}

/// Makes the demo's namespace and installs the controller.
pub(super) fn install(session: &Session, installation: &Installation) -> Result<()> {
    refuse_foreign_crd(session, installation)?;
    if let Some(environment) = session.environment() {
        println!("$ {environment}");
    }
    make_namespace(session)?;
    remove_half_release(session, installation)?;
    let Installation {
        release,
        namespace,
        values,
    } = installation;
    let mut arguments = vec!["upgrade", "--install", release, "charts/cloneset"];
    arguments.extend(["--namespace", namespace, "--create-namespace"]);
    for value in values {
        arguments.extend(["--set", value]);
    }
    arguments.extend(["--wait", "--timeout", "3m", "--hide-notes"]);
    session.run("helm", &arguments).with_context(|| {
        format!(
            "the controller does not come up; {} says why",
            session.spelled("kubectl") + " --namespace " + namespace + " describe pods"
        )
    })
}

/// A CRD that is there already has a controller of its own; a second one would work against it.
fn refuse_foreign_crd(session: &Session, installation: &Installation) -> Result<()> {
    let Some(crd) = session.json(&["get", "crd", CRD])? else {
        return Ok(());
    };
    let annotation = |key: &str| {
        crd.pointer(&format!("/metadata/annotations/meta.helm.sh~1{key}"))
            .and_then(Value::as_str)
            .unwrap_or("none")
    };
    let (release, namespace) = (annotation("release-name"), annotation("release-namespace"));
    let advice = if session.is_own() {
        "`cargo xtask cluster down` gives the demo a new cluster"
    } else {
        "use a cluster without CloneSets"
    };
    ensure!(
        release == installation.release && namespace == installation.namespace,
        "the cluster has the CRD {CRD} already (Helm release {release}, namespace {namespace}), so something else \
         handles its CloneSets; {advice}"
    );
    Ok(())
}

fn make_namespace(session: &Session) -> Result<()> {
    if let Some(found) = session.json(&["get", "namespace", NAMESPACE])? {
        let pointer = format!("/metadata/labels/{OWNER_LABEL}");
        ensure!(
            found.pointer(&pointer).is_some(),
            "the cluster has a namespace {NAMESPACE} that the demo did not make; it stays as it is, and the demo \
             needs that name"
        );
        session.run("kubectl", &["delete", "namespace", NAMESPACE, "--timeout=2m"])?;
    }
    session.run("kubectl", &["create", "namespace", NAMESPACE])?;
    let label = format!("{OWNER_LABEL}=true");
    session.run("kubectl", &["label", "namespace", NAMESPACE, &label])
}

/// A run that was interrupted while Helm waited leaves a release that refuses to be upgraded.
fn remove_half_release(session: &Session, installation: &Installation) -> Result<()> {
    let arguments = [
        "list",
        "--pending",
        "--namespace",
        &installation.namespace,
        "--output",
        "json",
    ];
    let listed: Vec<Value> =
        serde_json::from_str(&session.output("helm", &arguments)?).context("`helm list` printed no JSON")?;
    let half = listed
        .iter()
        .any(|release| release.get("name").and_then(Value::as_str) == Some(&installation.release));
    if half {
        session.run(
            "helm",
            &[
                "uninstall",
                &installation.release,
                "--namespace",
                &installation.namespace,
                "--wait",
            ],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_told_to_the_chart_part_by_part() {
        let installation = Installation::existing("localhost:5000/me/cloneset:dev").expect("an image");
        assert!(
            installation
                .values
                .contains(&"manager.image.registry=localhost:5000".to_owned())
        );
        assert!(
            installation
                .values
                .contains(&"manager.image.repository=me/cloneset".to_owned())
        );
        assert!(installation.values.contains(&"manager.image.tag=dev".to_owned()));
        let short = Installation::existing("me/cloneset:dev").expect("an image");
        assert!(
            short
                .values
                .contains(&"manager.image.registry=docker.io".to_owned())
        );
    }

    #[test]
    fn somebody_elses_cluster_is_watched_in_one_namespace_only() {
        let installation = Installation::existing("me/cloneset:dev").expect("an image");
        assert!(
            installation
                .values
                .contains(&format!("watchNamespace={NAMESPACE}"))
        );
        assert_ne!(installation.release, "cloneset");
    }
}
