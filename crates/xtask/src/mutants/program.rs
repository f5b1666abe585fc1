//! The test programs that have the planted mistakes in them: built once, run with one mistake at a time.
//!
//! It knows nothing of the mistakes but their names.

use crate::test::cargo;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Names the mistake to make.
pub(super) const VARIABLE: &str = "CLONESET_MISTAKE";
/// Histories that must be enough, over all properties, to find a mistake that they have to find.
const HISTORIES: usize = 1_000;
/// Histories that are tried where no other test has found a mistake.
const MORE_HISTORIES: usize = 8_000;
/// The program of the random histories.
const PROPERTIES: &str = "properties";
/// Characters told of the rule that was broken.
const WIDTH: usize = 100;
/// A program that runs for longer goes on for ever because of the mistake.
const PATIENCE: Duration = Duration::from_mins(10);

/// What has to find a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Proof {
    /// Whichever test comes first.
    #[default]
    AnyTest,
    /// The random histories.
    Histories,
}

/// The test programs of the crates that decide, and of the simulated world.
pub(super) struct Programs {
    /// All but the random histories, which take longest.
    quick: Vec<PathBuf>,
    histories: PathBuf,
    /// Where a program writes what it has to say.
    output: PathBuf,
}

impl Programs {
    pub(super) fn build(workspace: &Path) -> Result<Self> {
        let output = cargo::command()?
            .args(["test", "--locked", "--quiet", "--no-run"])
            .args([
                "-p",
                "cloneset-plan",
                "-p",
                "cloneset-status",
                "-p",
                "cloneset-testkit",
            ])
            .arg("--message-format=json-render-diagnostics")
            // Cargo keeps apart what a wrapper of rustc makes of the workspace's own crates: without one, the next build of
            // the real sources would take the libraries with the mistakes for its own.
            .env("RUSTC_WORKSPACE_WRAPPER", "env")
            .env("CARGO_TARGET_DIR", cargo::target(&crate::repository_root()?)?)
            .current_dir(workspace)
            .output()
            .context("starting cargo")?;
        ensure!(
            output.status.success(),
            "the crates with the mistakes do not build:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let built = String::from_utf8_lossy(&output.stdout).into_owned();
        let messages = built.lines().filter_map(|line| serde_json::from_str(line).ok());
        let program = |message: serde_json::Value| {
            let path = PathBuf::from(message.get("executable")?.as_str()?);
            Some((message.pointer("/target/name")?.as_str()?.to_owned(), path))
        };
        let programs: Vec<(String, PathBuf)> = messages.filter_map(program).collect();
        let histories = programs.iter().find(|(name, _)| name == PROPERTIES);
        let (_, histories) = histories.context("cargo built no program of the properties")?;
        let quick = programs.iter().filter(|(name, _)| name != PROPERTIES);
        Ok(Self {
            quick: quick.map(|(_, path)| path.clone()).collect(),
            histories: histories.clone(),
            output: workspace.join("output"),
        })
    }

    /// The first test that fails with a mistake.
    pub(super) fn first_broken(&self, mistake: &str, by: Proof) -> Result<Option<String>> {
        if by == Proof::Histories {
            return self.first_history(mistake, HISTORIES);
        }
        for program in &self.quick {
            let told = self.run(program, mistake, &[])?;
            if let Some(told) = told {
                let mut lines = told.lines().filter_map(|line| line.strip_suffix(" ... FAILED"));
                let first = lines.next().and_then(|line| line.strip_prefix("test "));
                return Ok(Some(first.map_or(told.clone(), str::to_owned)));
            }
        }
        self.first_history(mistake, MORE_HISTORIES)
    }

    /// Where the first of the properties fails, and of what; with histories that are the same each time.
    fn first_history(&self, mistake: &str, histories: usize) -> Result<Option<String>> {
        let listed = Command::new(&self.histories)
            .args(["--list", "--format", "terse"])
            .output()
            .with_context(|| format!("starting {}", self.histories.display()))?;
        let properties = String::from_utf8_lossy(&listed.stdout).lines().count();
        ensure!(properties > 0, "there are no properties");
        let each = (histories / properties).to_string();
        let variables = [
            ("PROPTEST_CASES", each.as_str()),
            ("PROPTEST_MAX_SHRINK_ITERS", "0"),
        ];
        let Some(told) = self.run(&self.histories, mistake, &variables)? else {
            return Ok(None);
        };
        let first = broken(&told).min().map(|(history, rule)| {
            let short: String = rule.chars().take(WIDTH).collect();
            format!("history {history}: {short}")
        });
        Ok(Some(first.unwrap_or(told)))
    }

    /// What the program says if it fails with the mistake.
    fn run(&self, program: &Path, mistake: &str, variables: &[(&str, &str)]) -> Result<Option<String>> {
        let output = File::create(&self.output).context("making room for what a program says")?;
        let mut running = Command::new(program)
            .env(VARIABLE, mistake)
            .env("PROPTEST_RNG_SEED", "1")
            .env("RUST_BACKTRACE", "0")
            .envs(variables.iter().copied())
            .stdout(output)
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let started = Instant::now();
        let status = loop {
            if let Some(status) = running.try_wait()? {
                break status;
            }
            if started.elapsed() > PATIENCE {
                running.kill()?;
                running.wait()?;
                return Ok(Some(format!("{} does not come to an end", program.display())));
            }
            thread::sleep(Duration::from_millis(20));
        };
        if status.success() {
            return Ok(None);
        }
        let told = fs::read_to_string(&self.output).context("reading what a program said")?;
        Ok(Some(told))
    }
}

/// The number of each history that broke a property, and the rule.
fn broken(told: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut lines = told.lines();
    std::iter::from_fn(move || {
        let history = lines.by_ref().find_map(|line| line.strip_prefix("history "))?;
        let rule = lines.next().unwrap_or_default();
        Some((
            history.split(' ').next()?.parse().ok()?,
            rule.strip_prefix("Test failed: ").unwrap_or(rule),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_history_that_fails_is_told_with_its_rule() {
        let told = "panicked at a.rs:1:\nhistory 12 of 250 breaks it. That\nTest failed: S1: too many\nwhat\n\
                    history 3 of 250 breaks it. That\nTest failed: S2: too few\nwhat\n";
        assert_eq!(broken(told).min(), Some((3, "S2: too few")));
        assert_eq!(broken("").min(), None);
    }
}
