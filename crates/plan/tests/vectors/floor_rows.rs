//! The rows of `floor.md` and `limit.md`, and what `floor.rs` gives for them. Used by `tests/vectors.rs` and, with a
//! mutated `floor.rs`, by `cargo xtask mutants`; so it must use nothing but std and the modules beside it.

use crate::diff::{PodFact, diff};
use crate::diff_rows::{pods_of, targets, unless_equal};
use crate::floor::{Floor, Purpose, UpdateLimit};
use crate::table::{self, Row};

/// The rows of `floor.md`.
pub fn floor_rows() -> Vec<Row<'static>> {
    table::rows("floor", include_str!("floor.md"))
}

/// The rows of `limit.md`.
pub fn limit_rows() -> Vec<Row<'static>> {
    table::rows("limit", include_str!("limit.md"))
}

/// One line for each row whose outcome is not the expected one.
pub fn failures() -> Vec<String> {
    let floors = floor_rows().into_iter().map(|row| {
        let expected = row.cell("Gone").to_owned();
        unless_equal(&row.name, &gone(&row), &expected)
    });
    let limits = limit_rows().into_iter().map(|row| {
        let expected = (row.number("Upd"), row.number("M"), row.cell("Taken").to_owned());
        unless_equal(&row.name, &taken(&row), &expected)
    });
    floors.chain(limits).flatten().collect()
}

/// The pods that may go, as positions in the Pods column, when each is asked for in turn.
fn gone(row: &Row<'_>) -> String {
    let pods = pods_of(row, false);
    let purpose = match row.cell("For") {
        "removal" => Purpose::Removal,
        "update" => Purpose::Update,
        other => panic!("{}: no purpose {other:?}", row.name),
    };
    let first_is_new = pods.first().is_none_or(|pod| pod.is_new);
    let one_revision = pods.iter().all(|pod| pod.is_new == first_is_new);
    let (replicas, max_unavailable) = (row.number("R"), row.number("U"));
    let mut floor = Floor::of(replicas, max_unavailable, one_revision, pods.iter().copied());
    let asked = row.cell("Asked");
    let places = (0..pods.len()).filter(|place| {
        let pod = pods[*place];
        match asked {
            "all" => true,
            "new" => pod.is_new,
            "old" => !pod.is_new,
            other => panic!("{}: nobody is {other:?}", row.name),
        }
    });
    text(places.filter(|place| floor.take(pods[*place], purpose)))
}

/// `update_num`, M, and the pods that are updated as positions in the Pods column.
fn taken(row: &Row<'_>) -> (i32, i32, String) {
    let (targets, pods) = (targets(row), pods_of(row, false));
    let numbers = diff(&targets, pods.iter().copied());
    let to_new = numbers.update_num > 0;
    let unproven = pods
        .iter()
        .filter(|pod| !pod.available && pod.is_new == to_new)
        .count();
    let limit = UpdateLimit {
        update_num: numbers.update_num,
        update_max_unavailable: numbers.update_max_unavailable,
        max_unavailable: targets.max_unavailable,
        unavailable_at_target: i32::try_from(unproven).expect("few pods"),
    };
    let is_candidate = |pod: &PodFact| pod.is_new != to_new && !pod.preparing_delete;
    let candidates: Vec<usize> = (0..pods.len())
        .filter(|index| is_candidate(&pods[*index]))
        .collect();
    let mut floor = Floor::of(
        targets.replicas,
        targets.max_unavailable,
        false,
        pods.iter().copied(),
    );
    let indexes = limit.take(&mut floor, candidates.iter().map(|index| pods[*index]));
    let places = text(indexes.iter().map(|index| candidates[*index]));
    (limit.update_num, limit.update_max_unavailable, places)
}

fn text(places: impl Iterator<Item = usize>) -> String {
    let places: Vec<String> = places.map(|place| place.to_string()).collect();
    if places.is_empty() {
        "–".to_owned()
    } else {
        places.join(" ")
    }
}
