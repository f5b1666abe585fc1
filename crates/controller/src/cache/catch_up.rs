//! A leader's first view of its term: before it acts, what it goes by is at least as new as the term.
//!
//! The leader before may have written what no watch of ours shows yet. So everything is listed once, consistently and
//! by its metadata only, and compared with the index by UID and resourceVersion; nothing is decided until the index
//! has come as far. Reads, and never writes.

use crate::cache::index::{Key, Kind, Listed};
use crate::cache::owned::{uid_of, version_of};
use crate::cache::pending::MARK_DEADLINE;
use crate::cache::watch::{CLAIM_LABEL, POD_LABEL, REVISION_LABEL, collection};
use crate::leader::lease::Leadership;
use crate::live::{self, ReadError};
use crate::reconcile::observe::{ObserveError, read_live};
use crate::run::Context;
use cloneset_api::CloneSet;
use cloneset_status::facts::controlling_cloneset;
use cloneset_status::{Claim, Pod, Revision};
use kube::api::{ListParams, PartialObjectMeta};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{info, warn};

/// Objects in one page of a list.
const PAGE: u32 = 500;
/// How often the index is looked at while it comes along.
const POLL: Duration = Duration::from_millis(20);
/// Between two attempts to list.
const AGAIN: Duration = Duration::from_millis(500);

/// Whether the view has been found to be as new as the present term.
#[derive(Debug, Default)]
pub struct FirstView {
    begun: Notify,
    term: AtomicU64,
}

impl FirstView {
    /// A term begins: the view has to be confirmed before anything is done.
    pub fn ask(&self) {
        self.begun.notify_one();
    }

    /// May the view be acted on?
    pub fn holds(&self, leadership: &Leadership) -> bool {
        leadership.time_left().is_some() && self.term.load(Ordering::Acquire) == leadership.term()
    }
}

/// Why the view could not be confirmed.
#[derive(Debug, thiserror::Error)]
enum ConfirmError {
    #[error("listing {0}")]
    List(&'static str, #[source] ReadError),
    #[error(transparent)]
    Read(#[from] ObserveError),
}

/// Confirms the view at the begin of every term and queues every CloneSet then, for ever.
pub async fn run(context: Arc<Context>, namespace: String) {
    loop {
        context.first_view.begun.notified().await;
        while !context.index.is_synced() {
            tokio::time::sleep(POLL).await;
        }
        while context.leadership.time_left().is_some() && !context.first_view.holds(&context.leadership) {
            let term = context.leadership.term();
            match confirm(&context, &namespace).await {
                Ok(behind) => {
                    info!(
                        term,
                        behind, "the view is as new as the term; everything is looked at"
                    );
                    context.first_view.term.store(term, Ordering::Release);
                    context.wake(context.index.keys());
                }
                Err(error) => {
                    warn!(%error, "cannot tell yet whether the view is as new as the term; nothing is done before");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

/// Waits until the index has come as far as a list made now; gives the number of objects it had to wait for.
async fn confirm(context: &Context, namespace: &str) -> Result<usize, ConfirmError> {
    let clonesets = list::<CloneSet>(context, namespace, Kind::CloneSet, None).await?;
    let pods = list::<Pod>(context, namespace, Kind::Pod, Some(POD_LABEL)).await?;
    let revisions = list::<Revision>(context, namespace, Kind::Revision, Some(REVISION_LABEL)).await?;
    let claims = list::<Claim>(context, namespace, Kind::Claim, Some(CLAIM_LABEL)).await?;
    let mut behind = 0;
    for listed in [clonesets, pods, revisions, claims] {
        behind += catch_up(context, &listed).await?;
    }
    Ok(behind)
}

async fn list<K>(
    context: &Context,
    namespace: &str,
    kind: Kind,
    labels: Option<&str>,
) -> Result<Listed, ConfirmError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let api: Api<PartialObjectMeta<K>> = collection(context.client.clone(), namespace);
    let mut params = ListParams::default().limit(PAGE);
    params.label_selector = labels.map(str::to_owned);
    let mut listed = Listed::of(kind);
    loop {
        let page = live::within(api.list(&params))
            .await
            .map_err(|error| ConfirmError::List(kind.resource(), error))?;
        let version = page.metadata.resource_version.unwrap_or_default();
        listed.version = version.parse().unwrap_or(0);
        for object in page.items {
            let key = Key {
                namespace: object.metadata.namespace.clone().unwrap_or_default(),
                name: object.metadata.name.clone().unwrap_or_default(),
            };
            // What no CloneSet controls is not in the index either.
            if kind == Kind::CloneSet || controlling_cloneset(&object.metadata).is_some() {
                listed.objects.insert(uid_of(&object), (key, version_of(&object)));
            }
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(listed),
        }
    }
}

async fn catch_up(context: &Context, listed: &Listed) -> Result<usize, ConfirmError> {
    let mut behind = context.index.behind(listed);
    let waited_for = behind.len();
    let deadline = Instant::now() + MARK_DEADLINE;
    while !behind.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(POLL).await;
        behind = context.index.behind(listed);
    }
    // No watch tells of these: they are read one by one.
    for (uid, key) in behind {
        read_live(context, listed.kind, &key, &uid).await?;
    }
    Ok(waited_for)
}
