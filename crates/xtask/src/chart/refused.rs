//! Values that the chart must refuse, each with words that the message must hold.
//!
//! A typo that is accepted in silence is a setting that somebody believes in. It must not judge
//! what the chart renders; that is `rendered`.

use super::{CHART, Helm, rendered::RELEASE};

/// Values => words that the refusal must hold.
const REFUSED: &str = r"
# Keys that do not exist.
{manger: {replicas: 3}} => manger
{manager: {replcas: 3}} => /manager replcas
{manager: {image: {name: x}}} => /manager/image name
{manager: {resources: {limit: {memory: 1Gi}}}} => /manager/resources limit
{manager: {affinity: {podAffinities: {}}}} => /manager/affinity podAffinities
{crds: {enabled: false}} => /crds enabled
{rbac: {create: false}} => /rbac create
{leaderElection: {leaseSeconds: 15}} => /leaderElection leaseSeconds
{podDisruptionBudget: {minAvailable: 1}} => /podDisruptionBudget minAvailable
{metrics: {enabled: false}} => /metrics enabled
{deleteProtection: {mode: Always}} => /deleteProtection mode
{migration: {acknowledge: true}} => /migration acknowledge
# Kruise's keys that have no meaning here.
{daemon: {port: 10221}} => daemon
{installation: {namespace: kruise-system}} => installation
{manager: {hostNetwork: true}} => /manager hostNetwork
# Values of the wrong kind or out of range.
{manager: {replicas: '2'}} => /manager/replicas integer
{manager: {replicas: -1}} => /manager/replicas minimum
{manager: {log: {level: verbose}}} => /manager/log/level debug
{manager: {log: {level: 11}}} => /manager/log/level maximum
{manager: {loggingFormat: xml}} => /manager/loggingFormat json
{manager: {metrics: {port: 80}}} => /manager/metrics/port minimum
{manager: {healthProbe: {port: http}}} => /manager/healthProbe/port integer
{manager: {image: {digest: latest}}} => /manager/image/digest sha256
{manager: {image: {pullPolicy: Sometimes}}} => /manager/image/pullPolicy IfNotPresent
{manager: {podLabels: {tier: 1}}} => /manager/podLabels/tier string
{manager: {runAsUser: 0}} => /manager/runAsUser minimum
{manager: {extraArgs: [verbose]}} => /manager/extraArgs/0 --
{featureGates: A=yes} => /featureGates A=yes
{watchNamespace: Team A} => /watchNamespace
{crds: {install: 'no'}} => /crds/install boolean
{leaderElection: {leaseDuration: 15}} => /leaderElection/leaseDuration string
{podDisruptionBudget: {maxUnavailable: 0}} => /podDisruptionBudget/maxUnavailable minimum
{imagePullSecrets: [my-secret]} => /imagePullSecrets/0 object
{deleteProtection: {enabled: 'true'}} => /deleteProtection/enabled auto
{migration: {acknowledgeKruise: 'yes'}} => /migration/acknowledgeKruise boolean
# Each right alone, impossible together.
{crds: {install: false, managed: true}} => crds.managed crds.install
{manager: {metrics: {port: 8000}}} => manager.metrics.port manager.healthProbe.port
{leaderElection: {renewDeadline: 15s}} => leaseDuration renewDeadline
{leaderElection: {retryPeriod: 1m}} => renewDeadline retryPeriod
{leaderElection: {retryPeriod: 5s}} => renewDeadline twice retryPeriod
{serviceAccount: {create: false}} => serviceAccount.name
{manager: {extraArgs: [--namespace=x]}} => manager.extraArgs watchNamespace
{manager: {extraArgs: [--sync-period=10m]}} => manager.extraArgs --sync-period remove
{manager: {extraArgs: [--v=4]}} => manager.extraArgs --v --log-level
{featureGates: 'KruiseDaemon=true,CloneSetShrotHash=true'} => featureGates CloneSetShrotHash CloneSetShortHash StatusConditions
{manager: {extraArgs: [--acknowledge-kruise]}} => manager.extraArgs migration.acknowledgeKruise
{manager: {extraEnv: [{name: POD_NAME, value: x}]}} => manager.extraEnv POD_NAME
";

fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = REFUSED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split_once(" => ").unwrap_or((line, "")))
}

/// How many there are.
pub(super) fn count() -> usize {
    cases().count()
}

/// The values that are accepted, or refused without naming what is wrong.
pub(super) fn check(helm: &Helm) -> Vec<String> {
    cases()
        .filter_map(|(values, words)| judge(helm, values, words))
        .collect()
}

fn judge(helm: &Helm, values: &str, words: &str) -> Option<String> {
    let output = match helm.output(&["template", RELEASE, CHART, "--values", "-"], values) {
        Ok(output) => output,
        Err(error) => return Some(format!("{error:#}")),
    };
    let message = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Some(format!("{values} is accepted"))
    } else if words.split(' ').all(|word| message.contains(word)) {
        None
    } else {
        Some(format!("{values} is refused without naming {words}:\n{message}"))
    }
}
