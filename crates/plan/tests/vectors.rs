//! The numbers, against their tables in `vectors/`: every row of `diff.md`, `creation.md`, `floor.md`, `limit.md`, `percent.md`
//! and `spec.md`.
//!
//! `cargo xtask mutants` runs the same rows against wrong formulas, so a row's checks live beside its table.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a failed test is the point of a panic; the rows are modules of two programs"
)]

use cloneset_api::UpdateStrategy;
use cloneset_plan::{desired, diff, floor};

mod int_or_percent {
    pub use cloneset_api::{IntOrString, Rounding, ValueError};
}
#[path = "vectors/diff_rows.rs"]
mod diff_rows;
#[path = "vectors/floor_rows.rs"]
mod floor_rows;
#[path = "vectors/percent_rows.rs"]
mod percent_rows;
#[path = "vectors/spec_rows.rs"]
mod spec_rows;
#[path = "vectors/table.rs"]
mod table;

fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn the_numbers_are_those_of_the_tables() {
    assert_none(&diff_rows::failures());
}

#[test]
fn pods_leave_service_as_the_tables_say() {
    assert_none(&floor_rows::failures());
}

#[test]
fn every_known_vector_is_in_the_table() {
    let rows = diff_rows::diff_rows();
    let known = rows
        .iter()
        .map(|row| row.number("#"))
        .filter(|number| *number <= 100);
    assert!(known.eq(1..=66), "numbered 1 to 66");
}

#[test]
fn percentages_are_those_of_the_table() {
    assert_none(&percent_rows::failures());
}

#[test]
fn the_spec_means_what_the_table_says() {
    assert_none(&spec_rows::failures());
}

/// The counts in `diff.md` and `limit.md` stand for what is written in a spec: it must come to them.
#[test]
fn the_counts_of_the_vectors_are_what_their_spec_means() {
    for row in diff_rows::diff_rows().iter().chain(&floor_rows::limit_rows()) {
        let scale = row
            .cell("Flags")
            .split(' ')
            .find_map(|flag| flag.strip_prefix("SU="));
        let update = UpdateStrategy {
            partition: spec_rows::written(row.value("P").0),
            max_unavailable: spec_rows::written(row.value("U").0),
            max_surge: spec_rows::written(row.value("S").0),
            paused: Some(diff_rows::has_flag(row, "paused")),
            ..UpdateStrategy::default()
        };
        let scale = scale.and_then(spec_rows::written);
        let mut cloneset = spec_rows::cloneset(Some(row.number("R")), scale, update);
        if diff_rows::has_flag(row, "excl") {
            spec_rows::exclude_preparing_delete(&mut cloneset, "true");
        }
        let desired = desired::Desired::parse(&cloneset, 0);
        let features = desired::Features {
            partition_rollback: !diff_rows::has_flag(row, "no-rb"),
            ..desired::Features::default()
        };
        let found = desired.targets(features, diff_rows::has_flag(row, "c=u"));
        assert_eq!(found, diff_rows::targets(row), "{}", row.name);
    }
}
