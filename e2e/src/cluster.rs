//! The cluster under test and the programs a user reaches it with.
//!
//! Reads the environment that `cargo xtask test` sets, and demands all of it before anything is written: a
//! `KUBECONFIG` that merely happens to be set must not get a controller installed. Starts no cluster.

use anyhow::{Context as _, Result, anyhow, ensure};
use kube::config::KubeConfigOptions;
use kube::{Client, Config};
use std::env;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;

/// A program that takes longer than this hangs.
const PROGRAM_LIMIT: Duration = Duration::from_mins(5);

/// A cluster, and how to reach it.
#[derive(Clone)]
pub struct Cluster {
    /// An administrator's client.
    pub client: Client,
    kubectl: OsString,
    helm: OsString,
    chart: PathBuf,
    image: String,
}

impl Cluster {
    /// Reads the environment and connects. A client belongs to the runtime it was made on, and every test has
    /// its own, so every test connects for itself.
    pub async fn connect() -> Result<Self> {
        required("KUBECONFIG")?;
        let image = required("CLONESET_IMAGE")?;
        let cluster = Self {
            kubectl: required("KUBECTL")?,
            helm: required("HELM")?,
            chart: required("CLONESET_CHART")?.into(),
            image: image
                .into_string()
                .map_err(|image| anyhow!("CLONESET_IMAGE is not text: {}", image.display()))?,
            client: client().await?,
        };
        Ok(cluster)
    }

    /// Where the API server writes its audit log.
    pub fn audit_log() -> Result<PathBuf> {
        required("CLONESET_AUDIT_LOG").map(PathBuf::from)
    }

    /// The chart that installs the controller.
    pub fn chart(&self) -> &OsStr {
        self.chart.as_os_str()
    }

    /// The controller's image.
    pub fn image(&self) -> Result<Image<'_>> {
        Image::parse(&self.image).with_context(|| {
            format!(
                "CLONESET_IMAGE must be REPOSITORY:TAG or REPOSITORY:TAG@DIGEST, but is {:?}",
                self.image
            )
        })
    }

    /// Runs `kubectl` and gives its output.
    pub async fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        run(&self.kubectl, arguments).await
    }

    /// Runs `helm` and gives its output.
    pub async fn helm<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Result<String> {
        run(&self.helm, arguments).await
    }
}

/// A name of an image in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// Registry and path.
    pub repository: &'a str,
    /// Tag.
    pub tag: &'a str,
    /// Digest, or empty. With one, an image that was built anew under an old tag is rolled out.
    pub digest: &'a str,
}

impl<'a> Image<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (name, digest) = name.split_once('@').unwrap_or((name, ""));
        let (repository, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
        Some(Self {
            repository,
            tag,
            digest,
        })
    }
}

/// A variable of the environment without which there is nothing to test.
pub(crate) fn required(variable: &str) -> Result<OsString> {
    env::var_os(variable).filter(|value| !value.is_empty()).with_context(|| {
        format!(
            "{variable} is not set. The end-to-end tests need a real cluster with the controller's image in it: \
             run `cargo xtask test --only e2e`, which starts one and tells the tests where it is"
        )
    })
}

async fn client() -> Result<Client> {
    let advice = "KUBECONFIG does not lead to a cluster; `cargo xtask test --only e2e` starts one";
    let mut config = Config::from_kubeconfig(&KubeConfigOptions::default())
        .await
        .context(advice)?;
    // Without these a connection that died silently would hang a test for ever. Watches end well before.
    config.connect_timeout = Some(Duration::from_secs(10));
    config.read_timeout = Some(Duration::from_mins(1));
    config.reset_reader_on_write = true;
    Client::try_from(config).context(advice)
}

async fn run<A: AsRef<OsStr>>(program: &OsStr, arguments: impl IntoIterator<Item = A>) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command).await
}

/// Runs a program to its end and gives its output.
pub(crate) async fn finish(mut command: Command) -> Result<String> {
    command.kill_on_drop(true);
    let shown = format!("{:?}", command.as_std());
    let output = tokio::time::timeout(PROGRAM_LIMIT, command.output())
        .await
        .with_context(|| format!("{shown} did not end within {} s", PROGRAM_LIMIT.as_secs()))?
        .with_context(|| format!("{shown} could not be started"))?;
    ensure!(
        output.status.success(),
        "{shown} failed with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed something that is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_and_perhaps_a_digest_and_a_port_is_no_tag() {
        let image = |repository, tag, digest| {
            Some(Image {
                repository,
                tag,
                digest,
            })
        };
        assert_eq!(Image::parse("ghcr.io/a/b:1"), image("ghcr.io/a/b", "1", ""));
        assert_eq!(
            Image::parse("h:5000/b:1@sha256:0f"),
            image("h:5000/b", "1", "sha256:0f")
        );
        assert_eq!(Image::parse("h:5000/b"), None);
        assert_eq!(Image::parse("b@sha256:0f"), None);
    }
}
