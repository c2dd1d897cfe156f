//! PURE: fields that are written in a manifest and mean nothing to the API, such as misspelt ones.
//!
//! The API's types skip what they do not know. What was skipped shows by comparison: it is in the text and not in
//! the pod that was read from it.

use serde_json::Value;

/// The paths that are in `written` and not in `understood`. Nulls count as not written.
pub(crate) fn fields(written: &Value, understood: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(written, understood, String::new(), &mut found);
    found
}

fn compare(written: &Value, understood: &Value, path: String, found: &mut Vec<String>) {
    match (written, understood) {
        (Value::Object(written), Value::Object(understood)) => {
            for (name, value) in written.iter().filter(|(_, value)| !value.is_null()) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match understood.get(name) {
                    Some(other) => compare(value, other, path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(written), Value::Array(understood)) => {
            for (index, (value, other)) in written.iter().zip(understood).enumerate() {
                compare(value, other, format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::fields;
    use serde_json::json;

    #[test]
    fn a_misspelt_field_is_named_with_its_path() {
        let written =
            json!({"spec": {"hostNetwrok": true, "containers": [{"name": "a", "comand": ["x"]}], "os": null}});
        let understood = json!({"spec": {"containers": [{"name": "a"}]}});
        assert_eq!(fields(&written, &understood), ["spec.hostNetwrok", "spec.containers[0].comand"]);
    }

    #[test]
    fn defaults_and_other_spellings_of_a_value_are_no_difference() {
        let written = json!({"a": 1, "b": {"c": []}});
        let understood = json!({"a": "1", "b": {"c": [], "d": 0}, "e": true});
        assert!(fields(&written, &understood).is_empty());
    }
}
