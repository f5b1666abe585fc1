//! Which pod templates are the same and which are not: case by case, against the API server's recorded
//! answers, against the revisions that OpenKruise left behind, and as properties. Without a cluster;
//! `e2e/tests/normalise.rs` has one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a failed test is the point of a panic"
)]

#[path = "normalise/cases.rs"]
mod cases;
#[path = "normalise/corpus.rs"]
mod corpus;
#[path = "normalise/kruise.rs"]
mod kruise;
#[path = "normalise/properties.rs"]
mod properties;
