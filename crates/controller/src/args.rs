//! Command-line flags, spelt as Kruise spells them where the meaning is the same (`behaviour.md` 12).
//!
//! Parsing only: a value that is accepted here is complete and cannot be wrong later.

use clap::error::ErrorKind;
use clap::{Parser, ValueEnum};
use cloneset_api::switches::{KRUISE_FLAGS, Switch};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

/// Keeps CloneSets as their specs say.
#[derive(Clone, Debug, Parser)]
#[command(name = "cloneset-controller", version, about)]
pub struct Args {
    /// Only look after this namespace; all namespaces when empty.
    #[arg(long, default_value = "", env = "WATCH_NAMESPACE")]
    pub namespace: String,

    /// CloneSets worked on at the same time.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub cloneset_workers: u16,

    /// Address of /metrics, /livez and /readyz; ":8080" means port 8080 on every address.
    #[arg(long, default_value = ":8080", value_parser = parse_address)]
    pub metrics_addr: SocketAddr,

    /// Second address of the same pages, for the kubelet's probes.
    #[arg(long, default_value = ":8000", value_parser = parse_address)]
    pub health_probe_addr: SocketAddr,

    /// Take turns with other replicas; without it, two replicas fight.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub enable_leader_election: bool,

    /// Namespace of the Lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "kruise-system")]
    pub leader_election_namespace: String,

    /// Name of the Lease.
    #[arg(long, default_value = "cloneset-controller")]
    pub leader_election_id: String,

    /// How long others wait for a leader that does not renew.
    #[arg(long, default_value = "15s", value_parser = parse_duration)]
    pub leader_election_lease_duration: Duration,

    /// How long a leader keeps writing without having renewed.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub leader_election_renew_deadline: Duration,

    /// Time between attempts to get or renew the Lease.
    #[arg(long, default_value = "2s", value_parser = parse_duration)]
    pub leader_election_retry_period: Duration,

    /// Start although Kruise's manager is alive: only when it does not handle CloneSets.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub acknowledge_kruise: bool,

    /// Replace pods that a preDelete hook holds before they are gone, as the label of that name says for one CloneSet.
    #[arg(long, default_value_t = false, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub cloneset_scaling_exclude_preparing_delete: bool,

    /// Switches, as `Name=true,Other=false`.
    #[arg(long, default_value = "")]
    pub feature_gates: String,

    /// What to log: error, warn, info, debug, trace, or directives such as `info,cloneset_controller=debug`.
    #[arg(long, default_value = "info", env = "RUST_LOG")]
    pub log_level: String,

    /// How to log.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Name of this replica, for the Lease and for events; the host's name when unset.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,
}

/// Shape of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads the command line.
///
/// # Errors
/// What clap says of it, or what to do instead about flags that only Kruise's manager has.
pub fn read(command_line: impl IntoIterator<Item = OsString>) -> Result<Args, clap::Error> {
    let words: Vec<OsString> = command_line.into_iter().collect();
    Args::try_parse_from(&words).map_err(|error| {
        let carried_over = carried_over(&words);
        if error.kind() != ErrorKind::UnknownArgument || carried_over.is_empty() {
            return error;
        }
        let message = format!(
            "these flags of Kruise's manager do not exist here:\n{}\n",
            carried_over.join("\n")
        );
        clap::Error::raw(ErrorKind::UnknownArgument, message)
    })
}

/// A line for each flag that Kruise's manager has and we do not.
fn carried_over(words: &[OsString]) -> Vec<String> {
    let flags = words.iter().skip(1).filter_map(|word| {
        let flag = word.to_str()?.strip_prefix('-')?;
        let name = flag.trim_start_matches('-').split('=').next()?;
        KRUISE_FLAGS.iter().find(|known| known.name == name)
    });
    flags
        .map(|Switch { name, meaning }| format!("  --{name}: {meaning}"))
        .collect()
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') {
        format!("[::]{text}")
    } else {
        text.to_owned()
    };
    full.parse()
        .map_err(|_| format!("{text:?} must be an address and port such as :8080 or 127.0.0.1:8080"))
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let rule = || format!("{text:?} must be a duration above zero, such as 15s or 1m30s");
    let duration: jiff::SignedDuration = text.parse().map_err(|_| rule())?;
    Duration::try_from(duration)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_words(words: &[&str]) -> Result<Args, clap::Error> {
        read(
            std::iter::once(&"cloneset-controller")
                .chain(words)
                .map(OsString::from),
        )
    }

    #[test]
    fn flags_that_only_kruises_manager_has_are_refused_with_what_to_do() {
        let error = read_words(&[
            "--cloneset-workers=5",
            "--rest-config-qps=30",
            "--v=4",
            "--sync-period",
            "10m",
        ]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "error: these flags of Kruise's manager do not exist here:\n  \
             --rest-config-qps: remove it: at most 32 writes are under way at once, and the API server's Retry-After is \
             honoured\n  \
             --v: use --log-level, which is error, warn, info, debug or trace\n  \
             --sync-period: remove it: every CloneSet is looked at every 10 minutes, and whenever something changes\n"
        );
        let klog = read_words(&["-v=4"]).unwrap_err().to_string();
        assert!(klog.contains("--v: use --log-level"), "{klog}");
        let unknown = read_words(&["--cloneset-wrokers=5"]).unwrap_err().to_string();
        assert!(
            unknown.contains("'--cloneset-workers' exists") || unknown.contains("similar"),
            "{unknown}"
        );
    }

    #[test]
    fn no_flag_of_ours_is_among_those_that_do_not_exist() {
        use clap::CommandFactory as _;
        let command = Args::command();
        for flag in KRUISE_FLAGS {
            assert!(
                command
                    .get_arguments()
                    .all(|ours| ours.get_long() != Some(flag.name)),
                "{}",
                flag.name
            );
        }
    }

    #[test]
    fn flags_spelt_as_kruise_spells_them_are_accepted() {
        let args = Args::try_parse_from([
            "cloneset-controller",
            "--metrics-addr=:9090",
            "--health-probe-addr=127.0.0.1:9000",
            "--enable-leader-election=false",
            "--leader-election-lease-duration=1m30s",
            "--cloneset-workers=5",
            "--cloneset-scaling-exclude-preparing-delete",
        ])
        .unwrap();
        assert_eq!(args.metrics_addr.to_string(), "[::]:9090");
        assert_eq!(args.leader_election_lease_duration, Duration::from_secs(90));
        assert!(!args.enable_leader_election && args.cloneset_scaling_exclude_preparing_delete);
        assert!(
            Args::try_parse_from(["cloneset-controller", "--enable-leader-election"])
                .unwrap()
                .enable_leader_election
        );
    }

    #[test]
    fn a_bad_value_is_refused_with_the_rule() {
        for (flag, rule) in [
            ("--metrics-addr=8080", "must be an address and port"),
            (
                "--leader-election-retry-period=-2s",
                "must be a duration above zero",
            ),
            (
                "--leader-election-retry-period=soon",
                "must be a duration above zero",
            ),
            ("--cloneset-workers=0", "not in 1..=64"),
        ] {
            let error = Args::try_parse_from(["cloneset-controller", flag])
                .unwrap_err()
                .to_string();
            assert!(error.contains(rule), "{flag}: {error}");
        }
    }
}
