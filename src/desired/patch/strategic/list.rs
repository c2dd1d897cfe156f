//! Lists under a strategic merge patch: what becomes of the items, and in which order they end up.
//!
//! The items that the patch names come in the patch's order; those it does not name keep theirs, and stay before the
//! first named item that they preceded. An item that is new has preceded nothing and comes to the front: a sidecar that
//! a patch adds is its pod's first container, as with kubectl and kubeadm.

use std::cmp::Reverse;

use serde_json::{Map, Value};

use super::{Directive, Lists, Merge, directive};

/// Changes `items` as `patch` says.
pub(super) fn merge(items: &mut Vec<Value>, patch: &[Value], merge: Merge, lists: Lists) -> Result<(), String> {
    match merge {
        Merge::ByKey(key) => merge_items(items, patch, key, lists),
        Merge::Values => merge_values(items, patch),
    }
}

fn merge_values(items: &mut Vec<Value>, patch: &[Value]) -> Result<(), String> {
    if patch.iter().any(|value| value.is_object() || value.is_array()) {
        return Err("its items have to be plain values".to_owned());
    }
    let before = items.clone();
    for value in patch {
        if !items.contains(value) {
            items.push(value.clone());
        }
    }
    sort(items, patch, &before, Merge::Values);
    Ok(())
}

fn merge_items(items: &mut Vec<Value>, patch: &[Value], key: &'static str, lists: Lists) -> Result<(), String> {
    let (mut named, mut replaced) = (Vec::new(), false);
    for item in patch {
        let fields = item.as_object().ok_or("its items have to be mappings")?;
        match directive(fields)? {
            Directive::Replace => replaced = true,
            Directive::Merge => {
                key_of(fields, key)?;
                named.push(item.clone());
            }
            Directive::Delete => {
                let value = key_of(fields, key)?;
                items.retain(|item| item.get(key) != Some(value));
            }
        }
    }
    if replaced {
        items.clear();
    }
    let before = items.clone();
    for patch in named.iter().filter_map(Value::as_object) {
        match place_of(patch, items, key).map(|place| &mut items[place]) {
            Some(Value::Object(item)) => lists.merge_map(item, patch)?,
            _ => items.push(Value::Object(lists.as_new(patch)?)),
        }
    }
    sort(items, &named, &before, Merge::ByKey(key));
    Ok(())
}

fn key_of<'a>(item: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    item.get(key).ok_or_else(|| format!("an item has no `{key}`"))
}

/// The item that a patch is about. Ports that share a number are told apart by their protocols, where kubectl takes
/// the first: CoreDNS has two at 53.
fn place_of(patch: &Map<String, Value>, items: &[Value], key: &str) -> Option<usize> {
    let protocol = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("TCP").to_owned();
    let has_other_protocol = |item: &Value| {
        key == "containerPort"
            && patch.contains_key("protocol")
            && protocol(item.get("protocol")) != protocol(patch.get("protocol"))
    };
    let same = items.iter().enumerate().filter(|(_, item)| item.get(key) == patch.get(key));
    same.max_by_key(|(place, item)| (!has_other_protocol(item), Reverse(*place))).map(|(place, _)| place)
}

/// Puts `items` into the order of `order`, which has to name what the patch names, in the same order.
pub(super) fn set_order(
    items: &mut Vec<Value>,
    patch: &[Value],
    order: &[Value],
    before: &[Value],
    merge: Option<Merge>,
) -> Result<(), String> {
    let merge = merge.ok_or("the list is replaced as a whole")?;
    if order.iter().any(|item| identity(item, merge).is_none()) {
        return Err("every item has to name the merge key".to_owned());
    }
    let named = patch.iter().filter(|item| item.get(super::PATCH).is_none());
    let places: Vec<_> = named.map(|item| place(order, item, merge)).collect();
    if places.contains(&None) || !places.is_sorted() {
        return Err("it does not have the items of the patch in their order".to_owned());
    }
    sort(items, order, before, merge);
    Ok(())
}

/// Orders `items` by `order`, and what is not in there by `before`.
fn sort(items: &mut Vec<Value>, order: &[Value], before: &[Value], merge: Merge) {
    let (mut named, others): (Vec<_>, Vec<_>) =
        std::mem::take(items).into_iter().partition(|item| place(order, item, merge).is_some());
    named.sort_by_key(|item| place(order, item, merge));
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let next = match (named.peek(), others.peek()) {
            (Some(one), Some(other)) => {
                let places = place(before, other, merge).zip(place(before, one, merge));
                if places.is_some_and(|(other, one)| other < one) { others.next() } else { named.next() }
            }
            (Some(_), None) => named.next(),
            (None, _) => others.next(),
        };
        match next {
            Some(item) => items.push(item),
            None => return,
        }
    }
}

/// What tells an item of the list from the others.
fn identity(item: &Value, merge: Merge) -> Option<&Value> {
    match merge {
        Merge::ByKey(key) => item.get(key),
        Merge::Values => Some(item),
    }
}

fn place(list: &[Value], item: &Value, merge: Merge) -> Option<usize> {
    let wanted = identity(item, merge)?;
    list.iter().position(|item| identity(item, merge) == Some(wanted))
}
