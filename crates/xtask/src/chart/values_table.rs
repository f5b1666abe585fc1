//! The table of a chart's values, made from its values.yaml: `# --` comments
//! describe the key below them, and every value must be covered by one.
//!
//! It must not know any chart of ours, nor where files are.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

const BEGIN: &str = "<!-- values: written by `cargo xtask gen` -->\n";
const END: &str = "<!-- /values -->\n";

/// Defaults longer than this would make the table unreadable.
const LONGEST_DEFAULT: usize = 60;

/// One documented key.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    key: String,
    default: String,
    meaning: String,
}

/// `readme` with the table of `values` between its markers.
pub(crate) fn fill_in(readme: &str, values: &str) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .with_context(|| format!("no line {BEGIN:?} in it"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("no line {END:?} after the table"))?;
    let mut table = String::from("| Key | Default | Meaning |\n|---|---|---|\n");
    for row in rows(values)? {
        let meaning = row.meaning.replace('|', "\\|");
        writeln!(table, "| `{}` | {} | {meaning} |", row.key, row.default)?;
    }
    Ok(format!("{before}{BEGIN}{table}{END}{after}"))
}

fn rows(text: &str) -> Result<Vec<Row>> {
    let values: Value = serde_saphyr::from_str(text).context("values.yaml is not YAML")?;
    let mut rows = Vec::new();
    let mut path: Vec<(usize, &str)> = Vec::new();
    let mut comment: Option<String> = None;
    // What is indented below a documented key is part of its default.
    let mut documented: Option<usize> = None;
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(start) = content.strip_prefix("# --") {
            comment = Some(start.trim().to_owned());
        } else if let Some(more) = content.strip_prefix('#') {
            if let Some(comment) = &mut comment {
                comment.push(' ');
                comment.push_str(more.trim());
            }
        } else if content.is_empty() {
            comment = None;
        } else if documented.is_none_or(|above| indent <= above) {
            let (key, value) = content
                .split_once(':')
                .with_context(|| format!("line {}: no `key:`", number + 1))?;
            path.retain(|(above, _)| *above < indent);
            path.push((indent, key));
            let keys: Vec<&str> = path.iter().map(|(_, key)| *key).collect();
            documented = comment.is_some().then_some(indent);
            match comment.take() {
                Some(meaning) => rows.push(Row {
                    key: keys.join("."),
                    default: default(&values, &keys),
                    meaning,
                }),
                None if value.trim().is_empty() => {}
                None => bail!(
                    "line {}: {} has no `# --` comment above it",
                    number + 1,
                    keys.join(".")
                ),
            }
        }
    }
    Ok(rows)
}

fn default(values: &Value, keys: &[&str]) -> String {
    let value = keys.iter().try_fold(values, |value, key| value.get(key));
    let text = value.unwrap_or(&Value::Null).to_string();
    if text.len() > LONGEST_DEFAULT {
        "see values.yaml".to_owned()
    } else {
        format!("`{text}`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: &str = "\
# A file comment.

# -- How many,
# at most.
count: 2
image:
  # -- Either a|b.
  tag: \"\"
  # -- All of them.
  resources:
    limits:
      memory: 1Mi
last:
  # -- A list.
  names: []
";

    #[test]
    fn keys_are_paths_and_what_is_below_a_documented_key_is_its_default() {
        let rows = rows(VALUES).expect("rows");
        let keys: Vec<(&str, &str)> = rows
            .iter()
            .map(|row| (row.key.as_str(), row.default.as_str()))
            .collect();
        assert_eq!(
            keys,
            [
                ("count", "`2`"),
                ("image.tag", "`\"\"`"),
                ("image.resources", r#"`{"limits":{"memory":"1Mi"}}`"#),
                ("last.names", "`[]`"),
            ]
        );
        assert_eq!(rows[0].meaning, "How many, at most.");
    }

    #[test]
    fn the_table_replaces_what_stood_between_the_markers() {
        let readme = format!("# Chart\n{BEGIN}old\n{END}tail\n");
        let filled = fill_in(&readme, VALUES).expect("a table");
        assert!(filled.starts_with("# Chart\n") && filled.ends_with("tail\n"));
        assert!(!filled.contains("old"));
        assert!(filled.contains("| `image.tag` | `\"\"` | Either a\\|b. |"));
        assert_eq!(fill_in(&filled, VALUES).expect("a table"), filled);
    }

    #[test]
    fn a_value_without_a_comment_is_named() {
        let error = rows("a:\n  b: 1\n").expect_err("undocumented").to_string();
        assert_eq!(error, "line 2: a.b has no `# --` comment above it");
    }
}
