//! Ends the cluster and leaves the machine as it was; built programs and logs stay.
//! It must not end a process that the cluster did not start.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::paths::Paths;
use super::process::{self, Grace};
use super::state::State;
use super::{host, images, mounts, probe};
use crate::progress::Step;

const GRACE: Grace = Grace(Duration::from_secs(10));

/// Ends everything. Says false when there was nothing to end.
pub(super) fn down(paths: &Paths) -> Result<bool> {
    let state = State::load(&paths.state())?;
    let existed = state.is_some() || paths.run.exists() || paths.data.exists();
    if existed {
        let step = Step::start("ending the cluster");
        clear(paths, state.as_ref())?;
        step.done();
    }
    Ok(existed)
}

/// Ends what is recorded (or what a lost record left) and removes its files.
pub(super) fn clear(paths: &Paths, state: Option<&State>) -> Result<()> {
    let volumes = provisioned_volumes(paths, state);
    if let Some(state) = state {
        // kubelet first: it would start again what is ended below.
        for name in ["kubelet", "kwok", "kube-scheduler", "kube-controller-manager"] {
            stop(state, name)?;
        }
        if state.is_alive("containerd") {
            end_tasks(paths);
        }
    }
    host::end_container_processes(paths)?;
    end_shims(paths)?;
    for name in ["kube-proxy", "kube-apiserver", "containerd", "registry", "etcd"] {
        if let Some(state) = state {
            stop(state, name)?;
        }
    }
    host::restore(paths, state)?;
    for volume in volumes {
        mounts::remove_dir(&volume)?;
    }
    if paths.kubeconfig().exists() {
        std::fs::remove_file(paths.kubeconfig()).context("cannot remove the kubeconfig")?;
    }
    mounts::remove_dir(&paths.data)?;
    mounts::remove_dir(&paths.run)
}

fn stop(state: &State, name: &str) -> Result<()> {
    let Some(record) = state.processes.get(name) else {
        return Ok(());
    };
    record.stop(GRACE).with_context(|| format!("cannot end {name}"))
}

/// Lets containerd end its containers, so that shims leave of their own
/// accord. What it does not manage is ended by the steps that follow.
fn end_tasks(paths: &Paths) {
    let tasks = process::output(images::ctr(paths).args(["tasks", "list", "--quiet"])).unwrap_or_default();
    if !tasks.trim().is_empty() {
        let _ = process::output(
            images::ctr(paths)
                .args(["tasks", "delete", "--force"])
                .args(tasks.lines()),
        );
    }
}

/// A shim names the socket of its containerd; ours no other checkout has.
fn end_shims(paths: &Paths) -> Result<()> {
    let socket = paths.containerd_socket();
    let shims = process::find(|args| {
        let program = args.first().and_then(|program| Path::new(program).file_name());
        program.is_some_and(|name| name == "containerd-shim-runc-v2")
            && args.iter().any(|argument| Path::new(argument) == socket)
    })?;
    for shim in shims {
        shim.stop(Grace(Duration::from_secs(3)))
            .context("cannot end a container shim")?;
    }
    Ok(())
}

/// Directories that claims were given and that outlive the API server.
fn provisioned_volumes(paths: &Paths, state: Option<&State>) -> Vec<PathBuf> {
    if !state.is_some_and(|state| state.is_alive("kube-apiserver")) {
        return Vec::new();
    }
    let path = "jsonpath={range .items[*]}{.spec.hostPath.path}{'\\n'}{end}";
    let listed = process::output(probe::kubectl(paths).args(["get", "persistentvolumes", "-o", path]));
    volumes_in(&listed.unwrap_or_default())
}

/// Only directories the provisioner can have made: a volume may name any path.
fn volumes_in(list: &str) -> Vec<PathBuf> {
    list.lines()
        .map(PathBuf::from)
        .filter(|path| path.parent() == Some(Path::new(host::VOLUMES)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_provisioned_volumes_are_removed() {
        let list = "/tmp/hostpath_pv/1-2-3\n/home/user/data\n\n/tmp/hostpath_pv\n/tmp/hostpath_pv/../x\n";
        assert_eq!(volumes_in(list), [Path::new("/tmp/hostpath_pv/1-2-3")]);
    }
}
