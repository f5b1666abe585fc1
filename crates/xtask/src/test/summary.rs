//! What a run of the stages looks like at its end.
//! It must not decide whether the run as a whole passed.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::stage::{Outcome, Stage};
use crate::progress::seconds;

/// One stage of a run.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) stage: Stage,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Line {
    /// A stage whose outcome took no time.
    pub(super) fn now(stage: Stage, outcome: Outcome) -> Self {
        Self {
            stage,
            outcome,
            took: Duration::ZERO,
        }
    }

    fn words(&self) -> (&'static str, String) {
        match &self.outcome {
            Outcome::Passed => ("ok", String::new()),
            Outcome::Failed => ("FAILED", format!("alone: cargo xtask test --only {}", self.stage)),
            Outcome::Skipped(why) => ("skipped", why.clone()),
            Outcome::LeftOut(option) => ("left out", (*option).to_owned()),
            Outcome::NotReached => ("not run", "a stage before it failed".to_owned()),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (result, note) = self.words();
        write!(out, "{}: {result} after {}", self.stage, seconds(self.took))?;
        if note.is_empty() {
            Ok(())
        } else {
            write!(out, " ({note})")
        }
    }
}

/// One row a stage, with the seconds it took.
pub(super) fn table(lines: &[Line], total: Duration) -> String {
    let mut text = format!("{:<10} {:<9} {:>8}  NOTE\n", "STAGE", "RESULT", "SECONDS");
    for line in lines {
        let (result, note) = line.words();
        let row = format!(
            "{:<10} {result:<9} {:>8.1}  {note}",
            line.stage,
            line.took.as_secs_f64()
        );
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", row.trim_end());
    }
    let _ = writeln!(text, "{:<10} {:<9} {:>8.1}", "all", "", total.as_secs_f64());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_says_what_ran_how_long_and_why_not() {
        let lines = [
            Line {
                stage: Stage::Lints,
                outcome: Outcome::Failed,
                took: Duration::from_millis(12_340),
            },
            Line::now(Stage::E2e, Outcome::Skipped("containers need root".to_owned())),
        ];
        let table = table(&lines, Duration::from_secs(13));
        assert_eq!(
            table,
            "STAGE      RESULT     SECONDS  NOTE\n\
             lints      FAILED        12.3  alone: cargo xtask test --only lints\n\
             e2e        skipped        0.0  containers need root\n\
             all                      13.0\n"
        );
        assert_eq!(
            lines[1].to_string(),
            "e2e: skipped after 0.0 s (containers need root)"
        );
    }
}
