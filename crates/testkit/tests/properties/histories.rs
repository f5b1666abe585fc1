//! Tries a property on many random histories, on every core. Each history grows from a seed of its own, so that one that
//! breaks a rule can be repeated alone. It knows nothing of worlds and decides nothing about them.

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult, TestError, TestRunner};
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Instant;

/// Attempts to make a history that breaks a rule smaller.
const SHRINKS: u32 = 4_096;

/// Tries the property on `count` histories, or on as many as `PROPTEST_CASES` says. The seeds follow one another from
/// `PROPTEST_RNG_SEED`, or from one that nobody chose.
pub(crate) fn each<S: Strategy>(
    count: u32,
    histories: impl Fn() -> S + Sync,
    holds: impl Fn(S::Value) -> TestCaseResult + Sync,
) {
    let config = ProptestConfig::default();
    let asked = std::env::var("PROPTEST_CASES").ok();
    let count = asked.and_then(|text| text.parse().ok()).unwrap_or(count);
    let first_seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        // Short enough to be copied by hand.
        RngSeed::Random => RandomState::new().hash_one(()) % 1_000_000_000,
    };
    let attempt = |history: u32, shrinks: u32| {
        let seed = first_seed.wrapping_add(history.into());
        let config = ProptestConfig {
            rng_seed: RngSeed::Fixed(seed),
            max_shrink_iters: shrinks,
            failure_persistence: None,
            ..config.clone()
        };
        let mut runner = TestRunner::new(config);
        let tree = histories()
            .new_tree(&mut runner)
            .map_err(TestError::<S::Value>::Abort)?;
        runner.run_one(tree, &holds)
    };
    let started = Instant::now();
    let broken_at = first(count, |history| attempt(history, 0).is_err());
    let property = name(&holds);
    let Some(history) = broken_at else {
        let seconds = started.elapsed().as_secs_f64();
        // Past the capture of tests that pass: how many were tried should be seen in every run.
        let line = format!("{property}: {count} histories from seed {first_seed} in {seconds:.1} s\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let seed = first_seed.wrapping_add(history.into());
    let smallest = attempt(history, config.max_shrink_iters.min(SHRINKS)).unwrap_err();
    panic!(
        "history {} of {count} breaks it. That one alone: PROPTEST_RNG_SEED={seed} PROPTEST_CASES=1 \
         cargo test -p cloneset-testkit --test properties {property}\n{smallest}",
        history + 1
    );
}

/// The first of the numbers below `count` that is bad, found on every core.
fn first(count: u32, is_bad: impl Fn(u32) -> bool + Sync) -> Option<u32> {
    let (next, bad) = (AtomicU32::new(0), AtomicU32::new(u32::MAX));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            // Those before a bad one have all begun, and the first of the bad ones is told.
            if number >= count || bad.load(Ordering::Relaxed) < number {
                return;
            }
            if is_bad(number) {
                bad.fetch_min(number, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    Some(bad.into_inner()).filter(|number| *number < count)
}

/// The test that the closure is written in.
fn name<T>(closure: &T) -> String {
    let path = std::any::type_name_of_val(closure);
    let mut parts = path.rsplit("::").filter(|part| !part.starts_with('{'));
    parts.next().unwrap_or(path).to_owned()
}
