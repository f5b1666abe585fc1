//! A simulated world for deciding: one CloneSet, its pods and revisions, and a clock that moves when told.
//!
//! Plans of `cloneset-plan` are carried out on plain data under the API server's rules, a scripted kubelet moves
//! the pods on, and every write is held against the promises of the spec (`oracle`). No client, no runtime, no
//! real clock, no randomness: a test that fails once fails always. It decides nothing itself: whatever happens
//! to a pod is a plan's doing, the kubelet's, or the test's (`people`).

mod act;
mod census;
mod claims;
mod client_view;
mod denial;
mod failure;
mod in_place;
mod kubelet;
mod limits;
mod oracle;
mod people;
mod reading;
mod report;
mod scene;
mod store;
mod trace;
mod words;
mod world;

pub use denial::Verb;
pub use failure::Failure;
pub use kubelet::Fate;
pub use limits::Limits;
pub use words::Deed;
pub use world::{Extremes, Pass, World};
