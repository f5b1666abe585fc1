//! All the I/O: observe the cluster, ask `cloneset-plan` what to do, do it, report.
//!
//! A library so that tests run the production wiring with another client, clock and randomness. It decides nothing
//! about pods: whatever looks like a decision belongs into `cloneset-plan`.

pub mod args;
pub mod backoff;
pub mod client;
pub mod gates;
pub mod live;
pub mod queue;
pub mod run;

/// Who may write: leader election, and the checks before it.
pub mod leader {
    pub mod lease;
    pub mod preflight;
}

/// What the controller tells the outside: metrics, events, probes.
pub mod telemetry {
    pub mod admin;
    pub mod events;
    pub mod metrics;
    pub mod recorder;
}

/// What the controller knows of the cluster: watches, and the index that they feed.
pub mod cache {
    pub mod catch_up;
    pub mod index;
    pub mod nodes;
    pub mod owned;
    pub mod pending;
    pub mod watch;
}

/// Every write to the API server.
pub mod write {
    pub mod dry_run;
    pub mod perform;
    pub mod pvcs;
    pub mod writer;
}

/// One reconcile of one CloneSet: observe, plan, act, report.
pub mod reconcile {
    pub mod act;
    pub mod backoffs;
    pub mod memory;
    pub mod observe;
    pub mod reconciler;
    pub mod report;
    pub mod steady;
}
