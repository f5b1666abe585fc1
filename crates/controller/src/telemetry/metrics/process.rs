//! What the kernel knows of this process, under the names every Prometheus client library uses.
//!
//! Read from procfs at every scrape; where there is none, these metrics are absent.

use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fs;

/// Clock ticks a second in what procfs shows: the same on every architecture that Rust's Linux targets have.
const TICKS: f64 = 100.0;

/// One look at this process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Process {
    cpu_seconds: f64,
    /// Since 1970.
    start_seconds: f64,
    resident_bytes: u64,
    virtual_bytes: u64,
    open_files: u64,
    /// `None` when unlimited.
    max_files: Option<u64>,
}

impl Process {
    /// Looks; `None` where there is no procfs.
    pub fn look() -> Option<Self> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let open_files = fs::read_dir("/proc/self/fd").ok()?.count();
        Self::parse(
            &read("/proc/self/stat")?,
            &read("/proc/self/status")?,
            &read("/proc/self/limits")?,
            &read("/proc/stat")?,
            u64::try_from(open_files).ok()?,
        )
    }

    fn parse(stat: &str, status: &str, limits: &str, system: &str, open_files: u64) -> Option<Self> {
        // The program's name may hold anything; what follows it does not. The first field after it is the third.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split_whitespace().collect();
        let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let kibibytes = |name: &str| word_after(status, name)?.parse::<u64>().ok();
        let boot_seconds: f64 = word_after(system, "btime")?.parse().ok()?;
        Some(Self {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
            start_seconds: boot_seconds + ticks(22)? / TICKS,
            resident_bytes: kibibytes("VmRSS:")? * 1024,
            virtual_bytes: kibibytes("VmSize:")? * 1024,
            open_files,
            max_files: word_after(limits, "Max open files")?.parse().ok(),
        })
    }

    pub(super) fn register(self, registry: &mut Registry) {
        registry.register(
            "process_cpu_seconds",
            "CPU time used, of users and of the system",
            ConstCounter::new(self.cpu_seconds),
        );
        registry.register(
            "process_start_time_seconds",
            "When this process started, in seconds since 1970",
            ConstGauge::new(self.start_seconds),
        );
        registry.register(
            "process_resident_memory_bytes",
            "Memory in use",
            ConstGauge::new(self.resident_bytes),
        );
        registry.register(
            "process_virtual_memory_bytes",
            "Address space in use",
            ConstGauge::new(self.virtual_bytes),
        );
        registry.register(
            "process_open_fds",
            "Open files and connections",
            ConstGauge::new(self.open_files),
        );
        if let Some(max) = self.max_files {
            registry.register(
                "process_max_fds",
                "Files and connections that may be open",
                ConstGauge::new(max),
            );
        }
    }
}

/// The first word of the line's rest, on the line that begins with `name`.
fn word_after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))?
        .split_whitespace()
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcloneset\nVmSize:\t  10 kB\nVmRSS:\t  4 kB\n";
    const SYSTEM: &str = "cpu  1 2 3\nbtime 1700000000\n";
    const STAT: &str =
        "7 (a) b) S 1 7 7 0 -1 4194304 1 2 3 4 250 50 8 9 20 0 6 0 1050 10240 1 18446744073709551615\n";

    #[test]
    fn what_procfs_says_is_read_and_a_limit_may_be_missing() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   524288   files\n";
        let seen = Process::parse(STAT, STATUS, limits, SYSTEM, 9).unwrap();
        assert_eq!(
            seen,
            Process {
                cpu_seconds: 3.0,
                start_seconds: 1_700_000_010.5,
                resident_bytes: 4096,
                virtual_bytes: 10240,
                open_files: 9,
                max_files: Some(1024),
            }
        );
        let unlimited = "Max open files            unlimited   unlimited   files\n";
        let seen = Process::parse(STAT, STATUS, unlimited, SYSTEM, 9).unwrap();
        assert_eq!(seen.max_files, None);
    }
}
