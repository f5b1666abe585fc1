//! The controller as a child process that uses the fake API server.
//!
//! It starts, reads and ends the program. It does not decide when a run is complete.

use super::usage::Usage;
use crate::loopback;
use crate::test::cargo;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

const PACKAGE: &str = "cloneset-controller";
/// Bytes of a page that are read.
const PAGE: u64 = 4 << 20;
/// The metric that counts reconciles.
const RECONCILES: &str = "controller_runtime_reconcile_total{";

/// The program to measure: the given one, or else this checkout's, built with the release profile.
pub(super) fn program(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(build, |program| Ok(program.to_owned()))
}

fn build() -> Result<PathBuf> {
    let status = cargo::command()?
        .args(["build", "--release", "--locked", "--package", PACKAGE])
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "the controller does not build, see above");
    Ok(cargo::target(&crate::repository_root()?)?
        .join("release")
        .join(PACKAGE))
}

/// The metric that is 1 while the controller leads.
const LEADS: &str = "leader_election_master_status{";

/// A running controller. Dropping it ends the program.
pub(super) struct Controller {
    child: Child,
    metrics: u16,
    health: u16,
    log: PathBuf,
}

impl Controller {
    /// Starts `program` against the API server at `server`. Its kubeconfig and its log go to `folder`.
    pub(super) fn start(program: &Path, server: SocketAddr, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let kubeconfig = folder.join("kubeconfig");
        fs::write(&kubeconfig, kubeconfig_of(server))
            .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
        let log = folder.join("controller.log");
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let (metrics, health) = free_ports()?;
        let child = Command::new(program)
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .arg(format!("--metrics-addr=127.0.0.1:{metrics}"))
            .arg(format!("--health-probe-addr=127.0.0.1:{health}"))
            .arg("--identity=bench")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self {
            child,
            metrics,
            health,
            log,
        })
    }

    /// The exit status, if the program has ended.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("cannot ask for the controller")
    }

    /// Does /readyz report success?
    pub(super) fn is_ready(&self) -> bool {
        loopback::get(self.health, "/readyz", PAGE).is_ok_and(|answer| answer.is_ok())
    }

    /// The number of reconciles so far; `None` when /metrics does not answer.
    pub(super) fn reconciles(&self) -> Option<u64> {
        self.metric(RECONCILES)
    }

    /// Does /metrics report that it leads?
    pub(super) fn leads(&self) -> bool {
        self.metric(LEADS) == Some(1)
    }

    fn metric(&self, name: &str) -> Option<u64> {
        let page = loopback::get(self.metrics, "/metrics", PAGE).ok()?;
        page.is_ok().then(|| sum(&page.body, name))
    }

    pub(super) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }

    /// The last line of the log.
    pub(super) fn last_log_line(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().last().unwrap_or("no log").to_owned()
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The sum over all label values of a metric.
fn sum(page: &str, name: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.rsplit_once("} ")?.1.parse::<u64>().ok());
    values.sum()
}

fn kubeconfig_of(server: SocketAddr) -> String {
    let named = |key: &str, value| json!([{"name": "bench", key: value}]);
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": named("cluster", json!({"server": format!("http://{server}")})),
        "users": named("user", json!({})),
        "contexts": named("context", json!({"cluster": "bench", "user": "bench"})),
    })
    .to_string()
}

/// Two ports that were free a moment ago.
fn free_ports() -> Result<(u16, u16)> {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1");
    let (one, other) = (listen()?, listen()?);
    Ok((one.local_addr()?.port(), other.local_addr()?.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_label_values() {
        let page = "# TYPE controller_runtime_reconcile_total counter\n\
                    controller_runtime_reconcile_total{controller=\"c\",result=\"success\"} 40\n\
                    controller_runtime_reconcile_total{controller=\"c\",result=\"error\"} 2\n\
                    controller_runtime_reconcile_errors_total{controller=\"c\"} 2\n";
        assert_eq!(sum(page, RECONCILES), 42);
    }
}
