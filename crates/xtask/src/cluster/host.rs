//! What the cluster changes on the host outside its own directories: a bridge,
//! a control group, kernel settings, packet filter rules; and putting it all
//! back.
//! It must not remove anything whose name or place does not show that it is
//! this cluster's.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::mounts;
use super::paths::Paths;
use super::process::{self, Grace, ProcessRecord};
use super::state::{HostBefore, State};
use super::wait;

/// kubelet, kube-proxy and CNI write these.
const SYSCTLS: [&str; 8] = [
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/bridge/bridge-nf-call-iptables",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/panic_on_oops",
    "/proc/sys/kernel/keys/root_maxkeys",
    "/proc/sys/kernel/keys/root_maxbytes",
];

/// kubelet, containerd and CNI make these wherever they are told to live.
const FIXED_DIRS: [&str; 6] = [
    "/var/lib/kubelet",
    "/var/lib/cni",
    "/var/log/containers",
    "/run/containerd",
    "/opt/containerd",
    VOLUMES,
];

/// Where the controller manager's provisioner makes the directories of claims.
pub(super) const VOLUMES: &str = "/tmp/hostpath_pv";

const CONTAINER_LOG_LINKS: &str = "/var/log/containers";

/// How the host looks now, before the cluster exists.
pub(super) fn look() -> HostBefore {
    let sysctls = SYSCTLS
        .iter()
        .filter_map(|file| Some((PathBuf::from(file), std::fs::read_to_string(file).ok()?)))
        .collect();
    let absent = FIXED_DIRS
        .iter()
        .map(PathBuf::from)
        .filter(|dir| !dir.exists())
        .collect();
    HostBefore { sysctls, absent }
}

/// Refuses to go on where another Kubernetes node would fight over the packet filter.
pub(super) fn refuse_another_node() -> Result<()> {
    let rules = process::output(&mut process::local_command("iptables-save")).unwrap_or_default();
    if rules.contains(":KUBE-SERVICES ") {
        bail!(
            "this machine already has packet filter rules of a kube-proxy (chain KUBE-SERVICES): \
             it is a Kubernetes node, and two cannot share it. Use the existing cluster instead, \
             or `cargo xtask cluster up --nodes 0` for fake nodes only"
        );
    }
    Ok(())
}

/// Makes what the node needs; what is there already stays.
pub(super) fn prepare(paths: &Paths, state: &State) -> Result<()> {
    let bridge = paths.bridge();
    if !Path::new("/sys/class/net").join(&bridge).exists() {
        ip(&["link", "add", &bridge, "type", "bridge"])?;
    }
    ip(&[
        "addr",
        "replace",
        &format!("{}/32", state.networks.node_ip()),
        "dev",
        &bridge,
    ])?;
    ip(&["link", "set", &bridge, "up"])?;
    // Nothing sent to a pod of kwok's may leave this machine.
    ip(&["route", "replace", "unreachable", &state.networks.fake_pod_cidr()])?;
    for rule in pod_rules(paths, state) {
        if iptables("-C", &rule).is_err() {
            iptables("-I", &rule)?;
        }
    }
    for group in control_groups(paths)? {
        enable_controllers(&group);
        std::fs::create_dir_all(&group).with_context(|| format!("cannot create {}", group.display()))?;
        inherit_cpuset(&group);
    }
    Ok(())
}

/// Docker and firewalls drop what they do not know; pods must reach each other
/// and the API server all the same.
fn pod_rules(paths: &Paths, state: &State) -> [Vec<String>; 3] {
    let pods = state.networks.pod_cidr();
    [("INPUT", "-s"), ("FORWARD", "-s"), ("FORWARD", "-d")].map(|(chain, side)| {
        let rule = [
            chain,
            side,
            &pods,
            "-m",
            "comment",
            "--comment",
            &paths.id,
            "-j",
            "ACCEPT",
        ];
        rule.map(str::to_owned).to_vec()
    })
}

fn iptables(action: &str, rule: &[String]) -> Result<String> {
    process::output(
        process::local_command("iptables")
            .args(["--wait", "10", action])
            .args(rule),
    )
}

/// In cgroup v2 a group has the controllers that its parent passes on; kubelet
/// refuses to start without these.
fn enable_controllers(group: &Path) {
    let Some(parent) = group.parent() else { return };
    let available = std::fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    for controller in available.split_whitespace() {
        if ["cpu", "cpuset", "hugetlb", "memory", "pids"].contains(&controller) {
            // Refused for what is in use otherwise; kubelet then names what it misses.
            let _ = std::fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// In cgroup v1 a new cpuset is empty and no process may enter it.
fn inherit_cpuset(group: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, parent) = (group.join(file), group.join("..").join(file));
        if let (Ok(own_value), Ok(value)) = (std::fs::read_to_string(&own), std::fs::read_to_string(parent))
            && own_value.trim().is_empty()
        {
            // cgroup v2 refuses and does not need it.
            let _ = std::fs::write(own, value);
        }
    }
}

/// Ends every container process that is left: all of them, and nothing else,
/// live in our control group.
pub(super) fn end_container_processes(paths: &Paths) -> Result<()> {
    for group in control_groups(paths)? {
        for directory in tree(&group) {
            let pids = std::fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            for record in pids
                .lines()
                .filter_map(|pid| ProcessRecord::of_pid(pid.parse().ok()?))
            {
                record.stop(Grace(Duration::ZERO))?;
            }
        }
    }
    Ok(())
}

/// Puts the host back as it was. Every process of the cluster must have ended.
pub(super) fn restore(paths: &Paths, state: Option<&State>) -> Result<()> {
    mounts::unmount_below(&paths.run)?;
    mounts::unmount_below(&paths.data)?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    remove_links(paths, state)?;
    for group in control_groups(paths)? {
        wait::until(
            &format!("control group {} is empty", group.display()),
            Duration::from_secs(10),
            || Ok(remove_groups(&group)),
        )?;
    }
    remove_fixed_files(paths);
    let Some(state) = state.filter(|state| state.node) else {
        return Ok(());
    };
    for rule in pod_rules(paths, state) {
        // Absent when `up` was interrupted early.
        let _ = iptables("-D", &rule);
    }
    for family in ["iptables", "ip6tables"] {
        remove_filter_rules(family)?;
    }
    for (file, value) in &state.host.sysctls {
        if std::fs::read_to_string(file).is_ok_and(|now| now != *value) {
            std::fs::write(file, value).with_context(|| format!("cannot restore {}", file.display()))?;
        }
    }
    for dir in &state.host.absent {
        remove_fixed_dir(dir)?;
    }
    Ok(())
}

fn ip(args: &[&str]) -> Result<String> {
    process::output(process::local_command("ip").args(args))
}

fn remove_links(paths: &Paths, state: Option<&State>) -> Result<()> {
    let bridge = paths.bridge();
    if Path::new("/sys/class/net").join(&bridge).exists() {
        ip(&["link", "delete", &bridge])?;
    }
    let Some(state) = state.filter(|state| state.node) else {
        return Ok(());
    };
    // Absent when `up` was interrupted early.
    let _ = ip(&["route", "delete", "unreachable", &state.networks.fake_pod_cidr()]);
    // The kernel removes a pod's link some time after its namespace.
    let pods = state.networks.pod_cidr();
    let routes = || ip(&["-4", "route", "show", "root", &pods]);
    let gone = wait::until("pod links are gone", Duration::from_secs(5), || {
        Ok(routes()?.trim().is_empty())
    });
    if gone.is_err() {
        for link in pod_links(&routes()?) {
            ip(&["link", "delete", &link])?;
        }
    }
    Ok(())
}

/// The links that CNI made, in the output of `ip route show root POD_CIDR`.
fn pod_links(routes: &str) -> Vec<String> {
    let mut links: Vec<String> = routes
        .lines()
        .filter_map(|line| line.split_whitespace().skip_while(|word| *word != "dev").nth(1))
        .filter(|link| link.starts_with("veth"))
        .map(str::to_owned)
        .collect();
    links.dedup();
    links
}

/// Our control group in every hierarchy.
fn control_groups(paths: &Paths) -> Result<Vec<PathBuf>> {
    let hierarchies = mounts::of_kind(&["cgroup", "cgroup2"])?;
    Ok(hierarchies
        .into_iter()
        .map(|mount| mount.join(&paths.id))
        .collect())
}

/// The directory and all below it, parents first.
fn tree(top: &Path) -> Vec<PathBuf> {
    if !top.is_dir() {
        return Vec::new();
    }
    let mut all = vec![top.to_owned()];
    let mut next = 0;
    while let Some(dir) = all.get(next).cloned() {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        all.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
        next += 1;
    }
    all
}

fn remove_groups(group: &Path) -> bool {
    // rmdir fails for a group with a process in it, which is what we want.
    tree(group)
        .iter()
        .rev()
        .all(|dir| std::fs::remove_dir(dir).is_ok())
}

fn remove_filter_rules(family: &str) -> Result<()> {
    let Ok(rules) = process::output(&mut process::local_command(format!("{family}-save"))) else {
        // No rules of this family without its program or kernel support.
        return Ok(());
    };
    let removal = removal_of_kube_chains(&rules);
    if removal.is_empty() {
        return Ok(());
    }
    let mut restore = process::local_command(format!("{family}-restore"))
        .args(["--noflush", "--wait", "10"])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {family}-restore"))?;
    if let Some(mut stdin) = restore.stdin.take() {
        stdin.write_all(removal.as_bytes())?;
    }
    let status = restore.wait()?;
    if !status.success() {
        bail!("{family}-restore could not remove the chains of kube-proxy ({status})");
    }
    Ok(())
}

/// From the output of `iptables-save`: the input to `iptables-restore
/// --noflush` that removes every chain named KUBE-* and the rules leading there.
fn removal_of_kube_chains(rules: &str) -> String {
    let mut removal = String::new();
    let (mut table, mut chains, mut jumps) = ("", Vec::new(), Vec::new());
    for line in rules.lines() {
        if let Some(name) = line.strip_prefix('*') {
            (table, chains, jumps) = (name, Vec::new(), Vec::new());
        } else if let Some(chain) = line
            .strip_prefix(":KUBE-")
            .and_then(|rest| rest.split_whitespace().next())
        {
            chains.push(chain);
        } else if let Some(rule) = line.strip_prefix("-A ") {
            if !rule.starts_with("KUBE-") && rule.contains("-j KUBE-") {
                jumps.push(rule);
            }
        } else if line == "COMMIT" && !chains.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(removal, "*{table}");
            for chain in &chains {
                let _ = writeln!(removal, ":KUBE-{chain} - [0:0]");
            }
            for rule in &jumps {
                let _ = writeln!(removal, "-D {rule}");
            }
            for chain in &chains {
                let _ = writeln!(removal, "-X KUBE-{chain}");
            }
            let _ = writeln!(removal, "COMMIT");
        }
    }
    removal
}

/// Files of ours in directories that are everybody's.
fn remove_fixed_files(paths: &Paths) {
    let entries = |dir: &str| {
        std::fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    for link in entries(CONTAINER_LOG_LINKS) {
        if std::fs::read_link(&link).is_ok_and(|target| target.starts_with(&paths.data)) {
            let _ = std::fs::remove_file(link);
        }
    }
    // Each of CNI's results names the network namespace it was made for, and
    // containerd keeps ours below `run`.
    let namespaces = format!("{}/", paths.run.display());
    for result in entries("/var/lib/cni/results") {
        if std::fs::read_to_string(&result).is_ok_and(|text| text.contains(&namespaces)) {
            let _ = std::fs::remove_file(result);
        }
    }
}

/// Removes a directory that the cluster caused: the volumes wholly, as they are
/// all ours, others as far as they are empty but for kubelet's own files.
fn remove_fixed_dir(dir: &Path) -> Result<()> {
    if dir == Path::new(VOLUMES) {
        return mounts::remove_dir(dir);
    }
    for file in [
        "device-plugins/kubelet.sock",
        "device-plugins/kubelet_internal_checkpoint",
    ] {
        let _ = std::fs::remove_file(dir.join(file));
    }
    for empty in tree(dir).iter().rev() {
        let _ = std::fs::remove_dir(empty);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_chains_of_kube_proxy_and_the_rules_leading_there_are_removed() {
        let rules = "# Generated\n*filter\n:INPUT ACCEPT [0:0]\n:DOCKER - [0:0]\nCOMMIT\n\
            *nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SEP-A - [0:0]\n\
            -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
            -A PREROUTING -j DOCKER\n-A KUBE-SERVICES -j KUBE-SEP-A\nCOMMIT\n";
        assert_eq!(
            removal_of_kube_chains(rules),
            "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SEP-A - [0:0]\n\
             -D PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
             -X KUBE-SERVICES\n-X KUBE-SEP-A\nCOMMIT\n"
        );
        assert_eq!(removal_of_kube_chains(""), "");
    }

    #[test]
    fn pod_links_are_those_cni_made() {
        let routes = "10.88.0.3 dev vethab12 scope host src 10.88.0.1\n10.88.0.0/16 dev eth0\n";
        assert_eq!(pod_links(routes), ["vethab12"]);
    }

    #[test]
    fn a_tree_lists_parents_first() {
        let top = std::env::temp_dir().join(format!("cloneset-tree-{}", std::process::id()));
        std::fs::create_dir_all(top.join("a/b")).expect("directories");
        std::fs::write(top.join("a/file"), "").expect("a file");
        assert_eq!(tree(&top), [top.clone(), top.join("a"), top.join("a/b")]);
        assert!(tree(&top.join("none")).is_empty());
        std::fs::remove_dir_all(top).expect("removed");
    }
}
