//! Asks the components whether they are ready.
//! It must not wait (see `wait.rs`) and not go through any proxy: every
//! connection stays on this machine.

use std::process::Command;

use super::components::Ready;
use super::images;
use super::paths::Paths;
use super::process;
use crate::loopback;

/// Enough for the status line: some servers do not end their answer.
const LENGTH: u64 = 64;

/// Whether a component says that it is ready. No answer means no.
pub(super) fn is_ready(paths: &Paths, ready: &Ready) -> bool {
    match ready {
        Ready::Http(port, path) => loopback::get(*port, path, LENGTH).is_ok_and(|answer| answer.is_ok()),
        Ready::Https(port, path) => {
            let server = format!("--server=https://127.0.0.1:{port}");
            process::output(kubectl(paths).args([&server, "get", "--raw", path])).is_ok()
        }
        Ready::ApiServer => process::output(kubectl(paths).args(["get", "--raw", "/readyz"])).is_ok(),
        Ready::Containerd => process::output(images::ctr(paths).arg("version")).is_ok(),
        Ready::Node(name) => {
            let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
            process::output(kubectl(paths).args(["get", "node", name, "-o", path]))
                .is_ok_and(|ready| ready == "True")
        }
    }
}

/// kubectl as administrator of the cluster.
pub(super) fn kubectl(paths: &Paths) -> Command {
    let mut command = process::local_command(paths.bin().join("kubectl"));
    command
        .arg("--kubeconfig")
        .arg(paths.pki().join("admin.kubeconfig"));
    // Not in the user's ~/.kube.
    command.arg("--cache-dir").arg(paths.data.join("kubectl-cache"));
    command.args(["--request-timeout", "5s"]);
    command
}
