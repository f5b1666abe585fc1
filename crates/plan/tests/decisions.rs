//! What is decided for a given snapshot: actions, and the reason for everything that is not done.
//!
//! Snapshots are made by hand, one pod a word; what becomes of decisions over time is told by the simulated world
//! in `crates/testkit`, the arithmetic by `vectors.rs`.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

#[path = "decisions/claims.rs"]
mod claims;
#[path = "decisions/failing.rs"]
mod failing;
#[path = "decisions/in_place.rs"]
mod in_place;
#[path = "decisions/leaving.rs"]
mod leaving;
#[path = "decisions/order.rs"]
mod order;
#[path = "decisions/pods.rs"]
mod pods;
#[path = "decisions/ready.rs"]
mod ready;
#[path = "decisions/revisions.rs"]
mod revisions;
#[path = "decisions/scene.rs"]
mod scene;
#[path = "decisions/serving.rs"]
mod serving;
#[path = "decisions/specs.rs"]
mod specs;
#[path = "decisions/takeover.rs"]
mod takeover;
