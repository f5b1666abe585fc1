//! `cargo xtask bench events`: measures the controller's processor time for pod events that leave nothing to do.
//!
//! It prints the values, and must not judge them.

use super::controller;
use super::population::{Item, Kind, Population};
use super::run::Run;
use super::state::State;
use super::table::{Column, float, mib, table};
use super::usage::Usage;
use crate::progress::Step;
use crate::test::cargo;
use anyhow::{Context as _, Result};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// `cargo xtask bench events ...`
#[derive(Args)]
pub(crate) struct Options {
    /// Measure this program instead of building the controller
    #[arg(long, value_name = "PATH")]
    controller: Option<PathBuf>,
    /// How often the benchmark is run
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Pod events per second
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// For how many seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// A cluster at rest, whose pods get events.
struct Case {
    name: &'static str,
    population: Population,
}

const CASES: [Case; 2] = [
    Case {
        name: "5,000 CloneSets with 1 revision and 2 pods each",
        population: Population {
            clonesets: 5_000,
            revisions: 1,
            pods: 2,
        },
    },
    Case {
        name: "100 CloneSets with 11 revisions and 10 pods each",
        population: Population {
            clonesets: 100,
            revisions: 11,
            pods: 10,
        },
    },
];

/// Time between two batches of events.
const INTERVAL: Duration = Duration::from_millis(2);

/// The values of one run.
struct Values {
    events: u32,
    reconciles: u64,
    usage: Usage,
    /// Writes of the controller. There should be none.
    writes: u64,
}

/// Runs the benchmark; fails only when a run cannot be made.
pub(super) fn run(options: &Options) -> Result<()> {
    let program = controller::program(options.controller.as_deref())?;
    let folder = cargo::target(&crate::repository_root()?)?.join("bench/events");
    let mut measured = Vec::new();
    for case in &CASES {
        for number in 1..=options.runs {
            let step = Step::start(format!("{} ({number} of {})", case.name, options.runs));
            measured.push((case, measure(&program, case, options, &folder)?));
            step.done();
        }
    }
    println!("{}", report(options, &measured));
    Ok(())
}

/// The inner error says why a run gave no values.
fn measure(
    program: &Path,
    case: &Case,
    options: &Options,
    folder: &Path,
) -> Result<std::result::Result<Values, String>> {
    let mut run = match Run::start(program, case.population, folder)? {
        Ok(run) => run,
        Err(reason) => return Ok(Err(reason)),
    };
    let reconciles = |run: &Run| {
        run.controller
            .reconciles()
            .context("the controller has no /metrics")
    };
    let before = (reconciles(&run)?, run.controller.usage()?.cpu, run.writes());
    let events = send(&run.state, case.population, options);
    if let Err(reason) = run.get_quiet()? {
        return Ok(Err(reason));
    }
    let usage = run.controller.usage()?;
    Ok(Ok(Values {
        events,
        reconciles: reconciles(&run)?.saturating_sub(before.0),
        usage: Usage {
            cpu: usage.cpu - before.1,
            ..usage
        },
        writes: run.writes() - before.2,
    }))
}

/// Sends pod events at an even rate, to one CloneSet after the other.
fn send(state: &State, population: Population, options: &Options) -> u32 {
    let all = options.rate.saturating_mul(options.seconds);
    let started = Instant::now();
    let mut sent = 0;
    while sent < all {
        let due = started.elapsed().as_secs_f64() * f64::from(options.rate);
        while sent < all && f64::from(sent) < due {
            state.touch(pod(population, sent));
            sent += 1;
        }
        std::thread::sleep(INTERVAL);
    }
    sent
}

/// The pod of an event. Each event is for the next CloneSet, and each round over all CloneSets for the next pod.
fn pod(population: Population, event: u32) -> Item {
    let event = usize::try_from(event).unwrap_or(0);
    let (round, cloneset) = (event / population.clonesets, event % population.clonesets);
    Item {
        kind: Kind::Pod,
        index: cloneset * population.pods + round % population.pods,
    }
}

fn report(options: &Options, measured: &[(&Case, std::result::Result<Values, String>)]) -> String {
    let columns = [
        Column::left("case"),
        Column::right("events"),
        Column::right("reconciles"),
        Column::right("writes"),
        Column::right("CPU"),
        Column::right("per event"),
        Column::right("per reconcile"),
        Column::right("resident"),
        Column::right("peak"),
    ];
    let rows: Vec<Vec<String>> = measured.iter().map(|(case, values)| row(case, values)).collect();
    let legend = format!(
        "\n{} pod events per second for {} s that leave nothing to do; CPU: of the controller, from the first event until \
         it was quiet again; memory in MiB",
        options.rate, options.seconds
    );
    let mut lines = vec![table(&columns, &rows) + &legend];
    for (case, values) in measured {
        if let Err(reason) = values {
            lines.push(format!("{}: no values: {reason}", case.name));
        }
    }
    lines.join("\n")
}

fn row(case: &Case, values: &std::result::Result<Values, String>) -> Vec<String> {
    let mut cells = vec![case.name.to_owned()];
    let Ok(values) = values else {
        cells.extend(std::iter::repeat_n("-".to_owned(), 8));
        return cells;
    };
    let Usage { resident, peak, cpu } = values.usage;
    let milliseconds = |count: u64| match count {
        0 => "-".to_owned(),
        count => format!("{:.2} ms", cpu * 1_000.0 / float(count)),
    };
    cells.extend([
        values.events.to_string(),
        values.reconciles.to_string(),
        values.writes.to_string(),
        format!("{cpu:.2} s"),
        milliseconds(values.events.into()),
        milliseconds(values.reconciles),
        mib(resident),
        mib(peak),
    ]);
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cloneset_gets_an_event_before_one_gets_a_second() {
        let population = Population {
            clonesets: 10,
            revisions: 1,
            pods: 2,
        };
        let owners: BTreeSet<usize> = (0..10).map(|event| pod(population, event).index / 2).collect();
        assert_eq!(owners.len(), 10);
        let pods: BTreeSet<usize> = (0..20).map(|event| pod(population, event).index).collect();
        assert_eq!(pods.len(), 20);
    }
}
