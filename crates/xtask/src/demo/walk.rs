//! Walks through a release: runs the command of each step, and waits until what must come true has.
//! It must not know how the cluster or the controller came to be, nor what the steps are.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::expect::Expectation;
use super::install::{Installation, NAMESPACE};
use super::report;
use super::screen::Screen;
use super::session::Session;
use super::steps::Step;
use super::view::{Identity, View};
use crate::progress::seconds;

/// A step that has not come true by then will not. On a cluster of the user's, images come from afar.
const LIMIT: Duration = Duration::from_mins(3);
/// Between two looks at the cluster.
const INTERVAL: Duration = Duration::from_millis(250);

/// Walks all steps; the first that does not come true is the error, with the cluster's state.
pub(super) fn walk(session: &Session, installation: &Installation, steps: &[Step]) -> Result<()> {
    let mut view = View::default();
    for (number, step) in steps.iter().enumerate() {
        println!("\n{}/{}  {}", number + 1, steps.len(), step.says);
        let arguments = [step.command, &["--namespace", NAMESPACE]].concat();
        session.run("kubectl", &arguments)?;
        view = match await_step(session, &step.expected, &view.identities()) {
            Ok((view, note)) => {
                println!("  ok: {} ({note})", step.outcome);
                view
            }
            Err(error) => {
                eprintln!("{}", report::state(session, installation));
                return Err(error.context(format!("step {} of the release did not come true", number + 1)));
            }
        };
    }
    Ok(())
}

/// The moment at which the step came true, and what was seen until then.
fn await_step(
    session: &Session,
    expected: &Expectation,
    before: &BTreeSet<Identity>,
) -> Result<(View, String)> {
    let started = Instant::now();
    let mut screen = Screen::open();
    let mut fewest_ready = usize::MAX;
    loop {
        let view = View::look(session)?;
        screen.show(&view);
        if let Some(violation) = view.clone.as_ref().and_then(|_| expected.violated(&view)) {
            bail!("{violation}");
        }
        fewest_ready = fewest_ready.min(view.ready());
        let missing = expected.missing(before, &view);
        if missing.is_empty() {
            screen.close(&view);
            let mut note = seconds(started.elapsed());
            if expected.never_below > 0 {
                // Writing to a String cannot fail.
                let _ = write!(note, "; never fewer than {fewest_ready} ready");
            }
            return Ok((view, note));
        }
        if started.elapsed() > LIMIT {
            bail!("after {}: {}", seconds(LIMIT), missing.join("; "));
        }
        thread::sleep(INTERVAL);
    }
}
