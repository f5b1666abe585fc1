//! The oracle objects: three controllers that are broken on purpose, each by a patch of `e2e/broken`, and the rule that
//! each must be caught by, with pods that are re-created or changed in place.
//!
//! Left out unless asked for, because every one is built first:
//! `cargo test --package e2e --test zx_broken -- --ignored`. Takes the installed controllers away meanwhile.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::fixtures::{NEW, cloneset};
use e2e::pods::image;
use e2e::{Counters, Namespace, in_place_of_the_installed};
use serde_json::json;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const RE_CREATED: &str = "ReCreate";
const IN_PLACE: &str = "InPlaceIfPossible";
/// What a build of the controller needs of the repository.
const SOURCES: [&str; 3] = ["crates/", "e2e/", "Cargo."];

#[tokio::test]
#[ignore = "builds a broken controller"]
async fn one_surge_pod_too_many_breaks_s1() -> Result<()> {
    is_caught("surge", "S1", RE_CREATED, 3).await
}

#[tokio::test]
#[ignore = "builds a broken controller"]
async fn an_update_of_all_pods_at_once_breaks_s2() -> Result<()> {
    is_caught("unavailable", "S2", RE_CREATED, 3).await
}

#[tokio::test]
#[ignore = "builds a broken controller"]
async fn a_change_of_all_pods_at_once_breaks_s2() -> Result<()> {
    is_caught("unavailable", "S2", IN_PLACE, 3).await
}

#[tokio::test]
#[ignore = "builds a broken controller"]
async fn a_pod_updated_beyond_the_partition_breaks_s3() -> Result<()> {
    is_caught("partition", "S3", RE_CREATED, 4).await
}

#[tokio::test]
#[ignore = "builds a broken controller"]
async fn a_pod_changed_in_place_beyond_the_partition_breaks_s3() -> Result<()> {
    is_caught("partition", "S3", IN_PLACE, 4).await
}

/// With this patch, a release of 5 pods of which 2 are to stay ends with so many updated pods, and breaks this rule.
async fn is_caught(patch: &str, rule: &str, strategy: &str, updated: usize) -> Result<()> {
    let program = build(patch)?;
    let released = in_place_of_the_installed(async |ns, replicas| {
        let mut replica = replicas.start_program("broken", program.as_os_str()).await?;
        release(ns, strategy, updated).await?;
        replica.ends_well().await
    });
    let Err(objection) = released.await else {
        bail!("the oracle has nothing to object to with e2e/broken/{patch}.patch");
    };
    let objection = format!("{objection:#}");
    ensure!(
        objection.contains(&format!("\n{rule}: ")),
        "{rule} should have been broken, but: {objection}"
    );
    println!("e2e/broken/{patch}.patch: {objection}");
    Ok(())
}

async fn release(ns: &Namespace, strategy: &str, updated: usize) -> Result<()> {
    let strategy = json!({
        "updateStrategy": {"type": strategy, "partition": 2, "maxUnavailable": 1, "maxSurge": 1}
    });
    ns.create_cloneset(&cloneset("web", 5, &strategy)).await?;
    let counters = Counters {
        expected_updated: 3,
        ..Counters::at_rest(5, 5)
    };
    ns.reaches("web", counters).await?;
    ns.set_image("web", NEW).await?;
    let what = format!("{updated} updated pods of 5");
    ns.until_pods("web", &what, |pods| {
        pods.len() == 5 && pods.iter().filter(|pod| image(pod) == NEW).count() == updated
    })
    .await
    .map(drop)
}

/// The controller's program, built from a patched copy of the repository.
fn build(patch: &str) -> Result<PathBuf> {
    // They are built in one place, for the sake of their dependencies.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("broken");
    let copy = folder.join(patch);
    copy_sources(&copy)?;
    let patch = fs::canonicalize(ROOT)?.join(format!("e2e/broken/{patch}.patch"));
    // Below a repository, git would look for the paths of the patch in that.
    run(Command::new("git")
        .env("GIT_CEILING_DIRECTORIES", &folder)
        .current_dir(&copy)
        .arg("apply")
        .arg(&patch))?;
    let target = folder.join("target");
    run(
        Command::new(env::var_os("CARGO").as_deref().unwrap_or(OsStr::new("cargo")))
            .current_dir(&copy)
            .args([
                "build",
                "--locked",
                "--package",
                "cloneset-controller",
                "--target-dir",
            ])
            .arg(&target),
    )?;
    // The next patch's program will be in its place.
    let program = copy.join("cloneset-controller");
    fs::copy(target.join("debug/cloneset-controller"), &program)?;
    Ok(program)
}

/// As they are now, whatever of them is committed.
fn copy_sources(copy: &Path) -> Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy).with_context(|| format!("cannot remove {}", copy.display()))?;
    }
    let list = Command::new("git")
        .current_dir(ROOT)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot run git")?;
    ensure!(
        list.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&list.stderr)
    );
    let files = String::from_utf8(list.stdout)?;
    let files = files
        .lines()
        .filter(|file| SOURCES.iter().any(|source| file.starts_with(source)));
    for file in files {
        let (from, to) = (Path::new(ROOT).join(file), copy.join(file));
        // A file that is listed may have been deleted.
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(copy))?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}
