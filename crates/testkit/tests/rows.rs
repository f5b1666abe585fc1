//! Is every row of the reference shown by a test that bears its number, or is it told why there is none?
//!
//! The rows are situations (`scenario_42_...`) and defects that users of other controllers met (`regression_7_...`); the tests
//! are wherever the row can be shown most simply, so all of the repository's are looked through. It judges names only.
#![allow(clippy::unwrap_used, reason = "a failed test is the point of a panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SCENARIOS: &[u32] = &[
    2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, 20, 21, 23, 24, 26, 27, 29, 30, 32, 36, 38, 39, 41, 42, 44, 45,
    47, 48, 50, 51, 53, 54, 56, 57, 60, 62, 63, 65, 66, 71, 72, 74, 75, 78, 80, 81, 83, 84, 86, 87, 89, 90,
    92, 93, 96, 98, 101, 102, 108, 110, 111, 113, 114, 116, 117, 119, 120, 122, 123, 125, 126, 128, 129, 131,
    132, 134, 135, 138, 140, 141, 143, 144, 146, 147, 149, 150, 152, 153, 155, 156, 158, 159, 161, 167, 168,
    170, 171, 173, 174, 176, 177, 179, 180, 182, 183, 185, 186, 194, 195, 197, 200, 201, 203, 204, 206, 207,
    209, 210, 218, 221, 222, 224, 225, 227, 228, 230, 231, 237, 239, 240, 242, 243, 245, 246, 248, 249,
];

const REGRESSIONS: &[u32] = &[
    1, 4, 5, 8, 9, 10, 12, 13, 14, 16, 18, 19, 22, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35, 36, 37, 39, 41,
    42, 43, 44, 46, 47, 48, 49, 50, 51, 52, 53, 54,
];

/// Rows that no test can bear, as what they are about is not part of this project, or not of `v1alpha1`.
const NOT_HERE: &[(&str, &[u32], &str)] = &[
    (
        "scenario",
        &[2],
        "nothing is added to a stored object: without inPlaceUpdateStrategy there is no grace period",
    ),
    ("scenario", &[3, 23, 24], "v1beta1 is not served"),
    (
        "scenario",
        &[27, 29, 30, 32],
        "there is no conversion between versions; the label of 27 is regression 25's",
    ),
    (
        "scenario",
        &[243],
        "orphans are not adopted (scenario 62), so nothing is woken by them",
    ),
    ("scenario", &[248, 249], "images are not downloaded beforehand"),
    (
        "regression",
        &[49],
        "data races: the compiler refuses them, and unsafe code is forbidden",
    ),
    (
        "regression",
        &[52],
        "`rollout status` is a plugin's; `kubectl wait` goes by the condition Ready, which has its own tests",
    ),
];

#[test]
fn every_row_has_a_test_that_bears_its_number_or_a_reason_why_not() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut shown = BTreeSet::new();
    for folder in ["crates", "e2e"] {
        look_through(&workspace.join(folder), &mut shown);
    }
    let rows = |kind: &'static str, numbers: &[u32]| -> BTreeSet<(&'static str, u32)> {
        numbers.iter().map(|number| (kind, *number)).collect()
    };
    let mut known = rows("scenario", SCENARIOS);
    known.extend(rows("regression", REGRESSIONS));
    let excused: BTreeSet<(&str, u32)> = NOT_HERE
        .iter()
        .flat_map(|(kind, numbers, _)| rows(kind, numbers))
        .collect();

    let missing: Vec<_> = known
        .iter()
        .filter(|row| !shown.contains(row) && !excused.contains(row))
        .collect();
    assert!(missing.is_empty(), "no test bears the number of {missing:?}");
    let needless: Vec<_> = excused
        .iter()
        .filter(|row| shown.contains(row) || !known.contains(row))
        .collect();
    assert!(
        needless.is_empty(),
        "excused, though a test bears its number or there is no such row: {needless:?}"
    );
    let unknown: Vec<_> = shown.iter().filter(|row| !known.contains(row)).collect();
    assert!(
        unknown.is_empty(),
        "a test bears the number of a row that is not there: {unknown:?}"
    );
}

/// Adds the rows in the names of all functions in the folder's sources.
fn look_through(folder: &Path, shown: &mut BTreeSet<(&'static str, u32)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            look_through(&path, shown);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let declared = source.lines().filter_map(|line| {
                let (_, name) = line.split_once("fn ")?;
                name.split(['(', '<']).next()
            });
            shown.extend(declared.flat_map(rows_in));
        }
    }
}

/// The rows in a name: `scenarios_65_66_and_regression_50_a_pod_...` has three.
fn rows_in(name: &str) -> Vec<(&'static str, u32)> {
    let mut rows = Vec::new();
    let mut kind = None;
    for word in name.split('_') {
        match word {
            "scenario" | "scenarios" => kind = Some("scenario"),
            "regression" | "regressions" => kind = Some("regression"),
            "and" => {}
            _ => match (kind, word.parse()) {
                (Some(kind), Ok(number)) => rows.push((kind, number)),
                _ => break,
            },
        }
    }
    rows
}

#[test]
fn the_rows_stand_at_the_beginning_of_a_name() {
    assert_eq!(
        rows_in("scenarios_65_66_and_regression_50_a_pod_of_3"),
        [("scenario", 65), ("scenario", 66), ("regression", 50)]
    );
    assert_eq!(rows_in("scenario_48_from_0_to_5"), [("scenario", 48)]);
    assert_eq!(rows_in("a_pod_of_scenario_5"), []);
}
