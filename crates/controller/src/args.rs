//! Command-line flags, spelt as Kruise spells them where the meaning is the same (`behaviour.md` 12).
//!
//! Parsing only: a value that is accepted here is complete and cannot be wrong later.

use clap::{Parser, ValueEnum};
use cloneset_plan::Features;
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

/// What the feature gates ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// The gates we have.
    pub features: Features,
    /// Gates of Kruise that were set and mean nothing here.
    pub without_meaning: Vec<String>,
}

/// Gates that Kruise has and we do not: setting one is a warning, so that a values file can be moved over.
const KRUISE_ONLY: &[&str] = &[
    "CloneSetEventHandlerOptimization",
    "DefaultHostNetworkHostPortsInPodTemplates",
    "ForceDeleteTimeoutExpectationGate",
    "ImagePullJobGate",
    "InPlaceUpdateEnvFromMetadata",
    "KruiseDaemon",
    "KruisePodReadinessGate",
    "PodUnavailableBudgetDeleteGate",
    "PodUnavailableBudgetUpdateGate",
    "PodWebhook",
    "PreDownloadImageForInPlaceUpdate",
    "PreparingUpdateAsUpdate",
    "ResourcesDeletionProtection",
    "TemplateNoDefaults",
];

/// Parses `--feature-gates`.
///
/// # Errors
/// A sentence naming the gate that is unknown or the value that is neither true nor false.
pub fn parse_feature_gates(text: &str) -> Result<Gates, String> {
    let mut gates = Gates::default();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, value) = entry
            .split_once('=')
            .ok_or_else(|| format!("feature gate {entry:?} must be written Name=true or Name=false"))?;
        let on: bool = value
            .trim()
            .parse()
            .map_err(|_| format!("feature gate {name}: {value:?} must be true or false"))?;
        match name.trim() {
            "CloneSetPartitionRollback" => gates.features.partition_rollback = on,
            "CloneSetShortHash" => gates.features.short_hash = on,
            "InPlaceWorkloadVerticalScaling" => gates.features.in_place_resize = on,
            "RecreatePodWhenChangeVCTInCloneSetGate" => gates.features.recreate_for_claims = on,
            "StatusConditions" => gates.features.kruise_conditions_only = !on,
            known if KRUISE_ONLY.contains(&known) => gates.without_meaning.push(known.to_owned()),
            unknown => return Err(format!("feature gate {unknown:?} is unknown")),
        }
    }
    Ok(gates)
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

    #[test]
    fn gates_are_ours_or_kruises_or_refused() {
        let gates = parse_feature_gates("CloneSetShortHash=true, KruiseDaemon=false,").unwrap();
        assert!(gates.features.short_hash && !gates.features.partition_rollback);
        assert_eq!(gates.without_meaning, ["KruiseDaemon"]);
        for (text, error) in [
            (
                "CloneSetShortHash",
                "feature gate \"CloneSetShortHash\" must be written Name=true or Name=false",
            ),
            (
                "CloneSetShortHash=yes",
                "feature gate CloneSetShortHash: \"yes\" must be true or false",
            ),
            (
                "CloneSetShrotHash=true",
                "feature gate \"CloneSetShrotHash\" is unknown",
            ),
        ] {
            assert_eq!(parse_feature_gates(text).unwrap_err(), error);
        }
    }
}
