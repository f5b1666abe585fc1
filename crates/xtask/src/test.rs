//! `cargo xtask test`: every check of the project, cheap ones first, each with its time, and a table at the end.
//!
//! It decides which stages run and what their outcome means. What a stage does is in `test/`, and it must not
//! depend on another stage having run: `--only STAGE` gives the same answer.

mod audit;
mod budget;
pub(crate) mod cargo;
mod crates;
mod deny;
mod end_to_end;
mod imports;
mod rights;
mod stage;
mod summary;

use anyhow::{Result, bail, ensure};
use clap::Args;
use std::time::Instant;

use stage::{Outcome, STAGES, Stage};
use summary::Line;

/// `cargo xtask test ...`
#[derive(Args)]
pub(crate) struct Options {
    /// Run this stage only (may be repeated)
    #[arg(long, value_name = "STAGE", value_enum)]
    only: Vec<Stage>,
    /// Leave this stage out (may be repeated)
    #[arg(long, value_name = "STAGE", value_enum, conflicts_with = "only")]
    skip: Vec<Stage>,
    /// Run the stages after a failed one too
    #[arg(long)]
    keep_going: bool,
    /// Leave the cluster of the e2e stage up
    #[arg(long)]
    keep_cluster: bool,
}

/// Runs the stages; fails when one of them fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let ci = in_ci();
    ensure!(
        !ci || (options.only.is_empty() && options.skip.is_empty()),
        "CI=true, where nothing may be left out: drop --only and --skip, or unset CI"
    );
    let started = Instant::now();
    let mut lines = Vec::new();
    for (number, stage) in STAGES.iter().enumerate() {
        let line = if stopped(options, &lines) {
            Line::now(*stage, Outcome::NotReached)
        } else {
            run_one(*stage, number + 1, options)
        };
        lines.push(line);
    }
    println!("\n{}", summary::table(&lines, started.elapsed()));
    verdict(&lines, ci)
}

fn stopped(options: &Options, lines: &[Line]) -> bool {
    !options.keep_going && lines.iter().any(|line| matches!(line.outcome, Outcome::Failed))
}

fn run_one(stage: Stage, number: usize, options: &Options) -> Line {
    let left_out = if options.only.is_empty() {
        options.skip.contains(&stage).then_some("--skip")
    } else {
        (!options.only.contains(&stage)).then_some("--only names others")
    };
    if let Some(reason) = left_out {
        return Line::now(stage, Outcome::LeftOut(reason));
    }
    println!("\n== {number}/{} {stage}: {}", STAGES.len(), stage.about());
    let started = Instant::now();
    let outcome = match stage.run(options.keep_cluster) {
        Ok(outcome) => outcome,
        Err(error) => {
            eprintln!("{error:#}");
            Outcome::Failed
        }
    };
    let line = Line {
        stage,
        outcome,
        took: started.elapsed(),
    };
    println!("== {line}");
    line
}

/// Whether a machine runs this, for which "skipped" must not read as "passed".
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| matches!(value.as_str(), "true" | "1"))
}

fn verdict(lines: &[Line], ci: bool) -> Result<()> {
    let failed = |line: &&Line| match line.outcome {
        Outcome::Failed => true,
        Outcome::Skipped(_) => ci,
        Outcome::Passed | Outcome::LeftOut(_) | Outcome::NotReached => false,
    };
    let failed: Vec<String> = lines
        .iter()
        .filter(failed)
        .map(|line| line.stage.to_string())
        .collect();
    let Some(first) = failed.first() else {
        return Ok(());
    };
    bail!(
        "failed: {}. Alone: `cargo xtask test --only {first}`",
        failed.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_stage_passes_for_a_person_and_fails_for_a_machine() {
        let lines = [
            Line::now(Stage::Format, Outcome::Passed),
            Line::now(Stage::E2e, Outcome::Skipped("no root".to_owned())),
        ];
        assert!(verdict(&lines, false).is_ok());
        let error = verdict(&lines, true).expect_err("CI").to_string();
        assert!(error.contains("failed: e2e"), "{error}");
        assert!(error.contains("--only e2e"), "{error}");
    }

    #[test]
    fn what_a_person_left_out_is_no_failure() {
        let lines = [Line::now(Stage::Lints, Outcome::LeftOut("--skip"))];
        assert!(verdict(&lines, false).is_ok());
    }
}
