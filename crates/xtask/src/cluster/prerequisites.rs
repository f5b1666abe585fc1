//! Programs of the operating system that the cluster needs: finds them,
//! installs what is missing on Debian and Ubuntu as root, and otherwise says
//! exactly what is missing and how to get it.
//! It must not start a service, and not remove or replace a package.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::paths::Paths;
use super::process;
use crate::progress::Step;

/// What a node with real containers needs: a program (or, with slashes, one of
/// several files) and the Debian package that brings it.
const NEEDED: [(&str, &str); 9] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("docker-registry", "docker-registry"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("conntrack", "conntrack"),
    ("busybox", "busybox-static"),
    ("setsid", "util-linux"),
];
const CNI_PACKAGE: &str = "containernetworking-plugins";
const CNI_DIRS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
const POLICY: &str = "/usr/sbin/policy-rc.d";
const POLICY_TEXT: &str = "#!/bin/sh\n# Written by `cargo xtask cluster up` while it installs packages: no service may start.\nexit 101\n";

/// Why this machine cannot run real containers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lacking {
    /// Only root may start containers.
    Root,
    /// These Debian packages (or what they contain) are missing.
    Packages(Vec<&'static str>),
}

impl std::fmt::Display for Lacking {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => write!(out, "containers need root (run it with sudo)"),
            Self::Packages(packages) => {
                write!(
                    out,
                    "missing here: {}. On Debian or Ubuntu: apt-get install {}; \
                     elsewhere: the packages that bring the same programs",
                    packages.join(", "),
                    packages.join(" ")
                )
            }
        }
    }
}

/// Makes sure a real node can run, installing packages where that is possible.
pub(super) fn ensure(paths: &Paths) -> Result<Option<Lacking>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Some(Lacking::Root));
    }
    let missing = missing();
    if missing.is_empty() {
        return Ok(None);
    }
    if !is_debian() {
        return Ok(Some(Lacking::Packages(missing)));
    }
    install(paths, &missing)?;
    let still = self::missing();
    Ok((!still.is_empty()).then_some(Lacking::Packages(still)))
}

/// Where the CNI plugins are.
pub(super) fn cni_plugins() -> Result<PathBuf> {
    cni_dir().with_context(|| format!("no CNI plugins (ptp, host-local) in {}", CNI_DIRS.join(", ")))
}

/// A busybox that needs no library, for the stand-in images.
pub(super) fn static_busybox() -> Result<PathBuf> {
    let file = process::which("busybox").context("no busybox (Debian package busybox-static)")?;
    let bytes = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    // The dynamic loader's path stands in every program that needs one.
    if bytes
        .windows(8)
        .any(|window| window == b"/ld-linu" || window == b"/ld-musl")
    {
        bail!(
            "{} is linked dynamically and cannot run inside an image; install busybox-static",
            file.display()
        );
    }
    Ok(file)
}

fn cni_dir() -> Option<PathBuf> {
    CNI_DIRS
        .iter()
        .map(PathBuf::from)
        .find(|dir| dir.join("ptp").is_file() && dir.join("host-local").is_file())
}

fn missing() -> Vec<&'static str> {
    let mut packages: Vec<&'static str> = NEEDED
        .iter()
        .filter(|(program, _)| process::which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if static_busybox().is_err() && !packages.contains(&"busybox-static") {
        packages.push("busybox-static");
    }
    if cni_dir().is_none() {
        packages.push(CNI_PACKAGE);
    }
    packages.dedup();
    packages
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && process::which("apt-get").is_some()
}

fn install(paths: &Paths, packages: &[&str]) -> Result<()> {
    let step = Step::start(format!("installing {} with apt-get", packages.join(", ")));
    std::fs::create_dir_all(paths.log()).context("cannot create the log directory")?;
    let log = paths.log().join("apt-get.log");
    let policy = ServicePolicy::forbid()?;
    // --no-remove: Docker's own containerd package conflicts with Debian's, and
    // replacing it would end the user's containers.
    let options = ["install", "--yes", "--no-install-recommends", "--no-remove"];
    apt_get(&log, &["update"])?;
    apt_get(&log, &[options.as_slice(), packages].concat())?;
    drop(policy);
    stay_off_at_boot(packages);
    step.done();
    Ok(())
}

fn apt_get(log: &Path, args: &[&str]) -> Result<()> {
    let out = File::options().create(true).append(true).open(log)?;
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .status()
        .context("cannot run apt-get")?;
    if !status.success() {
        bail!(
            "apt-get {} failed ({status}); the end of {}:\n{}",
            args.join(" "),
            log.display(),
            process::log_tail(log, 15)
        );
    }
    Ok(())
}

/// Packages enable their services; those that came with our installation must
/// not start at the next boot either. Without systemd there is nothing to do.
fn stay_off_at_boot(packages: &[&str]) {
    for service in ["containerd", "docker-registry"]
        .iter()
        .filter(|name| packages.contains(name))
    {
        let disabled = Command::new("systemctl")
            .args(["disable", "--quiet", service])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !disabled.is_ok_and(|status| status.success()) && process::which("systemctl").is_some() {
            eprintln!(
                "  note: the service {service} was installed and may start at boot; `systemctl disable {service}` prevents it"
            );
        }
    }
}

/// Debian asks `policy-rc.d` before a package starts its service. While this
/// value lives, the answer is no.
struct ServicePolicy {
    ours: bool,
}

impl ServicePolicy {
    fn forbid() -> Result<Self> {
        let present = std::fs::read(POLICY).ok();
        // One of our own that an interrupted run left behind is ours again.
        let ours = present
            .as_deref()
            .is_none_or(|text| text == POLICY_TEXT.as_bytes());
        if ours {
            std::fs::write(POLICY, POLICY_TEXT).with_context(|| format!("cannot write {POLICY}"))?;
            std::fs::set_permissions(POLICY, Permissions::from_mode(0o755))?;
        }
        Ok(Self { ours })
    }
}

impl Drop for ServicePolicy {
    fn drop(&mut self) {
        if self.ours && std::fs::remove_file(POLICY).is_err() {
            eprintln!("  warning: cannot remove {POLICY}; while it is there no package starts its service");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_says_what_to_do() {
        let text = Lacking::Packages(vec!["containerd", "runc"]).to_string();
        assert!(text.contains("missing here: containerd, runc."));
        assert!(text.contains("apt-get install containerd runc"));
        assert!(Lacking::Root.to_string().contains("sudo"));
    }
}
