//! What `up` records so that a later `up`, `status` or `down` knows it: ports,
//! networks, processes, and how the host looked before.
//! It must not act on any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::ports::{Networks, Ports};
use super::process::ProcessRecord;

/// The recorded cluster.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The checkout it belongs to, for another checkout's message.
    pub(super) checkout: PathBuf,
    /// Pids mean nothing after a reboot.
    boot_id: String,
    /// Whether a node with real containers belongs to it.
    pub(super) node: bool,
    /// How many fake nodes kwok keeps.
    pub(super) kwok_nodes: u32,
    pub(super) ports: Ports,
    pub(super) networks: Networks,
    pub(super) processes: BTreeMap<String, ProcessRecord>,
    /// Names of the stand-in images that are loaded and pushed.
    pub(super) images: BTreeSet<String>,
    pub(super) host: HostBefore,
}

/// The host before the cluster touched it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct HostBefore {
    /// Kernel settings that kubelet, kube-proxy or CNI change.
    pub(super) sysctls: BTreeMap<PathBuf, String>,
    /// Directories that did not exist, whose paths kubelet and CNI do not let us choose.
    pub(super) absent: Vec<PathBuf>,
}

impl State {
    /// A cluster with no process yet.
    pub(super) fn new(checkout: &Path, ports: Ports, networks: Networks, node: bool) -> Result<Self> {
        Ok(Self {
            checkout: checkout.to_owned(),
            boot_id: boot_id()?,
            node,
            kwok_nodes: 0,
            ports,
            networks,
            processes: BTreeMap::new(),
            images: BTreeSet::new(),
            host: HostBefore::default(),
        })
    }

    /// Reads the state; none when there is no cluster, or none since the last boot.
    pub(super) fn load(file: &Path) -> Result<Option<Self>> {
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let mut state: Self = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "{} was not written by this version of `cargo xtask cluster`; end the cluster with the version \
                 that started it, or reboot",
                file.display()
            )
        })?;
        if state.boot_id != boot_id()? {
            state.processes.clear();
        }
        Ok(Some(state))
    }

    /// Writes the state; a crash leaves the old or the new file, never half of one.
    pub(super) fn save(&self, file: &Path) -> Result<()> {
        let temporary = file.with_extension("json.new");
        std::fs::write(&temporary, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", temporary.display()))?;
        std::fs::rename(&temporary, file).with_context(|| format!("cannot replace {}", file.display()))
    }

    /// Whether this component's recorded process still runs.
    pub(super) fn is_alive(&self, component: &str) -> bool {
        self.processes
            .get(component)
            .is_some_and(|record| record.is_alive())
    }

    /// Whether anything of the cluster runs.
    pub(super) fn any_alive(&self) -> bool {
        self.processes.values().any(|record| record.is_alive())
    }
}

fn boot_id() -> Result<String> {
    let file = "/proc/sys/kernel/random/boot_id";
    std::fs::read_to_string(file).with_context(|| format!("cannot read {file}; the cluster needs Linux"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> State {
        let ports = Ports::choose().expect("free ports");
        let networks = Networks::choose("").expect("networks");
        State::new(Path::new("/somewhere"), ports, networks, true).expect("a state")
    }

    fn file(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("cloneset-state-{}-{name}.json", std::process::id()))
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let file = file("same");
        let mut state = example();
        let pid = i32::try_from(std::process::id()).expect("a pid");
        state
            .processes
            .insert("etcd".into(), ProcessRecord::of_pid(pid).expect("this process"));
        state.save(&file).expect("saved");
        let loaded = State::load(&file).expect("readable").expect("there");
        assert!(loaded.is_alive("etcd"));
        assert!(!loaded.is_alive("kubelet"));
        assert_eq!(loaded.ports, state.ports);
        std::fs::remove_file(&file).expect("removed");
        assert!(State::load(&file).expect("no error").is_none());
    }

    #[test]
    fn pids_of_an_earlier_boot_are_forgotten() {
        let file = file("boot");
        let mut state = example();
        let pid = i32::try_from(std::process::id()).expect("a pid");
        state
            .processes
            .insert("etcd".into(), ProcessRecord::of_pid(pid).expect("this process"));
        state.boot_id = "another boot".into();
        state.save(&file).expect("saved");
        assert!(!State::load(&file).expect("readable").expect("there").any_alive());
        std::fs::remove_file(&file).expect("removed");
    }
}
