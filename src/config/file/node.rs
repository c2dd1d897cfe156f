//! A YAML document as a tree in which every value knows its line.
//!
//! Duplicate keys are kept, so that the decoder can name them. Bounded: size, number of nodes, depth and aliases.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};
use serde_yaml::Spanned;

/// No configuration file is larger; what is, is the wrong file.
const MAX_BYTES: usize = 1 << 20;
/// Values in all documents together, aliases expanded.
const MAX_NODES: usize = 20_000;
const MAX_DEPTH: usize = 64;

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
        return Err((None, format!("the file has {} bytes, more than {MAX_BYTES}", text.len())));
    }
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! { max_nodes: MAX_NODES, max_depth: MAX_DEPTH, max_documents: 64 },
        // the visitor sees every pair and reports duplicates itself
        duplicate_keys: serde_yaml::options::DuplicateKeyPolicy::LastWins,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_yaml::from_multiple_with_options::<Node>(text, options).map_err(|error| {
        let line = error.location().map(|location| location.line());
        // the position stands in front of the finding already
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        (line, message)
    })
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn documents_keep_lines_and_duplicates() {
        let documents = parse("a: 1\nb:\n- x\na: 2\n---\n---\nc: d\n").unwrap();
        assert_eq!(documents.len(), 2);
        let Value::Map(entries) = &documents[0].value else { panic!("not a map") };
        let seen: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.key_line)).collect();
        assert_eq!(seen, [("a", 1), ("b", 2), ("a", 4)]);
    }

    #[test]
    fn json_with_tabs_is_yaml_too() {
        assert_eq!(parse("{\n\t\"a\": {\"b\": 3}\n}\n").unwrap().len(), 1);
    }

    #[test]
    fn bombs_are_refused() {
        let mut laughs = String::from("a: &a [x, x, x, x, x, x, x, x, x, x]\n");
        for (this, before) in ["b", "c", "d", "e", "f", "g", "h"].iter().zip(["a", "b", "c", "d", "e", "f", "g"]) {
            let aliases = vec![format!("*{before}"); 10].join(", ");
            laughs.push_str(&format!("{this}: &{this} [{aliases}]\n"));
        }
        assert!(parse(&laughs).is_err());
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&format!("a: {}", "x".repeat(2 << 20))).is_err());
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let (line, message) = parse("a: b\nc: [\n").unwrap_err();
        assert_eq!(line, Some(2));
        assert!(!message.contains("line"), "{message}");
    }
}
