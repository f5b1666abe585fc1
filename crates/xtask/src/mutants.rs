//! `cargo xtask mutants`: is every term of the numbers needed?
//!
//! `crates/plan/mutations.yaml` lists single-term mistakes. Each is made in a copy of the file, compiled with the
//! vectors alone and run; a vector must fail. A mistake that no vector notices, one that does not compile, and a
//! list entry that no longer fits the code are all failures of this command. It must never write to the sources.

mod histories;
mod list;
mod program;
mod trial;

use anyhow::{Context as _, Result, bail, ensure};
use list::{Fate, Mutant, Subject};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use trial::{Outcome, Trial};

/// Tries the vectors, and then all tests and the random histories.
pub(crate) fn run_all(root: &Path) -> Result<()> {
    run(root)?;
    histories(root)
}

/// Tries whether the tests find planted mistakes.
pub(crate) fn histories(root: &Path) -> Result<()> {
    histories::run(root)
}

/// Tries every listed mutation and fails with those that nothing caught.
pub(crate) fn run(root: &Path) -> Result<()> {
    let path = root.join("crates/plan/mutations.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let subjects = list::parse(&text).with_context(|| format!("{}", path.display()))?;
    // A list that no longer fits the code is told at once, not after a minute of compiling.
    let sources = subjects
        .iter()
        .map(|subject| Sources::read(root, subject))
        .collect::<Result<Vec<_>>>()?;
    let wanted: BTreeSet<&str> = subjects.iter().flat_map(Subject::crates).collect();
    let libraries = trial::Libraries::build(root, &wanted)?;
    let mut complaints = Vec::new();
    for (subject, sources) in subjects.iter().zip(&sources) {
        complaints.extend(try_all(root, subject, sources, &libraries)?);
    }
    if !complaints.is_empty() {
        bail!(
            "{} of the listed mutations did not meet their fate; add a vector that tells them from the \
             original, or correct crates/plan/mutations.yaml\n{}",
            complaints.len(),
            complaints.join("\n")
        );
    }
    Ok(())
}

/// A file as it is, and with each of its mistakes.
struct Sources {
    original: String,
    mutants: Vec<Mutant>,
}

impl Sources {
    fn read(root: &Path, subject: &Subject) -> Result<Self> {
        let original = fs::read_to_string(root.join(&subject.file))
            .with_context(|| format!("reading {}", subject.file))?;
        let mutants = subject
            .mutants(&original)
            .with_context(|| format!("crates/plan/mutations.yaml does not fit {}", subject.file))?;
        Ok(Self { original, mutants })
    }
}

/// Gives one line for each mutation of the file that should have been caught and was not, or the other way round.
fn try_all(
    root: &Path,
    subject: &Subject,
    sources: &Sources,
    libraries: &trial::Libraries,
) -> Result<Vec<String>> {
    let trial = Trial::new(root, subject, libraries)?;
    match trial.run("original", &sources.original)? {
        Outcome::Passed => {}
        Outcome::Failed(failures) => bail!("{} fails its vectors as it is: {failures}", subject.file),
        Outcome::NotCompiled(errors) => bail!("{} does not compile alone:\n{errors}", subject.file),
    }
    let mutants = &sources.mutants;
    let lines = in_parallel(mutants, |name, mutant| {
        let outcome = trial.run(name, &mutant.source)?;
        judge(mutant, outcome)
    })?;
    let mut complaints = Vec::new();
    for (mutant, line) in mutants.iter().zip(lines) {
        match line {
            Ok(line) => println!("{line}"),
            Err(why) => complaints.push(format!("  {}: {}: {why}", subject.file, mutant.label)),
        }
    }
    let met = mutants.len() - complaints.len();
    println!(
        "{}: {met} of {} mutations met their fate",
        subject.file,
        mutants.len()
    );
    Ok(complaints)
}

/// The line to print for a mutation that met its fate, or what is wrong.
fn judge(mutant: &Mutant, outcome: Outcome) -> Result<Result<String, String>> {
    Ok(match (&mutant.fate, outcome) {
        (Fate::Caught, Outcome::Failed(by)) => Ok(format!("  caught by {by}: {}", mutant.label)),
        (Fate::Caught, Outcome::Passed) => Err("no vector caught it".to_owned()),
        (Fate::Equivalent { because }, Outcome::Passed) => {
            Ok(format!("  changes nothing: {} ({because})", mutant.label))
        }
        (Fate::Equivalent { .. }, Outcome::Failed(by)) => {
            Err(format!("listed as equivalent, but {by} caught it"))
        }
        (_, Outcome::NotCompiled(errors)) => bail!("{} does not compile:\n{errors}", mutant.label),
    })
}

/// Runs the work for every item on as many threads as there are cores; results keep the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&str, &T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else {
                return Ok(done);
            };
            done.push((index, work(&format!("m{index}"), item)?));
        }
    };
    let mut results = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut results = Vec::new();
        for handle in workers {
            let done: Result<Vec<(usize, R)>> = handle
                .join()
                .map_err(|_| anyhow::anyhow!("a worker of the mutation check panicked"))?;
            results.extend(done?);
        }
        anyhow::Ok(results)
    })?;
    results.sort_by_key(|(index, _)| *index);
    ensure!(results.len() == items.len(), "every mutation is tried once");
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
