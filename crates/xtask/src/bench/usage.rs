//! The memory and the processor time of a process, from `/proc`.
//!
//! It reads one moment, and does not follow a process.

use anyhow::{Context as _, Result};
use std::fs;

/// Memory in bytes, and processor time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Usage {
    /// VmRSS.
    pub(super) resident: u64,
    /// VmHWM: the most that was ever resident.
    pub(super) peak: u64,
    /// In user and in kernel mode.
    pub(super) cpu: f64,
}

impl Usage {
    /// Reads both of a running process.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let read = |file| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
        };
        let (status, stat) = (read("status")?, read("stat")?);
        Ok(Self {
            resident: kilobytes(&status, "VmRSS").context("no VmRSS: the process has ended")? << 10,
            peak: kilobytes(&status, "VmHWM").context("no VmHWM: the process has ended")? << 10,
            cpu: ticks(&stat).context("/proc/PID/stat holds no times")? / ticks_per_second(),
        })
    }
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    let mut lines = status.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// utime and stime, which are the 14th and 15th field. The program's name, the second one, may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let user: f64 = times.next()?.parse().ok()?;
    let system: f64 = times.next()?.parse().ok()?;
    Some(user + system)
}

fn ticks_per_second() -> f64 {
    u32::try_from(rustix::param::clock_ticks_per_second()).map_or(100.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_times_are_parsed_as_the_kernel_writes_them() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(kilobytes(status, "VmHWM"), Some(2048));
        assert_eq!(kilobytes(status, "VmSwap"), None);
        let stat = "77 (a) b) S 1 77 77 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 4 0 9 9 9";
        assert_eq!(ticks(stat), Some(200.0));
    }

    #[test]
    fn a_running_process_has_both() {
        let own = Usage::of(std::process::id()).expect("of this process");
        assert!(own.resident > 0 && own.peak >= own.resident);
    }
}
