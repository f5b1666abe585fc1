//! `cargo xtask mutants --histories`: would the random histories find a mistake?
//!
//! The mistakes of `crates/testkit/mistakes.yaml` are built into a copy of the crates, all at once; a variable chooses which
//! of them is made. Without one the histories must hold, with each they must not. It must never write to the sources.

use super::list;
use crate::test::cargo;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Histories that must be enough, over all properties.
const HISTORIES: usize = 1_000;
/// Characters told of the rule that was broken.
const WIDTH: usize = 100;
/// Names the mistake to make.
const VARIABLE: &str = "CLONESET_MISTAKE";

/// A file, and the mistakes to make in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mistakes {
    file: String,
    places: Vec<Place>,
}

/// An expression, and what may stand there by mistake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    r#in: String,
    reads: String,
    /// Each with its name.
    mistakes: Vec<(String, String)>,
}

/// Tries every mistake; fails with those that no history found.
pub(super) fn run(root: &Path) -> Result<()> {
    let path = root.join("crates/testkit/mistakes.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let list: Vec<Mistakes> = serde_saphyr::from_str(&text).with_context(|| format!("{}", path.display()))?;
    let copy = copy(root)?;
    for mistakes in &list {
        let file = &mistakes.file;
        let source = fs::read_to_string(root.join(file)).with_context(|| format!("reading {file}"))?;
        let source = mistakes
            .planted(&source)
            .with_context(|| format!("crates/testkit/mistakes.yaml does not fit {file}"))?;
        fs::write(copy.join(file), source).with_context(|| format!("writing {file}"))?;
    }
    let program = Program::build(&copy)?;
    if let Some(found) = program.first_broken("")? {
        bail!("the histories fail without a mistake:\n{found}");
    }
    let mut missed = Vec::new();
    let places = list.iter().flat_map(|mistakes| &mistakes.places);
    for (name, _) in places.flat_map(|place| &place.mistakes) {
        match program.first_broken(name)? {
            Some(found) => println!("  {name}: {found}"),
            None => missed.push(name.as_str()),
        }
    }
    ensure!(
        missed.is_empty(),
        "{HISTORIES} random histories do not find: {}; make what they try or what the oracle in crates/testkit demands \
         stricter",
        missed.join(", ")
    );
    Ok(())
}

impl Mistakes {
    /// The source with every mistake in it, each made only when the variable names it.
    fn planted(&self, source: &str) -> Result<String> {
        let mut source = source.to_owned();
        for place in &self.places {
            let mut choice = String::from("{match planted_mistake() {");
            for (name, mistake) in &place.mistakes {
                // Debug formatting is Rust's own quoting of a string.
                write!(choice, " {name:?} => {mistake},")?;
            }
            write!(choice, " _ => {} }}}}", place.reads)?;
            source = list::mutate(&source, &place.r#in, &place.reads, &choice)
                .with_context(|| format!("in `{}`", place.r#in))?;
        }
        write!(
            source,
            "\nfn planted_mistake() -> &'static str {{\n    \
             static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();\n    \
             NAME.get_or_init(|| std::env::var({VARIABLE:?}).unwrap_or_default())\n}}\n"
        )?;
        Ok(source)
    }
}

/// A copy of the workspace below `target/mutants`, so that it shares the compiled dependencies.
fn copy(root: &Path) -> Result<PathBuf> {
    let copy = cargo::target(root)?.join("mutants/workspace");
    if copy.exists() {
        fs::remove_dir_all(&copy).with_context(|| format!("clearing {}", copy.display()))?;
    }
    fs::create_dir_all(&copy).with_context(|| format!("creating {}", copy.display()))?;
    for name in ["Cargo.toml", "Cargo.lock", "crates", "e2e"] {
        copy_into(&root.join(name), &copy.join(name))?;
    }
    Ok(copy)
}

fn copy_into(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        fs::copy(from, to).with_context(|| format!("copying {}", from.display()))?;
        return Ok(());
    }
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("reading {}", from.display()))? {
        let entry = entry?;
        copy_into(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

/// The properties with the mistakes in them.
struct Program {
    path: PathBuf,
}

impl Program {
    /// As `cargo xtask test` builds them, so that nothing but our own crates is compiled again.
    fn build(workspace: &Path) -> Result<Self> {
        let output = cargo::command()?
            .args(["test", "--workspace", "--exclude", "e2e", "--locked", "--quiet"])
            .args(["--test", "properties", "--no-run"])
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
        let path = messages
            .filter_map(|message: serde_json::Value| message.get("executable")?.as_str().map(PathBuf::from))
            .next_back()
            .context("cargo built no program of the properties")?;
        Ok(Self { path })
    }

    /// Where the first of the properties fails, and of what; with histories that are the same each time.
    fn first_broken(&self, mistake: &str) -> Result<Option<String>> {
        let run = |arguments: &[&str], histories: usize| {
            Command::new(&self.path)
                .args(arguments)
                .env(VARIABLE, mistake)
                .env("PROPTEST_CASES", histories.to_string())
                .env("PROPTEST_RNG_SEED", "1")
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .env("RUST_BACKTRACE", "0")
                .output()
                .with_context(|| format!("starting {}", self.path.display()))
        };
        let listed = run(&["--list", "--format", "terse"], 0)?;
        let properties = String::from_utf8_lossy(&listed.stdout).lines().count();
        ensure!(properties > 0, "there are no properties");
        let output = run(&[], HISTORIES / properties)?;
        if output.status.success() {
            return Ok(None);
        }
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = broken(&told).min().map(|(history, rule)| {
            let short: String = rule.chars().take(WIDTH).collect();
            format!("history {history}: {short}")
        });
        Ok(Some(first.unwrap_or(told)))
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
    fn a_mistake_is_made_only_when_it_is_named() {
        let list: Mistakes = serde_saphyr::from_str(
            "{file: f, places: [{in: fn a(, reads: x + 1, mistakes: [[too many, x + 2], [too few, x]]}]}",
        )
        .unwrap();
        let planted = list.planted("fn a() { x + 1 }\nfn b() { x + 1 }\n").unwrap();
        let choice = r#"{match planted_mistake() { "too many" => x + 2, "too few" => x, _ => x + 1 }}"#;
        assert!(
            planted.starts_with(&format!("fn a() {{ {choice} }}\nfn b() {{ x + 1 }}\n")),
            "{planted}"
        );
        assert!(list.planted("fn a() { x }").is_err(), "the code has changed");
    }

    #[test]
    fn the_first_history_that_fails_is_told_with_its_rule() {
        let told = "panicked at a.rs:1:\nhistory 12 of 250 breaks it. That\nTest failed: S1: too many\nwhat\n\
                    history 3 of 250 breaks it. That\nTest failed: S2: too few\nwhat\n";
        assert_eq!(broken(told).min(), Some((3, "S2: too few")));
        assert_eq!(broken("").min(), None);
    }
}
