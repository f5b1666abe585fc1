//! Fake nodes: kwok says that pods run there.
//! It must not let an ordinary pod land on one while there is a real node.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::paths::Paths;
use super::probe;
use super::state::State;

/// Creates the recorded number of nodes; those that exist stay.
pub(super) fn ensure(paths: &Paths, state: &State) -> Result<()> {
    let nodes: Vec<Value> = (0..state.kwok_nodes)
        .map(|number| node(number, state.node))
        .collect();
    let list = serde_json::to_vec(&json!({ "apiVersion": "v1", "kind": "List", "items": nodes }))?;
    let mut apply = probe::kubectl(paths)
        .args(["apply", "--server-side", "--force-conflicts", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot run kubectl")?;
    if let Some(mut stdin) = apply.stdin.take() {
        stdin.write_all(&list)?;
    }
    let status = apply.wait()?;
    if !status.success() {
        bail!("kubectl could not create the fake nodes ({status})");
    }
    Ok(())
}

fn node(number: u32, tainted: bool) -> Value {
    let name = format!("kwok-{number}");
    let taints = if tainted {
        json!([{ "key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule" }])
    } else {
        json!([])
    };
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": { "kwok.x-k8s.io/node": "fake" },
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "type": "kwok",
            },
        },
        "spec": { "taints": taints },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beside_a_real_node_are_fake_ones_tainted() {
        assert_eq!(node(0, true)["spec"]["taints"][0]["effect"], "NoSchedule");
        assert_eq!(node(1, false)["spec"]["taints"], json!([]));
        assert_eq!(node(1, false)["metadata"]["name"], "kwok-1");
    }
}
