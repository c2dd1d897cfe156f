//! A YAML document as a tree in which every value knows its line.
//!
//! Duplicate keys are kept, so that the decoder can name them. Bounded: size, number of values, depth, aliases and the
//! text that they stand for. Scalars are read as YAML 1.1 has them, like in kubeadm: `yes` is true, `0755` is octal.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_yaml::Spanned;

use super::complaint;

/// No configuration file is larger; what is, is the wrong file.
pub const MAX_BYTES: usize = 1 << 20;
/// Values in all documents together, aliases expanded.
pub(super) const MAX_NODES: usize = 20_000;
/// The deepest field of the APIs is ten levels down. Every level costs stack.
pub(super) const MAX_DEPTH: usize = 24;
pub(super) const MAX_DOCUMENTS: usize = 64;
/// Anchors, and aliases.
const MAX_ANCHORS: usize = 1000;
/// Text of all values together, aliases expanded.
pub(super) const MAX_TEXT: usize = 4 * MAX_BYTES;

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    /// From 1.
    pub(super) line: u64,
}

impl Node {
    /// What the value is, for a message that expected something else.
    pub(super) fn unexpected(&self) -> Unexpected<'_> {
        match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Int(value) => Unexpected::Signed(*value),
            Value::Float(value) => Unexpected::Float(*value),
            Value::Text(text) => Unexpected::Str(text),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_line: u64,
    pub(super) value: Node,
}

/// The documents of a YAML or JSON text; empty ones are left out. The error is a line, where known, and a message.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, (Option<u64>, String)> {
    if text.len() > MAX_BYTES {
        return Err((None, format!("the file has more than {MAX_BYTES} bytes")));
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_nodes: MAX_NODES,
            max_depth: MAX_DEPTH,
            max_documents: MAX_DOCUMENTS,
            max_anchors: MAX_ANCHORS,
            max_aliases: MAX_ANCHORS,
            max_total_scalar_bytes: MAX_TEXT,
            // comments are as long as the file lets them be
            max_buffered_comment_events: MAX_BYTES,
        },
        // the visitor sees every pair and reports duplicates itself
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_yaml::from_multiple_with_options::<Node>(text, options)
        .map_err(|error| (error.location().map(|location| location.line()), complaint::about(&error)))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Node { value: spanned.value, line: spanned.referenced.line() })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or(Value::Float(value as f64), Value::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some((key, value)) = entries.next_entry::<Spanned<String>, Node>()? {
            map.push(Entry { key_line: key.referenced.line(), key: key.value, value });
        }
        Ok(Value::Map(map))
    }
}

#[cfg(test)]
mod tests;
