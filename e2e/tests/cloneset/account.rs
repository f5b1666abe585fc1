//! What the controller wrote in one test's namespace, by the API server's account of it.
//!
//! Counts only; what is right is for the tests to say.

use anyhow::Result;
use e2e::audit::{Account, by_pod, controller_writes};
use e2e::waits::{Seen, quietly, until};
use e2e::{Cluster, Namespace};
use std::collections::BTreeMap;

/// Of everything so far.
pub(crate) fn total(ns: &Namespace) -> Result<Account> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace == ns.name)?;
    Ok(Account::of(&writes))
}

/// Of each pod by name.
pub(crate) fn of_pods(ns: &Namespace) -> Result<BTreeMap<String, Account>> {
    let writes = controller_writes(&Cluster::audit_log()?, |namespace| namespace == ns.name)?;
    Ok(by_pod(&writes)
        .into_iter()
        .map(|((_, pod), account)| (pod, account))
        .collect())
}

/// Of one pod.
pub(crate) fn of_pod(ns: &Namespace, pod: &str) -> Result<Account> {
    Ok(of_pods(ns)?.remove(pod).unwrap_or_default())
}

/// Waits until these pods and no more were created and deleted in all. What was written is in the log before the
/// answer is sent, so this waits for the controller, not for the log.
pub(crate) async fn reaches(ns: &Namespace, created: usize, deleted: usize) -> Result<()> {
    let what = format!("{created} pods created and {deleted} deleted in all");
    until(&what, async || {
        let total = total(ns)?;
        let done = total.count("create pods") == created && total.count("delete pods") == deleted;
        Ok(Seen::when(done, || format!("\n{total}")))
    })
    .await
}

/// Watches that nothing is written to pods for a while.
pub(crate) async fn rests(ns: &Namespace) -> Result<()> {
    let before = of_pods(ns)?;
    quietly("nothing may be written to pods", async || {
        let now = of_pods(ns)?;
        Ok((now != before).then(|| format!("before: {before:#?}\nnow: {now:#?}")))
    })
    .await
}
