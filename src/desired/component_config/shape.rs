//! What a field of a component's configuration may hold, and how it is written: as kubeadm does, which reads the
//! document into Go's types and writes those.
//!
//! A table names every field. What stands in the document under another name has no place in those types, and is left
//! out with a warning.

use serde_json::{Map, Number as JsonNumber, Value};

use crate::config::file::suggest::nearest;
use crate::config::{duration, quantity};

/// A field of a struct.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    name: &'static str,
    presence: Presence,
    shape: Shape,
    /// The first and the last minor whose kubeadm knows it; `None` for those that came before or after our time.
    since: Option<u64>,
    until: Option<u64>,
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// With the zero of its shape where the user gave nothing.
    Always,
    /// Unless it is zero or empty.
    UnlessZero,
    /// Where the user gave it, zero or not.
    IfGiven,
    /// As `null` where the user gave nothing.
    OrNull,
}

/// What a value has to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    Text,
    Bool,
    /// From the least to the greatest.
    Integer(i64, i64),
    Number,
    Duration,
    /// A duration, or its number of nanoseconds; written as it was given.
    DurationOrNanoseconds,
    Quantity,
    List(&'static Shape),
    Map(&'static Shape),
    Struct(&'static [Field]),
}

pub(super) const INT32: Shape = Shape::Integer(i32::MIN as i64, i32::MAX as i64);
pub(super) const INT64: Shape = Shape::Integer(i64::MIN, i64::MAX);
pub(super) const UINT32: Shape = Shape::Integer(0, u32::MAX as i64);

pub(super) const fn always(name: &'static str, shape: Shape) -> Field {
    Field { name, presence: Presence::Always, shape, since: None, until: None }
}

pub(super) const fn unless_zero(name: &'static str, shape: Shape) -> Field {
    Field { name, presence: Presence::UnlessZero, shape, since: None, until: None }
}

pub(super) const fn if_given(name: &'static str, shape: Shape) -> Field {
    Field { name, presence: Presence::IfGiven, shape, since: None, until: None }
}

pub(super) const fn or_null(name: &'static str, shape: Shape) -> Field {
    Field { name, presence: Presence::OrNull, shape, since: None, until: None }
}

impl Field {
    pub(super) const fn since(self, minor: u64) -> Field {
        Field { since: Some(minor), ..self }
    }

    pub(super) const fn until(self, minor: u64) -> Field {
        Field { until: Some(minor), ..self }
    }

    fn is_known_to(&self, minor: u64) -> bool {
        self.since.is_none_or(|since| since <= minor) && self.until.is_none_or(|until| minor <= until)
    }
}

/// Reads documents for the types of one minor, and collects what is wrong with them.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) minor: u64,
    /// Values of another shape, with their paths.
    pub(super) misfits: Vec<String>,
    /// Fields that nobody knows, with their paths.
    pub(super) strangers: Vec<String>,
}

impl Reader {
    pub(super) fn new(minor: u64) -> Reader {
        Reader { minor, misfits: Vec::new(), strangers: Vec::new() }
    }

    /// The document as it is written.
    pub(super) fn structure(&mut self, fields: &[Field], given: &Map<String, Value>, path: &str) -> Map<String, Value> {
        let known: Vec<&Field> = fields.iter().filter(|field| field.is_known_to(self.minor)).collect();
        let inside = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        for name in given.keys().filter(|name| known.iter().all(|field| field.name != *name)) {
            let names: Vec<&str> = known.iter().map(|field| field.name).collect();
            let hint = nearest(name, &names).map_or_else(|| ".".to_owned(), |name| format!("; did you mean `{name}`?"));
            self.strangers.push(format!("{}: unknown field{hint}", inside(name)));
        }
        let mut written = Map::new();
        for field in known {
            let value = given.get(field.name).filter(|value| !value.is_null());
            let value = value.and_then(|value| self.value(field.shape, value, &inside(field.name)));
            let value = match (field.presence, value) {
                (Presence::Always, None) => self.zero(field.shape),
                (Presence::UnlessZero, Some(value)) if is_zero(&value) => continue,
                (Presence::UnlessZero | Presence::IfGiven, None) => continue,
                (Presence::OrNull, None) => Value::Null,
                (_, Some(value)) => value,
            };
            written.insert(field.name.to_owned(), value);
        }
        written
    }

    /// `None` after a misfit.
    fn value(&mut self, shape: Shape, value: &Value, path: &str) -> Option<Value> {
        let expected = match (shape, value) {
            (Shape::Text, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => return Some(value.clone()),
            (Shape::Integer(least, greatest), Value::Number(number)) => {
                match whole(number).filter(|number| (least..=greatest).contains(number)) {
                    Some(number) => return Some(number.into()),
                    None => return self.misfit(path, &format!("a whole number from {least} to {greatest}")),
                }
            }
            (Shape::Number, Value::Number(number)) => {
                return Some(whole(number).map_or_else(|| value.clone(), Value::from));
            }
            (Shape::DurationOrNanoseconds, Value::Number(number)) if whole(number).is_some() => {
                return whole(number).map(Value::from);
            }
            (Shape::Duration | Shape::DurationOrNanoseconds, Value::String(text)) => match duration::parse(text) {
                Ok(duration) => return Some(duration::format(duration).into()),
                Err(reason) => {
                    self.misfits.push(format!("`{path}`: {reason}"));
                    return None;
                }
            },
            (Shape::Quantity, Value::String(_) | Value::Number(_)) => {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                match quantity::canonical(text.trim()) {
                    Some(quantity) => return Some(quantity.into()),
                    None => return self.misfit(path, "a quantity such as `512Mi`"),
                }
            }
            (Shape::List(shape), Value::Array(items)) => {
                let items = items.iter().enumerate();
                return Some(
                    items.filter_map(|(index, item)| self.item(*shape, item, &format!("{path}[{index}]"))).collect(),
                );
            }
            (Shape::Map(shape), Value::Object(entries)) => {
                let entries = entries.iter().filter_map(|(key, value)| {
                    Some((key.clone(), self.item(*shape, value, &format!("{path}.{key}"))?))
                });
                return Some(Value::Object(entries.collect()));
            }
            (Shape::Struct(fields), Value::Object(given)) => {
                return Some(Value::Object(self.structure(fields, given, path)));
            }
            (Shape::Text, _) => "a text",
            (Shape::Bool, _) => "true or false",
            (Shape::Integer(..) | Shape::Number, _) => "a number",
            (Shape::Duration | Shape::DurationOrNanoseconds, _) => "a duration such as `90s`",
            (Shape::Quantity, _) => "a quantity such as `512Mi`",
            (Shape::List(_), _) => "a list",
            (Shape::Map(_) | Shape::Struct(_), _) => "a mapping",
        };
        self.misfit(path, expected)
    }

    /// In a list or a map `null` stands for zero.
    fn item(&mut self, shape: Shape, value: &Value, path: &str) -> Option<Value> {
        if value.is_null() { Some(self.zero(shape)) } else { self.value(shape, value, path) }
    }

    fn misfit(&mut self, path: &str, expected: &str) -> Option<Value> {
        self.misfits.push(format!("`{path}` has to be {expected}"));
        None
    }

    fn zero(&mut self, shape: Shape) -> Value {
        match shape {
            Shape::Text => "".into(),
            Shape::Bool => false.into(),
            Shape::Integer(..) | Shape::Number | Shape::DurationOrNanoseconds => 0.into(),
            Shape::Duration => "0s".into(),
            Shape::Quantity => "0".into(),
            Shape::List(_) | Shape::Map(_) => Value::Null,
            Shape::Struct(fields) => Value::Object(self.structure(fields, &Map::new(), "")),
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

/// `5` and `5.0` are the same number.
fn whole(number: &JsonNumber) -> Option<i64> {
    let from_float = || {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9e15)?;
        Some(float as i64)
    };
    number.as_i64().or_else(from_float)
}
