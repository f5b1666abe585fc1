//! After this replica becomes the leader: waits until its cache is at least as new as a list made now.
//!
//! The previous leader may have written what no watch of this replica shows yet. So every kind is listed once,
//! consistently and by its metadata only, and compared with the index by UID and resourceVersion; nothing is reconciled
//! until the index has come as far. This file reads, and never writes.

use crate::cache::decode::{Known, Record, key_of, metadata, uid_of, version_of};
use crate::cache::index::Index;
use crate::cache::list::{Extent, list, url_of};
use crate::cache::listed::Listed;
use crate::cache::pending::PENDING_DEADLINE;
use crate::cache::refresh::{LiveReadError, refresh};
use crate::cache::wake::{CaughtUp, Wake};
use crate::cache::watch::{POD_LABEL, PVC_LABEL, REVISION_LABEL};
use crate::chain::Chain;
use crate::key::Kind;
use crate::leader::leadership::Leadership;
use crate::live::ReadError;
use cloneset_status::facts::controlling_cloneset;
use cloneset_status::{Claim, Pod, Revision};
use kube::Client;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Time between two looks at the index while it catches up.
const POLL: Duration = Duration::from_millis(20);
/// Time between two attempts to list.
const RETRY: Duration = Duration::from_millis(500);

/// Catches up with each term of this replica.
pub struct CatchUp {
    /// The API server.
    pub client: Client,
    /// Namespace to list; every namespace when empty.
    pub namespace: String,
    /// What the watches have shown.
    pub index: Arc<Index>,
    /// The terms to catch up with.
    pub leadership: Arc<Leadership>,
    /// Where the result is recorded.
    pub caught_up: Arc<CaughtUp>,
    /// Queues every CloneSet once the cache is new enough.
    pub wake: Wake,
}

/// Why the cache could not be compared with the API server.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error("listing {0}")]
    List(&'static str, #[source] ReadError),
    #[error(transparent)]
    Read(#[from] LiveReadError),
}

impl CatchUp {
    /// Catches up at the start of every term and then queues every CloneSet; never ends.
    pub async fn run(self) {
        let mut terms = self.leadership.terms();
        let mut term = 0;
        loop {
            let begun = terms.wait_for(|current| *current != term).await;
            let Ok(begun) = begun.map(|current| *current) else {
                // Cannot happen: the leadership lives as long as this task.
                return;
            };
            term = begun;
            while !self.index.is_synced() {
                tokio::time::sleep(POLL).await;
            }
            while self.leadership.time_left().is_some() && !self.caught_up.is_current() {
                self.attempt().await;
            }
        }
    }

    async fn attempt(&self) {
        let term = self.leadership.term();
        match self.compare().await {
            Ok(behind) => {
                info!(
                    term,
                    behind, "the cache is as new as the term; every CloneSet is reconciled"
                );
                self.caught_up.record(term);
                self.wake.wake(self.index.keys());
            }
            Err(error) => {
                warn!(error = %Chain(&error), "cannot compare the cache with the API server; nothing is reconciled before that");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    /// Waits until the index has come as far as a list made now; returns how many objects it had to wait for.
    async fn compare(&self) -> Result<usize, CatchUpError> {
        let clonesets = self.list::<Known>(None).await?;
        let pods = self.list::<Pod>(Some(POD_LABEL)).await?;
        let revisions = self.list::<Revision>(Some(REVISION_LABEL)).await?;
        let pvcs = self.list::<Claim>(Some(PVC_LABEL)).await?;
        let mut behind = 0;
        for listed in [clonesets, pods, revisions, pvcs] {
            behind += self.wait_for(&listed).await?;
        }
        Ok(behind)
    }

    async fn list<R: Record>(&self, labels: Option<&str>) -> Result<Listed, CatchUpError> {
        let mut listed = Listed::new(R::KIND);
        let url = url_of::<R>(&self.namespace);
        let version = list(&self.client, &url, labels, Extent::Metadata, |object| {
            // What cannot be read, and what no CloneSet controls, is not in the index either.
            let Ok(metadata) = metadata(object) else { return };
            if R::KIND == Kind::CloneSet || controlling_cloneset(&metadata).is_some() {
                let known = (key_of(&metadata), version_of(&metadata));
                listed.objects.insert(uid_of(&metadata), known);
            }
        });
        let version = version
            .await
            .map_err(|error| CatchUpError::List(R::KIND.resource(), error))?;
        listed.version = version.parse().unwrap_or(0);
        Ok(listed)
    }

    /// Waits until the index is as new as the list, then reads live what no watch has shown.
    async fn wait_for(&self, listed: &Listed) -> Result<usize, CatchUpError> {
        let mut behind = self.index.behind(listed);
        let waited_for = behind.len();
        let deadline = Instant::now() + PENDING_DEADLINE;
        while !behind.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
            behind = self.index.behind(listed);
        }
        for (uid, key) in behind {
            refresh(&self.client, &self.index, listed.kind, &key, &uid).await?;
        }
        Ok(waited_for)
    }
}
