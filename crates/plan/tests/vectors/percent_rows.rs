//! The rows of `percent.md`, and what the percent parser gives for them. Used by `tests/vectors.rs` and, with a
//! mutated `int_or_percent.rs`, by `cargo xtask mutants`.

use crate::int_or_percent::{IntOrString, Rounding, ValueError};
use crate::table;

/// One line for each row whose outcome is not the expected one.
pub fn failures() -> Vec<String> {
    let mut failures = Vec::new();
    for row in table::rows("percent", include_str!("percent.md")) {
        let text = IntOrString::String(row.cell("Text").to_owned());
        for (heading, rounding) in [("Up", Rounding::Up), ("Down", Rounding::Down)] {
            let found = shown(&text.resolve(row.number("Of"), rounding));
            let expected = row.cell(heading);
            if found != expected {
                failures.push(format!("{}: {heading} is {found}, expected {expected}", row.name));
            }
        }
    }
    failures.extend(integers());
    failures
}

fn shown(result: &Result<i32, ValueError>) -> String {
    match result {
        Ok(count) => count.to_string(),
        Err(ValueError::NotAPercentage) => "wrong".to_owned(),
        Err(ValueError::Negative) => "negative".to_owned(),
        Err(ValueError::TooLarge) => "too large".to_owned(),
    }
}

/// Integers are no percentages: they are taken as they are, whatever the replicas.
fn integers() -> Vec<String> {
    let cases = [(0, "0"), (5, "5"), (-1, "negative"), (1 << 40, "too large")];
    let failure = |(value, expected): (i64, &str)| {
        let found = shown(&IntOrString::Int(value).resolve(1, Rounding::Up));
        (found != expected).then(|| format!("integer {value}: {found}, expected {expected}"))
    };
    cases.into_iter().filter_map(failure).collect()
}
