//! Waiting for conditions, always with a deadline.
//! It must not know what is waited for.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(100);

/// Asks `check` until it says true. An error from `check` ends the wait at
/// once: it means that waiting longer cannot help.
pub(super) fn until(what: &str, limit: Duration, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        if check()? {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("{what}: not so after {} s", limit.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_on_true_on_an_error_and_at_the_deadline() {
        let mut asked = 0;
        until("third", Duration::from_secs(10), || {
            asked += 1;
            Ok(asked == 3)
        })
        .expect("true on the third time");
        assert_eq!(asked, 3);
        assert!(until("broken", Duration::from_secs(10), || bail!("no")).is_err());
        let late = until("never", Duration::ZERO, || Ok(false)).expect_err("past the deadline");
        assert!(late.to_string().contains("never"));
    }
}
