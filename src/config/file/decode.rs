//! Decodes a tree into the API's structs, strictly: an unknown field, a field given twice or a value of the wrong
//! type is a finding with its line and path.
//!
//! A finding does not hide the next one: the value at fault is taken out of the tree and decoding starts again.

use std::collections::HashMap;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};

use super::document::ApiVersion;
use super::hint;
use super::node::{Entry, Node, Value};
use crate::config::problem::{Origin, Problem};

/// After so many findings the file is not what it claims to be.
const MAX_PROBLEMS: usize = 50;
/// Characters of a key that a path shows.
const LONGEST_KEY: usize = 80;

/// The decoded document, as far as it could be decoded, and all that is wrong with it.
pub(super) fn decode<T: DeserializeOwned + Default>(mut root: Node, version: ApiVersion) -> (T, Vec<Problem>) {
    let mut problems = Vec::new();
    while problems.len() < MAX_PROBLEMS {
        match T::deserialize(Decoder { node: &root, version, address: Vec::new() }) {
            Ok(value) => return (value, problems),
            Err(misfit) => {
                let address = misfit.address.unwrap_or_default();
                let (field, line) = locate(&root, &address);
                let mut message = misfit.message;
                if field.to_lowercase().ends_with("extraargs") {
                    // as the other version has it
                    match version {
                        ApiVersion::V1Beta4 if message.ends_with("found a mapping") => {
                            message.push_str("; write each flag as `- name: …` and `value: …`");
                        }
                        ApiVersion::V1Beta3 if message.ends_with("found a list") => {
                            message.push_str("; write each flag as `name: value`");
                        }
                        _ => {}
                    }
                }
                problems.push(Problem { field, message, origin: Some(Origin::Line(line)) });
                if address.is_empty() {
                    break;
                }
                remove(&mut root, &address);
            }
        }
    }
    (T::default(), problems)
}

/// Where a value is: the position in each list or map from the root down.
type Address = Vec<usize>;

/// The dotted path of the value at an address and the line of its key.
fn locate(root: &Node, address: &[usize]) -> (String, u64) {
    let (mut path, mut line, mut node) = (String::new(), root.line, root);
    for &index in address {
        match &node.value {
            Value::Map(entries) => {
                push_key(&mut path, &entries[index].key);
                node = &entries[index].value;
                line = entries[index].key_line;
            }
            Value::List(items) => {
                path.push_str(&format!("[{index}]"));
                node = &items[index];
                line = node.line;
            }
            _ => break,
        }
    }
    (path, line)
}

/// Adds a key to a dotted path; of a key that no field has, the beginning.
pub(super) fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    match key.char_indices().nth(LONGEST_KEY) {
        Some((end, _)) => path.extend([&key[..end], "…"]),
        None => path.push_str(key),
    }
}

fn remove(root: &mut Node, address: &[usize]) {
    let Some((&last, above)) = address.split_last() else { return };
    let mut node = root;
    for &index in above {
        node = match &mut node.value {
            Value::Map(entries) => &mut entries[index].value,
            Value::List(items) => &mut items[index],
            _ => return,
        };
    }
    match &mut node.value {
        Value::Map(entries) => drop(entries.remove(last)),
        Value::List(items) => drop(items.remove(last)),
        _ => {}
    }
}

/// Why decoding stopped; the first decoder that sees the error knows the address.
#[derive(Debug)]
struct Misfit {
    message: String,
    address: Option<Address>,
}

impl Misfit {
    fn at(mut self, address: &[usize]) -> Self {
        self.address.get_or_insert_with(|| address.to_vec());
        self
    }

    fn new(message: String, address: Address) -> Self {
        Misfit { message, address: Some(address) }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Misfit { message: message.to_string(), address: None }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = match expected.to_string() {
            sequence if sequence == "a sequence" => "a list".to_owned(),
            map if map == "a map" => "a mapping".to_owned(),
            other => other,
        };
        let (found, scalar) = match found {
            Unexpected::Map => ("a mapping".to_owned(), false),
            Unexpected::Seq => ("a list".to_owned(), false),
            Unexpected::Str(_) => ("a string".to_owned(), false),
            Unexpected::Unit => ("nothing".to_owned(), false),
            Unexpected::Bool(value) => (format!("the boolean `{value}`"), true),
            // not shown: a token of digits only looks like a number
            Unexpected::Signed(_) | Unexpected::Float(_) => ("a number".to_owned(), true),
            other => (other.to_string(), false),
        };
        let hint = if expected == "a string" && scalar { "; put it in quotes" } else { "" };
        de::Error::custom(format!("expected {expected}, found {found}{hint}"))
    }
}

struct Decoder<'a> {
    node: &'a Node,
    /// The words that hints may use.
    version: ApiVersion,
    address: Address,
}

impl<'a> Decoder<'a> {
    fn child(&self, index: usize, node: &'a Node) -> Decoder<'a> {
        let mut address = self.address.clone();
        address.push(index);
        Decoder { node, version: self.version, address }
    }

    /// Visits a map whose keys were looked at already.
    fn map<'de, V: Visitor<'de>>(self, entries: &'a [Entry], null: Null, visitor: V) -> Result<V::Value, Misfit> {
        let mut seen = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if let Some(first) = seen.insert(entry.key.as_str(), entry.key_line) {
                let address = self.child(index, &entry.value).address;
                return Err(Misfit::new(format!("given twice, first on line {first}"), address));
            }
        }
        let address = self.address.clone();
        let entries = Entries { decoder: self, entries, next: 0, null };
        visitor.visit_map(entries).map_err(|misfit: Misfit| misfit.at(&address))
    }
}

/// What an entry without a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Null {
    /// The same as leaving it out, as it does for Go's decoder: a field.
    Absent,
    /// An entry: somebody's own key.
    Value,
}

impl<'de> Deserializer<'de> for Decoder<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let address = self.address.clone();
        match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Int(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_str(value),
            Value::List(items) => visitor.visit_seq(Items { decoder: self, items, next: 0 }),
            Value::Map(entries) => return self.map(entries, Null::Value, visitor),
        }
        .map_err(|misfit: Misfit| misfit.at(&address))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// The one place that knows the names of fields: every struct comes through here with its own.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let Value::Map(entries) = &self.node.value else {
            // a derived visitor would take a list for the fields in order
            let misfit: Misfit = de::Error::invalid_type(self.node.unexpected(), &"a mapping");
            return Err(misfit.at(&self.address));
        };
        for (index, entry) in entries.iter().enumerate() {
            if !fields.contains(&entry.key.as_str()) {
                let hint = hint::unknown_field(self.version, &entry.key, fields, self.address.is_empty());
                let address = self.child(index, &entry.value).address;
                return Err(Misfit::new(format!("unknown field{hint}"), address));
            }
        }
        self.map(entries, Null::Absent, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Items<'a> {
    decoder: Decoder<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let decoder = self.decoder.child(self.next, item);
        let address = decoder.address.clone();
        self.next += 1;
        seed.deserialize(decoder).map(Some).map_err(|misfit| misfit.at(&address))
    }
}

struct Entries<'a> {
    decoder: Decoder<'a>,
    entries: &'a [Entry],
    next: usize,
    null: Null,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let skipped = |entry: &Entry| self.null == Null::Absent && matches!(entry.value.value, Value::Null);
        while self.entries.get(self.next).is_some_and(skipped) {
            self.next += 1;
        }
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Misfit> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let decoder = self.decoder.child(self.next, &self.entries[self.next].value);
        let address = decoder.address.clone();
        self.next += 1;
        seed.deserialize(decoder).map_err(|misfit| misfit.at(&address))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::file::node::parse;
    use crate::config::file::v1beta4::ClusterConfiguration;

    fn findings(text: &str) -> Vec<String> {
        let (_, problems) = decode::<ClusterConfiguration>(parse(text).unwrap().remove(0), ApiVersion::V1Beta4);
        problems
            .into_iter()
            .map(|problem| {
                let Some(Origin::Line(line)) = problem.origin else { panic!("no line") };
                format!("{line}: {}: {}", problem.field, problem.message)
            })
            .collect()
    }

    #[test]
    fn every_misfit_is_found_with_line_and_path() {
        let text = "\
clusterName: a
networkingg: {}
apiServer:
  extraArgs:
  - name: v
    value: 4
  - name: x
    vlaue: y
  extraEnvs:
  - name: A
    valueFrom:
      fieldReff: {}
  certSANs: no
clusterName: b
etcd:
  local: [1]
";
        let mut found = findings(text);
        found.sort_by_key(|line| line.split(':').next().and_then(|line| line.parse::<u64>().ok()));
        assert_eq!(
            found,
            [
                "2: networkingg: unknown field; did you mean `networking`?",
                "6: apiServer.extraArgs[0].value: expected a string, found a number; put it in quotes",
                "8: apiServer.extraArgs[1].vlaue: unknown field; did you mean `value`?",
                "12: apiServer.extraEnvs[0].valueFrom.fieldReff: unknown field; did you mean `fieldRef`?",
                "13: apiServer.certSANs: expected a list, found the boolean `false`",
                "14: clusterName: given twice, first on line 1",
                "16: etcd.local: expected a mapping, found a list",
            ]
        );
    }

    #[test]
    fn null_is_the_same_as_absent() {
        assert!(findings("networking:\nclusterName: ~\netcd:\n  local: null\n").is_empty());
        // but a gate of the user's is no field
        assert_eq!(
            findings("featureGates:\n  PublicKeysECDSA:\n"),
            ["2: featureGates.PublicKeysECDSA: expected a boolean, found nothing"]
        );
    }
}
