//! The account of all the controller's writes in all the namespaces of the run.

use anyhow::{Result, ensure};
use e2e::Cluster;
use e2e::audit::{Account, by_pod, controller_writes};

/// What may be done to one pod, and how often, in its whole life: 2 writes to make it, 1 to take it away.
const A_LIFE: [(&str, usize); 3] = [("create pods", 1), ("patch pods/status", 1), ("delete pods", 1)];

/// All that the controller ever does in a user's namespace.
const ACTIONS: [&str; 9] = [
    "create pods",
    "patch pods/status",
    "delete pods",
    "create controllerrevisions",
    "patch controllerrevisions",
    "delete controllerrevisions",
    "patch clonesets/status",
    "create events",
    "patch events",
];

#[test]
fn over_the_whole_run_no_pod_cost_more_than_three_writes_and_nothing_else_was_written() -> Result<()> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace.starts_with("e2e-"))?;
    let total = Account::of(&writes);
    let pods = by_pod(&writes);
    println!(
        "the controller's writes over the whole run, for {} pods:\n{total}",
        pods.len()
    );
    ensure!(
        total.count("create pods") > 0,
        "the audit log shows no pod of the tests: it is not this run's"
    );

    let mut objections = Vec::new();
    for ((namespace, pod), account) in &pods {
        let allowed = |action: &str| {
            A_LIFE
                .iter()
                .find(|(known, _)| *known == action)
                .map_or(0, |(_, times)| *times)
        };
        let done = account.0.iter().filter(|(action, _)| !is_without_effect(action));
        if done.into_iter().any(|(action, count)| *count > allowed(action)) {
            objections.push(format!("{namespace}/{pod}:\n{account}"));
        }
    }
    for action in total.0.keys() {
        if !is_without_effect(action) && !ACTIONS.contains(&action.as_str()) {
            objections.push(format!("{action} is none of the controller's business"));
        }
    }
    ensure!(objections.is_empty(), "{}", objections.join("\n"));
    Ok(())
}

/// Rehearsals and refusals: part of the account, but nothing was written.
fn is_without_effect(action: &str) -> bool {
    action.ends_with(')')
}
