//! `docs/reference/compatibility.md` against the code: every name is in it, and every test that it names exists.

use crate::{constants, modules};
use cloneset_api::switches::{GATES, KRUISE_FLAGS, KRUISE_GATES, Switch};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const COMPATIBILITY: &str = include_str!("../../../../docs/reference/compatibility.md");
const ARGS: &str = include_str!("../../../controller/src/args.rs");

/// A line of one of its tables.
#[derive(Clone, Debug)]
struct Row {
    name: &'static str,
    status: &'static str,
    note: &'static str,
    tests: Vec<&'static str>,
}

impl Row {
    fn is_supported(&self) -> bool {
        self.status != "not supported"
    }
}

/// The table under each heading.
fn tables() -> BTreeMap<&'static str, Vec<Row>> {
    let sections = COMPATIBILITY.split("\n## ").skip(1);
    sections
        .map(|section| {
            let heading = section.lines().next().unwrap();
            (heading, section.lines().filter_map(row).collect())
        })
        .collect()
}

fn row(line: &'static str) -> Option<Row> {
    let cells: Vec<&str> = line
        .strip_prefix('|')?
        .strip_suffix('|')?
        .split('|')
        .map(str::trim)
        .collect();
    let [name, status, note, tests] = cells[..] else {
        panic!("a table has four columns: {line}")
    };
    let is_head = name == "Name" || name.starts_with("---");
    (!is_head).then(|| Row {
        name: name.trim_matches('`'),
        status,
        note,
        tests: words(tests),
    })
}

/// What stands in backticks.
fn words(text: &'static str) -> Vec<&'static str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Every path of the schema; what is below a selector, a pod and a claim is Kubernetes' own.
fn fields() -> BTreeSet<String> {
    let crd = serde_json::to_value(cloneset_api::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut found = BTreeSet::new();
    for part in ["spec", "status"] {
        walk(part, &schema[part], &mut found);
    }
    found
}

fn walk(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    let foreign = path.ends_with("elector") || ["spec.template", "spec.volumeClaimTemplates"].contains(&path);
    for (properties, joint) in [
        (&schema["properties"], "."),
        (&schema["items"]["properties"], "[]."),
    ] {
        for (name, below) in properties.as_object().into_iter().flatten().filter(|_| !foreign) {
            let path = format!("{path}{joint}{name}");
            walk(&path, below, found);
            found.insert(path);
        }
    }
}

/// The controller's flags, from the names of its arguments.
fn flags() -> BTreeSet<String> {
    let start = ARGS.split_once("pub struct Args {").unwrap().1;
    let body = start.split_once("\n}").unwrap().0;
    let names = body
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
    names
        .map(|(name, _)| format!("--{}", name.replace('_', "-")))
        .collect()
}

fn names(switches: &[Switch]) -> BTreeSet<String> {
    switches.iter().map(|switch| switch.name.to_owned()).collect()
}

/// What the code has, by the heading it belongs under.
fn code() -> BTreeMap<&'static str, BTreeSet<String>> {
    let of = |modules: &[&str]| {
        modules
            .iter()
            .flat_map(|module| constants(module))
            .map(str::to_owned)
            .collect()
    };
    let (status, spec) = fields()
        .into_iter()
        .partition(|field| field.starts_with("status."));
    let mut labels: BTreeSet<String> = of(&["labels", "node_labels"]);
    // Not the controller's: a policy of the chart goes by it.
    labels.insert("policy.kruise.io/delete-protection".to_owned());
    BTreeMap::from([
        ("Fields of the spec", spec),
        ("Fields of the status", status),
        ("Labels", labels),
        ("Annotations", of(&["annotations"])),
        ("Lifecycle states", of(&["lifecycle"])),
        (
            "Conditions of pods and environment variables",
            of(&["pod_conditions", "pod_reasons", "env"]),
        ),
        ("Conditions", of(&["conditions"])),
        ("Reasons of conditions", of(&["reasons"])),
        ("Events", of(&["events"])),
        ("Feature gates", names(GATES)),
        ("Flags", flags()),
        ("Deviations", (1..=15).map(|number| number.to_string()).collect()),
    ])
}

#[test]
fn every_module_of_names_has_its_table() {
    let known =
        "labels node_labels annotations lifecycle pod_conditions pod_reasons env conditions reasons events";
    assert_eq!(modules(), known.split(' ').collect::<BTreeSet<_>>());
}

#[test]
fn every_name_in_the_code_has_its_line_and_what_is_said_to_be_supported_is_in_the_code() {
    let tables = tables();
    for (heading, code) in code() {
        let rows = &tables[heading];
        let told: BTreeSet<String> = rows.iter().map(|row| row.name.to_owned()).collect();
        assert_eq!(told.len(), rows.len(), "{heading}: a name stands twice");
        let untold: Vec<&String> = code.difference(&told).collect();
        assert!(untold.is_empty(), "{heading} lacks {untold:?}");
        let supported = rows.iter().filter(|row| row.is_supported());
        let invented: Vec<&str> = supported
            .map(|row| row.name)
            .filter(|name| !code.contains(*name) && heading != "Deviations")
            .collect();
        assert!(
            invented.is_empty(),
            "{heading} has {invented:?}, which the code has not"
        );
    }
}

#[test]
fn the_gates_and_flags_that_only_kruise_has_are_those_the_controller_answers_for() {
    let tables = tables();
    let without = |heading: &str| -> BTreeSet<String> {
        let rows = tables[heading].iter().filter(|row| !row.is_supported());
        rows.map(|row| row.name.trim_start_matches('-').to_owned())
            .collect()
    };
    assert_eq!(without("Feature gates"), names(KRUISE_GATES));
    assert_eq!(without("Flags"), names(KRUISE_FLAGS));
}

#[test]
fn every_line_has_a_status_and_a_proof_or_a_reason() {
    for row in tables().into_values().flatten() {
        let known = ["same", "stricter", "better", "added", "not supported"];
        assert!(known.contains(&row.status), "{row:?}");
        assert_eq!(row.tests.is_empty(), !row.is_supported(), "{row:?}");
        assert!(
            row.is_supported() || !row.note.is_empty(),
            "no reason why not: {row:?}"
        );
    }
}

#[test]
fn every_test_named_as_a_proof_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let mut tests = BTreeSet::new();
    for folder in ["crates", "e2e"] {
        collect_tests(&root.join(folder), &mut tests);
    }
    let cited = tables().into_values().flatten().flat_map(|row| row.tests);
    let prose = COMPATIBILITY.lines().filter(|line| !line.starts_with('|'));
    let in_prose = prose.flat_map(words).filter(|word| word.contains('_'));
    let missing: BTreeSet<&str> = cited
        .chain(in_prose)
        .filter(|test| !tests.contains(*test))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// The names of functions with a test attribute in Rust files below a folder.
fn collect_tests(folder: &Path, tests: &mut BTreeSet<String>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.retain(|path| path.file_name().is_some_and(|name| name != "target"));
    for path in entries {
        if path.is_dir() {
            collect_tests(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            tests.extend(tests_of(&fs::read_to_string(path).unwrap()));
        }
    }
}

fn tests_of(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = line
            .split_once("fn ")
            .filter(|_| is_test && !line.starts_with("//"))
        {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
            is_test = false;
        }
    }
    found
}
