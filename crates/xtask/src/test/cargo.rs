//! Runs cargo as a person at the repository's root would.
//! It must not choose what is built.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// cargo, without the variables that `cargo run` set for this program: build scripts that look at them would run
/// again, and with them half of the dependencies, each time somebody changes between `cargo test` and this command.
pub(crate) fn command() -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(crate::repository_root()?);
    for (name, _) in env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") || name == "CARGO_BIN_NAME"
        });
        if ours {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// Runs cargo with its output in view.
pub(super) fn run(arguments: &[&str]) -> Result<()> {
    let status = command()?.args(arguments).status().context("cannot run cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

/// What cargo prints; its own words are the error when it fails.
pub(super) fn output(arguments: &[&str]) -> Result<String> {
    let output = command()?.args(arguments).output().context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo {} failed:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).context("cargo printed something that is not text")
}

/// Where cargo builds.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    Ok(match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => env::current_dir()?.join(target),
        None => root.join("target"),
    })
}
