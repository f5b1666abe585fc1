//! Whether the tables know every field of Kubernetes' pod template, and as what. It must NOT know the fields
//! itself: the list is the API server's own (`tests/kubernetes-fields.json`, recorded by
//! `e2e/tests/normalise.rs`).

use super::pod::POD_TEMPLATE_SPEC;
use super::shape::{Kind, Shape};
use std::collections::BTreeMap;

type Types = BTreeMap<String, BTreeMap<String, String>>;

/// What the API server publishes does not tell a pointer from a value, so for plain pointers any plain class
/// will do.
const PLAIN: [&str; 5] = ["string", "integer", "boolean", "Time", "FieldsV1"];

#[test]
fn the_tables_have_exactly_the_servers_types_and_fields() {
    let recorded = include_str!("../../tests/kubernetes-fields.json");
    let servers: Types =
        serde_json::from_str(recorded).expect("the recorded list is types, fields and classes");
    let mut ours = Types::new();
    collect(&POD_TEMPLATE_SPEC, &servers, &mut ours);
    let names = |types: &Types| types.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&servers));
    for (name, fields) in &servers {
        assert_eq!(&ours[name], fields, "{name}");
    }
}

#[test]
fn no_field_stands_in_a_table_twice() {
    let mut ours = Types::new();
    collect(&POD_TEMPLATE_SPEC, &Types::new(), &mut ours);
    assert!(ours.len() > 100, "all types are reached");
}

/// Adds the type and all that it is made of.
fn collect(shape: &'static Shape, servers: &Types, ours: &mut Types) {
    if ours.contains_key(shape.name) {
        return;
    }
    let mut fields = BTreeMap::new();
    let plain = [
        shape.text,
        shape.number,
        shape.flag,
        shape.pointer,
        shape.text_list,
        shape.text_map,
    ];
    let names = plain
        .into_iter()
        .flatten()
        .copied()
        .chain(shape.fields.iter().map(|field| field.name));
    for name in names {
        let kind = shape.field(name).expect("a listed field is found").kind;
        let servers = servers.get(shape.name).and_then(|fields| fields.get(name));
        let twice = fields.insert(name.to_owned(), class(kind, servers.map_or("", String::as_str)));
        assert!(twice.is_none(), "{}.{name} is listed twice", shape.name);
    }
    ours.insert(shape.name.to_owned(), fields);
    for field in shape.fields {
        if let Kind::Struct(inner) | Kind::Optional(inner) | Kind::ListOf(inner) = field.kind {
            collect(inner, servers, ours);
        }
    }
}

fn class(kind: Kind, servers: &str) -> String {
    match kind {
        Kind::Text => "string".to_owned(),
        Kind::Number => "integer".to_owned(),
        Kind::Flag => "boolean".to_owned(),
        Kind::Pointer if PLAIN.contains(&servers) => servers.to_owned(),
        Kind::Pointer => "something plain".to_owned(),
        Kind::Port => "IntOrString".to_owned(),
        Kind::Quantity | Kind::Divisor => "Quantity".to_owned(),
        Kind::Quantities => "map of Quantity".to_owned(),
        Kind::Struct(shape) => format!("{} by value", shape.name),
        Kind::Optional(shape) => shape.name.to_owned(),
        Kind::ListOf(shape) => format!("list of {}", shape.name),
        Kind::List(kind) => format!("list of {}", class(*kind, servers)),
        Kind::MapOf(kind) => format!("map of {}", class(*kind, servers)),
    }
}
