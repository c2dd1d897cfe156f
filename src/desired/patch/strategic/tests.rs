#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use serde_json::json;

fn patched(mut value: Value, patch: &Value) -> Result<Value, String> {
    apply(&mut value, patch, Lists::Pods).map(|()| value)
}

#[test]
fn mappings_are_merged_and_directives_are_followed() {
    let labels = json!({"a": "1", "b": {"c": "2", "d": "3"}});
    for (patch, expected) in [
        (json!({"a": "4", "e": "5"}), json!({"a": "4", "b": {"c": "2", "d": "3"}, "e": "5"})),
        (json!({"a": null, "x": null, "b": {"c": null}}), json!({"b": {"d": "3"}})),
        (json!({"b": {"e": "4"}, "$patch": "merge"}), json!({"a": "1", "b": {"c": "2", "d": "3", "e": "4"}})),
        (json!({"b": {"$patch": "replace", "e": "4", "f": null}}), json!({"a": "1", "b": {"e": "4"}})),
        (json!({"b": {"$patch": "delete"}}), json!({"a": "1", "b": {}})),
        (json!({"$patch": "replace", "z": 1}), json!({"z": 1})),
        (json!({"b": {"$retainKeys": ["c", "e"], "e": "4"}}), json!({"a": "1", "b": {"c": "2", "e": "4"}})),
        (json!({"b": "text"}), json!({"a": "1", "b": "text"})),
        (json!({"a": {"f": "1", "g": null}}), json!({"a": {"f": "1"}, "b": {"c": "2", "d": "3"}})),
        (json!({"n": {"$patch": "delete"}, "m": {"$patch": "replace", "o": 1}}), {
            json!({"a": "1", "b": {"c": "2", "d": "3"}, "m": {"o": 1}})
        }),
    ] {
        assert_eq!(patched(labels.clone(), &patch).unwrap(), expected, "{patch}");
    }
}

/// The marks `patchStrategy` and `patchMergeKey` of the API's types: every list of a PodSpec and what is in it, of the
/// metadata and of a DeploymentSpec.
const LISTS: &[(&str, Option<&str>)] = &[
    ("volumes", Some("name")),
    ("initContainers", Some("name")),
    ("containers", Some("name")),
    ("ephemeralContainers", Some("name")),
    ("imagePullSecrets", Some("name")),
    ("hostAliases", Some("ip")),
    ("topologySpreadConstraints", Some("topologyKey")),
    ("schedulingGates", Some("name")),
    ("resourceClaims", Some("name")),
    ("ports", Some("containerPort")),
    ("env", Some("name")),
    ("volumeMounts", Some("mountPath")),
    ("volumeDevices", Some("devicePath")),
    ("ownerReferences", Some("uid")),
    ("tolerations", None),
    ("readinessGates", None),
    ("command", None),
    ("args", None),
    ("envFrom", None),
    ("claims", None),
    ("resizePolicy", None),
    ("restartPolicyRules", None),
    ("add", None),
    ("drop", None),
    ("httpHeaders", None),
    ("sysctls", None),
    ("supplementalGroups", None),
    ("nameservers", None),
    ("searches", None),
    ("options", None),
    ("items", None),
    ("sources", None),
    ("accessModes", None),
    ("hostnames", None),
    ("nodeSelectorTerms", None),
    ("matchExpressions", None),
    ("matchFields", None),
    ("matchLabelKeys", None),
    ("mismatchLabelKeys", None),
    ("namespaces", None),
    ("values", None),
    ("requiredDuringSchedulingIgnoredDuringExecution", None),
    ("preferredDuringSchedulingIgnoredDuringExecution", None),
];

#[test]
fn lists_are_merged_where_the_api_says_so() {
    for (list, key) in LISTS {
        let item = |value: u32, more: &str| json!({key.unwrap_or("name"): value, more: true});
        let value = json!({*list: [item(1, "a"), item(2, "b")]});
        let patch = json!({*list: [item(2, "c")]});
        let expected = match key {
            Some(key) => json!([item(1, "a"), {*key: 2, "b": true, "c": true}]),
            None => json!([item(2, "c")]),
        };
        assert_eq!(patched(value, &patch).unwrap()[list], expected, "{list}");
    }
    let merged = LISTS.iter().filter(|(_, key)| key.is_some()).count();
    assert_eq!(merged + 1, OF_PODS.len(), "every list but `finalizers`, which has plain values, is in the table");
    let finalizers = patched(json!({"finalizers": ["a", "b"]}), &json!({"finalizers": ["b", "c"]})).unwrap();
    assert_eq!(finalizers, json!({"finalizers": ["a", "b", "c"]}));
}

#[test]
fn no_list_of_another_api_is_merged() {
    let mut value = json!({"env": [{"name": "a"}]});
    apply(&mut value, &json!({"env": [{"name": "b"}]}), Lists::Whole).unwrap();
    assert_eq!(value, json!({"env": [{"name": "b"}]}));
}

#[test]
fn items_are_merged_replaced_and_deleted() {
    let containers = json!([{"name": "a", "image": "x", "args": ["1"]}, {"name": "b"}]);
    for (patch, expected) in [
        (
            json!([{"name": "a", "image": "y", "args": ["2"]}]),
            json!([{"name": "a", "image": "y", "args": ["2"]}, {"name": "b"}]),
        ),
        (json!([{"name": "a", "$patch": "delete"}, {"name": "c"}]), json!([{"name": "c"}, {"name": "b"}])),
        (json!([{"name": "z", "$patch": "delete"}]), containers.clone()),
        (json!([{"$patch": "replace"}, {"name": "c"}, {"name": "d"}]), json!([{"name": "c"}, {"name": "d"}])),
        (json!([{"$patch": "replace"}]), json!([])),
        (json!([{"name": "b", "$patch": "merge", "image": "z"}]), {
            json!([{"name": "a", "image": "x", "args": ["1"]}, {"name": "b", "image": "z"}])
        }),
        (json!([{"name": "a", "$retainKeys": ["name"]}]), json!([{"name": "a"}, {"name": "b"}])),
        (json!([]), containers.clone()),
    ] {
        let value = json!({"containers": containers});
        assert_eq!(patched(value, &json!({"containers": patch})).unwrap()["containers"], expected, "{patch}");
    }
    let fresh = json!({"containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "image": null}]});
    assert_eq!(patched(json!({}), &fresh).unwrap(), json!({"containers": [{"name": "b"}]}));
}

/// The order that `kubectl patch` gives, too.
#[test]
fn items_end_up_in_the_order_of_the_patch_with_the_others_around_them() {
    let names = |names: &str| -> Value { names.chars().map(|name| json!({"name": name.to_string()})).collect() };
    for (before, patch, after) in [
        ("ab", "c", "cab"),
        ("ab", "b", "ab"),
        ("ab", "bc", "abc"),
        ("ab", "ba", "ba"),
        ("abcd", "db", "acdb"),
        ("", "ba", "ba"),
        ("abc", "xb", "xabc"),
    ] {
        let outcome = patched(json!({"env": names(before)}), &json!({"env": names(patch)})).unwrap();
        assert_eq!(outcome["env"], names(after), "{before} with {patch}");
    }
    for (before, patch, order, after) in
        [("abc", "", "ca", "bca"), ("ab", "c", "abc", "abc"), ("abc", "a", "ba", "bac")]
    {
        let mut fields = json!({"$setElementOrder/env": names(order)});
        if !patch.is_empty() {
            fields["env"] = names(patch);
        }
        let outcome = patched(json!({"env": names(before)}), &fields).unwrap();
        assert_eq!(outcome["env"], names(after), "{before} with {patch} in the order {order}");
    }
    let patch = json!({"$setElementOrder/finalizers": ["b", "c"], "finalizers": ["c"], "$deleteFromPrimitiveList/finalizers": ["a"]});
    let outcome = patched(json!({"finalizers": ["a", "b"]}), &patch).unwrap();
    assert_eq!(outcome, json!({"finalizers": ["b", "c"]}));
}

#[test]
fn ports_that_share_a_number_are_told_apart_by_protocol() {
    let ports = json!({"ports": [
        {"containerPort": 53, "protocol": "UDP", "name": "dns"},
        {"containerPort": 53, "protocol": "TCP", "name": "dns-tcp"},
        {"containerPort": 80},
    ]});
    let outcome =
        |port: Value| patched(ports.clone(), &json!({"ports": [port]})).unwrap()["ports"].as_array().unwrap().clone();
    let tcp = outcome(json!({"containerPort": 53, "protocol": "TCP", "hostPort": 1}));
    assert!(tcp[0].get("hostPort").is_none() && tcp[1]["hostPort"] == 1, "{tcp:?}");
    assert_eq!(outcome(json!({"containerPort": 53, "hostPort": 1}))[0]["hostPort"], 1);
    assert_eq!(outcome(json!({"containerPort": 80, "protocol": "UDP"}))[2]["protocol"], "UDP");
}

#[test]
fn what_cannot_be_followed_is_refused_with_its_place() {
    for (patch, says) in [
        (json!([]), "has to be a mapping"),
        (json!({"$retainKeys": "a"}), "`$retainKeys` has to be a list"),
        (json!({"$retainKeys": ["a"], "b": 1}), "does not name `b`"),
        (json!({"$retainkeys": []}), "`$retainkeys` is no directive"),
        (json!({"containers": [{}]}), "`containers`: an item has no `name`"),
        (json!({"containers": ["a"]}), "`containers`: its items have to be mappings"),
        (json!({"containers": [{"name": "a", "env": [{"value": "x"}]}]}), "`containers`: `env`: an item has no `name`"),
        (json!({"l": {"$patch": "x"}}), "`l`: `$patch: \"x\"` is none of"),
        (json!({"$deleteFromPrimitiveList/args": "x"}), "has to be a list"),
        (json!({"$setElementOrder/args": ["x"]}), "`$setElementOrder/args`: the list is replaced as a whole"),
        (json!({"$setElementOrder/containers": [{}]}), "merge key"),
        (json!({"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "c"}]}), "in their order"),
        (json!({"finalizers": [{}]}), "`finalizers`: its items have to be plain values"),
    ] {
        let value =
            json!({"containers": [{"name": "a", "env": [{"name": "e"}]}], "l": {}, "args": ["1"], "finalizers": ["f"]});
        let reason = patched(value, &patch).unwrap_err();
        assert!(reason.contains(says), "{patch}: {reason}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_second_time_changes_nothing(names in prop::collection::vec("[a-c]", 0..6), image in "[x-z]") {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name, "image": image})).collect();
        let patch = json!({"containers": items});
        let once = patched(json!({"containers": [{"name": "a", "image": "o"}]}), &patch).unwrap();
        let twice = patched(once.clone(), &patch).unwrap();
        prop_assert_eq!(once, twice);
    }
}
