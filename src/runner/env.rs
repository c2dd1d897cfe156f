//! PURE: a container's variables: literals, fields of its pod, its resources, and `$(NAME)` in all of them [3.G].

pub mod file;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use super::node::Node;
use super::pod::{Container, EnvValue, Pod, divided};

/// What stands in files of variables, by volume and path; what is not there is missing.
pub type Files = BTreeMap<(String, PathBuf), String>;

/// The variables in their final form, each name once, and `Err` with the kubelet's reason when a field has no value.
/// `ips`: those of a network of the pod's own.
pub fn variables(
    pod: &Pod,
    container: &Container,
    node: &Node,
    files: &Files,
    ips: &[IpAddr],
) -> Result<Vec<(String, String)>, String> {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in &container.env {
        let value = match &variable.value {
            EnvValue::Literal(text) => expand(text, &known),
            EnvValue::Field(path) if path == "status.podIP" && !ips.is_empty() => ips[0].to_string(),
            EnvValue::Field(path) if path == "status.podIPs" && !ips.is_empty() => {
                ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",")
            }
            EnvValue::Field(path) => field(path, pod, node).ok_or_else(|| format!("unsupported fieldPath: {path}"))?,
            EnvValue::Resource { container, resource, divisor } => {
                self::resource(container, resource, divisor, pod, node)?
            }
            EnvValue::FileKey { volume, path, key, optional } => {
                let file = files.get(&(volume.clone(), path.clone()));
                match file.map(|text| file::value(text, key)).transpose() {
                    Ok(found) => match found.flatten() {
                        Some(value) => value,
                        None if *optional => continue,
                        None if file.is_none() => return Err(NO_ENV_FILE.to_owned()),
                        None => {
                            let path = path.display();
                            return Err(format!("environment variable key \"{key}\" not found in file \"{path}\""));
                        }
                    },
                    Err(cause) => return Err(format!("{NO_ENV_FILE}: {cause}")),
                }
            }
        };
        known.retain(|(name, _)| *name != variable.name);
        known.push((variable.name.clone(), value));
    }
    Ok(known)
}

const NO_ENV_FILE: &str = "couldn't parse env file";

/// The literal variables alone, as exec probes see them [5.20].
pub fn literals(container: &Container) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    for variable in &container.env {
        if let EnvValue::Literal(text) = &variable.value {
            known.push((variable.name.clone(), expand(text, &known)));
        }
    }
    known
}

/// Replaces each `$(NAME)` that is known; `$$` stands for `$`; the last of two variables of one name counts [3.71].
pub fn expand(text: &str, known: &[(String, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')')) {
            match known.iter().rev().find(|(known, _)| known == name) {
                Some((_, value)) => out.push_str(value),
                None => out.push_str(&rest[..rest.len() - after.len()]),
            }
            rest = after;
        } else {
            out.push('$');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// What a file of a volume may hold [4.31].
pub fn is_volume_field(path: &str) -> bool {
    const PLAIN: [&str; 5] =
        ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];
    PLAIN.contains(&path) || subscript(path, "metadata.labels").or(subscript(path, "metadata.annotations")).is_some()
}

/// The names in `$(NAME)` that are not known, sorted.
pub fn unknown(text: &str, known: &[(String, String)]) -> Vec<String> {
    let references = text.split("$(").skip(1).filter_map(|rest| rest.split_once(')')).map(|(name, _)| name);
    let mut unknown: Vec<_> =
        references.filter(|name| !known.iter().any(|(known, _)| known == name)).map(str::to_owned).collect();
    unknown.sort();
    unknown.dedup();
    unknown
}

/// A fieldRef that can be had without an API server [3.74].
pub fn is_field(path: &str) -> bool {
    const PLAIN: [&str; 9] = [
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    ];
    PLAIN.contains(&path) || subscript(path, "metadata.labels").or(subscript(path, "metadata.annotations")).is_some()
}

/// `k` of `metadata.labels['k']`.
fn subscript<'a>(path: &'a str, map: &str) -> Option<&'a str> {
    path.strip_prefix(map)?.strip_prefix("['")?.strip_suffix("']")
}

/// `None` for a field that a pod does not have on a node.
pub fn field(path: &str, pod: &Pod, node: &Node) -> Option<String> {
    if let Some(key) = subscript(path, "metadata.labels") {
        return Some(pod.labels.get(key).cloned().unwrap_or_default());
    }
    if let Some(key) = subscript(path, "metadata.annotations") {
        return Some(pod.annotations.get(key).cloned().unwrap_or_default());
    }
    Some(match path {
        "metadata.name" => pod.name.clone(),
        "metadata.namespace" => pod.namespace.clone(),
        "metadata.uid" => pod.uid.clone(),
        "spec.nodeName" => node.name.clone(),
        "spec.serviceAccountName" => String::new(),
        // on the node's network the pod's address is the node's [3.74b]
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => node.ip.to_string(),
        _ => return None,
    })
}

/// The value of a resourceFieldRef.
pub fn resource(container: &str, name: &str, divisor: &str, pod: &Pod, node: &Node) -> Result<String, String> {
    let amount = amount(name, container, pod, node)
        .ok_or_else(|| format!("unsupported resource `{name}` of container `{container}`"))?;
    Ok(divided(amount.value, amount.unit, divisor).to_string())
}

struct Amount {
    value: i64,
    /// What one of `value` is: `m` for CPU, nothing for bytes.
    unit: &'static str,
}

/// The resources that a resourceFieldRef may name.
pub const RESOURCES: [&str; 4] = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];

/// A limit that is not set is the node's whole capacity; a request that is not set is 0.
fn amount(resource: &str, container: &str, pod: &Pod, node: &Node) -> Option<Amount> {
    let of = pod.containers.iter().find(|candidate| candidate.name == container)?.resources;
    let (value, unit) = match resource {
        "limits.cpu" => (of.cpu_limit.filter(|limit| *limit > 0).unwrap_or(node.cpu), "m"),
        "limits.memory" => (of.memory_limit.filter(|limit| *limit > 0).unwrap_or(node.memory), ""),
        "requests.cpu" => (of.cpu_request.unwrap_or(0), "m"),
        "requests.memory" => (of.memory_request.unwrap_or(0), ""),
        _ => return None,
    };
    Some(Amount { value, unit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::pod::EnvVar;

    #[test]
    fn references_are_expanded_as_the_kubelet_does() {
        let known = [("A", "1"), ("B", "$(A)"), ("A", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        for (text, expected) in [
            ("$(A)", "2"),
            ("x$(A)y$(B)z", "x2y$(A)z"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$2"),
            ("$(NONE)", "$(NONE)"),
            ("$(A", "$(A"),
            ("$A $ $", "$A $ $"),
            ("", ""),
            ("ü$(A)ü", "ü2ü"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn only_fields_that_need_no_api_are_known() {
        assert!(is_field("metadata.labels['a/b']") && is_field("status.hostIP"));
        assert!(!is_field("metadata.labels") && !is_field("status.phase") && !is_field("metadata.labels[a]"));
    }

    #[test]
    fn variables_come_from_files_in_their_order() {
        let mut pod = crate::runner::testing::pod("a");
        let from = |key: &str, path: &str, optional| EnvVar {
            name: key.to_owned(),
            value: EnvValue::FileKey { volume: "v".into(), path: path.into(), key: key.into(), optional },
        };
        let literal =
            |name: &str, text: &str| EnvVar { name: name.to_owned(), value: EnvValue::Literal(text.to_owned()) };
        let files = Files::from([
            (("v".to_owned(), "good".into()), "A='1'\nEMPTY=''".to_owned()),
            (("v".to_owned(), "bad".into()), "A=1".to_owned()),
        ]);
        let mut variables = |env: Vec<EnvVar>| {
            pod.containers[0].env = env;
            variables(&pod, &pod.containers[0], &crate::runner::testing::node(), &files, &[])
        };
        let found = variables(vec![
            literal("BEFORE", "$(A)"),
            from("A", "good", false),
            from("B", "good", true),
            from("C", "absent", true),
            from("EMPTY", "good", false),
            literal("AFTER", "$(A)$(B)"),
        ]);
        let expected = [("BEFORE", "$(A)"), ("A", "1"), ("EMPTY", ""), ("AFTER", "1$(B)")];
        assert_eq!(found, Ok(expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
        for (variable, words) in [
            (from("B", "good", false), "environment variable key \"B\" not found in file \"good\""),
            (from("A", "absent", false), "couldn't parse env file"),
            (from("A", "bad", true), "couldn't parse env file: line 1: the value is not in single quotes"),
        ] {
            assert_eq!(variables(vec![variable]), Err(words.to_owned()));
        }
    }
}
