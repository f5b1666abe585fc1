//! The controller's image without Docker: a static release binary, alone in an
//! image from scratch, written as an archive that every runtime loads. The
//! Dockerfile makes the same image where Docker is at hand.
//!
//! It must not load the image anywhere, nor know how an archive is laid out.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use object::Endianness;
use object::elf::{FileHeader64, PT_INTERP};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use serde_json::Value;

use crate::oci::{Arch, Config, Image};

/// Where the image is published, and what the chart installs by default.
pub(crate) const REPOSITORY: &str = "ghcr.io/cloneset/cloneset";

const PACKAGE: &str = "cloneset-controller";
/// No entry in any passwd file; a number, so that the kubelet can verify `runAsNonRoot`.
const USER: &str = "65532:65532";

/// An image archive that was written.
#[derive(Debug)]
pub(crate) struct ImageInfo {
    /// `REPOSITORY:TAG`
    pub(crate) name: String,
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The program in it, which also runs without an image.
    pub(crate) program: PathBuf,
    /// The archive's size in bytes.
    pub(crate) size: u64,
    /// The manifest's digest: what a registry calls the image.
    pub(crate) digest: String,
}

/// The image's name when nobody gives another: what the chart of this version installs.
pub(crate) fn default_name() -> String {
    format!("{REPOSITORY}:{}", env!("CARGO_PKG_VERSION"))
}

/// Where the archive goes when nobody says otherwise.
pub(crate) fn default_output() -> Result<PathBuf> {
    Ok(folder()?.join("cloneset.tar"))
}

/// Builds the controller and writes its image, called `name`, to `output`.
pub(crate) fn build(name: &str, output: &Path) -> Result<ImageInfo> {
    let binary = build_binary()?;
    let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
    check_static(&bytes).with_context(|| binary.display().to_string())?;
    let label = |key: &str, value: &str| (format!("org.opencontainers.image.{key}"), value.to_owned());
    let image = Image::new(name, Arch::host()?)
        .file("/cloneset-controller", 0o755, bytes)
        .config(Config {
            entrypoint: vec!["/cloneset-controller".to_owned()],
            user: USER.to_owned(),
            exposed_ports: vec!["8000/tcp".to_owned(), "8080/tcp".to_owned()],
            labels: BTreeMap::from([
                label("title", "cloneset"),
                label("description", "Controller for OpenKruise's CloneSet"),
                label("source", "https://github.com/cloneset/cloneset"),
                label("licenses", "Apache-2.0"),
                label("version", env!("CARGO_PKG_VERSION")),
            ]),
            ..Config::default()
        });
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    let file = File::create(output).with_context(|| format!("cannot create {}", output.display()))?;
    image.write(&mut BufWriter::new(file))?;
    Ok(ImageInfo {
        name: name.to_owned(),
        archive: output.to_path_buf(),
        program: binary,
        size: fs::metadata(output)?.len(),
        digest: digest_of(output)?,
    })
}

/// `cargo xtask image`: builds, and says what it built and how to load it.
pub(crate) fn run(name: Option<String>, output: Option<PathBuf>) -> Result<()> {
    let output = output.map_or_else(default_output, Ok)?;
    let info = build(&name.unwrap_or_else(default_name), &output)?;
    let tenths = info.size * 10 / (1 << 20);
    println!("image    {}", info.name);
    println!("digest   {}", info.digest);
    println!(
        "archive  {} ({}.{} MiB)",
        info.archive.display(),
        tenths / 10,
        tenths % 10
    );
    println!("load it  docker load --input {}", info.archive.display());
    println!("         kind load image-archive {}", info.archive.display());
    println!(
        "         cargo xtask cluster load-image {}",
        info.archive.display()
    );
    Ok(())
}

/// This command's part of the target directory. It has a target directory of its own for cargo, because
/// other flags for the same crates would make every other build start from nothing.
fn folder() -> Result<PathBuf> {
    let target = match env::var_os("CARGO_TARGET_DIR") {
        Some(target) => env::current_dir()?.join(target),
        None => crate::repository_root()?.join("target"),
    };
    Ok(target.join("image"))
}

fn build_binary() -> Result<PathBuf> {
    let host = host_triple()?;
    ensure!(
        host.contains("-linux-"),
        "the image holds a Linux program, and this is {host}: run `docker build .` instead"
    );
    let root = crate::repository_root()?;
    let target = folder()?.join("build");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(&root)
        .args([
            "build",
            "--release",
            "--locked",
            "--package",
            PACKAGE,
            "--bin",
            PACKAGE,
        ])
        // With an explicit target the flags leave build scripts and proc-macros alone, which
        // cannot be static.
        .args(["--target", &host])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(&root, &target))
        .status()
        .context("cannot run cargo")?;
    ensure!(
        status.success(),
        "the controller does not build as a static program (see above). If the linker does not find -lc, \
         install the static C library: libc6-dev on Debian, glibc-static on Fedora"
    );
    Ok(target.join(host).join("release").join(PACKAGE))
}

/// Static, and without this machine's folders in panic messages: they would make each
/// machine's image another one.
fn rustflags(root: &Path, target: &Path) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static");
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    // The last one that matches is taken, and the target directory is often below the root.
    let folders = [
        (Some(root), "/src"),
        (home.as_deref(), "/cargo"),
        (Some(target), "/target"),
    ];
    for (folder, shown) in folders {
        let Some(folder) = folder else { continue };
        // Cargo separates encoded flags by this byte, so that folders may hold spaces.
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(folder);
        flags.push("=");
        flags.push(shown);
    }
    flags
}

fn host_triple() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .context("cannot run rustc -vV")?;
    let text = String::from_utf8(output.stdout).context("rustc -vV printed something that is not text")?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}

/// A program that asks for a dynamic loader cannot start in an empty image.
fn check_static(program: &[u8]) -> Result<()> {
    let header = FileHeader64::<Endianness>::parse(program).context("not a 64-bit ELF program")?;
    let endian = header.endian().context("an ELF program of unknown byte order")?;
    for segment in header
        .program_headers(endian, program)
        .context("an ELF program without segments")?
    {
        if segment.p_type(endian) == PT_INTERP {
            bail!("is linked dynamically, so it cannot run in an image from scratch");
        }
    }
    Ok(())
}

/// Read back from the archive, which also shows that it can be read.
fn digest_of(archive: &Path) -> Result<String> {
    let mut members = tar::Archive::new(File::open(archive)?);
    for member in members.entries()? {
        let member = member?;
        if member.path()?.as_ref() == Path::new("index.json") {
            let index: Value = serde_json::from_reader(member)?;
            let digest = index.pointer("/manifests/0/digest").and_then(Value::as_str);
            return Ok(digest.context("the image index names no manifest")?.to_owned());
        }
    }
    bail!("{} holds no index.json", archive.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_with_a_loader_is_refused() {
        // The test itself is linked dynamically where the host's C library is glibc.
        if cfg!(all(target_env = "gnu", not(target_feature = "crt-static"))) {
            let own = fs::read(env::current_exe().expect("a path")).expect("the test program");
            let error = check_static(&own).expect_err("it has a loader").to_string();
            assert!(error.contains("linked dynamically"), "{error}");
        }
        assert!(check_static(b"#!/bin/sh\n").is_err());
    }

    #[test]
    fn flags_are_separated_so_that_folders_may_hold_spaces() {
        let flags = rustflags(Path::new("/with a space"), Path::new("/t"))
            .into_string()
            .expect("text");
        assert!(flags.contains("\u{1f}--remap-path-prefix=/with a space=/src"));
    }
}
