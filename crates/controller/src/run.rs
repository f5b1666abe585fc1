//! Puts the program together: the only file that spawns tasks, reads the clock or draws random numbers.
//!
//! Everything that varies enters here, so that tests can run the same wiring with their own client, clock and randomness.
//! No decision about a CloneSet is made here, and nothing but `main` imports this file.

use crate::args::Args;
use crate::cache::catch_up::CatchUp;
use crate::cache::decode::{Known, Record};
use crate::cache::freshness::{Freshness, Stale};
use crate::cache::index::{Index, Sink};
use crate::cache::nodes::{self, Nodes};
use crate::cache::wake::{CaughtUp, Wake};
use crate::cache::watch::{Feed, POD_LABEL, PVC_LABEL, REVISION_LABEL, Watch};
use crate::client::{self, client_of};
use crate::clock::{Clock, Random};
use crate::gates;
use crate::key::Kind;
use crate::leader::leadership::Leadership;
use crate::leader::lease::{Candidate, Election};
use crate::leader::preflight::Preflight;
use crate::queue::Queue;
use crate::reconcile::memory::Memories;
use crate::reconcile::observe::Observer;
use crate::reconcile::reconciler::Reconciler;
use crate::reconcile::recovery::Recovery;
use crate::reconcile::report::Reporter;
use crate::reconcile::worker::work;
use crate::telemetry::admin::{self, Admin};
use crate::telemetry::events::{self, Events};
use crate::telemetry::metrics::cache::{CacheSample, KindSample};
use crate::telemetry::metrics::process::Process;
use crate::telemetry::metrics::{Format, Metrics, Sample};
use crate::telemetry::recorder::Event;
use crate::write::writer::Writer;
use anyhow::{Context as _, bail};
use cloneset_plan::Features;
use cloneset_status::{Claim, Pod, Revision};
use jiff::Timestamp;
use kube::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// Time for the reconciles under way to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);
/// Without an election the right to write does not end.
const WITHOUT_END: Duration = Duration::from_hours(10 * 365 * 24);

/// The tasks of the program, none of which ends while it runs.
pub type Tasks = JoinSet<anyhow::Result<()>>;

/// The parts of the program. Only this file and tests hold all of them; each part is given what it uses.
pub struct Controller {
    /// Who may write, and until when.
    pub leadership: Arc<Leadership>,
    /// What blocks this replica from leader election.
    pub preflight: Arc<Preflight>,
    /// Where events are recorded.
    pub events: Events,
    /// The time.
    pub clock: Clock,
    client: Client,
    namespace: String,
    index: Arc<Index>,
    freshness: Arc<Freshness>,
    nodes: Arc<Nodes>,
    queue: Arc<Queue>,
    caught_up: Arc<CaughtUp>,
    metrics: Arc<Metrics>,
    features: Features,
    random: Random,
}

impl Controller {
    /// A controller for a namespace, or for all when it is empty; and its events, to be sent by a task.
    pub fn new(
        client: Client,
        namespace: &str,
        metrics: Metrics,
        features: Features,
        clock: Clock,
        random: Random,
    ) -> (Self, mpsc::Receiver<Event>) {
        let (events, recorded) = events::channel(metrics.events_dropped.clone());
        let leadership = Arc::new(Leadership::default());
        let controller = Self {
            caught_up: Arc::new(CaughtUp::new(Arc::clone(&leadership))),
            leadership,
            preflight: Arc::default(),
            events,
            clock,
            client,
            namespace: namespace.to_owned(),
            index: Arc::default(),
            freshness: Arc::default(),
            nodes: Arc::default(),
            queue: Arc::new(Queue::new(metrics.queue.clone())),
            metrics: Arc::new(metrics),
            features,
            random,
        };
        (controller, recorded)
    }

    /// Starts the watches that feed the cache, and what catches up at the start of a term.
    pub fn spawn_cache(&self, tasks: &mut Tasks) {
        let wake = Wake::new(Arc::clone(&self.queue), Arc::clone(&self.caught_up));
        let feed = Feed {
            index: Arc::clone(&self.index),
            freshness: Arc::clone(&self.freshness),
            wake: wake.clone(),
            metrics: self.metrics.cache.clone(),
            random: Arc::clone(&self.random),
        };
        self.spawn_watch::<Known>(tasks, &feed, None);
        // Other pods, PVCs and revisions never reach the controller: only what carries its labels is watched.
        self.spawn_watch::<Pod>(tasks, &feed, Some(POD_LABEL));
        self.spawn_watch::<Revision>(tasks, &feed, Some(REVISION_LABEL));
        self.spawn_watch::<Claim>(tasks, &feed, Some(PVC_LABEL));
        let random = Arc::clone(&self.random);
        let nodes = nodes::run(Arc::clone(&self.nodes), self.client.clone(), random);
        tasks.spawn(endless(nodes));
        let catch_up = CatchUp {
            client: self.client.clone(),
            namespace: self.namespace.clone(),
            index: Arc::clone(&self.index),
            leadership: Arc::clone(&self.leadership),
            caught_up: Arc::clone(&self.caught_up),
            wake,
        };
        tasks.spawn(endless(catch_up.run()));
    }

    fn spawn_watch<R: Record>(&self, tasks: &mut Tasks, feed: &Feed, labels: Option<&'static str>)
    where
        Index: Sink<R>,
    {
        let watch = Watch::<R>::new(self.client.clone(), &self.namespace, labels);
        tasks.spawn(endless(watch.run(feed.clone())));
    }

    /// Starts sending events, as this replica.
    pub fn spawn_events(&self, tasks: &mut Tasks, identity: &str, recorded: mpsc::Receiver<Event>) {
        let leadership = Arc::clone(&self.leadership);
        let send = events::run(
            self.client.clone(),
            move || leadership.time_left(),
            identity.to_owned(),
            recorded,
        );
        tasks.spawn(endless(send));
    }

    /// Starts what reconciles; so many plans are made side by side.
    pub fn spawn_workers(&self, workers: &mut JoinSet<()>, plans: u16) {
        let reconciler = Arc::new(Reconciler {
            observer: Observer {
                client: self.client.clone(),
                index: Arc::clone(&self.index),
                nodes: Arc::clone(&self.nodes),
                leadership: Arc::clone(&self.leadership),
                metrics: self.metrics.cache.clone(),
            },
            freshness: Arc::clone(&self.freshness),
            cpu: Semaphore::new(usize::from(plans)),
            writer: Writer::new(
                self.client.clone(),
                Arc::clone(&self.leadership),
                self.metrics.writes.clone(),
            ),
            reporter: Reporter {
                events: self.events.clone(),
                waits: self.metrics.waits.clone(),
                kruise_conditions_only: self.features.kruise_conditions_only,
            },
            queue: Arc::clone(&self.queue),
            memories: Memories::default(),
            recovery: Recovery::default(),
            metrics: Arc::clone(&self.metrics),
            features: self.features,
            clock: Arc::clone(&self.clock),
            random: Arc::clone(&self.random),
        });
        let (queue, caught_up) = (Arc::clone(&self.queue), Arc::clone(&self.caught_up));
        workers.spawn(work(queue, caught_up, reconciler));
    }

    /// What the admin pages show.
    pub fn admin(&self) -> Admin {
        let (preflight, listed) = (Arc::clone(&self.preflight), Arc::clone(&self.index));
        let (freshness, heard) = (Arc::clone(&self.freshness), Arc::clone(&self.freshness));
        let (metrics, index) = (Arc::clone(&self.metrics), Arc::clone(&self.index));
        let (leadership, queue) = (Arc::clone(&self.leadership), Arc::clone(&self.queue));
        Admin {
            // A standby is ready: its cache is complete, and nothing blocks it from leading.
            not_ready: Box::new(move || {
                let is_listing =
                    || (!listed.is_synced()).then(|| "not everything has been listed yet".to_owned());
                let is_stale = || {
                    let Stale { kind, age } = freshness.stale()?;
                    let (resource, age) = (kind.resource(), age.as_secs());
                    Some(format!(
                        "the API server has sent nothing about {resource} for {age} s"
                    ))
                };
                preflight.blocker().or_else(is_listing).or_else(is_stale)
            }),
            metrics: Box::new(move |format: Format| {
                metrics.cache.leaks.retain(|key| index.view(key).is_some());
                let sample = Sample {
                    leads: leadership.time_left().is_some(),
                    load: queue.load(),
                    cache: sample(&index, &heard),
                    process: Process::look(),
                };
                metrics.page(&sample, format)
            }),
        }
    }

    /// Takes part in the election once the preflight check has passed; never ends. Leads at once without a candidate.
    pub async fn lead(&self, acknowledge_kruise: bool, candidate: Option<&mut Candidate>) {
        self.preflight
            .wait(self.client.clone(), &self.clock, acknowledge_kruise)
            .await;
        if let Some(candidate) = candidate {
            let is_fit = || self.index.is_synced() && !self.freshness.is_lasting();
            candidate.run(&self.leadership, &self.clock, &is_fit).await;
        } else {
            self.leadership.extend(Instant::now() + WITHOUT_END);
            std::future::pending::<()>().await;
        }
    }
}

fn sample(index: &Index, freshness: &Freshness) -> CacheSample {
    let kinds = Kind::ALL.into_iter().map(|kind| {
        let (objects, unreadable) = index.count(kind);
        KindSample {
            kind,
            objects,
            unreadable,
            age: freshness.age(kind),
        }
    });
    CacheSample {
        is_synced: index.is_synced(),
        kinds: kinds.collect(),
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
    let features = Features {
        exclude_preparing_delete: cloneset_scaling_exclude_preparing_delete,
        ..parse_gates(&feature_gates)?
    };
    let election = Election {
        namespace: leader_election_namespace,
        name: leader_election_id,
        identity: unique(&identity.unwrap_or_else(host_name)),
        lease_duration: leader_election_lease_duration,
        renew_deadline: leader_election_renew_deadline,
        retry_period: leader_election_retry_period,
    };
    check_election(&election)?;
    let metrics = Metrics::default();
    metrics.reconciles.at_most.set(cloneset_workers.into());
    if enable_leader_election {
        metrics.lease.get_or_init(|| election.name.clone());
    }
    let config = client::config().await?;
    let client = client_of(config.clone(), &metrics.requests)?;
    // The Lease has connections of its own, so that no write of a CloneSet can keep its renewal waiting.
    let lease_client = client_of(config, &metrics.requests)?;
    let clock: Clock = Arc::new(Timestamp::now);
    let random: Random = Arc::new(random_bits);
    let (controller, recorded) = Controller::new(client, &namespace, metrics, features, clock, random);
    info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = election.identity,
        namespace,
        "starting"
    );

    let (mut tasks, mut workers) = (JoinSet::new(), JoinSet::new());
    spawn_admin(&mut tasks, controller.admin(), metrics_addr, health_probe_addr).await?;
    controller.spawn_cache(&mut tasks);
    controller.spawn_events(&mut tasks, &election.identity, recorded);
    controller.spawn_workers(&mut workers, cloneset_workers);
    let candidate = enable_leader_election.then(|| Candidate::new(lease_client, election));
    lead_until_stopped(&controller, acknowledge_kruise, candidate, tasks, workers).await
}

/// Leads and works until SIGTERM or SIGINT, then ends in order: the writes first, the Lease last.
async fn lead_until_stopped(
    controller: &Controller,
    acknowledge_kruise: bool,
    mut candidate: Option<Candidate>,
    mut tasks: Tasks,
    mut workers: JoinSet<()>,
) -> anyhow::Result<()> {
    let lead = controller.lead(acknowledge_kruise, candidate.as_mut());
    supervise(&mut tasks, &mut workers, lead).await?;
    let nothing_abandoned = drain(controller, workers).await;
    // A write that was abandoned may still arrive: then the Lease is left to expire instead.
    if let Some(mut candidate) = candidate.filter(|_| nothing_abandoned) {
        candidate.release((controller.clock)()).await;
    }
    info!("ended");
    Ok(())
}

/// The features that `--feature-gates` switches; warns of gates that only Kruise has.
fn parse_gates(text: &str) -> anyhow::Result<Features> {
    let gates = gates::parse(text)
        .map_err(anyhow::Error::msg)
        .context("--feature-gates")?;
    for gate in &gates.without_effect {
        warn!(
            gate = gate.name,
            "this feature gate of Kruise changes nothing here: {}", gate.meaning
        );
    }
    Ok(gates.features)
}

/// Serves the admin pages on both addresses, or once if they are the same.
async fn spawn_admin(
    tasks: &mut Tasks,
    admin: Admin,
    metrics: SocketAddr,
    health: SocketAddr,
) -> anyhow::Result<()> {
    let admin = Arc::new(admin);
    let mut addresses = vec![metrics];
    if health != metrics {
        addresses.push(health);
    }
    for address in addresses {
        let listener = admin::bind(address).await?;
        let admin = Arc::clone(&admin);
        tasks.spawn(async move { admin::serve(listener, admin).await.map_err(anyhow::Error::from) });
    }
    Ok(())
}

/// A part that must not end.
async fn endless(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// Runs until SIGTERM or SIGINT; a part that ends ends the program.
async fn supervise(
    tasks: &mut Tasks,
    workers: &mut JoinSet<()>,
    lead: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::select! {
        () = stopped(&mut terminate, &mut interrupt) => Ok(()),
        () = lead => bail!("the election ended"),
        _ = workers.join_next() => bail!("a worker ended"),
        ended = tasks.join_next() => match ended {
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

/// Lets the reconciles under way end: no new ones begin once the queue is closed. False when some did not.
async fn drain(controller: &Controller, mut workers: JoinSet<()>) -> bool {
    controller.queue.close();
    let ended = async { while workers.join_next().await.is_some() {} };
    let in_time = tokio::time::timeout(DRAIN, ended).await.is_ok();
    if !in_time {
        warn!("reconciles were still under way after {DRAIN:?}; their writes are abandoned");
        workers.shutdown().await;
    }
    controller.leadership.end();
    in_time
}

/// Other replicas must wait longer than a leader writes without renewing, or two leaders write at once.
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

/// An identity that no earlier process had: one that was killed must not find its own Lease and lead at once, before its
/// cache is filled, while a standby that could act waits.
fn unique(identity: &str) -> String {
    format!("{identity}_{:08x}", random_bits() & 0xffff_ffff)
}

/// A name that no other replica has, for running outside a cluster; inside, a flag gives the pod's name.
fn host_name() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "cloneset-controller".to_owned());
    format!("{host}-{:08x}", random_bits() >> 32)
}

fn random_bits() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}
