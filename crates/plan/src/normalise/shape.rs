//! How Kubernetes types behave in a typed round trip, as data: which fields a type has, which values of them
//! are the same as absence, and which defaults the API server fills in. It must NOT know any type: those are
//! in the tables beside it.

use serde_json::{Map, Value};

/// One Kubernetes type. The lists group its fields by how Go treats them; a field that is in none of them is
/// kept as it is.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// The type's name in the Kubernetes API.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "ties a table to the API's type where tests compare the two"
        )
    )]
    pub(super) name: &'static str,
    /// Text values: `""` is absence.
    pub(super) text: &'static [&'static str],
    /// Integer values: `0` is absence.
    pub(super) number: &'static [&'static str],
    /// Boolean values: `false` is absence.
    pub(super) flag: &'static [&'static str],
    /// Pointers to something plain: every value counts, zero too. Listed so that tests can tell them from
    /// forgotten fields.
    pub(super) pointer: &'static [&'static str],
    /// Lists of text: the empty list is absence.
    pub(super) text_list: &'static [&'static str],
    /// Maps of text: the empty map is absence.
    pub(super) text_map: &'static [&'static str],
    /// Every other field.
    pub(super) fields: &'static [Field],
    /// What no single field can express, applied to the object when its fields are canonical.
    pub(super) rule: Option<fn(&mut Map<String, Value>)>,
}

/// A field with a type of its own or a default.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) preset: Option<Preset>,
}

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text value.
    Text,
    /// An integer value.
    Number,
    /// A boolean value.
    Flag,
    /// A pointer to something plain.
    Pointer,
    /// An `IntOrString` value: `0` is absence, `"0"` and `""` are not.
    Port,
    /// A pointer to a quantity.
    Quantity,
    /// A quantity value: zero is absence.
    Divisor,
    /// A resource list: quantities, which defaulting rounds up to a thousandth.
    Quantities,
    /// An object by value: empty is absence.
    Struct(&'static Shape),
    /// A pointer to an object: empty is not absence.
    Optional(&'static Shape),
    /// A list of objects.
    ListOf(&'static Shape),
    /// A list of plain values, or with the empty ones counted as this kind says.
    List(&'static Kind),
    /// A map of plain values.
    MapOf(&'static Kind),
}

/// The value that the API server fills in where a field is absent.
#[derive(Clone, Copy)]
pub(super) enum Preset {
    Text(&'static str),
    Number(i64),
    False,
    EmptyObject,
}

impl Shape {
    /// A type without fields, for the tables to fill.
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            text: &[],
            number: &[],
            flag: &[],
            pointer: &[],
            text_list: &[],
            text_map: &[],
            fields: &[],
            rule: None,
        }
    }

    /// The field of that name; `None` for one that this version of Kubernetes does not have.
    pub(super) fn field(&self, name: &str) -> Option<Field> {
        let plain = [
            (self.text, Kind::Text),
            (self.number, Kind::Number),
            (self.flag, Kind::Flag),
            (self.pointer, Kind::Pointer),
            (self.text_list, Kind::List(&Kind::Text)),
            (self.text_map, Kind::MapOf(&Kind::Text)),
        ];
        self.fields
            .iter()
            .copied()
            .find(|field| field.name == name)
            .or_else(|| {
                plain.into_iter().find_map(|(names, kind)| {
                    let name = names.iter().find(|known| **known == name)?;
                    Some(field(name, kind))
                })
            })
    }
}

impl Field {
    /// The same field, with a default.
    pub(super) const fn or(mut self, preset: Preset) -> Self {
        self.preset = Some(preset);
        self
    }

    /// Whether the field with this canonical value means the same as no field.
    pub(super) fn is_absent(&self, value: &Value) -> bool {
        self.kind.is_zero(value) || self.preset.is_some_and(|preset| preset.is(value))
    }
}

impl Kind {
    fn is_zero(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str() == Some(""),
            Self::Number | Self::Port => value.as_i64() == Some(0),
            Self::Flag => value.as_bool() == Some(false),
            Self::Divisor => value.as_str() == Some("0"),
            Self::Struct(_) | Self::Quantities | Self::MapOf(_) => {
                value.as_object().is_some_and(Map::is_empty)
            }
            Self::ListOf(_) | Self::List(_) => value.as_array().is_some_and(Vec::is_empty),
            Self::Pointer | Self::Quantity | Self::Optional(_) => false,
        }
    }
}

impl Preset {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Text(text) => value.as_str() == Some(text),
            Self::Number(number) => value.as_i64() == Some(number),
            Self::False => value.as_bool() == Some(false),
            Self::EmptyObject => value.as_object().is_some_and(Map::is_empty),
        }
    }
}

/// A field of that kind, without a default.
pub(super) const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        preset: None,
    }
}
