//! Scenarios of the reference, each test named after its row: from a state, through passes, to what is expected.
//!
//! Where one of our deviations from OpenKruise applies, ours is asserted and the test says so. Rows about a formula alone
//! have their tests in `crates/plan`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

#[path = "scenarios/asked.rs"]
mod asked;
#[path = "scenarios/claims.rs"]
mod claims;
#[path = "scenarios/creation.rs"]
mod creation;
#[path = "scenarios/hooks.rs"]
mod hooks;
#[path = "scenarios/hooks_given_up.rs"]
mod hooks_given_up;
#[path = "scenarios/in_place.rs"]
mod in_place;
#[path = "scenarios/in_place_metadata.rs"]
mod in_place_metadata;
#[path = "scenarios/in_place_records.rs"]
mod in_place_records;
#[path = "scenarios/numbers.rs"]
mod numbers;
#[path = "scenarios/revisions.rs"]
mod revisions;
#[path = "scenarios/status.rs"]
mod status;
#[path = "scenarios/update.rs"]
mod update;
#[path = "scenarios/validation.rs"]
mod validation;
