//! `docs/explanation/numbers.md` against the code: every number that a CloneSet shows is there, with the function that
//! works it out.

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const NUMBERS: &str = include_str!("../../../../docs/explanation/numbers.md");

/// The rows of the tables under the heading about functions.
fn rows() -> Vec<Vec<&'static str>> {
    let section = NUMBERS.split_once("## Where each number comes from").unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn version() -> Value {
    let crd = serde_json::to_value(cloneset_api::crd()).unwrap();
    crd["spec"]["versions"][0].clone()
}

#[test]
fn every_counter_and_every_column_of_numbers_is_explained_and_no_other() {
    let version = version();
    let columns = version["additionalPrinterColumns"].as_array().unwrap();
    let columns = columns.iter().filter(|column| column["type"] == "integer");
    let shown: BTreeSet<(String, String)> = columns
        .map(|column| {
            let field = column["jsonPath"].as_str().unwrap().trim_start_matches('.');
            (column["name"].as_str().unwrap().to_owned(), format!("`{field}`"))
        })
        .collect();
    let counters = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"].as_object();
    let counters = counters
        .unwrap()
        .iter()
        .filter(|(_, field)| field["type"] == "integer");
    let mut expected: BTreeSet<String> = counters.map(|(name, _)| format!("`status.{name}`")).collect();
    expected.extend(shown.iter().map(|(_, field)| field.clone()));

    let told = rows()
        .into_iter()
        .filter(|row| row.len() == 4 && row[1].starts_with('`'));
    let told: Vec<(String, String)> = told.map(|row| (row[0].to_owned(), row[1].to_owned())).collect();
    let fields: BTreeSet<String> = told.iter().map(|(_, field)| field.clone()).collect();
    assert_eq!(fields, expected);
    let columns: BTreeSet<(String, String)> = told
        .into_iter()
        .filter(|(column, _)| !column.is_empty())
        .collect();
    assert_eq!(columns, shown);
}

#[test]
fn each_function_that_works_out_a_number_is_where_the_page_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/explanation");
    let mut links = 0;
    for link in NUMBERS.split("[`").skip(1) {
        let (function, rest) = link.split_once("`](").unwrap();
        let (path, _) = rest.split_once(')').unwrap();
        if Path::new(path).extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let source = fs::read_to_string(docs.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let defined = ["(", "<"].map(|next| format!("fn {function}{next}"));
        assert!(
            defined.iter().any(|text| source.contains(text.as_str())),
            "{path} has no function {function}"
        );
        links += 1;
    }
    assert!(links >= rows().len() - 2, "a row without a function");
}
