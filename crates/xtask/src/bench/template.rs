//! JSON text with fields that are filled in for each object, so that a cluster of any size costs no memory.
//!
//! It knows the names of the fields, and must not know their values.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

/// A value that differs from object to object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// The object's own name.
    Name,
    Namespace,
    Uid,
    /// The resourceVersion.
    Version,
    /// The name of the CloneSet that owns the object, or the CloneSet's own.
    Owner,
    OwnerUid,
    /// Of a pod or CloneSet: the name of the update revision.
    Revision,
    /// The hash at the end of the revision's name.
    Hash,
    /// The number of the revision in the version of the image.
    Release,
    InstanceId,
    Node,
    Ip,
    HostIp,
    /// The message of the condition Ready.
    Message,
    /// A number: the revision's.
    Number,
    /// A number.
    Replicas,
    /// JSON: the CloneSet's status.
    Status,
}

/// The names of the fields in the YAML files. Those that begin with `#` stand for JSON, and lose the quotes around them.
const NAMES: [(&str, Field); 17] = [
    ("name", Field::Name),
    ("namespace", Field::Namespace),
    ("uid", Field::Uid),
    ("version", Field::Version),
    ("cloneset", Field::Owner),
    ("cloneset-uid", Field::OwnerUid),
    ("revision", Field::Revision),
    ("hash", Field::Hash),
    ("release", Field::Release),
    ("instance-id", Field::InstanceId),
    ("node", Field::Node),
    ("ip", Field::Ip),
    ("host-ip", Field::HostIp),
    ("message", Field::Message),
    ("#number", Field::Number),
    ("#replicas", Field::Replicas),
    ("#status", Field::Status),
];

/// Text, and the fields between its parts.
#[derive(Clone, Debug)]
pub(super) struct Template {
    parts: Vec<(String, Field)>,
    end: String,
}

impl Template {
    /// The compact JSON of `value`, with the fields that it names.
    pub(super) fn of(value: &Value) -> Result<Self> {
        let json = value.to_string().replace("\"{{#", "{{#");
        let mut parts = Vec::new();
        let mut rest = json.as_str();
        while let Some((text, after)) = rest.split_once("{{") {
            let (name, after) = after.split_once("}}").context("a field without its end")?;
            let Some((_, field)) = NAMES.iter().find(|(known, _)| *known == name) else {
                bail!("there is no field {name:?}");
            };
            rest = if name.starts_with('#') {
                after
                    .strip_prefix('"')
                    .context("a JSON field within other text")?
            } else {
                after
            };
            parts.push((text.to_owned(), *field));
        }
        Ok(Self {
            parts,
            end: rest.to_owned(),
        })
    }

    /// Appends the text to `out`, where `fill` appends the value of each field.
    pub(super) fn render(&self, out: &mut String, mut fill: impl FnMut(Field, &mut String)) {
        for (text, field) in &self.parts {
            out.push_str(text);
            fill(*field, out);
        }
        out.push_str(&self.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filled(value: &Value) -> String {
        let mut out = String::new();
        Template::of(value)
            .expect("a template")
            .render(&mut out, |field, out| match field {
                Field::Name => out.push_str("web"),
                Field::Replicas => out.push('3'),
                _ => out.push('?'),
            });
        out
    }

    #[test]
    fn fields_are_filled_in_and_numbers_lose_their_quotes() {
        let value = json!({"a": "{{name}}-{{hash}}", "b": "{{#replicas}}", "c": "{}"});
        assert_eq!(filled(&value), r#"{"a":"web-?","b":3,"c":"{}"}"#);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let error = Template::of(&json!("{{nmae}}"))
            .expect_err("no such field")
            .to_string();
        assert!(error.contains("nmae"), "{error}");
        assert!(Template::of(&json!("{{#replicas}} pods")).is_err());
    }
}
