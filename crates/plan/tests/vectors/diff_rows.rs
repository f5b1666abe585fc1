//! The rows of `diff.md` and `limit.md`, and what `diff.rs` gives for them. Used by `tests/vectors.rs` and, with a
//! mutated `diff.rs`, by `cargo xtask mutants`; so it must use nothing but std and the module `diff`.

use crate::diff::{Diff, PodFact, Targets, UpdateLimit, diff};
use crate::table::{self, Row};

/// The rows of `diff.md`.
pub fn diff_rows() -> Vec<Row<'static>> {
    table::rows("diff", include_str!("diff.md"))
}

/// The rows of `limit.md`.
pub fn limit_rows() -> Vec<Row<'static>> {
    table::rows("limit", include_str!("limit.md"))
}

/// One line for each row whose outcome is not the expected one.
pub fn failures() -> Vec<String> {
    let diffs = diff_rows().into_iter().map(|row| {
        let found = diff(&targets(&row), facts(&row));
        unless_equal(&row.name, &found, &expected(&row))
    });
    let limits = limit_rows().into_iter().map(|row| {
        let expected = (row.number("Upd"), row.number("M"), row.cell("Taken").to_owned());
        unless_equal(&row.name, &taken(&row), &expected)
    });
    diffs.chain(limits).flatten().collect()
}

fn unless_equal<T: PartialEq + std::fmt::Debug>(name: &str, found: &T, expected: &T) -> Option<String> {
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

/// The row's pods.
pub fn facts(row: &Row<'_>) -> Vec<PodFact> {
    let preparing_update_as_new = has_flag(row, "PU-as-new");
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
        available: true,
    };
    let flags = flags.strip_suffix(')').expect("flags end in a bracket");
    for flag in flags.split(',').filter(|flag| !flag.is_empty()) {
        match flag {
            "del" => pod.specified_delete = true,
            "nr" | "UP" => pod.available = false,
            "PD" => (pod.preparing_delete, pod.available) = (true, false),
            "PU" => (pod.is_new, pod.available) = (pod.is_new || preparing_update_as_new, false),
            other => panic!("{}: no pod flag {other:?}", row.name),
        }
    }
    let count = row.parse(count).try_into().expect("a count of pods");
    vec![pod; count]
}

fn expected(row: &Row<'_>) -> Diff {
    let [up, up_old, up_limit] = row.numbers("Up");
    let [down, down_old, ready_limit] = row.numbers("Down");
    let [surge, surge_old] = row.numbers("Surge");
    Diff {
        up,
        up_old,
        up_limit,
        down,
        down_old,
        ready_limit,
        surge,
        surge_old,
        update_num: row.number("Upd"),
        update_max_unavailable: row.number("M"),
    }
}

/// `update_num`, M, and the pods that are updated as positions in the Pods column.
fn taken(row: &Row<'_>) -> (i32, i32, String) {
    let (targets, pods) = (targets(row), facts(row));
    let numbers = diff(&targets, pods.iter().copied());
    let to_new = numbers.update_num > 0;
    let count = |wanted: &dyn Fn(&PodFact) -> bool| {
        let counted = pods.iter().filter(|pod| !pod.available && wanted(pod)).count();
        i32::try_from(counted).expect("few pods")
    };
    let limit = UpdateLimit {
        update_num: numbers.update_num,
        update_max_unavailable: numbers.update_max_unavailable,
        max_unavailable: targets.max_unavailable,
        unavailable: count(&|_| true),
        unavailable_at_target: count(&|pod| pod.is_new == to_new),
    };
    let is_candidate = |pod: &PodFact| pod.is_new != to_new && !pod.preparing_delete;
    let candidates: Vec<usize> = (0..pods.len())
        .filter(|index| is_candidate(&pods[*index]))
        .collect();
    let indexes = limit.take(candidates.iter().map(|index| pods[*index].available));
    let positions: Vec<String> = indexes
        .iter()
        .map(|index| candidates[*index].to_string())
        .collect();
    let positions = if positions.is_empty() {
        "–".to_owned()
    } else {
        positions.join(" ")
    };
    (limit.update_num, limit.update_max_unavailable, positions)
}
