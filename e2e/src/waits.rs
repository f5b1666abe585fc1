//! Waiting for a condition, and watching that one holds.
//!
//! The only place in the end-to-end tests that knows about time passing. Every wait has a deadline, and its error
//! says what was waited for and what was seen last.

use anyhow::{Result, bail};
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

/// Enough for a few pods to be replaced one after another on a busy machine; a wait that needs more is a defect.
pub const PATIENCE: Duration = Duration::from_mins(2);
/// Long enough for a controller that wrongly acts to have acted: it reacts within milliseconds.
pub const QUIET: Duration = Duration::from_secs(3);

const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// What one look found.
#[derive(Debug)]
pub enum Seen<T> {
    /// The condition holds.
    Yes(T),
    /// It does not; this is how things stand.
    NotYet(String),
}

impl Seen<()> {
    /// A condition without a result.
    pub fn when(holds: bool, state: impl FnOnce() -> String) -> Self {
        if holds {
            Self::Yes(())
        } else {
            Self::NotYet(state())
        }
    }
}

/// Looks until the condition holds. A look that fails counts as "not yet": the error is what was seen last.
pub async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Seen<T>>) -> Result<T> {
    let mut last = "nothing; not one look finished".to_owned();
    let looking = async {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            match look().await {
                Ok(Seen::Yes(result)) => return result,
                Ok(Seen::NotYet(state)) => last = state,
                Err(error) => last = format!("{error:#}"),
            }
        }
    };
    let outcome = timeout(PATIENCE, looking).await;
    let Ok(result) = outcome else {
        bail!("waited {} s for {what}. Last seen: {last}", PATIENCE.as_secs());
    };
    Ok(result)
}

/// Watches for [`QUIET`] that `look` has nothing to object to.
pub async fn quietly(what: &str, mut look: impl AsyncFnMut() -> Result<Option<String>>) -> Result<()> {
    let mut looks = 0_usize;
    let watching = async {
        let mut ticks = ticks();
        loop {
            ticks.tick().await;
            if let Some(objection) = look().await? {
                return Ok::<_, anyhow::Error>(objection);
            }
            looks += 1;
        }
    };
    let outcome = timeout(QUIET, watching).await;
    match outcome {
        Err(_) if looks == 0 => bail!("{what}, but not one look finished within {} s", QUIET.as_secs()),
        Err(_) => Ok(()),
        Ok(objection) => bail!("{what}, but: {}", objection?),
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(BETWEEN_LOOKS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_fails_is_looked_again() {
        let mut looks = 0;
        let third = until("the third look", async || {
            looks += 1;
            match looks {
                1 => bail!("not reachable"),
                2 => Ok(Seen::NotYet("almost".into())),
                _ => Ok(Seen::Yes(looks)),
            }
        });
        assert_eq!(third.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn quiet_ends_with_the_first_objection() {
        let mut looks = 0;
        let watched = quietly("nothing may move", async || {
            looks += 1;
            Ok((looks == 2).then(|| "it moved".to_owned()))
        });
        assert_eq!(
            watched.await.unwrap_err().to_string(),
            "nothing may move, but: it moved"
        );
    }
}
