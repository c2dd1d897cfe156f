//! Strategic merge patches of pods: lists of things with a name are merged, thing by thing.

use serde_json::{Map, Value};

const DIRECTIVE: &str = "$patch";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";

/// The field that tells the items of a list apart; the other lists are replaced as a whole.
const MERGE_KEYS: [(&str, &str); 13] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("env", "name"),
    ("volumes", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("resourceClaims", "name"),
    ("ownerReferences", "uid"),
];

/// Applies one patch. The error says what about it cannot be followed.
pub(super) fn apply(target: &mut Value, patch: &Value) -> Result<(), String> {
    match patch {
        Value::Object(patch) => merge_map(target, patch),
        _ => Err("a strategic merge patch has to be a mapping".to_owned()),
    }
}

fn directive(patch: &Map<String, Value>) -> Result<&str, String> {
    match patch.get(DIRECTIVE).map(|directive| directive.as_str().unwrap_or_default()) {
        None => Ok("merge"),
        Some(known @ ("merge" | "replace" | "delete")) => Ok(known),
        Some(other) => Err(format!("`{DIRECTIVE}: {other}` is none of merge, replace and delete")),
    }
}

fn without_directive(patch: &Map<String, Value>) -> Map<String, Value> {
    patch.iter().filter(|(field, _)| *field != DIRECTIVE).map(|(field, value)| (field.clone(), value.clone())).collect()
}

fn merge_map(target: &mut Value, patch: &Map<String, Value>) -> Result<(), String> {
    match directive(patch)? {
        "replace" => {
            *target = Value::Object(without_directive(patch));
            return Ok(());
        }
        "delete" => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        _ => {}
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return Ok(()) };
    for (field, value) in patch.iter().filter(|(field, _)| *field != DIRECTIVE) {
        if let Some(list) = field.strip_prefix(DELETE_FROM) {
            let gone = value.as_array().ok_or(format!("`{field}` has to be a list"))?;
            if let Some(Value::Array(items)) = fields.get_mut(list) {
                items.retain(|item| !gone.contains(item));
            }
            continue;
        }
        if field.starts_with('$') {
            return Err(format!("`{field}` is not supported"));
        }
        match value {
            Value::Null => drop(fields.remove(field)),
            Value::Object(patch) if directive(patch)? == "delete" => drop(fields.remove(field)),
            Value::Object(patch) => merge_map(fields.entry(field).or_insert(Value::Null), patch)?,
            Value::Array(patch) => merge_list(field, fields.entry(field).or_insert(Value::Null), patch)?,
            value => drop(fields.insert(field.clone(), value.clone())),
        }
    }
    Ok(())
}

fn merge_list(field: &str, target: &mut Value, patch: &[Value]) -> Result<(), String> {
    let Some((_, key)) = MERGE_KEYS.iter().find(|(list, _)| *list == field) else {
        *target = Value::Array(patch.to_vec());
        return Ok(());
    };
    if !target.is_array() {
        *target = Value::Array(Vec::new());
    }
    let Some(items) = target.as_array_mut() else { return Ok(()) };
    let patches: Vec<&Map<String, Value>> = patch
        .iter()
        .map(|item| item.as_object().ok_or(format!("the items of `{field}` have to be mappings")))
        .collect::<Result<_, _>>()?;
    let is_replacement = |patch: &&&Map<String, Value>| patch.get(DIRECTIVE).is_some_and(|value| value == "replace");
    if patches.iter().any(|patch| is_replacement(&patch)) {
        let kept = patches.iter().filter(|patch| !is_replacement(patch));
        *items = kept.map(|patch| Value::Object((*patch).clone())).collect();
        return Ok(());
    }
    for patch in patches {
        let name = patch.get(*key).ok_or(format!("an item of `{field}` has no `{key}`"))?;
        let found = items.iter().position(|item| item.get(*key) == Some(name));
        match (directive(patch)?, found) {
            ("delete", _) => items.retain(|item| item.get(*key) != Some(name)),
            (_, Some(position)) => merge_map(&mut items[position], patch)?,
            (_, None) => {
                let mut item = Value::Null;
                merge_map(&mut item, patch)?;
                items.push(item);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn lists_are_merged_by_name_and_directives_are_followed() {
        let pod = json!({"containers": [{"name": "a", "image": "x", "args": ["1"]}, {"name": "b"}], "l": {"k": "v"}});
        for (patch, expected) in [
            (
                json!({"containers": [{"name": "a", "image": "y", "args": ["2"]}]}),
                json!({"containers": [{"name": "a", "image": "y", "args": ["2"]}, {"name": "b"}], "l": {"k": "v"}}),
            ),
            (
                json!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "c"}], "l": null}),
                json!({"containers": [{"name": "b"}, {"name": "c"}]}),
            ),
            (
                json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
                json!({"containers": [{"name": "c"}], "l": {"k": "v"}}),
            ),
            (json!({"$patch": "replace", "z": 1}), json!({"z": 1})),
            (json!({"containers": null, "l": {"$patch": "replace", "m": "w"}}), json!({"l": {"m": "w"}})),
            (json!({"containers": null, "l": {"$patch": "delete"}}), json!({})),
        ] {
            let mut value = pod.clone();
            apply(&mut value, &patch).unwrap();
            assert_eq!(value, expected, "{patch}");
        }
        for patch in [json!([]), json!({"$retainKeys": []}), json!({"containers": [{}]}), json!({"l": {"$patch": "x"}})]
        {
            assert!(apply(&mut pod.clone(), &patch).is_err(), "{patch}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_second_time_changes_nothing(names in prop::collection::vec("[a-c]", 0..6), image in "[x-z]") {
            let items: Vec<Value> = names.iter().map(|name| json!({"name": name, "image": image})).collect();
            let patch = json!({"containers": items});
            let mut once = json!({"containers": [{"name": "a", "image": "o"}]});
            apply(&mut once, &patch).unwrap();
            let mut twice = once.clone();
            apply(&mut twice, &patch).unwrap();
            prop_assert_eq!(once, twice);
        }
    }
}
