//! One cluster and the programs to talk to it. Commands that a person would type are shown before they run;
//! what the demo only looks at is not.
//! It must not know what the demo is about.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cluster::ClusterInfo;

/// Connections to our own cluster stay on this machine.
const PROXIES: [&str; 6] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
];

/// How to reach a cluster.
pub(super) struct Session {
    root: PathBuf,
    reach: Reach,
}

enum Reach {
    /// The cluster that `cargo xtask cluster up` made.
    Own { kubeconfig: PathBuf, programs: PathBuf },
    /// A context of the user's kubeconfig, with the user's own programs.
    Existing { context: String },
}

impl Session {
    /// The checkout's own cluster.
    pub(super) fn own(root: &Path, info: &ClusterInfo) -> Self {
        let programs = info.kubectl.parent().map(Path::to_path_buf).unwrap_or_default();
        Self {
            root: root.to_owned(),
            reach: Reach::Own {
                kubeconfig: info.kubeconfig.clone(),
                programs,
            },
        }
    }

    /// A cluster of the user's.
    pub(super) fn existing(root: &Path, context: &str) -> Self {
        Self {
            root: root.to_owned(),
            reach: Reach::Existing {
                context: context.to_owned(),
            },
        }
    }

    /// Whether the cluster is ours alone.
    pub(super) fn is_own(&self) -> bool {
        matches!(self.reach, Reach::Own { .. })
    }

    /// What to type before the commands shown; none where they run as they are.
    pub(super) fn environment(&self) -> Option<String> {
        match &self.reach {
            Reach::Own { kubeconfig, programs } => Some(format!(
                "export KUBECONFIG={} PATH={}:$PATH",
                quoted(&kubeconfig.to_string_lossy()),
                quoted(&programs.to_string_lossy())
            )),
            Reach::Existing { .. } => None,
        }
    }

    /// A program as a person calls it.
    pub(super) fn spelled(&self, program: &str) -> String {
        let mut words = vec![program.to_owned()];
        words.extend(self.context_option(program));
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// Shows a command and runs it with its output in view.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let shown = self.shown(program, arguments);
        println!("$ {shown}");
        let status = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .status()
            .with_context(|| missing(program))?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }

    /// What a command prints, without showing it.
    pub(super) fn output(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .with_context(|| missing(program))?;
        if !output.status.success() {
            bail!(
                "`{}` failed: {}",
                self.shown(program, arguments),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("{program} printed something that is not text"))
    }

    /// The object or list that `kubectl ... --output json` prints; none when there is no such object.
    pub(super) fn json(&self, arguments: &[&str]) -> Result<Option<Value>> {
        let all = [arguments, &["--output", "json", "--ignore-not-found"]].concat();
        let printed = self.output("kubectl", &all)?;
        if printed.trim().is_empty() {
            return Ok(None);
        }
        let value = serde_json::from_str(&printed)
            .with_context(|| format!("`{}` printed no JSON", self.shown("kubectl", &all)))?;
        Ok(Some(value))
    }

    /// Fails when the cluster does not answer.
    pub(super) fn check(&self) -> Result<()> {
        self.output("helm", &["version"])?;
        self.output("kubectl", &["get", "--raw", "/readyz", "--request-timeout=10s"])
            .map(drop)
    }

    fn shown(&self, program: &str, arguments: &[&str]) -> String {
        let mut text = self.spelled(program);
        for argument in arguments {
            text.push(' ');
            text.push_str(&quoted(argument));
        }
        text
    }

    fn command(&self, program: &str) -> Command {
        let mut command = match &self.reach {
            Reach::Own { kubeconfig, programs } => {
                let mut command = Command::new(programs.join(program));
                command.env("KUBECONFIG", kubeconfig);
                // Not in the user's ~/.kube.
                command.env("KUBECACHEDIR", programs.with_file_name("kubectl-cache"));
                for proxy in PROXIES {
                    command.env_remove(proxy);
                }
                command
            }
            Reach::Existing { .. } => Command::new(OsString::from(program)),
        };
        command.args(self.context_option(program)).current_dir(&self.root);
        command
    }

    fn context_option(&self, program: &str) -> Vec<String> {
        match &self.reach {
            Reach::Own { .. } => Vec::new(),
            Reach::Existing { context } => {
                let option = if program == "helm" {
                    "--kube-context"
                } else {
                    "--context"
                };
                vec![option.to_owned(), context.clone()]
            }
        }
    }
}

fn missing(program: &str) -> String {
    let from = if program == "helm" {
        "https://helm.sh/docs/intro/install/"
    } else {
        "https://kubernetes.io/docs/tasks/tools/"
    };
    format!("cannot run {program}; with --context it must be on the PATH ({from})")
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("--type=merge"), "--type=merge");
        assert_eq!(quoted(r#"{"spec":1}"#), r#"'{"spec":1}'"#);
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn an_existing_cluster_is_named_in_every_command() {
        let session = Session::existing(Path::new("/"), "kind dev");
        assert_eq!(
            session.shown("kubectl", &["get", "pods"]),
            "kubectl --context 'kind dev' get pods"
        );
        assert_eq!(session.spelled("helm"), "helm --kube-context 'kind dev'");
    }
}
