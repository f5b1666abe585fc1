//! The rows of `spec.md`, and what the parse of the spec makes of them. Used by `tests/vectors.rs` and, with a mutated
//! `desired.rs`, by `cargo xtask mutants`.

use crate::desired::{Desired, Features};
use crate::table::{self, Row};
use cloneset_api::names::labels::EXCLUDE_PREPARING_DELETE;
use cloneset_api::{CloneSet, CloneSetSpec, IntOrString, ScaleStrategy, UpdateStrategy};

/// A CloneSet with these numbers as written, and nothing else: no selector, no template.
pub fn cloneset(replicas: Option<i32>, scale: Option<IntOrString>, update: UpdateStrategy) -> CloneSet {
    let scale_strategy = ScaleStrategy {
        max_unavailable: scale,
        ..ScaleStrategy::default()
    };
    let spec = CloneSetSpec {
        replicas,
        scale_strategy: Some(scale_strategy),
        update_strategy: update,
        ..CloneSetSpec::default()
    };
    CloneSet::new("web", spec)
}

/// Puts the label with this value on it.
pub fn exclude_preparing_delete(cloneset: &mut CloneSet, value: &str) {
    let label = (EXCLUDE_PREPARING_DELETE.to_owned(), value.to_owned());
    cloneset.metadata.labels = Some([label].into());
}

/// What stands in a field: an integer, text, or nothing.
pub fn written(cell: &str) -> Option<IntOrString> {
    if cell == "–" {
        return None;
    }
    Some(match cell.parse() {
        Ok(number) => IntOrString::Int(number),
        Err(_) => IntOrString::String(cell.trim_matches('"').to_owned()),
    })
}

/// One line for each row whose outcome is not the expected one.
pub fn failures() -> Vec<String> {
    let rows = table::rows("spec", include_str!("spec.md"));
    let from_rows = rows.iter().filter_map(|row| {
        let (found, expected) = (found(row), expected(row));
        (found != expected).then(|| format!("{}: found {found}, expected {expected}", row.name))
    });
    from_rows.chain(targets()).collect()
}

fn found(row: &Row<'_>) -> String {
    let has_flag = |flag| row.cell("Flags").split(' ').any(|word| word == flag);
    let update = UpdateStrategy {
        type_: Some(
            if has_flag("OnDelete") {
                "OnDelete"
            } else {
                "ReCreate"
            }
            .to_owned(),
        ),
        partition: written(row.cell("partition")),
        max_unavailable: written(row.cell("maxUnavailable")),
        max_surge: written(row.cell("maxSurge")),
        paused: Some(has_flag("paused")),
        ..UpdateStrategy::default()
    };
    let replicas = (row.cell("R") != "–").then(|| row.number("R"));
    let desired = Desired::parse(&cloneset(replicas, written(row.cell("scale")), update), 7);
    // Only whether each field is named, so that the order of the checks is free.
    let reported = |field: &str| {
        desired
            .problems
            .iter()
            .any(|problem| problem.field.contains(field))
    };
    let fields = [
        "partition",
        "updateStrategy.maxUnavailable",
        "maxSurge",
        "scaleStrategy",
    ];
    line(
        desired.partition,
        desired.max_unavailable,
        desired.max_surge,
        desired.scale_max_unavailable,
        desired.updates_all,
        fields.map(reported),
    )
}

fn expected(row: &Row<'_>) -> String {
    let wrong: Vec<&str> = row.cell("Wrong").split(' ').collect();
    let scale = match row.cell("SU") {
        "–" => i32::MAX,
        count => row.parse(count),
    };
    line(
        row.number("P"),
        row.number("U"),
        row.number("S"),
        scale,
        row.cell("All") == "yes",
        ["partition", "maxUnavailable", "maxSurge", "scaleStrategy"].map(|field| wrong.contains(&field)),
    )
}

fn line(p: i32, u: i32, s: i32, su: i32, all: bool, wrong: [bool; 4]) -> String {
    format!("P {p}, U {u}, S {s}, SU {su}, all {all}, wrong {wrong:?}")
}

/// What the formulas start from: a rollback needs the gate *and* a current revision of its own, and every number
/// goes to its own place.
fn targets() -> Vec<String> {
    let update = UpdateStrategy {
        partition: written("3"),
        max_unavailable: written("2"),
        max_surge: written("1"),
        ..UpdateStrategy::default()
    };
    let mut object = cloneset(Some(10), written("4"), update);
    exclude_preparing_delete(&mut object, "true");
    let desired = Desired::parse(&object, 7);
    let mut failures = Vec::new();
    let mut check = |what: &str, is_so: bool| {
        if !is_so {
            failures.push(format!("{what}: not so"));
        }
    };
    let unlabelled = Desired::parse(&cloneset(Some(10), None, UpdateStrategy::default()), 7);
    let excluding = Features {
        exclude_preparing_delete: true,
        ..Features::default()
    };
    check(
        "the flag excludes pods in PreparingDelete for every CloneSet",
        unlabelled.targets(excluding, false).exclude_preparing_delete,
    );
    for (gate, current_is_update, may) in [
        (true, false, true),
        (true, true, false),
        (false, false, false),
        (false, true, false),
    ] {
        let features = Features {
            partition_rollback: gate,
            ..Features::default()
        };
        let targets = desired.targets(features, current_is_update);
        check(
            "rollback needs gate and another revision",
            targets.may_roll_back == may,
        );
        let numbers = (
            targets.replicas,
            targets.partition,
            targets.max_unavailable,
            targets.max_surge,
        );
        check("each number in its place", numbers == (10, 3, 2, 1));
        check(
            "the throttle is the scale strategy's",
            targets.scale_max_unavailable == 4,
        );
        check(
            "the label excludes PreparingDelete",
            targets.exclude_preparing_delete,
        );
    }
    check("expected updated: 10 − 3", desired.expected_updated() == 7);
    exclude_preparing_delete(&mut object, "yes");
    check(
        "only the value true excludes",
        !Desired::parse(&object, 7).exclude_preparing_delete,
    );
    object.spec.replicas = Some(-1);
    check(
        "bad replicas: as many as exist",
        Desired::parse(&object, 7).replicas == 7,
    );
    object.spec.replicas = Some(0);
    check("no replicas are none", Desired::parse(&object, 7).replicas == 0);
    failures
}
