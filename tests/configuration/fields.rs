//! The fields of a struct and of all that it holds, asked of the struct itself.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{Error, StrDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};

/// What a field without fields of its own holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaf {
    Boolean,
    Number,
    Text,
    /// A struct of Kubernetes' core API.
    Core,
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Structs of another API: their fields are described elsewhere.
const CORE: [&str; 2] = ["EnvVar", "Taint"];

/// Dotted paths: `[]` stands for each entry of a list, `*` for somebody's own key.
pub(super) fn of<'de, T: Deserialize<'de>>() -> Vec<(String, Leaf)> {
    let mut found = Vec::new();
    // a struct of another API stops before its value is complete
    let _ = T::deserialize(Walk { path: String::new(), found: &mut found });
    // what every document has
    found.retain(|(path, _)| path != "apiVersion" && path != "kind");
    found
}

/// Answers every question with the emptiest value that has one of everything, and writes the questions down.
struct Walk<'a> {
    path: String,
    found: &'a mut Vec<(String, Leaf)>,
}

impl Walk<'_> {
    fn leaf(self, leaf: Leaf) {
        self.found.push((self.path, leaf));
    }
}

impl<'de> Deserializer<'de> for Walk<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom(format!("`{}` has no type", self.path)))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf(Leaf::Boolean);
        visitor.visit_bool(false)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf(Leaf::Number);
        visitor.visit_i32(0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.leaf(Leaf::Text);
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(Once { walk: Some(Walk { path: format!("{}[]", self.path), found: self.found }) })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Entries { path: self.path, found: self.found, fields: &["*"], next: 0 })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if CORE.contains(&name) {
            self.leaf(Leaf::Core);
            return visitor.visit_map(Entries { path: String::new(), found: &mut Vec::new(), fields: &[], next: 0 });
        }
        visitor.visit_map(Entries { path: self.path, found: self.found, fields, next: 0 })
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i64 u8 u16 u32 u64 f32 f64 char str bytes byte_buf unit unit_struct tuple tuple_struct enum identifier
        ignored_any
    }
}

struct Once<'a> {
    walk: Option<Walk<'a>>,
}

impl<'de> SeqAccess<'de> for Once<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.walk.take().map(|walk| seed.deserialize(walk)).transpose()
    }
}

struct Entries<'a> {
    path: String,
    found: &'a mut Vec<(String, Leaf)>,
    fields: &'static [&'static str],
    next: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some(field) = self.fields.get(self.next) else { return Ok(None) };
        let key: StrDeserializer<'_, Error> = field.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let field = self.fields[self.next];
        self.next += 1;
        let dot = if self.path.is_empty() { "" } else { "." };
        seed.deserialize(Walk { path: format!("{}{dot}{field}", self.path), found: self.found })
    }
}
