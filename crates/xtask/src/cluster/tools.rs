//! Builds the Go programs of the cluster from the modules in `e2e/cluster`,
//! once for each version.
//! It must not start them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::paths::Paths;
use super::process;
use crate::progress::Step;

/// A Go program: its name, the directory of its module below `e2e/cluster`, its package.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    name: &'static str,
    module: &'static str,
    package: &'static str,
}

const fn kubernetes(name: &'static str, package: &'static str) -> Tool {
    Tool {
        name,
        module: "kubernetes",
        package,
    }
}

/// What runs in every cluster, and what people and tests talk to it with.
pub(super) const CONTROL_PLANE: [Tool; 6] = [
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    Tool {
        name: "etcd",
        module: "etcd",
        package: "go.etcd.io/etcd/server/v3",
    },
    HELM,
];
/// What a node with real containers needs besides.
pub(super) const NODE: [Tool; 2] = [
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
];
/// Also useful without a cluster (lint and render of charts).
pub(super) const HELM: Tool = Tool {
    name: "helm",
    module: "helm",
    package: "helm.sh/helm/v4/cmd/helm",
};
/// Fake nodes.
pub(super) const KWOK: Tool = Tool {
    name: "kwok",
    module: "kwok",
    package: "sigs.k8s.io/kwok/cmd/kwok",
};

/// The oldest Go that builds them (`go` directive of the modules).
const GO_MINOR: u32 = 26;

/// Builds those of `tools` that are missing or of another version.
pub(super) fn build(paths: &Paths, tools: &[Tool]) -> Result<()> {
    let mut missing = Vec::new();
    for tool in tools {
        let stamp = tool.stamp(paths)?;
        if !tool.is_built(paths, &stamp) {
            missing.push((tool, stamp));
        }
    }
    let (Some((first, _)), total) = (missing.first(), missing.len()) else {
        return Ok(());
    };
    check_go(&paths.config_source().join(first.module))?;
    eprintln!(
        "Building Go programs into {} (all of them with an empty Go cache: about 9 minutes on 2 cores, 10 GB)",
        paths.bin().display()
    );
    for dir in [paths.bin(), paths.log()] {
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    for (number, (tool, stamp)) in missing.iter().enumerate() {
        let step = Step::start(format!("building {} ({} of {total})", tool.name, number + 1));
        tool.build(paths, stamp)?;
        step.done();
    }
    Ok(())
}

impl Tool {
    fn is_built(self, paths: &Paths, stamp: &str) -> bool {
        let recorded = std::fs::read_to_string(self.stamp_file(paths)).unwrap_or_default();
        recorded == stamp && paths.bin().join(self.name).is_file()
    }

    fn stamp_file(self, paths: &Paths) -> std::path::PathBuf {
        paths.bin().join(format!("{}.stamp", self.name))
    }

    /// Everything that decides what the binary is. Same text, same binary.
    fn stamp(self, paths: &Paths) -> Result<String> {
        let module = paths.config_source().join(self.module);
        let read = |name: &str| {
            let file = module.join(name);
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
        };
        self.stamp_of(&read("go.mod")?, &read("go.sum")?)
    }

    fn stamp_of(self, go_mod: &str, go_sum: &str) -> Result<String> {
        let flags = self.linker_flags(go_mod)?;
        Ok(format!(
            "{}\n{flags}\ngo.mod {}\ngo.sum {}\n",
            self.package,
            hex_digest(go_mod),
            hex_digest(go_sum)
        ))
    }

    /// Kubernetes takes its version from the linker; without it the server
    /// calls itself v0.0.0 and clients distrust it.
    fn linker_flags(self, go_mod: &str) -> Result<String> {
        let mut flags = "-s -w".to_owned();
        if self.module == "kubernetes" {
            let version = required_version(go_mod, "k8s.io/kubernetes")?;
            let minor = version.split('.').nth(1).unwrap_or_default();
            for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
                for (name, value) in [("gitVersion", version), ("gitMajor", "1"), ("gitMinor", minor)] {
                    // Writing to a String cannot fail.
                    let _ = write!(flags, " -X {package}.{name}={value}");
                }
            }
        }
        Ok(flags)
    }

    fn build(self, paths: &Paths, stamp: &str) -> Result<()> {
        let module = paths.config_source().join(self.module);
        let flags = self.linker_flags(&std::fs::read_to_string(module.join("go.mod"))?)?;
        let log = paths.log().join(format!("build-{}.log", self.name));
        let out = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        // Built beside its place and moved there: an interrupted build is never mistaken for a whole one.
        let partial = paths.bin().join(format!("{}.partial", self.name));
        let status = Command::new("go")
            .args([
                "build",
                "-mod=readonly",
                "-trimpath",
                "-buildvcs=false",
                "-ldflags",
                &flags,
                "-o",
            ])
            .arg(&partial)
            .arg(self.package)
            .current_dir(&module)
            .env("CGO_ENABLED", "0")
            .env("GOWORK", "off")
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .status()
            .context("cannot run go")?;
        if !status.success() {
            bail!(
                "building {} failed ({status}); the end of {}:\n{}",
                self.name,
                log.display(),
                process::log_tail(&log, 15)
            );
        }
        std::fs::rename(&partial, paths.bin().join(self.name))
            .with_context(|| format!("cannot put {} in place", self.name))?;
        std::fs::write(self.stamp_file(paths), stamp)
            .with_context(|| format!("cannot record the version of {}", self.name))?;
        std::fs::remove_file(&log).with_context(|| format!("cannot remove {}", log.display()))
    }
}

fn hex_digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// The version a `go.mod` requires of a module.
fn required_version<'a>(go_mod: &'a str, module: &str) -> Result<&'a str> {
    go_mod
        .lines()
        .find_map(|line| {
            let mut words = line.trim().trim_start_matches("require ").split_whitespace();
            (words.next() == Some(module)).then(|| words.next()).flatten()
        })
        .with_context(|| format!("the go.mod does not require {module}"))
}

/// Asks Go in the module's directory, where a newer toolchain may take over
/// (`GOTOOLCHAIN=auto`).
fn check_go(module: &Path) -> Result<()> {
    let advice = "the local cluster is built from source with Go 1.26 or newer: \
                  install it from https://go.dev/dl/ and put its bin directory on the PATH \
                  (distributions' own packages are often older)";
    let Some(go) = process::which("go") else {
        bail!("no `go` on the PATH; {advice}")
    };
    let version = process::output(Command::new(go).args(["env", "GOVERSION"]).current_dir(module))
        .with_context(|| advice.to_owned())?;
    match minor_version(version.trim()) {
        Some(minor) if minor < GO_MINOR => bail!("`go` is {}, too old; {advice}", version.trim()),
        Some(_) => Ok(()),
        None => bail!(
            "`go env GOVERSION` says {:?}, which is no release of Go 1; {advice}",
            version.trim()
        ),
    }
}

fn minor_version(version: &str) -> Option<u32> {
    let rest = version.strip_prefix("go1.")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str =
        "module x\n\nrequire k8s.io/kubernetes v1.36.3\n\nrequire (\n\tk8s.io/api v0.36.3 // indirect\n)\n";

    #[test]
    fn the_stamp_changes_with_everything_that_changes_the_binary() {
        let kubelet = kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet");
        let stamp = kubelet.stamp_of(GO_MOD, "sums").expect("a stamp");
        assert_eq!(stamp, kubelet.stamp_of(GO_MOD, "sums").expect("a stamp"));
        assert_ne!(stamp, kubelet.stamp_of(GO_MOD, "other sums").expect("a stamp"));
        let newer = GO_MOD.replace("v1.36.3", "v1.36.4");
        assert_ne!(stamp, kubelet.stamp_of(&newer, "sums").expect("a stamp"));
        let proxy = kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy");
        assert_ne!(stamp, proxy.stamp_of(GO_MOD, "sums").expect("a stamp"));
    }

    #[test]
    fn kubernetes_binaries_are_told_their_version() {
        let flags = kubernetes("kubectl", "p").linker_flags(GO_MOD).expect("flags");
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.36.3"));
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=36"));
        assert_eq!(HELM.linker_flags("").expect("flags"), "-s -w");
        assert!(kubernetes("kubectl", "p").linker_flags("module x").is_err());
    }

    #[test]
    fn versions_are_found_in_single_and_grouped_requirements() {
        assert_eq!(
            required_version(GO_MOD, "k8s.io/kubernetes").expect("single"),
            "v1.36.3"
        );
        assert_eq!(
            required_version(GO_MOD, "k8s.io/api").expect("grouped"),
            "v0.36.3"
        );
    }

    #[test]
    fn go_versions_are_read_with_and_without_a_patch_number() {
        assert_eq!(minor_version("go1.26.8"), Some(26));
        assert_eq!(minor_version("go1.27rc1"), Some(27));
        assert_eq!(minor_version("devel +abc"), None);
    }
}
