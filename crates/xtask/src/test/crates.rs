//! Two promises about the workspace's crates: what decides cannot reach a cluster, and no crate builds only because
//! a neighbour turned on a feature that both share.
//! It must not know any crate but those the promises name.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::cargo;
use crate::progress::seconds;

/// Crates that decide.
const PURE: [&str; 3] = ["cloneset-api", "cloneset-status", "cloneset-plan"];

/// What they must never reach.
const IMPURE: [&str; 3] = ["tokio", "kube-client", "kube-runtime"];

/// Fails when a crate that decides can reach a client or a runtime.
pub(super) fn check_purity() -> Result<()> {
    let mut findings = Vec::new();
    for name in PURE {
        let tree = [
            "tree",
            "--locked",
            "--package",
            name,
            "--edges",
            "normal",
            "--target",
            "all",
        ];
        let listed = cargo::output(&[tree.as_slice(), &["--prefix", "none", "--format", "{p}"]].concat())?;
        let reached = names(&listed);
        ensure!(
            reached.contains(name),
            "`cargo tree` of {name} does not list {name}"
        );
        let bad: Vec<&str> = IMPURE.into_iter().filter(|bad| reached.contains(bad)).collect();
        println!("{name}: {} crates, {} of them impure", reached.len(), bad.len());
        for bad in bad {
            let path = cargo::output(&[tree.as_slice(), &["--invert", bad]].concat())?;
            findings.push(format!("{name} reaches {bad}:\n{path}"));
        }
    }
    ensure!(
        findings.is_empty(),
        "deciding must stay free of I/O (docs/decisions/):\n{}",
        findings.join("\n")
    );
    Ok(())
}

/// The crates in the output of `cargo tree --prefix none --format {p}`.
fn names(tree: &str) -> BTreeSet<&str> {
    tree.lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

/// Builds each crate of the workspace with the features that it asks for itself.
pub(super) fn check_alone(root: &Path) -> Result<()> {
    for name in members(root)? {
        let started = Instant::now();
        let check = ["check", "--quiet", "--locked", "--package", &name];
        if let Err(error) = cargo::run(&check) {
            bail!(
                "{error}. If {name} builds together with the others, it leans on a feature that one of them turns on"
            );
        }
        println!("{name}: {}", seconds(started.elapsed()));
    }
    Ok(())
}

fn members(root: &Path) -> Result<Vec<String>> {
    let metadata = cargo::output(&["metadata", "--locked", "--no-deps", "--format-version", "1"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: Vec<String> = packages
        .filter_map(|package| Some(package.get("name")?.as_str()?.to_owned()))
        .collect();
    ensure!(
        !names.is_empty(),
        "cargo metadata lists no crate in {}",
        root.display()
    );
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crates_are_told_apart_by_their_whole_names() {
        let tree = "cloneset-api v0.1.0 (/x)\ntokio-util v0.7.1\nserde v1.0.2 (*)\n\n";
        let names = names(tree);
        assert!(names.contains("cloneset-api") && names.contains("serde"));
        assert!(!names.contains("tokio"));
    }
}
