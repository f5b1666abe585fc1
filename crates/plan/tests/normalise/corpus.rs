//! The corpus of pod templates, each with what a real API server made of it (`RECORD=1`,
//! `e2e/tests/normalise.rs`).

use cloneset_plan::normalise::{canonical_text, normalise};
use serde_json::Value;
use std::path::Path;

/// One template, as written and as the API server answers it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) bare: Value,
    pub(crate) server: Value,
}

/// Every entry, in order of name.
pub(crate) fn corpus() -> Vec<Entry> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let files = std::fs::read_dir(folder).expect("the corpus is there");
    let paths = files.map(|file| file.expect("readable").path());
    let mut entries: Vec<Entry> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let read =
                |path: &Path| std::fs::read_to_string(path).expect("every template has a recorded answer");
            Entry {
                name: path.display().to_string(),
                bare: serde_saphyr::from_str(&read(&path)).expect("valid YAML"),
                server: serde_json::from_str(&read(&path.with_extension("server.json"))).expect("valid JSON"),
            }
        })
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(entries.len() >= 25, "the corpus is complete");
    entries
}

#[test]
fn what_the_server_made_of_a_template_is_the_same_template() {
    for entry in corpus() {
        assert_eq!(
            canonical_text(&entry.server),
            canonical_text(&entry.bare),
            "{}",
            entry.name
        );
    }
}

#[test]
fn no_two_templates_of_the_corpus_are_the_same() {
    let entries = corpus();
    for (index, entry) in entries.iter().enumerate() {
        for other in entries.iter().skip(index + 1) {
            assert_ne!(
                canonical_text(&entry.bare),
                canonical_text(&other.bare),
                "{} {}",
                entry.name,
                other.name
            );
        }
    }
}

#[test]
fn the_canonical_form_is_its_own_canonical_form() {
    for entry in corpus() {
        let once = normalise(&entry.bare);
        assert_eq!(normalise(&once), once, "{}", entry.name);
    }
}
