//! How long to wait after failures in a row.
//!
//! Pure arithmetic: the number of failures and the random bits are arguments.

use std::time::Duration;

/// Doubling delays between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first failure.
    pub base: Duration,
    /// The most.
    pub max: Duration,
}

/// Of the reconciles of one CloneSet: at least one attempt in five minutes.
pub const OBJECT: Backoff = Backoff {
    base: Duration::from_millis(200),
    max: Duration::from_mins(5),
};
/// Of writes that the API server cannot take now, whatever they are: nothing is wrong with the object.
pub const SERVER: Backoff = Backoff {
    base: Duration::from_millis(200),
    max: Duration::from_secs(30),
};
/// Of pods that a quota has no room for. No event shows when it has, so there are at least two attempts a minute.
pub const QUOTA: Backoff = Backoff {
    base: Duration::from_millis(500),
    max: Duration::from_secs(25),
};
/// Of lists and watches.
pub const WATCH: Backoff = Backoff {
    base: Duration::from_millis(500),
    max: Duration::from_secs(30),
};

impl Backoff {
    /// The delay after `failures` in a row (1 is the first): a random part of the second half of it, so that many that
    /// failed together are not tried again together.
    pub fn delay(&self, failures: u32, random: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(32);
        let full = self
            .base
            .saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX))
            .min(self.max);
        let half = full / 2;
        let spread = u64::try_from(half.as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        half + Duration::from_millis(random % spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_most_and_keep_at_least_half() {
        for (failures, full) in [(1, 200), (2, 400), (5, 3200), (40, 300_000), (u32::MAX, 300_000)] {
            let full = Duration::from_millis(full);
            for random in [0, 1, 99_999, u64::MAX] {
                let delay = OBJECT.delay(failures, random);
                assert!(
                    delay >= full / 2 && delay <= full,
                    "{failures} failures: {delay:?}"
                );
            }
        }
    }
}
