//! Strategic merge patches: lists of things with a key are merged, thing by thing; the patch may say otherwise.
//!
//! | directive | where | does |
//! | --- | --- | --- |
//! | `$patch: replace` | a mapping, or an item of a list | takes the patch instead of what is there |
//! | `$patch: delete` | a mapping, or an item of a list | leaves nothing of the mapping, takes away the item |
//! | `$patch: merge` | either | what happens anyway |
//! | `$retainKeys: […]` | a mapping | takes away every field that is not named |
//! | `$deleteFromPrimitiveList/F: […]` | beside F | takes values out of a list of plain values |
//! | `$setElementOrder/F: […]` | beside F | the order of the list afterwards |

mod list;

use serde_json::{Map, Value};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Which lists of an API are merged item by item. All others are replaced as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lists {
    /// Those of a Pod, also inside a Deployment.
    Pods,
    /// None.
    Whole,
}

/// How two lists become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Merge {
    /// Items with the same value of this field are one.
    ByKey(&'static str),
    /// Plain values, each once.
    Values,
}

/// The lists that the API's types mark with the patch strategy `merge`, and their merge keys.
const OF_PODS: [(&str, Merge); 15] = [
    ("containers", Merge::ByKey("name")),
    ("initContainers", Merge::ByKey("name")),
    ("ephemeralContainers", Merge::ByKey("name")),
    ("env", Merge::ByKey("name")),
    ("ports", Merge::ByKey("containerPort")),
    ("volumeMounts", Merge::ByKey("mountPath")),
    ("volumeDevices", Merge::ByKey("devicePath")),
    ("volumes", Merge::ByKey("name")),
    ("imagePullSecrets", Merge::ByKey("name")),
    ("hostAliases", Merge::ByKey("ip")),
    ("topologySpreadConstraints", Merge::ByKey("topologyKey")),
    ("schedulingGates", Merge::ByKey("name")),
    ("resourceClaims", Merge::ByKey("name")),
    ("ownerReferences", Merge::ByKey("uid")),
    ("finalizers", Merge::Values),
];

impl Lists {
    fn merge_of(self, field: &str) -> Option<Merge> {
        match self {
            Lists::Pods => OF_PODS.iter().find(|(list, _)| *list == field).map(|(_, merge)| *merge),
            Lists::Whole => None,
        }
    }

    /// Changes `fields` as `patch` says.
    fn merge_map(self, fields: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), String> {
        if let Some(unknown) = patch.keys().find(|field| field.starts_with('$') && !is_directive(field)) {
            return Err(format!("`{unknown}` is no directive"));
        }
        match directive(patch)? {
            Directive::Replace => {
                *fields = self.as_new(patch)?;
                return Ok(());
            }
            Directive::Delete => {
                fields.clear();
                return Ok(());
            }
            Directive::Merge => {}
        }
        retain_keys(fields, patch)?;
        let orders = directives(patch, ORDER)
            .map(|(list, order)| Ok((list, order?, items_of(fields.get(list)).to_vec())))
            .collect::<Result<Vec<_>, String>>()?;
        for (list, values) in directives(patch, DELETE_FROM) {
            let values = values?;
            if let Some(Value::Array(items)) = fields.get_mut(list) {
                items.retain(|item| !values.contains(item));
            }
        }
        for (field, value) in patch.iter().filter(|(field, _)| !field.starts_with('$')) {
            self.merge_field(fields, field, value)?;
        }
        for (list, order, before) in orders {
            let Some(Value::Array(items)) = fields.get_mut(list) else { continue };
            let patched = items_of(patch.get(list));
            list::set_order(items, patched, order, &before, self.merge_of(list))
                .map_err(|reason| format!("`{ORDER}{list}`: {reason}"))?;
        }
        Ok(())
    }

    fn merge_field(self, fields: &mut Map<String, Value>, field: &str, patch: &Value) -> Result<(), String> {
        let within = |reason: String| format!("`{field}`: {reason}");
        match (fields.get_mut(field), patch) {
            (_, Value::Null) => drop(fields.remove(field)),
            (Some(Value::Object(fields)), Value::Object(patch)) => self.merge_map(fields, patch).map_err(within)?,
            (Some(Value::Array(items)), Value::Array(patch)) => match self.merge_of(field) {
                Some(merge) => list::merge(items, patch, merge, self).map_err(within)?,
                None => *items = patch.clone(),
            },
            // something of another kind, or nothing, is there
            (_, patch) => match self.as_new_value(field, patch).map_err(within)? {
                Some(value) => drop(fields.insert(field.to_owned(), value)),
                None => drop(fields.remove(field)),
            },
        }
        Ok(())
    }

    /// What a patch makes where nothing is, `None` for nothing.
    fn as_new_value(self, field: &str, patch: &Value) -> Result<Option<Value>, String> {
        match patch {
            Value::Object(patch) if directive(patch)? == Directive::Delete => Ok(None),
            Value::Object(patch) => self.as_new(patch).map(Value::Object).map(Some),
            Value::Array(patch) => match self.merge_of(field) {
                Some(merge) => {
                    let mut items = Vec::new();
                    list::merge(&mut items, patch, merge, self)?;
                    Ok(Some(Value::Array(items)))
                }
                None => Ok(Some(Value::Array(patch.clone()))),
            },
            other => Ok(Some(other.clone())),
        }
    }

    fn as_new(self, patch: &Map<String, Value>) -> Result<Map<String, Value>, String> {
        let mut fields = Map::new();
        let mut patch = patch.clone();
        patch.shift_remove(PATCH);
        self.merge_map(&mut fields, &patch)?;
        Ok(fields)
    }
}

/// Applies one patch. The error says what about it cannot be followed, and where.
pub(super) fn apply(target: &mut Value, patch: &Value, lists: Lists) -> Result<(), String> {
    match (target, patch) {
        (Value::Object(fields), Value::Object(patch)) => lists.merge_map(fields, patch),
        _ => Err("a strategic merge patch has to be a mapping".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Directive {
    Merge,
    Replace,
    Delete,
}

fn directive(patch: &Map<String, Value>) -> Result<Directive, String> {
    match patch.get(PATCH) {
        None => Ok(Directive::Merge),
        Some(name) => match name.as_str().unwrap_or_default() {
            "merge" => Ok(Directive::Merge),
            "replace" => Ok(Directive::Replace),
            "delete" => Ok(Directive::Delete),
            _ => Err(format!("`{PATCH}: {name}` is none of merge, replace and delete")),
        },
    }
}

fn is_directive(field: &str) -> bool {
    field == PATCH || field == RETAIN_KEYS || field.starts_with(DELETE_FROM) || field.starts_with(ORDER)
}

fn items_of(list: Option<&Value>) -> &[Value] {
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The fields that begin with `prefix`: the list each is about, and its values.
fn directives<'a>(
    patch: &'a Map<String, Value>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, Result<&'a [Value], String>)> {
    patch.iter().filter_map(move |(field, values)| {
        let list = field.strip_prefix(prefix)?;
        Some((list, values.as_array().map(Vec::as_slice).ok_or_else(|| format!("`{field}` has to be a list"))))
    })
}

/// Whoever names the fields to keep has to name those that the patch sets.
fn retain_keys(fields: &mut Map<String, Value>, patch: &Map<String, Value>) -> Result<(), String> {
    let Some(kept) = patch.get(RETAIN_KEYS) else { return Ok(()) };
    let kept = kept.as_array().ok_or(format!("`{RETAIN_KEYS}` has to be a list"))?;
    let is_kept = |field: &str| kept.iter().any(|kept| kept == field);
    let set = patch.iter().filter(|(field, value)| !field.starts_with('$') && !value.is_null());
    if let Some((field, _)) = set.into_iter().find(|(field, _)| !is_kept(field)) {
        return Err(format!("`{RETAIN_KEYS}` does not name `{field}`, which the patch sets"));
    }
    fields.retain(|field, _| is_kept(field));
    Ok(())
}

#[cfg(test)]
mod tests;
