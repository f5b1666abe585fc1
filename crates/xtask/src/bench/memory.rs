//! `cargo xtask bench memory`: measures the controller's memory for clusters of several sizes.
//!
//! It prints the values beside the aims, and must not judge them.

use super::controller;
use super::population::Population;
use super::run::Run;
use super::state::Traffic;
use super::table::{Column, float, mib, table};
use super::usage::Usage;
use crate::progress::{Step, seconds};
use crate::test::cargo;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The aim for the peak, as a multiple of the resident memory.
const RATIO_AIM: f64 = 1.3;

/// `cargo xtask bench memory ...`
#[derive(Args)]
pub(crate) struct Options {
    /// Measure this program instead of building the controller
    #[arg(long, value_name = "PATH")]
    controller: Option<PathBuf>,
    /// How often each case is measured
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Only cases with this text in their name
    #[arg(long, value_name = "TEXT", conflicts_with = "shape")]
    case: Option<String>,
    /// Measure a cluster of this shape instead: CloneSets, and revisions and pods of each
    #[arg(long, value_name = "CLONESETSxREVISIONSxPODS", value_parser = parse_shape)]
    shape: Option<Population>,
}

/// A cluster to be measured.
struct Case {
    name: &'static str,
    population: Population,
    /// The aim for the peak, in MiB.
    peak_aim: Option<u32>,
}

const CASES: [Case; 6] = [
    Case::new("empty", 0, 1, 0, None),
    Case::new("10,000 pods in 1 CloneSet", 1, 1, 10_000, Some(24)),
    Case::new("10,000 pods in 100 CloneSets", 100, 1, 100, Some(24)),
    Case::new("1,000 CloneSets with 11 revisions each", 1_000, 11, 0, None),
    Case::new("5,000 CloneSets", 5_000, 1, 0, None),
    Case::new("100,000 pods in 10,000 CloneSets", 10_000, 1, 10, Some(96)),
];

impl Case {
    const fn new(
        name: &'static str,
        clonesets: usize,
        revisions: usize,
        pods: usize,
        peak_aim: Option<u32>,
    ) -> Self {
        Self {
            name,
            population: Population {
                clonesets,
                revisions,
                pods,
            },
            peak_aim,
        }
    }
}

/// The result of one run; the error says why there are no values.
struct Measured<'a> {
    case: &'a Case,
    values: std::result::Result<Values, String>,
}

struct Values {
    usage: Usage,
    ready_after: Duration,
    traffic: Traffic,
}

/// Runs the benchmark; fails only when a run cannot be made.
pub(super) fn run(options: &Options) -> Result<()> {
    let program = controller::program(options.controller.as_deref())?;
    let own = options.shape.map(|population| {
        Case::new(
            "given shape",
            population.clonesets,
            population.revisions,
            population.pods,
            None,
        )
    });
    let cases: Vec<&Case> = match &own {
        Some(own) => vec![own],
        None => CASES
            .iter()
            .filter(|case| case.is_chosen(options.case.as_deref()))
            .collect(),
    };
    ensure!(!cases.is_empty(), "no case has that text in its name");
    let folder = cargo::target(&crate::repository_root()?)?.join("bench/memory");
    let mut measured = Vec::new();
    for case in cases {
        for number in 1..=options.runs {
            let step = Step::start(format!("{} ({number} of {})", case.name, options.runs));
            measured.push(measure(&program, case, &folder)?);
            step.done();
        }
    }
    println!("{}", report(&measured));
    Ok(())
}

impl Case {
    fn is_chosen(&self, text: Option<&str>) -> bool {
        text.is_none_or(|text| self.name.contains(text))
    }
}

fn measure<'a>(program: &Path, case: &'a Case, folder: &Path) -> Result<Measured<'a>> {
    let values = match Run::start(program, case.population, folder)? {
        Err(reason) => Err(reason),
        Ok(run) => Ok(Values {
            usage: run.controller.usage()?,
            ready_after: run.ready_after,
            traffic: run.state.traffic(),
        }),
    };
    Ok(Measured { case, values })
}

/// The table, and under it the runs without values and the requests that a cluster at rest should not see.
fn report(measured: &[Measured<'_>]) -> String {
    let columns = [
        Column::left("case"),
        Column::right("CloneSets"),
        Column::right("revisions"),
        Column::right("pods"),
        Column::right("listed"),
        Column::right("resident"),
        Column::right("peak"),
        Column::right("aim"),
        Column::right("peak/resident"),
        Column::right("aim"),
        Column::right("CPU"),
        Column::right("ready"),
    ];
    let rows: Vec<Vec<String>> = measured.iter().map(row).collect();
    let legend = "\nresident: VmRSS at rest; peak: VmHWM; listed: JSON of all lists; memory in MiB; CPU: of the controller \
                  until it was quiet; ready: from its start until /readyz reported success";
    let mut lines = vec![table(&columns, &rows) + legend];
    for Measured { case, values } in measured {
        match values {
            Err(reason) => lines.push(format!("{}: no values: {reason}", case.name)),
            Ok(values) => lines.extend(unexpected(case.name, &values.traffic)),
        }
    }
    lines.join("\n")
}

/// The requests that a cluster at rest should not see.
fn unexpected(case: &str, traffic: &Traffic) -> Vec<String> {
    let mut lines = Vec::new();
    if traffic.statuses > 0 {
        lines.push(format!(
            "{case}: the controller wrote {} statuses",
            traffic.statuses
        ));
    }
    let sent = |(what, count)| {
        format!(
            "{case}: the controller sent {count} requests to {what}: the generated cluster is not at rest"
        )
    };
    lines.extend(traffic.others.iter().map(sent));
    let unknown = |(what, count)| format!("{case}: the server does not support {count} requests: {what}");
    lines.extend(traffic.unknown.iter().map(unknown));
    lines.extend(traffic.examples.iter().map(|example| format!("  {example}")));
    lines
}

fn row(Measured { case, values }: &Measured<'_>) -> Vec<String> {
    let Population { clonesets, .. } = case.population;
    let each = |of_each: usize| (clonesets * of_each).to_string();
    let mut cells = vec![
        case.name.to_owned(),
        clonesets.to_string(),
        each(case.population.revisions),
        each(case.population.pods),
    ];
    let Ok(values) = values else {
        cells.extend(std::iter::repeat_n("-".to_owned(), 8));
        return cells;
    };
    let Usage { resident, peak, cpu } = values.usage;
    cells.extend([
        mib(values.traffic.listed),
        mib(resident),
        mib(peak),
        case.peak_aim.map_or_else(String::new, |aim| aim.to_string()),
        format!("{:.2}", float(peak) / float(resident)),
        RATIO_AIM.to_string(),
        format!("{cpu:.2} s"),
        seconds(values.ready_after),
    ]);
    cells
}

fn parse_shape(text: &str) -> Result<Population> {
    let rule = "must be three numbers such as 100x11x20: CloneSets, and revisions and pods of each";
    let numbers: Option<Vec<usize>> = text.split('x').map(|number| number.parse().ok()).collect();
    let [clonesets, revisions, pods] = numbers.as_deref().context(rule)? else {
        anyhow::bail!(rule);
    };
    ensure!(*revisions > 0, "a CloneSet has at least one revision");
    Ok(Population {
        clonesets: *clonesets,
        revisions: *revisions,
        pods: *pods,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_is_three_numbers() {
        let shape = parse_shape("100x11x20").expect("a shape");
        assert_eq!((shape.clonesets, shape.revisions, shape.pods), (100, 11, 20));
        for wrong in ["100", "1x2", "1x2x3x4", "axbxc", "1x0x5"] {
            assert!(parse_shape(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_report_shows_aims_beside_values_and_unexpected_writes() {
        let [_, pods, ..] = &CASES;
        let traffic = Traffic {
            others: [("delete pods".to_owned(), 3)].into(),
            ..Traffic::default()
        };
        let usage = Usage {
            resident: 50 << 20,
            peak: 100 << 20,
            cpu: 1.5,
        };
        let values = Values {
            usage,
            ready_after: Duration::from_secs(2),
            traffic,
        };
        let failed = Measured {
            case: pods,
            values: Err("the controller ended".to_owned()),
        };
        let report = report(&[
            Measured {
                case: pods,
                values: Ok(values),
            },
            failed,
        ]);
        for part in [
            " 50.0",
            " 100.0",
            " 24",
            " 2.00",
            " 1.3",
            "3 requests to delete pods",
            "no values: the controller ended",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
    }
}
