//! PURE: from the text of a manifest to the API's pod, as far as that can be told without looking into it [1.D].

use k8s_openapi::api::core::v1 as api;
use serde_json::Value;

use crate::error::{Context, Result};

/// A text that is read.
pub(super) struct Document<'a> {
    /// With nothing after the first document; `None`: it is JSON.
    text: Option<&'a str>,
    pub(super) value: Value,
    /// More documents follow, which do not count [1.30].
    pub(super) is_first_of_many: bool,
}

impl Document<'_> {
    pub(super) fn kind(&self) -> Option<&str> {
        self.value.get("kind").and_then(Value::as_str)
    }

    /// The pod in it.
    pub(super) fn pod(&self) -> Result<api::Pod> {
        let field = |name: &str| self.value.get(name).and_then(Value::as_str);
        if field("kind") != Some("Pod") || field("apiVersion") != Some("v1") {
            let [kind, version] = ["kind", "apiVersion"].map(|name| field(name).unwrap_or("none"));
            anyhow::bail!("invalid pod: kind `{kind}`, apiVersion `{version}`");
        }
        let json;
        // JSON may be indented by tabs, YAML may not
        let text = match self.text {
            Some(text) => text,
            None => {
                json = self.value.to_string();
                &json
            }
        };
        let options = serde_yaml::options! { legacy_octal_numbers: true, with_snippet: false };
        let pods = serde_yaml::from_multiple_with_options::<api::Pod>(text, options).context("it is no valid pod")?;
        pods.into_iter().next().context("it is empty")
    }
}

/// A JSON value as if it had been read from a text of its own.
pub(super) fn of_item(item: &Value) -> Result<(Value, api::Pod)> {
    let mut item = item.clone();
    // the items of a list need not say what they are
    if let Value::Object(fields) = &mut item {
        fields.entry("apiVersion").or_insert_with(|| "v1".into());
        fields.entry("kind").or_insert_with(|| "Pod".into());
    }
    let document = Document { text: None, value: item, is_first_of_many: false };
    let pod = document.pod()?;
    Ok((document.value, pod))
}

pub(super) fn read(bytes: &[u8]) -> Result<Document<'_>> {
    let text = std::str::from_utf8(bytes).context("it is not UTF-8 text")?;
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str(text)
    {
        return Ok(Document { text: None, value, is_first_of_many: false });
    }
    let (text, is_first_of_many) = first(text);
    let options = serde_yaml::options! { legacy_octal_numbers: true, with_snippet: false };
    let mut values: Vec<Value> = serde_yaml::from_multiple_with_options(text, options).context("not YAML")?;
    values.retain(|value| !value.is_null());
    anyhow::ensure!(!values.is_empty(), "it is empty");
    Ok(Document { text: Some(text), value: values.remove(0), is_first_of_many })
}

/// What a text holds up to the end of its first document, and whether more follows. Documents that hold nothing but
/// comments do not count. A line that begins with a marker ends a document wherever it stands (YAML 1.2, 9.1.2).
fn first(text: &str) -> (&str, bool) {
    let mut has_content = false;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if has_content && marked(line).is_some() {
            return (&text[..offset], text[offset..].lines().any(is_content));
        }
        has_content |= is_content(line);
        offset += line.len();
    }
    (text, false)
}

/// What stands after the marker that begins or ends a document.
fn marked(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."))?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then_some(rest)
}

fn is_content(line: &str) -> bool {
    // directives stand before a document
    let rest = marked(line).unwrap_or(line).trim_start_matches('\u{feff}').trim();
    !rest.is_empty() && !rest.starts_with('#') && !line.starts_with('%')
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn the_first_document_with_content_counts() {
        for (text, expected) in [
            ("", ("", false)),
            ("a: b", ("a: b", false)),
            ("# c\n---\n---\na: b\n", ("# c\n---\n---\na: b\n", false)),
            ("%YAML 1.2\n---\na: b\n...\n", ("%YAML 1.2\n---\na: b\n", false)),
            ("a: b\n---\n", ("a: b\n", false)),
            ("a: b\n--- # c\n\n---\n", ("a: b\n", false)),
            ("a: b\n---\nc: d\n", ("a: b\n", true)),
            ("a: b\r\n---\r\n]", ("a: b\r\n", true)),
            ("--- {a: b}\n--- {c: d}\n", ("--- {a: b}\n", true)),
            ("a: |\n  ---\n ---\n---x: y\n", ("a: |\n  ---\n ---\n---x: y\n", false)),
        ] {
            assert_eq!(first(text), expected, "{text:?}");
        }
    }
}
