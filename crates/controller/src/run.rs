//! Puts the program together: the only file that spawns tasks, reads the clock or draws random numbers for others.
//!
//! Everything that varies enters here, so that a simulator can run the same wiring with its own client, clock and
//! randomness. No decision about a CloneSet is made here.

use crate::args::Args;
use crate::cache::catch_up::{self, FirstView};
use crate::cache::index::{Index, Key, Kind};
use crate::cache::nodes::{self, Nodes};
use crate::cache::watch::{CLAIM_LABEL, POD_LABEL, REVISION_LABEL, Watch, collection};
use crate::client::connect;
use crate::gates;
use crate::leader::lease::{Candidate, Election, Leadership};
use crate::leader::preflight::Clearance;
use crate::queue::Queue;
use crate::reconcile::memory::Memories;
use crate::reconcile::reconciler::reconcile;
use crate::telemetry::admin;
use crate::telemetry::events::{self, Events};
use crate::telemetry::metrics::{Format, Metrics, Process, Sample};
use anyhow::{Context as _, bail};
use cloneset_api::CloneSet;
use cloneset_plan::Features;
use cloneset_status::{Claim, Pod, Revision};
use jiff::Timestamp;
use kube::Client;
use kube::core::DeserializeGuard;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// Writes under way at once: with HTTP/1.1 each is a connection.
const WRITE_SLOTS: usize = 32;
/// Time for passes under way to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);
/// Without an election the right to write does not end.
const FOR_EVER: Duration = Duration::from_hours(10 * 365 * 24);

/// Gives the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Gives random bits.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What every part of the program shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What we know.
    pub index: Index,
    /// The labels of nodes, once a CloneSet needs them.
    pub nodes: Nodes,
    /// What to look at.
    pub queue: Queue,
    /// What we remember between passes.
    pub memories: Memories,
    /// What keeps us from leading.
    pub clearance: Clearance,
    /// Until when we may write.
    pub leadership: Leadership,
    /// Whether the view is as new as the term.
    pub first_view: FirstView,
    /// Where events go.
    pub events: Events,
    /// What is counted.
    pub metrics: Metrics,
    /// Switches.
    pub features: Features,
    clock: Clock,
    random: Random,
    write_slots: Semaphore,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}

impl Context {
    /// Puts the shared parts together.
    pub fn new(
        client: Client,
        metrics: Metrics,
        events: Events,
        features: Features,
        clock: Clock,
        random: Random,
    ) -> Self {
        Self {
            client,
            index: Index::default(),
            nodes: Nodes::default(),
            queue: Queue::new(metrics.queue.clone()),
            memories: Memories::default(),
            clearance: Clearance::default(),
            leadership: Leadership::default(),
            first_view: FirstView::default(),
            events,
            metrics,
            features,
            clock,
            random,
            write_slots: Semaphore::new(WRITE_SLOTS),
        }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Random bits.
    pub fn random(&self) -> u64 {
        (self.random)()
    }

    /// Leads until `until`; true when a term begins.
    pub fn lead_until(&self, until: Instant) -> bool {
        let begins = self.leadership.extend(until);
        if begins {
            self.first_view.ask();
        }
        begins
    }

    /// Queues CloneSets. While nothing may be done about them that is pointless: once the view is confirmed, they are
    /// queued all.
    pub fn wake(&self, keys: Vec<Key>) {
        if !self.first_view.holds(&self.leadership) {
            return;
        }
        for key in keys {
            self.queue.add(key);
        }
    }

    /// What was counted, and how things stand now.
    pub fn metrics_page(&self, format: Format) -> String {
        self.metrics.leaks.retain(|key| self.index.view(key).is_some());
        let sample = Sample {
            leads: self.leadership.time_left().is_some(),
            load: self.queue.load(),
            process: Process::look(),
        };
        self.metrics.page(&sample, format)
    }

    /// Waits for a free slot to write; the semaphore is never closed, so there always will be one.
    pub async fn write_slot(&self) -> Option<SemaphorePermit<'_>> {
        self.write_slots.acquire().await.ok()
    }
}

/// Works on CloneSets, one at a time, until the queue is closed. What is still queued when leading ends is dropped.
pub async fn work(context: Arc<Context>) {
    while let Some(key) = context.queue.next().await {
        if context.first_view.holds(&context.leadership) {
            reconcile(&context, key.clone()).await;
        }
        // Not leading any more: the next term queues everything again.
        context.queue.done(&key);
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or when a part that must not end has ended.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Every flag is named, so that a new one cannot be forgotten.
    let Args {
        namespace,
        cloneset_workers,
        cloneset_scaling_exclude_preparing_delete,
        metrics_addr,
        health_probe_addr,
        enable_leader_election,
        leader_election_namespace,
        leader_election_id,
        leader_election_lease_duration,
        leader_election_renew_deadline,
        leader_election_retry_period,
        acknowledge_kruise,
        feature_gates,
        log_level: _,
        log_format: _,
        identity,
    } = args;
    let gates = gates::parse(&feature_gates)
        .map_err(anyhow::Error::msg)
        .context("--feature-gates")?;
    for gate in &gates.without_effect {
        warn!(
            gate = gate.name,
            "this feature gate of Kruise changes nothing here: {}", gate.meaning
        );
    }
    let election = Election {
        namespace: leader_election_namespace,
        name: leader_election_id,
        identity: identity.unwrap_or_else(host_name),
        lease_duration: leader_election_lease_duration,
        renew_deadline: leader_election_renew_deadline,
        retry_period: leader_election_retry_period,
    };
    check_election(&election)?;
    let metrics = Metrics::default();
    metrics.passes.at_most.set(cloneset_workers.into());
    if enable_leader_election {
        metrics.lease.get_or_init(|| election.name.clone());
    }
    let client = connect(&metrics.requests).await?;
    let (events, arriving) = events::channel();
    let clock: Clock = Arc::new(Timestamp::now);
    let random: Random = Arc::new(random_bits);
    let context = Arc::new(Context::new(
        client.clone(),
        metrics,
        events,
        Features {
            exclude_preparing_delete: cloneset_scaling_exclude_preparing_delete,
            ..gates.features
        },
        clock,
        random,
    ));
    info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = election.identity,
        namespace,
        "starting"
    );

    let mut parts = JoinSet::new();
    let mut addresses = vec![metrics_addr];
    if health_probe_addr != metrics_addr {
        addresses.push(health_probe_addr);
    }
    for address in addresses {
        let listener = admin::bind(address).await?;
        let context = Arc::clone(&context);
        parts.spawn(async move { admin::serve(listener, context).await.map_err(anyhow::Error::from) });
    }
    watch_all(&mut parts, &context, &namespace);
    let run_events = events::run(Arc::clone(&context), election.identity.clone(), arriving);
    parts.spawn(endless(run_events));
    let mut workers = JoinSet::new();
    for _ in 0..cloneset_workers {
        workers.spawn(work(Arc::clone(&context)));
    }
    let mut candidate = enable_leader_election.then(|| Candidate::new(client, election));
    let lead = lead(&context, acknowledge_kruise, candidate.as_mut());
    supervise(&mut parts, &mut workers, lead).await?;
    let nothing_abandoned = drain(&context, workers).await;
    // A write that was abandoned may still arrive: then the Lease is left to expire instead.
    if let Some(candidate) = candidate.filter(|_| nothing_abandoned) {
        candidate.release(context.now()).await;
    }
    info!("ended");
    Ok(())
}

/// A part that must not end.
async fn endless(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// Starts the watches that feed the index, and what makes sure of it when a term begins.
pub fn watch_all(parts: &mut JoinSet<anyhow::Result<()>>, context: &Arc<Context>, namespace: &str) {
    let clonesets: Watch<DeserializeGuard<CloneSet>> = Watch {
        api: collection(context.client.clone(), namespace),
        kind: Kind::CloneSet,
        labels: None,
    };
    parts.spawn(endless(clonesets.run(Arc::clone(context))));
    // Foreign pods, claims and revisions never reach us: only what carries our labels is asked for.
    let pods: Watch<Pod> = Watch {
        api: collection(context.client.clone(), namespace),
        kind: Kind::Pod,
        labels: Some(POD_LABEL),
    };
    parts.spawn(endless(pods.run(Arc::clone(context))));
    let revisions: Watch<Revision> = Watch {
        api: collection(context.client.clone(), namespace),
        kind: Kind::Revision,
        labels: Some(REVISION_LABEL),
    };
    parts.spawn(endless(revisions.run(Arc::clone(context))));
    let claims: Watch<Claim> = Watch {
        api: collection(context.client.clone(), namespace),
        kind: Kind::Claim,
        labels: Some(CLAIM_LABEL),
    };
    parts.spawn(endless(claims.run(Arc::clone(context))));
    parts.spawn(endless(nodes::run(Arc::clone(context))));
    parts.spawn(endless(catch_up::run(Arc::clone(context), namespace.to_owned())));
}

/// Takes part in the election once the way is clear, for ever. Without a candidate there is nobody to elect.
pub async fn lead(context: &Arc<Context>, acknowledge_kruise: bool, candidate: Option<&mut Candidate>) {
    context.clearance.wait(context, acknowledge_kruise).await;
    if let Some(candidate) = candidate {
        candidate.run(context).await;
    } else {
        context.lead_until(Instant::now() + FOR_EVER);
        std::future::pending::<()>().await;
    }
}

/// Leads until told to stop; a part that ends ends the program.
async fn supervise(
    parts: &mut JoinSet<anyhow::Result<()>>,
    workers: &mut JoinSet<()>,
    lead: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        () = stopped(&mut terminate, &mut interrupt) => Ok(()),
        () = lead => bail!("the election ended"),
        _ = workers.join_next() => bail!("a worker ended"),
        ended = parts.join_next() => match ended {
            Some(Ok(Err(error))) => Err(error.context("a part of the controller ended")),
            Some(Err(error)) => Err(anyhow::Error::from(error).context("a part of the controller panicked")),
            Some(Ok(Ok(()))) | None => bail!("a part of the controller ended"),
        },
    }
}

async fn stopped(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: ending"),
        _ = interrupt.recv() => info!("SIGINT: ending"),
    }
}

/// Lets passes under way come to an end: no new ones begin once the queue is closed. False when some did not.
async fn drain(context: &Context, mut workers: JoinSet<()>) -> bool {
    context.queue.close();
    let ended = async { while workers.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(DRAIN, ended).await.is_ok();
    if !in_time {
        warn!("passes were still under way after {DRAIN:?}; their writes are abandoned");
        workers.shutdown().await;
    }
    context.leadership.end();
    in_time
}

/// Others must wait longer for us than we write without renewing, or two leaders write at once.
fn check_election(election: &Election) -> anyhow::Result<()> {
    let Election {
        lease_duration,
        renew_deadline,
        retry_period,
        ..
    } = election;
    if lease_duration <= renew_deadline {
        bail!(
            "--leader-election-lease-duration ({lease_duration:?}) must be longer than \
             --leader-election-renew-deadline ({renew_deadline:?})"
        );
    }
    if *renew_deadline <= *retry_period * 2 {
        bail!(
            "--leader-election-renew-deadline ({renew_deadline:?}) must be longer than twice \
             --leader-election-retry-period ({retry_period:?})"
        );
    }
    Ok(())
}

/// A name no other replica has: the pod's name comes by flag, so this is for running outside a cluster.
fn host_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "cloneset-controller".to_owned());
    format!("{host}-{:08x}", random_bits() >> 32)
}

fn random_bits() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
