//! An oracle for whatever a test does: every write of the controller to a pod of the test's namespace, held against
//! what the CloneSets there promised at that moment.
//!
//! What happened is told by watches and by the API server's audit log, put in order by resourceVersion; what was
//! promised follows from the specs. Nothing comes from the controller's own reasoning or status. Every test has an
//! oracle ([`crate::in_namespace`]), so every rollout is judged, whatever the test itself looks at.

mod history;
mod judge;
mod promise;
mod recorder;
mod requests;
mod serving;
mod state;
mod template;

use crate::cluster::Cluster;
use crate::waits::{Seen, until};
use anyhow::{Context as _, Result, ensure};
use history::{History, Write};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use recorder::Recorder;
use requests::Requests;
use std::path::PathBuf;

/// Asked for when all is over: where the log tells of this request, it tells of everything before. There is no such
/// object.
const MARKER: &str = "end-of-the-test";

/// Watches a namespace until asked for its verdict.
pub(crate) struct Oracle {
    cluster: Cluster,
    namespace: String,
    recorder: Recorder,
    log: PathBuf,
    from: u64,
}

impl Oracle {
    /// Begins to watch. Without an audit log there is nothing to judge by, and this says so.
    pub(crate) async fn watch(cluster: &Cluster, namespace: &str) -> Result<Option<Self>> {
        let Ok(log) = Cluster::audit_log() else {
            eprintln!("{namespace}: the controller's writes are not judged, CLONESET_AUDIT_LOG is not set");
            return Ok(None);
        };
        let from = std::fs::metadata(&log)
            .with_context(|| format!("cannot read the audit log {}", log.display()))?
            .len();
        Ok(Some(Self {
            cluster: cluster.clone(),
            namespace: namespace.to_owned(),
            recorder: Recorder::start(&cluster.client, namespace).await?,
            log,
            from,
        }))
    }

    /// Judges all that happened so far; the error tells of every broken promise.
    pub(crate) async fn verdict(self) -> Result<()> {
        let configs: Api<ConfigMap> = Api::namespaced(self.cluster.client.clone(), &self.namespace);
        // Refused, as there is no such object; what counts is that the log says so.
        let _ = configs.delete(MARKER, &DeleteParams::default()).await;
        let marker = format!("/namespaces/{}/configmaps/{MARKER}", self.namespace);
        let requests = until("the audit log to tell of all requests of the test", async || {
            let requests = Requests::read(&self.log, self.from, &self.namespace, &marker)?;
            Ok(if requests.is_complete {
                Seen::Yes(requests)
            } else {
                Seen::NotYet(format!("{} of the controller's writes", requests.writes.len()))
            })
        })
        .await?;
        if requests.without_bodies > 0 {
            eprintln!(
                "{}: {} writes to pods are not judged: the API server's audit policy is older than \
                 e2e/cluster/config/audit-policy.yaml. Start the cluster anew: cargo xtask cluster down",
                self.namespace, requests.without_bodies
            );
        }
        // The log ends before the record does, or a write of the last moment would seem to have had no effect.
        self.recorder.catch_up().await?;
        let history = until("a watch to show every write of the controller", async || {
            let history = History::new(self.recorder.events(), requests.writes.clone());
            let told =
                |write: &Write| format!("{:?} {} at version {}", write.verb, write.name, write.version);
            let unseen: Vec<_> = history.unseen.iter().map(told).collect();
            Ok(if unseen.is_empty() {
                Seen::Yes(history)
            } else {
                Seen::NotYet(format!("the oracle is blind to {unseen:?}"))
            })
        })
        .await?;
        let mut broken = judge::violations(&history);
        broken.extend(serving::violations(&history));
        ensure!(
            broken.is_empty(),
            "the controller broke {} promises in {}:\n\n{}",
            broken.len(),
            self.namespace,
            broken.join("\n")
        );
        Ok(())
    }
}
