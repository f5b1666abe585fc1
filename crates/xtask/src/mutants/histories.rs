//! `cargo xtask mutants --histories`: would the tests find a mistake?
//!
//! The mistakes of `crates/testkit/mistakes.yaml` are built into a copy of the crates, all at once; a variable chooses which
//! of them is made. Without one the tests must pass, with each one must fail. It must never write to the sources.

use super::list;
use super::program::{Programs, Proof, VARIABLE};
use crate::test::cargo;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

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
    /// What has to find it.
    #[serde(default)]
    by: Proof,
    /// Each with its name.
    mistakes: Vec<(String, String)>,
}

/// Tries every mistake; fails with those that no test found.
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
    let programs = Programs::build(&copy)?;
    if let Some(found) = programs.first_broken("", Proof::AnyTest)? {
        bail!("the tests fail without a mistake:\n{found}");
    }
    let (mut found, mut missed) = (0_usize, Vec::new());
    for place in list.iter().flat_map(|mistakes| &mistakes.places) {
        for (name, _) in &place.mistakes {
            match programs.first_broken(name, place.by)? {
                Some(by) => {
                    found += 1;
                    println!("  {name}: {by}");
                }
                None => missed.push(name.as_str()),
            }
        }
    }
    ensure!(
        missed.is_empty(),
        "{found} mistakes were found, {} were not: {}; add a test, or make what the histories try or what the judges in \
         crates/testkit demand stricter",
        missed.len(),
        missed.join(", ")
    );
    println!("{found} mistakes, each found by a test");
    Ok(())
}

impl Mistakes {
    /// The source with every mistake in it, each made only when the variable names it.
    fn planted(&self, source: &str) -> Result<String> {
        let mut source = source.to_owned();
        for place in &self.places {
            let mut choice = String::from("(match planted_mistake() {");
            for (name, mistake) in &place.mistakes {
                // Debug formatting is Rust's own quoting of a string.
                write!(choice, " {name:?} => {mistake},")?;
            }
            write!(choice, " _ => {} }})", place.reads)?;
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
    for name in ["Cargo.toml", "Cargo.lock", "crates", "docs", "e2e"] {
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
        let choice = r#"(match planted_mistake() { "too many" => x + 2, "too few" => x, _ => x + 1 })"#;
        assert!(
            planted.starts_with(&format!("fn a() {{ {choice} }}\nfn b() {{ x + 1 }}\n")),
            "{planted}"
        );
        assert!(list.planted("fn a() { x }").is_err(), "the code has changed");
    }
}
