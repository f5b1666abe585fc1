//! The rows of `diff.md` and `creation.md`, and what `diff.rs` gives for them. Used by `tests/vectors.rs` and, with a
//! mutated `diff.rs`, by `cargo xtask mutants`; so it must use nothing but std and the module `diff`.

use crate::diff::{Diff, PodFact, Targets, creation_limit, diff};
use crate::table::{self, Row};

/// The rows of `diff.md`.
pub fn diff_rows() -> Vec<Row<'static>> {
    table::rows("diff", include_str!("diff.md"))
}

/// The rows of `creation.md`.
fn creation_rows() -> Vec<Row<'static>> {
    table::rows("creation", include_str!("creation.md"))
}

/// One line for each row whose outcome is not the expected one.
pub fn failures() -> Vec<String> {
    let diffs = diff_rows().into_iter().map(|row| {
        let found = diff(&targets(&row), facts(&row));
        unless_equal(&row.name, &found, &expected(&row))
    });
    let limits = creation_rows().into_iter().map(|row| {
        let found = creation_limit(row.number("U"), row.number("Surge"), row.number("Unproven"));
        unless_equal(&row.name, &found, &row.number("Created"))
    });
    diffs.chain(limits).flatten().collect()
}

/// A line about the row, unless both are equal.
pub fn unless_equal<T: PartialEq + std::fmt::Debug>(name: &str, found: &T, expected: &T) -> Option<String> {
    (found != expected).then(|| format!("{name}: found {found:?}, expected {expected:?}"))
}

/// Does the row carry this flag?
pub fn has_flag(row: &Row<'_>, flag: &str) -> bool {
    row.cell("Flags").split(' ').any(|word| word == flag)
}

/// The counts the row's spec comes to.
pub fn targets(row: &Row<'_>) -> Targets {
    let scale = row
        .cell("Flags")
        .split(' ')
        .find_map(|flag| flag.strip_prefix("SU="));
    Targets {
        replicas: row.number("R"),
        partition: row.value("P").1,
        max_unavailable: row.value("U").1,
        max_surge: if has_flag(row, "paused") {
            0
        } else {
            row.value("S").1
        },
        scale_max_unavailable: scale.map_or(i32::MAX, |count| row.parse(count)),
        exclude_preparing_delete: has_flag(row, "excl"),
        may_roll_back: !has_flag(row, "c=u") && !has_flag(row, "no-rb"),
    }
}

/// The row's pods, as its flags have them counted.
fn facts(row: &Row<'_>) -> Vec<PodFact> {
    pods_of(row, has_flag(row, "PU-as-new"))
}

/// The row's pods; does one in PreparingUpdate count as new?
pub fn pods_of(row: &Row<'_>, preparing_update_as_new: bool) -> Vec<PodFact> {
    let groups = row.cell("Pods").split(", ").filter(|group| *group != "–");
    groups
        .flat_map(|group| pods(row, group, preparing_update_as_new))
        .collect()
}

/// The pods of `4 o` or `1 n(nr,UP)`.
fn pods(row: &Row<'_>, group: &str, preparing_update_as_new: bool) -> Vec<PodFact> {
    let (count, kind) = group.split_once(' ').expect("a count and a kind");
    let (revision, flags) = kind.split_once('(').unwrap_or((kind, ")"));
    let mut pod = PodFact {
        is_new: match revision {
            "n" => true,
            "o" => false,
            other => panic!("{}: no revision {other:?}", row.name),
        },
        preparing_delete: false,
        specified_delete: false,
        preparing_update: false,
        released: false,
        serves: true,
        available: true,
        in_service: true,
    };
    let flags = flags.strip_suffix(')').expect("flags end in a bracket");
    for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
        match flag {
            "del" => pod.specified_delete = true,
            "fr" => pod.available = false,
            "nr" => (pod.serves, pod.available) = (false, false),
            "UP" => (pod.serves, pod.available, pod.in_service) = (false, false, false),
            "held" => (pod.available, pod.in_service) = (false, false),
            "rel" => (pod.released, pod.serves, pod.available) = (true, false, false),
            "PD" => (pod.preparing_delete, pod.serves, pod.available) = (true, false, false),
            "PU" => {
                (pod.preparing_update, pod.available) = (true, false);
                pod.is_new |= preparing_update_as_new;
            }
            other => panic!("{}: no pod flag {other:?}", row.name),
        }
    }
    let count = row.parse(count).try_into().expect("a count of pods");
    vec![pod; count]
}

fn expected(row: &Row<'_>) -> Diff {
    let [up, up_old, up_limit] = row.numbers("Up");
    let [down, down_old] = row.numbers("Down");
    let [surge, surge_old] = row.numbers("Surge");
    Diff {
        up,
        up_old,
        up_limit,
        down,
        down_old,
        surge,
        surge_old,
        update_num: row.number("Upd"),
        update_max_unavailable: row.number("M"),
    }
}
