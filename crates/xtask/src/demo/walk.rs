//! The partition release, step by step: a command, what it means, and what must come true.
//! It must not know how the cluster or the controller came to be.

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
use super::view::View;
use crate::progress::seconds;

/// A step that has not come true by then will not. On a cluster of the user's, images come from afar.
const LIMIT: Duration = Duration::from_mins(3);
/// Between two looks at the cluster.
const INTERVAL: Duration = Duration::from_millis(250);

const OLD_IMAGE: &str = "nginx:mainline";
const NEW_IMAGE: &str = "nginx:alpine";

/// One step.
struct Step {
    /// What the command means, for somebody who has never seen it.
    says: &'static str,
    /// kubectl's arguments, but for the namespace.
    command: &'static [&'static str],
    expected: Expectation,
    /// What came true, in a person's words.
    outcome: &'static str,
}

const STEPS: [Step; 6] = [
    Step {
        says: "5 pods of version 1. The partition (3) holds nothing back yet: there is only one version.",
        command: &["apply", "--filename", "examples/sample.yaml"],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 2,
            kept: 0,
            never_below: 0,
            image: OLD_IMAGE,
        },
        outcome: "5 pods on version 1",
    },
    Step {
        says: "Version 2. The partition keeps 3 pods on version 1, so exactly 2 move.",
        command: &[
            "patch",
            "clone",
            "sample",
            "--type=json",
            "--patch",
            r#"[{"op":"replace","path":"/spec/template/spec/containers/0/image","value":"nginx:alpine"}]"#,
        ],
        expected: Expectation {
            replicas: 5,
            updated: 2,
            asked: 2,
            kept: 3,
            never_below: 4,
            image: NEW_IMAGE,
        },
        outcome: "2 pods updated and ready, 3 untouched on version 1",
    },
    Step {
        says: "Version 2 looks good: keep 1 pod on version 1 only.",
        command: &[
            "patch",
            "clone",
            "sample",
            "--type=merge",
            "--patch",
            r#"{"spec":{"updateStrategy":{"partition":1}}}"#,
        ],
        expected: Expectation {
            replicas: 5,
            updated: 4,
            asked: 4,
            kept: 3,
            never_below: 4,
            image: NEW_IMAGE,
        },
        outcome: "4 pods updated and ready, 1 untouched on version 1",
    },
    Step {
        says: "All of them.",
        command: &[
            "patch",
            "clone",
            "sample",
            "--type=merge",
            "--patch",
            r#"{"spec":{"updateStrategy":{"partition":0}}}"#,
        ],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 5,
            kept: 4,
            never_below: 4,
            image: NEW_IMAGE,
        },
        outcome: "5 pods updated and ready; the release is complete",
    },
    Step {
        says: "More load: 2 more pods, of version 2.",
        command: &["scale", "clone", "sample", "--replicas=7"],
        expected: Expectation {
            replicas: 7,
            updated: 7,
            asked: 7,
            kept: 5,
            never_below: 5,
            image: NEW_IMAGE,
        },
        outcome: "7 pods ready, the 5 of before untouched",
    },
    Step {
        says: "And back.",
        command: &["scale", "clone", "sample", "--replicas=5"],
        expected: Expectation {
            replicas: 5,
            updated: 5,
            asked: 5,
            kept: 5,
            never_below: 5,
            image: NEW_IMAGE,
        },
        outcome: "5 pods ready, none of them replaced",
    },
];

/// Walks all steps; the first that does not come true is the error, with the cluster's state.
pub(super) fn walk(session: &Session, installation: &Installation) -> Result<()> {
    let mut view = View::default();
    for (number, step) in STEPS.iter().enumerate() {
        println!("\n{}/{}  {}", number + 1, STEPS.len(), step.says);
        let arguments = [step.command, &["--namespace", NAMESPACE]].concat();
        session.run("kubectl", &arguments)?;
        view = match await_step(session, &step.expected, &view.uids()) {
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
    before: &BTreeSet<String>,
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
