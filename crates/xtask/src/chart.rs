//! Checks of the Helm charts, without a cluster: lint, every value set of
//! `charts/cloneset/ci` rendered and judged, values that must be refused, and
//! the documents that repeat what the chart says.
//!
//! It must not install anything, nor decide which helm is used.

mod refused;
mod rendered;
mod values_table;

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use rendered::Rendered;

const CHART: &str = "charts/cloneset";
const CRD_CHART: &str = "charts/cloneset-crds";
const REFERENCE: &str = "docs/reference/chart.md";

/// `cargo xtask chart`: the check with the helm of the local cluster, or with another.
pub(crate) fn run(helm: Option<PathBuf>) -> Result<()> {
    let own = crate::repository_root()?.join("target/cluster/bin/helm");
    check(&helm.unwrap_or(own))
}

/// Checks the charts with this helm; the error lists everything that is wrong.
pub(crate) fn check(helm: &Path) -> Result<()> {
    let root = crate::repository_root()?;
    let helm = Helm::new(helm, &root)?;
    let mut findings = Vec::new();
    for chart in [CHART, CRD_CHART] {
        if let Err(error) = helm.run(&["lint", "--strict", chart], "") {
            findings.push(format!("{error:#}"));
        }
    }
    check_versions(&root, &mut findings)?;
    let sets = value_sets(&root)?;
    for set in &sets {
        let name = set.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let mut found = Vec::new();
        check_value_set(&root, &helm, set, &mut found).with_context(|| name.to_owned())?;
        findings.extend(found.into_iter().map(|finding| format!("{name}: {finding}")));
    }
    check_reference(&root, &helm, &mut findings)?;
    check_notes(&helm, &mut findings)?;
    findings.extend(refused::check(&helm));
    ensure!(
        findings.is_empty(),
        "the charts have {} defects:\n- {}",
        findings.len(),
        findings.join("\n- ")
    );
    println!(
        "charts: {} value sets and {} refusals are as they should be",
        sets.len(),
        refused::count()
    );
    Ok(())
}

/// The rules of the controller's roles, as an installation with default values has them.
pub(crate) fn controller_rules(helm: &Path) -> Result<Vec<Value>> {
    let helm = Helm::new(helm, &crate::repository_root()?)?;
    Ok(helm.template(&[], "")?.rules_of_the_controller())
}

/// The charts' READMEs with the tables of their values, as (path below the repository, content).
pub(crate) fn readmes(root: &Path) -> Result<Vec<(PathBuf, String)>> {
    [CHART, CRD_CHART]
        .into_iter()
        .map(|chart| {
            let path = Path::new(chart).join("README.md");
            let readme = read(&root.join(&path))?;
            let values = read(&root.join(chart).join("values.yaml"))?;
            let filled =
                values_table::fill_in(&readme, &values).with_context(|| path.display().to_string())?;
            Ok((path, filled))
        })
        .collect()
}

/// A helm that sees nothing of the user's own settings, plugins or clusters.
struct Helm {
    program: PathBuf,
    root: PathBuf,
    home: PathBuf,
}

impl Helm {
    fn new(program: &Path, root: &Path) -> Result<Self> {
        let program = program.canonicalize().with_context(|| {
            format!(
                "there is no helm at {}: `cargo xtask cluster up` builds one, or name another with --helm",
                program.display()
            )
        })?;
        let home = std::env::temp_dir().join("cloneset-chart-check");
        Ok(Self {
            program,
            root: root.to_path_buf(),
            home,
        })
    }

    /// What helm says about `arguments`, with `input` on its standard input.
    fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(arguments)
            .current_dir(&self.root)
            .env("HELM_CACHE_HOME", self.home.join("cache"))
            .env("HELM_CONFIG_HOME", self.home.join("config"))
            .env("HELM_DATA_HOME", self.home.join("data"))
            .env("KUBECONFIG", self.home.join("no-cluster"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin
                .write_all(input.as_bytes())
                .context("cannot hand values to helm")?;
        }
        child.wait_with_output().context("cannot wait for helm")
    }

    /// What helm prints; its own words are the error when it fails.
    fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input)?;
        if !output.status.success() {
            bail!(
                "helm {} failed:\n{}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        String::from_utf8(output.stdout).context("helm printed something that is not text")
    }

    fn template(&self, arguments: &[&str], input: &str) -> Result<Rendered> {
        let mut all = vec![
            "template",
            rendered::RELEASE,
            CHART,
            "--namespace",
            rendered::NAMESPACE,
        ];
        all.extend(arguments);
        Rendered::parse(&self.run(&all, input)?)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn read_yaml(path: &Path) -> Result<Value> {
    serde_saphyr::from_str(&read(path)?).with_context(|| format!("{} is not YAML", path.display()))
}

fn value_sets(root: &Path) -> Result<Vec<PathBuf>> {
    let folder = root.join(CHART).join("ci");
    let mut sets = fs::read_dir(&folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    sets.sort();
    ensure!(!sets.is_empty(), "{} holds no value set", folder.display());
    Ok(sets)
}

/// One version for the code, both charts and the image that Artifact Hub is told of.
fn check_versions(root: &Path, findings: &mut Vec<String>) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let chart = read_yaml(&root.join(CHART).join("Chart.yaml"))?;
    let crds = read_yaml(&root.join(CRD_CHART).join("Chart.yaml"))?;
    let said = [
        ("cloneset: version", chart.pointer("/version")),
        ("cloneset: appVersion", chart.pointer("/appVersion")),
        (
            "cloneset: dependencies[0].version",
            chart.pointer("/dependencies/0/version"),
        ),
        ("cloneset-crds: version", crds.pointer("/version")),
        ("cloneset-crds: appVersion", crds.pointer("/appVersion")),
    ];
    for (what, value) in said {
        if value.and_then(Value::as_str) != Some(version) {
            findings.push(format!("{what} is not {version}, the version in Cargo.toml"));
        }
    }
    let image = format!("image: {}:{version}", crate::image::REPOSITORY);
    let images = chart
        .pointer("/annotations/artifacthub.io~1images")
        .and_then(Value::as_str);
    if !images.is_some_and(|images| images.contains(&image)) {
        findings.push(format!(
            "Chart.yaml: artifacthub.io/images does not say `{image}`"
        ));
    }
    Ok(())
}

fn check_value_set(root: &Path, helm: &Helm, set: &Path, findings: &mut Vec<String>) -> Result<()> {
    let values = read_yaml(set)?;
    let file = set.to_str().context("the path of a value set is not text")?;
    let rendered = helm.template(&["--values", file], "")?;
    let said = |pointer: &str, default: bool| {
        values
            .pointer(pointer)
            .and_then(Value::as_bool)
            .unwrap_or(default)
    };
    let wanted = said("/crds/managed", said("/crds/install", true));
    let crds = if wanted { crd_files(root)? } else { Vec::new() };
    findings.extend(rendered.check_crds(&crds, said("/crds/keep", true)));
    findings.extend(rendered.check_restricted());
    findings.extend(rendered.check_rights());
    findings.extend(rendered.check_references());
    let watched = values.pointer("/watchNamespace").and_then(Value::as_str);
    findings.extend(watched.map_or_else(Vec::new, |namespace| rendered.check_reach(namespace)));
    let protected = said("/deleteProtection/enabled", watched.is_none());
    findings.extend(rendered.check_delete_protection(protected, watched));
    // `crds.managed` decides when it is there, so that one is turned off then.
    let off = if values.pointer("/crds/managed").is_some() {
        "crds.managed"
    } else {
        "crds.install"
    };
    let without = helm.template(&["--values", file, "--set", &format!("{off}=false")], "")?;
    if without != rendered.without_crds() {
        findings.push(format!("{off}=false changes more than the CRDs"));
    }
    Ok(())
}

fn crd_files(root: &Path) -> Result<Vec<Value>> {
    fs::read_dir(root.join(CRD_CHART).join("files"))
        .context("cannot list the CRDs of the chart")?
        .map(|entry| read_yaml(&entry?.path()))
        .collect()
}

/// The reference explains every right of the controller, and no other.
fn check_reference(root: &Path, helm: &Helm, findings: &mut Vec<String>) -> Result<()> {
    let reference = read(&root.join(REFERENCE))?;
    let rows = helm.template(&[], "")?.rights_of_the_controller();
    for row in &rows {
        if !reference.contains(row) {
            findings.push(format!("{REFERENCE} has no row that starts with `{row}`"));
        }
    }
    let explained = reference
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("` ("))
        .count();
    if explained != rows.len() {
        findings.push(format!(
            "{REFERENCE} explains {explained} rights, the chart asks for {}",
            rows.len()
        ));
    }
    Ok(())
}

/// NOTES warn when there is something to warn of, and only then.
fn check_notes(helm: &Helm, findings: &mut Vec<String>) -> Result<()> {
    let cases: [(&str, &[&str]); 11] = [
        ("{}", &[]),
        (
            "{featureGates: 'CloneSetShortHash=true,KruiseDaemon=false,ResourcesDeletionProtection=true'}",
            &[
                "KruiseDaemon changes nothing here: there is no daemon",
                "ResourcesDeletionProtection changes nothing here: delete protection comes with the chart",
            ],
        ),
        ("{featureGates: 'InPlaceWorkloadVerticalScaling=true'}", &[]),
        ("{manager: {replicas: 1}}", &["manager.replicas is 1"]),
        ("{manager: {replicas: 0}}", &["manager.replicas is 0"]),
        (
            "{crds: {managed: false, keep: false}}",
            &["does not manage the CRDs"],
        ),
        (
            "{manager: {replicas: 1}, crds: {keep: false}}",
            &["manager.replicas is 1", "crds.keep is false"],
        ),
        ("{watchNamespace: team-a}", &["no delete protection"]),
        ("{watchNamespace: team-a, deleteProtection: {enabled: true}}", &[]),
        ("{deleteProtection: {enabled: false}}", &[]),
        (
            "{migration: {acknowledgeKruise: true}}",
            &["migration.acknowledgeKruise is true"],
        ),
    ];
    for (values, warnings) in cases {
        let arguments = [
            "install",
            rendered::RELEASE,
            CHART,
            "--dry-run=client",
            "--values",
            "-",
        ];
        let printed = helm.run(&arguments, values)?;
        let (_, notes) = printed
            .split_once("\nNOTES:\n")
            .context("helm install prints no NOTES")?;
        let seen = notes.matches("WARNING: ").count();
        if seen != warnings.len() || !warnings.iter().all(|warning| notes.contains(warning)) {
            findings.push(format!(
                "NOTES for {values} should warn of {warnings:?} only:\n{notes}"
            ));
        }
    }
    Ok(())
}
