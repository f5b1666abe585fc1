//! All the I/O: observe the cluster, ask `cloneset-plan` what to do, do it, report.
//!
//! A library so that tests run the production wiring with another client, clock and randomness. It decides nothing
//! about pods: whatever looks like a decision belongs into `cloneset-plan`.

pub mod act;
pub mod admin;
pub mod args;
pub mod backoff;
pub mod claims;
pub mod clearance;
pub mod client;
pub mod dry_run;
pub mod events;
pub mod first_view;
pub mod gates;
pub mod holds;
pub mod index;
pub mod lease;
pub mod live;
pub mod memory;
pub mod metrics;
pub mod nodes;
pub mod observe;
pub mod owned;
pub mod perform;
pub mod queue;
pub mod reconcile;
pub mod recorder;
pub mod report;
pub mod send;
pub mod steady;
pub mod watch;
pub mod wiring;
pub mod writes;
