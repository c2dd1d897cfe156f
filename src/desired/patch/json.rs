//! JSON patches, RFC 6902.

use serde_json::Value;

/// Applies a list of operations. The error names the operation; what came before it is done.
pub(super) fn apply(target: &mut Value, patch: &Value) -> Result<(), String> {
    let operations = patch.as_array().ok_or("a JSON patch has to be a list of operations")?;
    for (index, operation) in operations.iter().enumerate() {
        perform(target, operation).map_err(|reason| format!("operation {index}: {reason}"))?;
    }
    Ok(())
}

fn perform(target: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |field: &str| operation[field].as_str().ok_or(format!("`{field}` is missing"));
    let value = || operation.get("value").cloned().ok_or("`value` is missing".to_owned());
    let op = text("op")?;
    let grows = matches!(op, "add" | "move" | "copy");
    let path = &from_the_front(target, text("path")?, grows);
    match op {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop),
        "replace" => {
            let value = value()?;
            *target.pointer_mut(path).ok_or(absent(path))? = value;
            Ok(())
        }
        "move" => {
            let from = &from_the_front(target, text("from")?, false);
            if path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                return Err(format!("`{from}` cannot move into itself"));
            }
            let value = remove(target, from)?;
            add(target, path, value)
        }
        "copy" => {
            let from = &from_the_front(target, text("from")?, false);
            let value = target.pointer(from).cloned().ok_or(absent(from))?;
            add(target, path, value)
        }
        "test" if target.pointer(path) == Some(&value()?) => Ok(()),
        "test" => Err(format!("`{path}` does not have the value that it is tested for")),
        other => Err(format!("`{other}` is no operation")),
    }
}

/// The same path with positions that are counted from the end of their list, `-1` for the last, counted from its front:
/// kubeadm's library takes both. One that an operation `grows` into counts from the end of the longer list.
fn from_the_front(target: &Value, path: &str, grows: bool) -> String {
    let mut found = String::new();
    let mut keys = path.split('/').skip(1).peekable();
    while let Some(key) = keys.next() {
        let length = target.pointer(&found).and_then(Value::as_array).map(Vec::len);
        let length = length.map(|length| length + usize::from(grows && keys.peek().is_none()));
        let back = key.strip_prefix('-').and_then(|back| back.parse::<usize>().ok()).filter(|back| *back > 0);
        let position = length.zip(back).and_then(|(length, back)| length.checked_sub(back));
        found.push('/');
        found.push_str(&position.map_or_else(|| key.to_owned(), |position| position.to_string()));
    }
    // what is no path is told as it was written
    if path.starts_with('/') { found } else { path.to_owned() }
}

fn absent(path: &str) -> String {
    format!("there is nothing at `{path}`")
}

/// The container of what a pointer points at, and the last key.
fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (above, last) = path.rsplit_once('/').ok_or(format!("`{path}` is not a path that begins with `/`"))?;
    let parent = target.pointer_mut(above).ok_or(absent(above))?;
    Ok((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn position(key: &str, limit: usize) -> Result<usize, String> {
    let canonical = key == "0" || !key.starts_with(['0', '+']);
    let position = key.parse().ok().filter(|position| canonical && *position < limit);
    position.ok_or(format!("`{key}` is no position in a list of {limit}"))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    match parent(target, path)? {
        (Value::Object(fields), key) => drop(fields.insert(key, value)),
        (Value::Array(items), key) if key == "-" => items.push(value),
        (Value::Array(items), key) => {
            let position = position(&key, items.len() + 1)?;
            items.insert(position, value);
        }
        _ => return Err(format!("what holds `{path}` is neither a mapping nor a list")),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    match parent(target, path)? {
        (Value::Object(fields), key) => fields.remove(&key).ok_or(absent(path)),
        (Value::Array(items), key) => {
            let position = position(&key, items.len())?;
            Ok(items.remove(position))
        }
        _ => Err(absent(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn operations() {
        for (patch, expected) in [
            (json!([{"op": "add", "path": "/c", "value": 1}]), Ok(json!({"a": [1, 2], "b/~": 3, "c": 1}))),
            (json!([{"op": "add", "path": "/a/-", "value": 9}]), Ok(json!({"a": [1, 2, 9], "b/~": 3}))),
            (json!([{"op": "add", "path": "/a/0", "value": 9}]), Ok(json!({"a": [9, 1, 2], "b/~": 3}))),
            (json!([{"op": "add", "path": "/a/-1", "value": 9}]), Ok(json!({"a": [1, 2, 9], "b/~": 3}))),
            (json!([{"op": "add", "path": "/a/-3", "value": 9}]), Ok(json!({"a": [9, 1, 2], "b/~": 3}))),
            (json!([{"op": "replace", "path": "/a/-1", "value": 9}]), Ok(json!({"a": [1, 9], "b/~": 3}))),
            (json!([{"op": "remove", "path": "/a/-2"}]), Ok(json!({"a": [2], "b/~": 3}))),
            (json!([{"op": "test", "path": "/a/-1", "value": 2}]), Ok(json!({"a": [1, 2], "b/~": 3}))),
            (json!([{"op": "remove", "path": "/a/-3"}]), Err("operation 0: `-3` is no position")),
            (json!([{"op": "remove", "path": "/b~1~0"}]), Ok(json!({"a": [1, 2]}))),
            (json!([{"op": "replace", "path": "/a", "value": 0}]), Ok(json!({"a": 0, "b/~": 3}))),
            (json!([{"op": "move", "from": "/a/1", "path": "/d"}]), Ok(json!({"a": [1], "b/~": 3, "d": 2}))),
            (json!([{"op": "copy", "from": "/a/1", "path": "/a/0"}]), Ok(json!({"a": [2, 1, 2], "b/~": 3}))),
            (json!([{"op": "test", "path": "/a/0", "value": 2}]), Err("operation 0: `/a/0` does not have")),
            (json!([{"op": "replace", "path": "/x", "value": 2}]), Err("operation 0: there is nothing at `/x`")),
            (json!([{"op": "add", "path": "/a/7", "value": 2}]), Err("operation 0: `7` is no position")),
            (json!({}), Err("a JSON patch has to be a list")),
        ] {
            let mut value = json!({"a": [1, 2], "b/~": 3});
            match (apply(&mut value, &patch), expected) {
                (Ok(()), Ok(expected)) => assert_eq!(value, expected, "{patch}"),
                (Err(reason), Err(expected)) => assert!(reason.starts_with(expected), "{reason}"),
                (found, _) => panic!("{patch}: {found:?}"),
            }
        }
    }
}
