//! The list of mutations: reading it and making the mutated sources. Text in, text out; nothing runs here.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// A file, what it is compiled with, and the mistakes to make in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    /// The file that is mutated, relative to the repository.
    pub(crate) file: String,
    /// Files it is compiled with, each a module of the same name; the last one has `failures()`.
    pub(crate) with: Vec<String>,
    /// Libraries these need besides std.
    #[serde(default)]
    libraries: Vec<String>,
    mutations: Vec<Place>,
    #[serde(default)]
    equivalent: Vec<Argued>,
}

/// The mistakes in one function.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    r#in: String,
    change: Vec<(String, String)>,
}

/// A change that changes nothing, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Argued {
    r#in: String,
    change: (String, String),
    because: String,
}

/// What must become of a mutant.
pub(crate) enum Fate {
    /// A vector fails.
    Caught,
    /// Nothing can tell it from the original.
    Equivalent {
        /// Why not.
        because: String,
    },
}

/// One mistake, made.
pub(crate) struct Mutant {
    /// The place and the change, for people.
    pub(crate) label: String,
    /// The whole file with the mistake.
    pub(crate) source: String,
    /// What must become of it.
    pub(crate) fate: Fate,
}

/// Reads the list.
pub(crate) fn parse(text: &str) -> Result<Vec<Subject>> {
    let subjects: Vec<Subject> = serde_saphyr::from_str(text).context("not a list of mutations")?;
    ensure!(!subjects.is_empty(), "the list of mutations is empty");
    Ok(subjects)
}

impl Subject {
    /// The libraries it is compiled with.
    pub(crate) fn crates(&self) -> impl Iterator<Item = &str> {
        self.libraries.iter().map(String::as_str)
    }

    /// Makes every listed mistake in its own copy of the source.
    pub(crate) fn mutants(&self, source: &str) -> Result<Vec<Mutant>> {
        let caught = self.mutations.iter().flat_map(|place| {
            let changes = place.change.iter();
            changes.map(|change| (&place.r#in, change, Fate::Caught))
        });
        let equivalent = self.equivalent.iter().map(|argued| {
            let because = argued.because.clone();
            (&argued.r#in, &argued.change, Fate::Equivalent { because })
        });
        caught
            .chain(equivalent)
            .map(|(place, (from, to), fate)| {
                let label = format!("in `{place}`: `{}` became `{}`", one_line(from), one_line(to));
                let source = mutate(source, place, from, to).with_context(|| label.clone())?;
                Ok(Mutant { label, source, fate })
            })
            .collect()
    }
}

/// A snippet for a line of output.
fn one_line(snippet: &str) -> String {
    snippet.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces `from` by `to` in the function that `place` names. Both texts must be found exactly once, so that the
/// list cannot fall behind the code unnoticed.
pub(super) fn mutate(source: &str, place: &str, from: &str, to: &str) -> Result<String> {
    let start = only(source, place).context("the place")?;
    let (before, function) = source.split_at(start);
    let body = place.len();
    let length = function
        .get(body..)
        .and_then(|rest| rest.find("fn "))
        .map_or(function.len(), |next| body + next);
    let (function, after) = function.split_at(length);
    let at = only(function, from).context("what stands there")?;
    let (head, tail) = function.split_at(at);
    let tail = tail.strip_prefix(from).unwrap_or(tail);
    ensure!(from != to, "the change changes nothing");
    Ok([before, head, to, tail, after].concat())
}

/// Where the text stands, if it stands there once.
fn only(source: &str, text: &str) -> Result<usize> {
    let mut found = source.match_indices(text).map(|(at, _)| at);
    let first = found
        .next()
        .with_context(|| format!("`{text}` is not in the code any more"))?;
    ensure!(
        found.next().is_none(),
        "`{text}` is there more than once; write more of its surroundings"
    );
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn a() { x + y }\nfn b() { x + y; x }\n";

    #[test]
    fn a_change_is_made_in_its_function_only() {
        let mutated = mutate(SOURCE, "fn a(", "x + y", "x - y").unwrap();
        assert_eq!(mutated, "fn a() { x - y }\nfn b() { x + y; x }\n");
    }

    #[test]
    fn a_change_that_does_not_fit_the_code_is_refused() {
        for (place, from) in [("fn c(", "x"), ("fn b(", "x"), ("fn a(", "z"), ("fn ", "x + y")] {
            assert!(mutate(SOURCE, place, from, "0").is_err(), "{place} {from}");
        }
        assert!(mutate(SOURCE, "fn a(", "x", "x").is_err(), "nothing changed");
    }
}
