//! All the I/O: observe the cluster, ask `cloneset-plan` what to do, do it, report.
//!
//! A library so that tests run the production wiring with another client, clock and randomness. It decides nothing
//! about pods: whatever looks like a decision belongs into `cloneset-plan`.
//!
//! Five layers, each of which imports only those above it, and the files that they share. `cargo xtask test --only lints`
//! checks it.

pub mod backoff;
pub mod chain;
pub mod client;
pub mod clock;
pub mod key;
pub mod live;
pub mod queue;

/// What the outside reads: metrics, events, probes.
pub mod telemetry {
    pub mod admin;
    pub mod events;
    pub mod metrics;
    pub mod recorder;
}

/// Who may write: the preflight check, leader election, and the deadline that follows from it.
pub mod leader {
    pub mod leadership;
    pub mod lease;
    pub mod preflight;
}

/// What the controller knows of the cluster: watches, the index that they feed, and what it does not show yet.
pub mod cache {
    pub mod catch_up;
    pub mod decode;
    pub mod freshness;
    pub mod index;
    pub mod list;
    pub mod listed;
    pub mod nodes;
    pub mod owned;
    pub mod pending;
    pub mod refresh;
    pub mod wake;
    pub mod watch;
}

/// Every write to objects of CloneSets, each with its preconditions.
pub mod write {
    pub mod cloneset;
    pub mod dry_run;
    pub mod error;
    mod in_place;
    pub mod owner;
    pub mod perform;
    mod pods;
    mod pvcs;
    pub mod revisions;
    mod slots;
    pub mod writer;
    pub mod written;
}

/// One reconcile of one CloneSet: observe, plan, act, report.
pub mod reconcile {
    pub mod act;
    pub mod backoffs;
    pub mod events;
    pub mod failure;
    pub mod memory;
    pub mod observe;
    pub mod outcome;
    pub mod reconciler;
    pub mod recovery;
    pub mod report;
    pub mod steady;
    pub mod worker;
}

pub mod args;
pub mod gates;
pub mod run;
