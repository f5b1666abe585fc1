//! The reference and the code name the same things, and what may go wrong has a section that says what to do.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failed test is the point of a panic"
)]

#[path = "documented/compatibility.rs"]
mod compatibility;
#[path = "documented/numbers.rs"]
mod numbers;

use std::collections::BTreeSet;

const NAMES: &str = include_str!("../src/names.rs");
const SIGNALS: &str = include_str!("../../../docs/reference/signals.md");
const TROUBLESHOOTING: &str = include_str!("../../../docs/how-to/troubleshooting.md");

/// The values of the constants in a module of `names.rs`.
fn constants(module: &str) -> BTreeSet<&'static str> {
    let start = NAMES.split_once(&format!("pub mod {module} {{")).unwrap().1;
    let body = start.split_once("\n}").unwrap().0;
    let value = |line: &'static str| line.split_once("&str = \"")?.1.strip_suffix("\";");
    body.lines().filter_map(|line| value(line.trim())).collect()
}

/// The modules of `names.rs`.
fn modules() -> BTreeSet<&'static str> {
    let name = |line: &'static str| line.strip_prefix("pub mod ")?.strip_suffix(" {");
    NAMES.lines().filter_map(name).collect()
}

/// The words in backticks in some columns of the table under a heading.
fn table(heading: &str, columns: &[usize]) -> BTreeSet<&'static str> {
    let section = SIGNALS.split_once(heading).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    let cells = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split(" | ").collect();
        columns
            .iter()
            .filter_map(|column| cells.get(*column).copied())
            .collect::<Vec<_>>()
    });
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

/// Reasons that are words of a phase, or the type of the condition they come with.
const PHASES: [&str; 7] = [
    "Healthy",
    "PartitionReached",
    "Paused",
    "OnDelete",
    "Deleting",
    "Progressing",
    "AwaitingConfirmation",
];

#[test]
fn the_reference_names_every_condition_and_reason_and_no_other() {
    assert_eq!(
        table("## Conditions of a CloneSet", &[0]),
        constants("conditions")
    );
    let mut reasons = constants("reasons");
    reasons.extend(PHASES);
    // A condition may have its own type as reason, and name another condition's.
    reasons.extend(constants("conditions"));
    let told: BTreeSet<&str> = table("## Conditions of a CloneSet", &[2]);
    let unknown: Vec<&&str> = told.difference(&reasons).collect();
    assert_eq!(unknown, Vec::<&&str>::new());
    let mut untold = constants("reasons");
    untold.extend(PHASES);
    untold.retain(|reason| !told.contains(reason));
    assert_eq!(untold, BTreeSet::new());
}

#[test]
fn the_reference_names_every_event_and_no_other() {
    assert_eq!(table("## Events on a CloneSet", &[1]), constants("events"));
}

#[test]
fn every_reason_that_may_need_somebody_has_a_section_on_what_to_do() {
    let headings: Vec<&str> = TROUBLESHOOTING
        .lines()
        .filter(|line| line.starts_with('#'))
        .collect();
    let at_rest = [
        "CloneSetAvailable",
        "CloneSetPaused",
        "ProgressPartitionAvailable",
        "CloneSetUpdated",
        "Deleting",
    ];
    let mut reasons = constants("reasons");
    reasons.extend(PHASES);
    reasons.extend(["FailedScale", "FailedUpdate", "RunawayCreation"]);
    for reason in reasons.difference(&BTreeSet::from(at_rest)) {
        assert!(
            headings.iter().any(|heading| heading.contains(reason)),
            "docs/how-to/troubleshooting.md has no section on {reason}"
        );
    }
}
