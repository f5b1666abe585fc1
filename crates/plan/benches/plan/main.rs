//! How long deciding takes: `plan` for one CloneSet, in the situations that ask most of it, by the number of its pods.
//!
//! Reports and judges nothing: no test may depend on how fast a machine is. Neither criterion nor divan prints a 99th
//! percentile, which is why the samples are taken here. `cargo bench -p cloneset-plan` measures; without `--bench`
//! (`cargo test --benches`) every case runs once with few pods, to show that it still works.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark that cannot be set up has to stop, and its figures are rounded for the eye"
)]

mod cases;
mod sets;

use cases::{Case, Subject};
use cloneset_plan::{Desired, Snapshot, plan};
use cloneset_status::compute;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::time::Duration;

/// Pods of one CloneSet.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 20_000];
/// The size that the aims are about.
const AIMED_AT: usize = 10_000;
/// Samples of one case and size: so many, or fewer where they would take longer than this, but never below the least.
const SAMPLES: usize = 1_000;
const PATIENCE: Duration = Duration::from_secs(2);
const LEAST_SAMPLES: usize = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let measures = arguments.iter().any(|argument| argument == "--bench");
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-'));
    let cases = cases::all();
    let cases = cases
        .iter()
        .filter(|case| wanted.is_none_or(|part| case.name.contains(part.as_str())));
    if !measures {
        for case in cases {
            case.check(&case.set(SIZES[0]));
        }
        return;
    }
    machine();
    println!(
        "{:<44} {:>6} {:>10} {:>10} {:>10}  aim at {AIMED_AT}",
        "case", "pods", "p50 ms", "p99 ms", "n log n"
    );
    for case in cases {
        measure(case);
    }
    println!(
        "Processor time. n log n: the p50 as a multiple of what n log n makes of a smaller size's, the cheapest."
    );
}

fn measure(case: &Case) {
    let mut cheapest: Option<f64> = None;
    for size in SIZES {
        // As many sets as make the largest size, one after the other: in a cluster, too, the pods of a small set are
        // no longer in the processor's cache when its turn comes again. Otherwise the growth would be the cache's.
        let sets: Vec<Snapshot> = (0..SIZES[SIZES.len() - 1] / size)
            .map(|_| case.set(size))
            .collect();
        case.check(&sets[0]);
        let samples = sample(case, &sets);
        let (p50, p99) = (percentile(&samples, 50), percentile(&samples, 99));
        let cost = p50.as_secs_f64() / n_log_n(size);
        let growth = cost / cheapest.unwrap_or(cost);
        cheapest = Some(cheapest.map_or(cost, |cheapest| cheapest.min(cost)));
        println!(
            "{:<44} {size:>6} {:>10.3} {:>10.3} {growth:>10.2}  {}",
            case.name,
            milliseconds(p50),
            milliseconds(p99),
            verdict(case, size, p50, p99)
        );
    }
}

fn sample(case: &Case, sets: &[Snapshot]) -> Vec<Duration> {
    let begun = spent();
    let mut samples = Vec::with_capacity(SAMPLES);
    for set in sets.iter().cycle().take(SAMPLES) {
        if samples.len() >= LEAST_SAMPLES && spent().saturating_sub(begun) > PATIENCE {
            break;
        }
        samples.push(time(case, set));
    }
    samples.sort_unstable();
    samples
}

fn time(case: &Case, set: &Snapshot) -> Duration {
    let now = sets::now();
    match case.subject {
        Subject::Plan => {
            let desired = Desired::parse(&set.cloneset, set.active_count());
            let start = spent();
            let plan = black_box(plan(black_box(set), &desired, case.features, now));
            let taken = spent().saturating_sub(start);
            drop(plan);
            taken
        }
        Subject::Status => {
            let desired = Desired::parse(&set.cloneset, set.active_count());
            let plan = plan(set, &desired, case.features, now);
            let previous = set.cloneset.status.clone().unwrap_or_default();
            let start = spent();
            black_box(compute(&previous, plan.observed(&set.cloneset, &desired), now));
            spent().saturating_sub(start)
        }
        Subject::Parse => {
            let start = spent();
            black_box(Desired::parse(&set.cloneset, set.active_count()));
            spent().saturating_sub(start)
        }
    }
}

/// The processor time this thread has had: the time of day goes on while other programs have the processor, and nothing
/// here ever waits.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let whole = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default());
    whole + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

fn n_log_n(n: usize) -> f64 {
    n as f64 * (n as f64).ln()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn verdict(case: &Case, size: usize, p50: Duration, p99: Duration) -> String {
    let aim = case.aim.filter(|_| size == AIMED_AT);
    aim.map_or_else(String::new, |aim| {
        let met = match (p50 <= aim, p99 <= aim) {
            (true, true) => "met",
            (true, false) => "met, p99 MISSED",
            (false, _) => "MISSED",
        };
        format!("{} ms {met}", aim.as_millis())
    })
}

/// What it ran on: figures of another machine, or of one that is busy, are other figures.
fn machine() {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let model = model.map_or("unknown processor", |(_, model)| model);
    println!("{model}, {cores} cores, load {}", load.join(" "));
}
