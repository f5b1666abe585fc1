//! Compiles one source with its vectors and runs it. It must write below `target/mutants` only.

use super::list::Subject;
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What came of a source.
pub(crate) enum Outcome {
    /// Every vector gave what it should.
    Passed,
    /// A vector did not; its name, and how many more.
    Failed(String),
    /// What the compiler said.
    NotCompiled(String),
}

/// Compiled libraries by name, and where their dependencies are.
pub(crate) struct Libraries {
    files: BTreeMap<String, PathBuf>,
    folders: BTreeSet<PathBuf>,
}

/// The part that we read of cargo's messages (`--message-format=json`).
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

impl Libraries {
    /// Lets cargo build the planner, and so every library that its files need.
    pub(crate) fn build(root: &Path, wanted: &BTreeSet<&str>) -> Result<Self> {
        let mut libraries = Self {
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
        };
        if wanted.is_empty() {
            return Ok(libraries);
        }
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let output = Command::new(cargo)
            .args(["build", "--quiet", "--package", "cloneset-plan"])
            .arg("--message-format=json-render-diagnostics")
            .current_dir(root)
            .output()
            .context("starting cargo")?;
        if !output.status.success() {
            bail!(
                "cloneset-plan does not build:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let message: Message = serde_json::from_str(line).context("reading cargo's messages")?;
            if message.reason == "compiler-artifact" {
                libraries.note(message);
            }
        }
        for name in wanted {
            ensure!(
                libraries.files.contains_key(*name),
                "cloneset-plan has no dependency {name}"
            );
        }
        Ok(libraries)
    }

    fn note(&mut self, artifact: Message) {
        for file in artifact.filenames {
            self.folders.extend(file.parent().map(Path::to_path_buf));
            if let Some(target) = &artifact.target
                && file.extension().is_some_and(|extension| extension == "rlib")
            {
                self.files.insert(target.name.replace('-', "_"), file);
            }
        }
    }
}

/// How to try the sources of one file.
pub(crate) struct Trial<'a> {
    folder: PathBuf,
    module: String,
    modules: String,
    libraries: &'a Libraries,
    wanted: Vec<&'a str>,
}

impl<'a> Trial<'a> {
    /// Prepares a folder for the file's trials.
    pub(crate) fn new(root: &Path, subject: &'a Subject, libraries: &'a Libraries) -> Result<Self> {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let module = module_name(&subject.file)?;
        let folder = target.join("mutants").join(&module);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("clearing {}", folder.display()))?;
        }
        let mut modules = String::new();
        for file in &subject.with {
            // Debug formatting is Rust's own quoting of a string.
            let path = root.join(file).display().to_string();
            writeln!(modules, "#[path = {path:?}] mod {};", module_name(file)?)?;
        }
        let check = subject
            .with
            .last()
            .context("`with` names the file that has failures()")?;
        writeln!(
            modules,
            "fn failures() -> Vec<String> {{ {}::failures() }}",
            module_name(check)?
        )?;
        Ok(Self {
            folder,
            module,
            modules,
            libraries,
            wanted: subject.crates().collect(),
        })
    }

    /// Compiles the source and runs its vectors.
    pub(crate) fn run(&self, name: &str, source: &str) -> Result<Outcome> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        fs::write(folder.join("subject.rs"), source)?;
        let main = format!(
            "#[path = \"subject.rs\"] mod {};\n{}\
             fn main() {{\n    let failures = failures();\n    for line in &failures {{ println!(\"{{line}}\"); }}\n    \
             std::process::exit(i32::from(!failures.is_empty()));\n}}\n",
            self.module, self.modules
        );
        fs::write(folder.join("main.rs"), main)?;
        let errors = self.compile(&folder)?;
        if !errors.is_empty() {
            return Ok(Outcome::NotCompiled(errors));
        }
        let program = folder.join("mutant");
        let output = Command::new(&program)
            .output()
            .with_context(|| format!("starting {}", program.display()))?;
        fs::remove_dir_all(&folder)?;
        Ok(outcome(
            output.status.success(),
            &String::from_utf8_lossy(&output.stdout),
        ))
    }

    /// The compiler's errors; none when it made `mutant`.
    fn compile(&self, folder: &Path) -> Result<String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let mut command = Command::new(rustc);
        command
            .args([
                "--edition",
                "2024",
                "--crate-name",
                "mutant",
                "--cap-lints",
                "allow",
            ])
            .args(["-C", "debuginfo=0", "-o", "mutant", "main.rs"])
            .current_dir(folder);
        for name in &self.wanted {
            if let Some(file) = self.libraries.files.get(*name) {
                command.arg("--extern").arg(format!("{name}={}", file.display()));
            }
        }
        for dependencies in &self.libraries.folders {
            command
                .arg("-L")
                .arg(format!("dependency={}", dependencies.display()));
        }
        let output = command.output().context("starting rustc")?;
        if output.status.success() {
            return Ok(String::new());
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A file's module: its name without the ending.
fn module_name(file: &str) -> Result<String> {
    let stem = Path::new(file).file_stem().and_then(|stem| stem.to_str());
    Ok(stem
        .with_context(|| format!("{file} is not a Rust file"))?
        .to_owned())
}

/// Each line of the program is a vector's name, a colon, and what was wrong.
fn outcome(success: bool, output: &str) -> Outcome {
    if success {
        return Outcome::Passed;
    }
    let mut names = output.lines().filter_map(|line| line.split(':').next());
    Outcome::Failed(match (names.next(), names.count()) {
        (None, _) => "a panic".to_owned(),
        (Some(first), 0) => first.to_owned(),
        (Some(first), more) => format!("{first} and {more} more"),
    })
}
