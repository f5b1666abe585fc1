//! What is true now: facts about pods, claims and revisions, counters, conditions, and the words for why something waits.
//!
//! This crate must stay pure: no client, no runtime, no clock, no environment. It says what *is*; what to do
//! about it is `cloneset-plan`'s business, and doing it the controller's.

pub mod compute;
pub mod conditions;
pub mod counts;
pub mod facts;
mod kstatus;
pub mod phase;
pub mod progress;
mod refusal;
pub mod resize;
pub mod selector;
pub mod start_failure;
pub mod unknown_fields;
pub mod unready;
pub mod why;

pub use compute::{Observed, compute};
pub use conditions::ConditionUpdate;
pub use counts::{Counted, Counts};
pub use facts::{Claim, LifecycleState, Pod, Revision};
pub use phase::{Held, Phase, phase};
pub use resize::StuckResize;
pub use start_failure::StartFailure;
pub use unready::{NotReady, NotStarting};
pub use why::{Problem, Runaway, Verdict, Wait};
