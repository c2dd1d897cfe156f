//! What to say about a field that a struct does not have: a near name, the other document, where it went.

use serde::Deserialize;
use serde::de::value::Error;
use serde::de::{Deserializer, Error as _, Visitor};

use super::document::{ApiVersion, CLUSTER, INIT};
use super::suggest::nearest;
use super::{v1beta3, v1beta4};

/// Fields of older versions of the API and what took their place.
const MOVED: [(&str, &str); 1] =
    [("timeoutForControlPlane", "it is InitConfiguration's `timeouts.controlPlaneComponentHealthCheck` now")];

/// The rest of the sentence `unknown field…`. `at_top` is for fields of the document itself.
pub(super) fn unknown_field(version: ApiVersion, name: &str, known: &[&str], at_top: bool) -> String {
    let moved = MOVED.iter().find(|(old, _)| version == ApiVersion::V1Beta4 && *old == name);
    if let Some((_, instead)) = moved {
        return format!("; {instead}");
    }
    if at_top {
        let documents = match version {
            ApiVersion::V1Beta4 => [
                (INIT, fields_of::<v1beta4::InitConfiguration>()),
                (CLUSTER, fields_of::<v1beta4::ClusterConfiguration>()),
            ],
            ApiVersion::V1Beta3 => [
                (INIT, fields_of::<v1beta3::InitConfiguration>()),
                (CLUSTER, fields_of::<v1beta3::ClusterConfiguration>()),
            ],
        };
        if let Some((kind, _)) = documents.iter().find(|(_, fields)| fields.contains(&name)) {
            return format!("; it belongs to {kind}");
        }
    }
    if version == ApiVersion::V1Beta3 && is_new(name) {
        return "; it is one of v1beta4".to_owned();
    }
    nearest(name, known).map_or(String::new(), |name| format!("; did you mean `{name}`?"))
}

/// Whether any struct that v1beta4 changed has such a field.
fn is_new(name: &str) -> bool {
    [
        fields_of::<v1beta4::InitConfiguration>(),
        fields_of::<v1beta4::ClusterConfiguration>(),
        fields_of::<v1beta4::NodeRegistration>(),
        fields_of::<v1beta4::ApiServer>(),
        fields_of::<v1beta4::ExternalEtcd>(),
        fields_of::<v1beta4::Dns>(),
    ]
    .iter()
    .any(|fields| fields.contains(&name))
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
        let newer = |name: &str, known: &[&str], at_top| unknown_field(ApiVersion::V1Beta4, name, known, at_top);
        let known = fields_of::<v1beta4::InitConfiguration>();
        assert_eq!(newer("networking", known, true), "; it belongs to ClusterConfiguration");
        assert_eq!(newer("timeoutz", known, true), "; did you mean `timeouts`?");
        assert_eq!(newer("networking", &["name"], false), "");
        assert!(newer("timeoutForControlPlane", &[], false).contains("controlPlaneComponentHealthCheck"));
        let older = |name: &str, known: &[&str], at_top| unknown_field(ApiVersion::V1Beta3, name, known, at_top);
        assert_eq!(older("timeouts", fields_of::<v1beta3::InitConfiguration>(), true), "; it is one of v1beta4");
        assert_eq!(
            older("networkin", fields_of::<v1beta3::ClusterConfiguration>(), true),
            "; did you mean `networking`?"
        );
    }
}
