//! Faults of the cluster itself: the components that `cargo xtask cluster` started are killed and paused by it.
//!
//! A cluster of somebody else has to stay whole, so this demands that the cluster under test is our own.

use crate::cluster::{finish, required};
use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use tokio::process::Command;

/// By which xtask finds its checkout, whatever runs it.
const CRATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/xtask");

/// The means to break the cluster under test.
pub struct Faults {
    xtask: OsString,
}

impl Faults {
    /// Makes sure that the cluster under test is the one that xtask started.
    pub async fn of_our_cluster() -> Result<Self> {
        let faults = Self {
            xtask: required("CLONESET_XTASK")?,
        };
        let kubeconfig = required("KUBECONFIG")?;
        let status = faults.cluster(&["status"]).await?;
        let shown = status.lines().find_map(|line| line.strip_prefix("kubeconfig"));
        let own = shown.context("`cargo xtask cluster status` names no kubeconfig")?;
        ensure!(
            Path::new(own.trim()) == Path::new(&kubeconfig),
            "KUBECONFIG is {}, which is not the cluster that `cargo xtask cluster` started ({}): components of a \
             cluster that is not ours cannot be broken. Run `cargo xtask test --only e2e`",
            kubeconfig.display(),
            own.trim()
        );
        Ok(faults)
    }

    /// Kills a component as a crash would, and starts it again.
    pub async fn restart(&self, component: &str) -> Result<()> {
        self.cluster(&["restart", component]).await.map(drop)
    }

    /// Does something while a component stands still. It goes on whatever happens.
    pub async fn paused<T>(&self, component: &str, meanwhile: impl AsyncFnOnce() -> Result<T>) -> Result<T> {
        self.cluster(&["pause", component]).await?;
        let outcome = AssertUnwindSafe(meanwhile()).catch_unwind().await;
        let resumed = self.cluster(&["resume", component]).await;
        let resumed = resumed.context("the cluster hangs: `cargo xtask cluster up` lets it go on");
        match outcome {
            Ok(result) => resumed.and(result),
            Err(panic) => resume_unwind(panic),
        }
    }

    async fn cluster(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.xtask);
        command
            .arg("cluster")
            .args(arguments)
            .env("CARGO_MANIFEST_DIR", CRATE);
        finish(command).await
    }
}
