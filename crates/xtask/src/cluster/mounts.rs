//! Mounts below a directory: finding and ending them, and removing a directory
//! only once nothing is mounted in it.
//! It must not follow a mount while removing: behind it may lie a user's data.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::mount::{UnmountFlags, unmount};

struct Mount {
    at: PathBuf,
    kind: String,
}

/// Where file systems of these kinds are mounted.
pub(super) fn of_kind(kinds: &[&str]) -> Result<Vec<PathBuf>> {
    let of_kind = all()?
        .into_iter()
        .filter(|mount| kinds.contains(&mount.kind.as_str()));
    Ok(of_kind.map(|mount| mount.at).collect())
}

/// Ends every mount below `dir`, the newest first.
pub(super) fn unmount_below(dir: &Path) -> Result<()> {
    for mount in below(dir)?.iter().rev() {
        unmount(mount, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
            .with_context(|| format!("cannot unmount {}", mount.display()))?;
    }
    Ok(())
}

/// Removes a directory of ours with everything in it.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    if let Some(mount) = below(dir)?.first() {
        bail!(
            "{} is still mounted, so {} stays; unmount it and try again",
            mount.display(),
            dir.display()
        );
    }
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

fn below(dir: &Path) -> Result<Vec<PathBuf>> {
    Ok(all()?
        .into_iter()
        .map(|mount| mount.at)
        .filter(|at| at.starts_with(dir))
        .collect())
}

fn all() -> Result<Vec<Mount>> {
    let file = "/proc/self/mountinfo";
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    Ok(text.lines().filter_map(parse).collect())
}

/// One line of proc_pid_mountinfo(5): the mount point is field 5, the kind
/// follows the lone hyphen.
fn parse(line: &str) -> Option<Mount> {
    let (place, source) = line.split_once(" - ")?;
    let at = PathBuf::from(unescape(place.split(' ').nth(4)?));
    Some(Mount {
        at,
        kind: source.split(' ').next()?.to_owned(),
    })
}

/// Blanks and backslashes are written as three octal digits.
fn unescape(text: &str) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_read() {
        let line = r"36 35 98:0 /x /mnt\040with\134blank rw,noatime master:1 - ext3 /dev/root rw";
        let mount = parse(line).expect("a mount");
        assert_eq!(mount.at, Path::new(r"/mnt with\blank"));
        assert_eq!(mount.kind, "ext3");
        assert!(parse("nonsense").is_none());
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        remove_dir(Path::new("/nonexistent/cloneset")).expect("nothing to do");
    }
}
