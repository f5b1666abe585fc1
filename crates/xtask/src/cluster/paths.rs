//! Where the local cluster keeps its files.
//! It must not create or remove any of them.
//!
//! Unix socket paths are limited to 107 bytes and a checkout may live at a long
//! path, so sockets, mounts and state are kept at short places named after a
//! hash of the checkout's path. Binaries, logs and the kubeconfig are where a
//! Rust user looks for build products: `target/cluster`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The directories of one checkout's cluster.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The checkout itself.
    pub(crate) checkout: PathBuf,
    /// A name no other checkout on this machine has, such as `cloneset-1f2e3d4c`.
    pub(crate) id: String,
    /// Sockets and the state file. Emptied by a reboot, which is right: so are
    /// the processes.
    pub(crate) run: PathBuf,
    /// etcd's, containerd's and kubelet's files, and certificates.
    pub(crate) data: PathBuf,
    /// Binaries, logs, kubeconfig.
    pub(crate) target: PathBuf,
}

impl Paths {
    /// The paths of the checkout this program was started from.
    pub(crate) fn of_this_checkout() -> Result<Self> {
        // cargo sets the variable at run time too, which stays right when a
        // built program is shared between checkouts by a common target directory.
        let crate_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let checkout = crate_dir
            .join("../..")
            .canonicalize()
            .with_context(|| format!("cannot find the checkout above {}", crate_dir.display()))?;
        Ok(Self::new(&checkout, rustix::process::geteuid().is_root()))
    }

    fn new(checkout: &Path, root: bool) -> Self {
        let hash = Sha256::digest(checkout.as_os_str().as_encoded_bytes());
        let short: u32 = hash
            .iter()
            .take(4)
            .fold(0, |number, byte| number << 8 | u32::from(*byte));
        let id = format!("cloneset-{short:08x}");
        let target = checkout.join("target/cluster");
        let (run, data) = if root {
            (Path::new("/run").join(&id), Path::new("/var/lib").join(&id))
        } else {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
            (runtime.join(&id), target.join("data"))
        };
        Self {
            checkout: checkout.to_owned(),
            id,
            run,
            data,
            target,
        }
    }

    /// Configuration kept in the repository.
    pub(super) fn config_source(&self) -> PathBuf {
        self.checkout.join("e2e/cluster")
    }

    /// Configuration rendered for this cluster.
    pub(super) fn config(&self) -> PathBuf {
        self.data.join("config")
    }

    /// Certificates, keys and the components' kubeconfigs.
    pub(super) fn pki(&self) -> PathBuf {
        self.data.join("pki")
    }

    /// Built tools.
    pub(super) fn bin(&self) -> PathBuf {
        self.target.join("bin")
    }

    /// One log file a component.
    pub(super) fn log(&self) -> PathBuf {
        self.target.join("log")
    }

    /// The API server's audit log.
    pub(super) fn audit_log(&self) -> PathBuf {
        self.log().join("audit.log")
    }

    /// What people and tests use.
    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.target.join("kubeconfig")
    }

    /// What `up` recorded and `down` reads.
    pub(super) fn state(&self) -> PathBuf {
        self.run.join("state.json")
    }

    /// containerd's socket.
    pub(super) fn containerd_socket(&self) -> PathBuf {
        self.run.join("containerd.sock")
    }

    /// The bridge that carries the node's address (at most 15 characters).
    pub(super) fn bridge(&self) -> String {
        self.id.replacen("cloneset", "cs", 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_short_however_long_the_checkout_is() {
        let long = format!("/home/{}", "very-long-name/".repeat(20));
        let paths = Paths::new(Path::new(&long), true);
        assert!(paths.containerd_socket().as_os_str().len() < 60);
        assert!(paths.bridge().len() <= 15);
    }

    #[test]
    fn two_checkouts_share_nothing() {
        let one = Paths::new(Path::new("/a"), true);
        let two = Paths::new(Path::new("/b"), true);
        assert_ne!(one.run, two.run);
        assert_ne!(one.data, two.data);
        assert_ne!(one.bridge(), two.bridge());
    }
}
