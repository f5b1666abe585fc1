//! The tests in `e2e/`, on a cluster of our own or on the one that is up, and what the audit log says afterwards.
//! It must end the cluster that it started and no other.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::audit::{self, AuditLog};
use super::stage::Outcome;
use super::{budget, cargo, rights};
use crate::chart;
use crate::cluster::{self, ClusterInfo};
use crate::image::{self, ImageInfo};

/// What the tests are told, as absolute paths. CONTRIBUTING.md documents them: set by hand, they let
/// `cargo test --package e2e` run on any cluster.
mod variable {
    /// Administrator's kubeconfig.
    pub(super) const KUBECONFIG: &str = "KUBECONFIG";
    /// The chart to install.
    pub(super) const CHART: &str = "CLONESET_CHART";
    /// `REPOSITORY:TAG` of a controller image that the cluster can pull.
    pub(super) const IMAGE: &str = "CLONESET_IMAGE";
    /// The API server's audit log: a JSON line for each write, and for each read of the controller.
    pub(super) const AUDIT_LOG: &str = "CLONESET_AUDIT_LOG";
    /// The controller's program, as it is in the image.
    pub(super) const CONTROLLER: &str = "CLONESET_CONTROLLER";
    /// This program, which can break the cluster's components.
    pub(super) const XTASK: &str = "CLONESET_XTASK";
    /// kubectl.
    pub(super) const KUBECTL: &str = "KUBECTL";
    /// helm.
    pub(super) const HELM: &str = "HELM";
}

/// Every connection of the tests stays on this machine.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// Runs the tests; skipped where containers cannot run.
pub(super) fn run(root: &Path, keep_cluster: bool) -> Result<Outcome> {
    if !rustix::process::geteuid().is_root() {
        let why = "containers need root: sudo env \"PATH=$PATH\" cargo xtask test --only e2e";
        return Ok(Outcome::Skipped(why.to_owned()));
    }
    // Before the cluster is up: what does not compile should not cost its start.
    cargo::run(&["test", "--package", "e2e", "--locked", "--no-run"])?;
    let image = image::build(&image::default_name(), &image::default_output()?)?;
    let was_up = cluster::is_up()?;
    let result = on_cluster(root, &image);
    if was_up || keep_cluster {
        println!("The cluster stays up; end it with `cargo xtask cluster down`.");
    } else {
        cluster::down().context("cannot end the cluster of the tests")?;
    }
    result.map(|()| Outcome::Passed)
}

fn on_cluster(root: &Path, image: &ImageInfo) -> Result<()> {
    let info = cluster::ensure_up(&cluster::Options {
        nodes: Some(1),
        kwok: 0,
    })?;
    let name = unique_name(image)?;
    cluster::load_image(&image.archive, std::slice::from_ref(&name))?;
    let log = AuditLog::from_now(&info.audit_log)?;
    let mut tests = cargo::command()?;
    tests.args(["test", "--package", "e2e", "--locked"]);
    tell(&mut tests, root, &info, &name);
    tests.env(variable::CONTROLLER, &image.program).env(
        variable::XTASK,
        std::env::current_exe().context("cannot find this program")?,
    );
    let status = tests.status().context("cannot run cargo")?;
    ensure!(
        status.success(),
        "an end-to-end test failed; what the cluster's components say: {}",
        info.logs.display()
    );
    let events = log.events()?;
    audit::check_policy(&events)?;
    budget::check_writes(&events)?;
    rights::check(&events, &chart::controller_rules(&info.helm)?)
}

/// A name that no other build has: on a cluster that stayed up, Helm would otherwise see nothing to change, and the
/// tests would judge the controller of before.
fn unique_name(image: &ImageInfo) -> Result<String> {
    let hex = image.digest.strip_prefix("sha256:").and_then(|hex| hex.get(..12));
    let hex = hex.with_context(|| format!("{:?} is not a digest", image.digest))?;
    Ok(format!("{}-{hex}", image.name))
}

fn tell(tests: &mut Command, root: &Path, info: &ClusterInfo, image: &str) {
    for proxy in PROXIES {
        tests.env_remove(proxy);
    }
    tests
        .env(variable::KUBECONFIG, &info.kubeconfig)
        .env(variable::CHART, root.join("charts/cloneset"))
        .env(variable::IMAGE, image)
        .env(variable::AUDIT_LOG, &info.audit_log)
        .env(variable::KUBECTL, &info.kubectl)
        .env(variable::HELM, &info.helm);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `e2e/tests/zx_broken.rs` builds them only when asked to, and they must not have grown useless by then.
    #[test]
    fn the_controllers_that_the_oracle_must_object_to_can_still_be_made() {
        let root = crate::repository_root().expect("a repository");
        let folder = root.join("e2e/broken");
        let patches: Vec<_> = std::fs::read_dir(&folder)
            .expect("e2e/broken")
            .map(|entry| entry.expect("a file").path())
            .collect();
        assert_eq!(patches.len(), 3, "{patches:?}");
        for patch in patches {
            let applies = Command::new("git")
                .current_dir(&root)
                .args(["apply", "--check"])
                .arg(&patch)
                .status()
                .expect("git");
            assert!(applies.success(), "{} does not apply any more", patch.display());
        }
    }
}
