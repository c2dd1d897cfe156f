//! What to say about a field that a struct does not have: a near name, the other document, where it went.

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

use super::suggest::nearest;
use super::v1beta4::{ClusterConfiguration, InitConfiguration};

/// Fields of older versions of the API and what took their place.
const MOVED: [(&str, &str); 1] =
    [("timeoutForControlPlane", "it is InitConfiguration's `timeouts.controlPlaneComponentHealthCheck` now")];

/// The rest of the sentence `unknown field…`. `at_top` is for fields of the document itself.
pub(super) fn unknown_field(name: &str, known: &[&str], at_top: bool) -> String {
    if let Some((_, instead)) = MOVED.iter().find(|(old, _)| *old == name) {
        return format!("; {instead}");
    }
    if at_top {
        for (kind, fields) in [
            ("InitConfiguration", fields_of::<InitConfiguration>()),
            ("ClusterConfiguration", fields_of::<ClusterConfiguration>()),
        ] {
            if fields.contains(&name) {
                return format!("; it belongs to {kind}");
            }
        }
    }
    nearest(name, known).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// The names that a struct asks its deserializer for.
fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // it always fails, once it has asked
    let _ = T::deserialize(Asked(&mut fields));
    fields
}

struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Asked<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("asked"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints() {
        let known = fields_of::<InitConfiguration>();
        assert_eq!(unknown_field("networking", known, true), "; it belongs to ClusterConfiguration");
        assert_eq!(unknown_field("timeoutz", known, true), "; did you mean `timeouts`?");
        assert_eq!(unknown_field("networking", &["name"], false), "");
        assert!(unknown_field("timeoutForControlPlane", &[], false).contains("controlPlaneComponentHealthCheck"));
    }
}
