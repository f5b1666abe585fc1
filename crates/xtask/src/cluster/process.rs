//! Starts processes that outlive this program, recognises them later and ends
//! exactly them.
//! It must never signal a process that it cannot prove to be the recorded one:
//! pids are reused, so a record carries the start time as well, and signals go
//! through a pidfd taken before the check.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// Connections inside the cluster are all on this machine: no proxy may see them.
const PROXY_VARIABLES: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

/// Time the kernel may take to end a process that was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A process as it can be recognised after a restart of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProcessRecord {
    /// The process id.
    pub(super) pid: i32,
    /// When it started, in clock ticks since boot.
    start_time: u64,
}

/// What is asked of a process before it is ended by force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace(pub(super) Duration);

/// A command whose connections no proxy sees, and which finds the system's own
/// programs (runc, iptables, ...) also where the user's PATH lacks them.
pub(super) fn local_command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for name in PROXY_VARIABLES {
        command.env_remove(name);
    }
    if let Ok(path) = std::env::join_paths(search_path()) {
        command.env("PATH", path);
    }
    command
}

impl ProcessRecord {
    /// Starts `program` in a session of its own, so that neither the end of
    /// this program nor a closed terminal ends it.
    pub(super) fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Self> {
        let out = open_log(log)?;
        let err = out
            .try_clone()
            .with_context(|| format!("cannot share {}", log.display()))?;
        // setsid(1) replaces itself by the program, so the pid stays the same.
        let child = local_command("setsid")
            .arg(program)
            .args(args)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {} (through setsid, of util-linux)",
                    program.display()
                )
            })?;
        let pid = i32::try_from(child.id()).context("a pid out of range")?;
        match Self::of_pid(pid) {
            Some(record) => Ok(record),
            None => bail!("{} ended at once; see {}", program.display(), log.display()),
        }
    }

    /// The record of whatever runs under `pid` now.
    pub(super) fn of_pid(pid: i32) -> Option<Self> {
        let (_, start_time) = read_stat(pid)?;
        Some(Self { pid, start_time })
    }

    /// Whether this very process still runs (a zombie does not).
    pub(super) fn is_alive(self) -> bool {
        read_stat(self.pid)
            .is_some_and(|(state, start)| start == self.start_time && !matches!(state, 'Z' | 'X'))
    }

    /// Whether this very process runs but was told to stand still.
    pub(super) fn is_paused(self) -> bool {
        read_stat(self.pid).is_some_and(|(state, start)| start == self.start_time && state == 'T')
    }

    /// Lets the process stand still where it is; false when it is gone.
    pub(super) fn pause(self) -> Result<bool> {
        self.signal(Signal::STOP)
    }

    /// Lets a paused process go on; false when it is gone.
    pub(super) fn resume(self) -> Result<bool> {
        self.signal(Signal::CONT)
    }

    fn signal(self, signal: Signal) -> Result<bool> {
        match self.handle()? {
            Some(handle) => send(&handle, signal),
            None => Ok(false),
        }
    }

    /// Ends the process and waits until it is gone. A process that is not the
    /// recorded one any more is left alone.
    pub(super) fn stop(self, grace: Grace) -> Result<()> {
        self.end(&[(Signal::TERM, grace.0), (Signal::KILL, KILL_LIMIT)])
    }

    /// Ends the process as a crash would, and waits until it is gone.
    pub(super) fn kill(self) -> Result<()> {
        self.end(&[(Signal::KILL, KILL_LIMIT)])
    }

    /// Sends one signal after another until the process is gone.
    fn end(self, signals: &[(Signal, Duration)]) -> Result<()> {
        let Some(handle) = self.handle()? else {
            return Ok(());
        };
        for (signal, limit) in signals {
            // A paused process would not hear the first signal.
            if !send(&handle, *signal)? || !send(&handle, Signal::CONT)? {
                return Ok(());
            }
            let mut exits = [PollFd::new(&handle, PollFlags::IN)];
            let limit = Timespec::try_from(*limit).context("a grace period out of range")?;
            if poll(&mut exits, Some(&limit)).context("cannot wait for a process")? > 0 {
                return Ok(());
            }
        }
        bail!(
            "process {} did not end after SIGKILL; it may hang in the kernel",
            self.pid
        )
    }

    /// Names this very process for good, so that no signal can reach another;
    /// none when it is gone.
    fn handle(self) -> Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        match pidfd_open(pid, PidfdFlags::empty()) {
            // Checked after the handle was taken: if that process has our start
            // time, it is ours.
            Ok(handle) => Ok(self.is_alive().then_some(handle)),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot open process {}", self.pid)),
        }
    }
}

/// Sends a signal; false when the process is gone.
fn send(handle: &OwnedFd, signal: Signal) -> Result<bool> {
    match pidfd_send_signal(handle, signal) {
        Ok(()) => Ok(true),
        Err(Errno::SRCH) => Ok(false),
        Err(error) => {
            Err(error).with_context(|| format!("cannot send {signal:?} to a process of the cluster"))
        }
    }
}

fn open_log(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))
}

fn read_stat(pid: i32) -> Option<(char, u64)> {
    parse_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// State and start time of a `/proc/PID/stat` line. The program's name may
/// contain anything, also parentheses and blanks, so fields count from the last
/// parenthesis.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // The state is field 3 of proc(5), the start time field 22.
    let start_time = fields.nth(18)?.parse().ok()?;
    Some((state, start_time))
}

/// Every process whose command line satisfies `ours`.
pub(super) fn find(ours: impl Fn(&[&str]) -> bool) -> Result<Vec<ProcessRecord>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("cannot list /proc")? {
        let name = entry.context("cannot list /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(record) = ProcessRecord::of_pid(pid) else {
            continue;
        };
        let Ok(command_line) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
            continue;
        };
        let text = String::from_utf8_lossy(&command_line);
        let args: Vec<&str> = text.split('\0').collect();
        if ours(&args) && record.is_alive() {
            found.push(record);
        }
    }
    Ok(found)
}

/// The last lines of a log, for a message about what failed.
pub(super) fn log_tail(log: &Path, lines: usize) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let tail = all.get(all.len().saturating_sub(lines)..).unwrap_or_default();
    tail.iter().flat_map(|line| ["    ", line, "\n"]).collect()
}

/// Finds a program on the PATH or in the system directories that an ordinary
/// user's PATH may lack.
pub(super) fn which(program: &str) -> Option<PathBuf> {
    search_path()
        .into_iter()
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).collect()
}

/// Runs a command to its end and gives its standard output.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::wait;
    use super::*;

    const TAIL: &str = "S 1 10 10 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 123456 111 222";

    #[test]
    fn a_stat_line_is_read_from_the_last_parenthesis() {
        assert_eq!(parse_stat(&format!("10 (etcd) {TAIL}")), Some(('S', 123_456)));
        assert_eq!(
            parse_stat(&format!("10 (a b) c) S) {TAIL}")),
            Some(('S', 123_456))
        );
        assert_eq!(parse_stat("10 (etcd) S 1"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_own_process_is_recognised_and_an_impostor_is_not() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        let record = ProcessRecord::of_pid(pid).expect("this process");
        assert!(record.is_alive());
        let impostor = ProcessRecord {
            start_time: record.start_time + 1,
            ..record
        };
        assert!(!impostor.is_alive());
        // Would end the test run if it signalled.
        impostor.stop(Grace(Duration::from_secs(1))).expect("left alone");
    }

    #[test]
    fn a_started_process_runs_in_its_own_session_and_ends_on_request() {
        let dir = std::env::temp_dir().join(format!("cloneset-process-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let record = ProcessRecord::spawn(Path::new("/bin/sleep"), &["1000".to_owned()], &dir.join("log"))
            .expect("sleep");
        assert!(record.is_alive() && !record.is_paused());
        assert!(record.pause().expect("paused"));
        wait::until("it stands still", Duration::from_secs(10), || {
            Ok(record.is_paused())
        })
        .expect("paused");
        assert!(record.is_alive());
        // Paused it would not hear that it should end.
        record.stop(Grace(Duration::from_mins(1))).expect("it ends");
        assert!(!record.is_alive());
        assert!(!record.resume().expect("no error"), "it is gone");
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
