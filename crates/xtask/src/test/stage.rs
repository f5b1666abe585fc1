//! The stages, in the order in which they run: first what is quick to fail.
//! It must not print the outcome or know which stages were asked for.

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use super::{cargo, crates, deny, end_to_end, imports};
use crate::{chart, cluster, generate, image, mutants};

/// One kind of check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Stage {
    /// rustfmt
    Format,
    /// The CRD and every other generated file
    Generated,
    /// The deciding crates reach no client and no runtime
    Purity,
    /// clippy, and imports between files
    Lints,
    /// Each crate on its own
    Alone,
    /// Unit, property and golden tests
    Unit,
    /// Wrong terms in the numbers
    Mutants,
    /// Licences, duplicates and sources of dependencies
    Deny,
    /// The Helm charts
    Chart,
    /// The controller's image
    Image,
    /// The controller on a real cluster
    E2e,
}

/// All of them, in order.
pub(super) const STAGES: [Stage; 11] = [
    Stage::Format,
    Stage::Generated,
    Stage::Purity,
    Stage::Lints,
    Stage::Alone,
    Stage::Unit,
    Stage::Mutants,
    Stage::Deny,
    Stage::Chart,
    Stage::Image,
    Stage::E2e,
];

/// What became of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran and found nothing.
    Passed,
    /// It ran and found something, or could not run.
    Failed,
    /// This machine cannot run it, and why.
    Skipped(String),
    /// The person who started the command did not want it; by which option.
    LeftOut(&'static str),
    /// A stage before it failed.
    NotReached,
}

impl Stage {
    /// What it checks, in one line.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Format => "cargo fmt --check",
            Self::Generated => "generated files are what the code says",
            Self::Purity => "api, status and plan reach no client and no runtime",
            Self::Lints => "clippy on every target; no import cycle between files",
            Self::Alone => "every crate builds without its neighbours' features",
            Self::Unit => "unit, property and golden tests",
            Self::Mutants => {
                "every term of the numbers is noticed by a vector, a budget wrong by one by random histories"
            }
            Self::Deny => "licences, duplicates and sources of dependencies",
            Self::Chart => "lint and render of the Helm charts",
            Self::Image => "the controller's image, without Docker",
            Self::E2e => "the controller on a real cluster, how much it writes, and which rights it uses",
        }
    }

    /// Runs it. An error is a failure.
    pub(super) fn run(self, keep_cluster: bool) -> Result<Outcome> {
        let root = crate::repository_root()?;
        match self {
            Self::Format => cargo::run(&["fmt", "--all", "--check"])?,
            Self::Generated => generate::run(&root, true)?,
            Self::Purity => crates::check_purity()?,
            Self::Lints => {
                imports::check(&root)?;
                let targets = ["clippy", "--workspace", "--all-targets", "--locked"];
                cargo::run(&[targets.as_slice(), &["--", "-D", "warnings"]].concat())?;
            }
            Self::Alone => crates::check_alone(&root)?,
            Self::Unit => cargo::run(&["test", "--workspace", "--exclude", "e2e", "--locked"])?,
            Self::Mutants => mutants::run_all(&root)?,
            Self::Deny => deny::check(&root)?,
            Self::Chart => chart::check(&cluster::helm()?)?,
            Self::Image => image::run(None, None)?,
            Self::E2e => return end_to_end::run(&root, keep_cluster),
        }
        Ok(Outcome::Passed)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // None of them is hidden from the command line, so each has a name.
        let value = self.to_possible_value();
        out.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_runs() {
        assert_eq!(STAGES, Stage::value_variants());
    }
}
