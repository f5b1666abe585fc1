//! Pod templates in canonical form, so that two of them can be compared and hashed whoever wrote them.
//!
//! The same template reaches us bare (a manifest), with defaults filled in (a Go client, OpenKruise's
//! webhook) and round-tripped through typed structs (`creationTimestamp: null`, `resources: {}`, `1000m` for
//! `1`). All of these must be one revision: otherwise an upgrade of this controller, of a library or a
//! take-over from OpenKruise restarts every pod. So everything that is a default or a zero value of
//! Kubernetes' types is taken away, by tables of those types (`shape`).
//!
//! It must NOT guess: a field that the tables do not know (a newer Kubernetes) counts with every value, and so
//! does anything of the wrong type. It must NOT change what a template means: the API server makes the same
//! object of the canonical form as of the original (`e2e/tests/normalise.rs` holds it to that). The output is
//! for comparing and hashing, not for creating pods.
//!
//! Two things go beyond the server's own defaults for templates, because no pod differs by them: quantities
//! count by value (`1Gi` is `1073741824`, as for a Deployment), and so does a host port that the host's network
//! implies.

mod container;
mod image;
mod meta;
mod pod;
mod quantity;
mod shape;
#[cfg(test)]
mod tables;
mod volume;

use serde_json::{Map, Value};
use shape::{Kind, Shape};

/// The template without what is a default: equal for two templates exactly if the API server stores them equal
/// (up to the two things above).
pub fn normalise(template: &Value) -> Value {
    canonical(Kind::Struct(&pod::POD_TEMPLATE_SPEC), template)
}

/// The canonical form as text, keys sorted, no white space. What a new revision's hash is computed over.
pub fn canonical_text(template: &Value) -> String {
    normalise(template).to_string()
}

/// The policy by which a container's image is pulled, written out or not.
pub(crate) fn pull_policy(container: &Value) -> &str {
    let text = |field| container.get(field).and_then(Value::as_str);
    text("imagePullPolicy").unwrap_or_else(|| image::default_pull_policy(text("image").unwrap_or_default()))
}

/// Are two quantities of a resource the same amount?
pub(crate) fn same_quantity(one: &Value, other: &Value) -> bool {
    quantity::canonical(one, quantity::MILLI) == quantity::canonical(other, quantity::MILLI)
}

/// Is it an amount that a resource can have: a quantity, not below zero?
pub(crate) fn is_amount(value: &Value) -> bool {
    quantity::is_amount(value)
}

/// A value in canonical form. As an entry of a list or map it stays even if it is zero, because its place
/// counts.
fn canonical(kind: Kind, value: &Value) -> Value {
    match (kind, value) {
        (_, Value::Null) => zero(kind),
        (Kind::Struct(shape) | Kind::Optional(shape), Value::Object(fields)) => {
            Value::Object(object(shape, fields))
        }
        (Kind::ListOf(shape), Value::Array(items)) => items
            .iter()
            .map(|item| canonical(Kind::Struct(shape), item))
            .collect(),
        (Kind::List(kind), Value::Array(items)) => items.iter().map(|item| canonical(*kind, item)).collect(),
        (Kind::MapOf(kind), Value::Object(entries)) => {
            Value::Object(map(entries, |value| canonical(*kind, value)))
        }
        (Kind::Quantities, Value::Object(entries)) => Value::Object(map(entries, |value| {
            quantity::canonical(&or_zero(value), quantity::MILLI)
        })),
        (Kind::Quantity | Kind::Divisor, _) => quantity::canonical(value, quantity::EXACT),
        _ => verbatim(value),
    }
}

fn object(shape: &Shape, fields: &Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let Some(field) = shape.field(name) else {
            kept.insert(name.clone(), verbatim(value));
            continue;
        };
        let value = canonical(field.kind, value);
        if !field.is_absent(&value) {
            kept.insert(name.clone(), value);
        }
    }
    if let Some(rule) = shape.rule {
        rule(&mut kept);
    }
    kept
}

fn map(entries: &Map<String, Value>, canonical: impl Fn(&Value) -> Value) -> Map<String, Value> {
    entries
        .iter()
        .map(|(key, value)| (key.clone(), canonical(value)))
        .collect()
}

/// What Go makes of a null entry of a list or map.
fn zero(kind: Kind) -> Value {
    match kind {
        Kind::Text => Value::from(""),
        Kind::Number => Value::from(0),
        Kind::Struct(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn or_zero(quantity: &Value) -> Value {
    if quantity.is_null() {
        Value::from("0")
    } else {
        quantity.clone()
    }
}

/// As it is, except for two things that no JSON reader of Kubernetes tells apart: a null member and an absent
/// one, and `30.0` and `30`.
fn verbatim(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let present = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                present
                    .map(|(name, value)| (name.clone(), verbatim(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(verbatim).collect(),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| whole(number.as_f64()?))
            .map_or(value.clone(), Value::from),
        _ => value.clone(),
    }
}

/// A float without a fraction as the integer it stands for, where floats still count in ones.
fn whole(float: f64) -> Option<i64> {
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within 2^53, so the conversion is exact"
    )]
    (float.fract() == 0.0 && float.abs() <= LARGEST).then_some(float as i64)
}
