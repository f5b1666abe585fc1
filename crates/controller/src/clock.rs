//! Where time and randomness enter: `run` passes them on, and tests pass their own.

use jiff::Timestamp;
use std::sync::Arc;

/// Returns the time of day.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Returns random bits.
pub type Random = Arc<dyn Fn() -> u64 + Send + Sync>;
