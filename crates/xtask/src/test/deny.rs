//! `deny.toml` enforced by cargo-deny, which is built once into the target directory.
//! It must not use a cargo-deny of the user's: another version has other rules.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::cargo;
use crate::progress::Step;

const VERSION: &str = "0.20.2";

/// Checks licences, duplicates and sources. Advisories: see `deny.toml`.
pub(super) fn check(root: &Path) -> Result<()> {
    let tools = cargo::target(root)?.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !is_built(&program) {
        build(&tools)?;
    }
    let status = Command::new(&program)
        .current_dir(root)
        .args(["--locked", "check", "--deny", "warnings"])
        .args(["bans", "licenses", "sources"])
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        status.success(),
        "deny.toml does not allow what is reported above"
    );
    Ok(())
}

fn is_built(program: &Path) -> bool {
    let said = Command::new(program).arg("--version").output();
    said.is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == format!("cargo-deny {VERSION}"))
}

fn build(tools: &Path) -> Result<()> {
    let step = Step::start(format!(
        "building cargo-deny {VERSION} (once; about a minute on 2 cores)"
    ));
    let work = tools.join("build");
    let output = cargo::command()?
        .args(["install", "cargo-deny", "--locked", "--version", VERSION])
        // It runs for two seconds, so optimising it would take longer than it saves.
        .args(["--profile", "dev"])
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .arg("--root")
        .arg(tools)
        .arg("--target-dir")
        .arg(&work)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo-deny cannot be built; `cargo install cargo-deny` said:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    step.done();
    Ok(())
}
