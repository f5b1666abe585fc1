//! Renders the configuration files of `e2e/cluster/config` for one cluster.
//! It must not know what is in them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::paths::Paths;
use super::pki::NODE_NAME;
use super::state::State;
use super::{images, prerequisites};

/// Renders what every cluster needs.
pub(super) fn render_control_plane(paths: &Paths, state: &State) -> Result<()> {
    let values = common_values(paths, state);
    for file in ["audit-policy.yaml", "storage-class.yaml", "kwok.yaml"] {
        render_file(paths, file, Path::new(file), &values)?;
    }
    Ok(())
}

/// Renders what a node with real containers needs besides.
pub(super) fn render_node(paths: &Paths, state: &State) -> Result<()> {
    let mut values = common_values(paths, state);
    values.insert("CNI_BIN", prerequisites::cni_plugins()?.display().to_string());
    values.insert("SNAPSHOTTER", snapshotter(&paths.data)?.to_owned());
    for file in [
        "registry.yaml",
        "containerd.toml",
        "kubelet.yaml",
        "kube-proxy.yaml",
    ] {
        render_file(paths, file, Path::new(file), &values)?;
    }
    render_file(
        paths,
        "cni.conflist",
        Path::new("cni/10-cloneset.conflist"),
        &values,
    )?;
    render_file(
        paths,
        "registry-mirror.toml",
        Path::new("registries/_default/hosts.toml"),
        &values,
    )
}

fn common_values(paths: &Paths, state: &State) -> BTreeMap<&'static str, String> {
    let path = |path: &Path| path.display().to_string();
    BTreeMap::from([
        ("ID", paths.id.clone()),
        ("RUN", path(&paths.run)),
        ("DATA", path(&paths.data)),
        ("CONFIG", path(&paths.config())),
        ("PKI", path(&paths.pki())),
        ("NODE_NAME", NODE_NAME.to_owned()),
        ("NODE_IP", state.networks.node_ip()),
        ("POD_CIDR", state.networks.pod_cidr()),
        ("REAL_POD_CIDR", state.networks.real_pod_cidr()),
        ("SANDBOX_IMAGE", images::SANDBOX.to_owned()),
        ("REGISTRY_PORT", state.ports.registry.to_string()),
        ("KUBELET_PORT", state.ports.kubelet.to_string()),
        ("KUBELET_HEALTH_PORT", state.ports.kubelet_health.to_string()),
        ("PROXY_HEALTH_PORT", state.ports.proxy_health.to_string()),
        ("PROXY_METRICS_PORT", state.ports.proxy_metrics.to_string()),
    ])
}

/// overlayfs cannot lie on overlayfs, which is what the disk is inside a container.
fn snapshotter(data: &Path) -> Result<&'static str> {
    const OVERLAYFS_MAGIC: rustix::fs::FsWord = 0x794c_7630;
    let kind = rustix::fs::statfs(data)
        .with_context(|| format!("cannot examine {}", data.display()))?
        .f_type;
    Ok(if kind == OVERLAYFS_MAGIC {
        "native"
    } else {
        "overlayfs"
    })
}

fn render_file(paths: &Paths, from: &str, to: &Path, values: &BTreeMap<&str, String>) -> Result<()> {
    let source = paths.config_source().join("config").join(from);
    let target: PathBuf = paths.config().join(to);
    let text =
        std::fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let text = render(&text, values).with_context(|| format!("in {}", source.display()))?;
    if let Some(dir) = target.parent() {
        std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    std::fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))
}

/// Replaces every `@NAME@` by its value.
fn render(text: &str, values: &BTreeMap<&str, String>) -> Result<String> {
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('@') {
        rendered.push_str(before);
        match after.split_once('@') {
            Some((name, tail)) if is_name(name) => {
                let Some(value) = values.get(name) else {
                    bail!("no value is known for @{name}@")
                };
                rendered.push_str(value);
                rest = tail;
            }
            _ => {
                rendered.push('@');
                rest = after;
            }
        }
    }
    rendered.push_str(rest);
    Ok(rendered)
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_and_other_at_signs_stay() {
        let values = BTreeMap::from([("PORT", "1".to_owned())]);
        assert_eq!(
            render("a@sha256:x b:@PORT@ @", &values).expect("rendered"),
            "a@sha256:x b:1 @"
        );
        assert!(render("@MISSING@", &values).is_err());
    }
}
