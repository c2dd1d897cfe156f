//! Renders the files under `templates/`: they show the shape of the output and have holes only.
//!
//! A string in a hole becomes a YAML scalar that every reader takes for that very string. Holes are whole values:
//! `- {{ flag }}`, never `--{{ name }}={{ value }}`.

use std::io::{self, Write};
use std::sync::LazyLock;

use serde::Serialize;
use tera::{Context, Kwargs, State, Tera, Value};

use crate::error::{Context as _, Result};

/// Every template: its path under `templates/` and its text.
const TEMPLATES: &[(&str, &str)] = &[
    ("hardening/admission.yaml", include_str!("../../templates/hardening/admission.yaml")),
    ("hardening/audit-policy.yaml", include_str!("../../templates/hardening/audit-policy.yaml")),
    ("hardening/encryption.yaml", include_str!("../../templates/hardening/encryption.yaml")),
    ("manifests/static-pod.yaml", include_str!("../../templates/manifests/static-pod.yaml")),
    // no YAML: what goes in here is checked where it comes from
    ("objects/Corefile", include_str!("../../templates/objects/Corefile")),
    ("objects/admin-access.yaml", include_str!("../../templates/objects/admin-access.yaml")),
    ("objects/bootstrap-token.yaml", include_str!("../../templates/objects/bootstrap-token.yaml")),
    ("objects/cluster-info-kubeconfig.yaml", include_str!("../../templates/objects/cluster-info-kubeconfig.yaml")),
    ("objects/cluster-info.yaml", include_str!("../../templates/objects/cluster-info.yaml")),
    ("objects/coredns.yaml", include_str!("../../templates/objects/coredns.yaml")),
    ("objects/kube-proxy-kubeconfig.yaml", include_str!("../../templates/objects/kube-proxy-kubeconfig.yaml")),
    ("objects/kube-proxy.yaml", include_str!("../../templates/objects/kube-proxy.yaml")),
    ("objects/kubeadm-certs.yaml", include_str!("../../templates/objects/kubeadm-certs.yaml")),
    ("objects/kubeadm-config.yaml", include_str!("../../templates/objects/kubeadm-config.yaml")),
    ("objects/kubelet-config.yaml", include_str!("../../templates/objects/kubelet-config.yaml")),
    ("objects/node-bootstrap.yaml", include_str!("../../templates/objects/node-bootstrap.yaml")),
];

static TERA: LazyLock<Tera> = LazyLock::new(|| {
    let mut tera = Tera::new();
    tera.autoescape_on([".yaml"]);
    tera.set_escape_fn(write_scalar);
    tera.register_filter("json", json);
    tera.add_raw_templates(TEMPLATES.iter().copied()).expect("the templates are part of the program and tested");
    tera
});

/// Fills in a template. The error names the template and the hole.
pub fn render(name: &str, values: &impl Serialize) -> Result<String> {
    let context = Context::from_serialize(values).with_context(|| format!("cannot use the values for `{name}`"))?;
    TERA.render(name, &context).with_context(|| format!("cannot render the template `{name}`"))
}

/// `value | json`: a list or a map in YAML's flow form, which is JSON.
fn json(value: Value, _: Kwargs, _: &State<'_>) -> tera::TeraResult<Value> {
    let text = serde_json::to_string(&value).map_err(|error| tera::Error::message(error.to_string()))?;
    Ok(Value::safe_string(&text))
}

fn write_scalar(text: &str, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(scalar(text).as_bytes())
}

/// A string as a YAML scalar on one line: plain where YAML 1.1 and 1.2 agree that it is this string, quoted otherwise.
pub fn scalar(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            ' '..='~' => quoted.push(character),
            _ if character.is_alphanumeric() => quoted.push(character),
            _ if u32::from(character) <= 0xffff => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push_str(&format!("\\U{:08x}", u32::from(character))),
        }
    }
    quoted.push('"');
    quoted
}

/// Words that YAML 1.1 takes for booleans or null.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

fn is_plain(text: &str) -> bool {
    let start = text.trim_start_matches("--");
    let starts_safely = start.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        || is_quantity(text)
        || text.parse::<std::net::Ipv4Addr>().is_ok()
        || text.parse::<std::net::SocketAddrV4>().is_ok();
    starts_safely
        && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// `250m`, `100Mi`: its suffix makes it a string.
fn is_quantity(text: &str) -> bool {
    let suffix = text.trim_start_matches(|c: char| c.is_ascii_digit());
    suffix.len() < text.len() && ["m", "Ki", "Mi", "Gi"].contains(&suffix)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn familiar_values_stay_plain() {
        for text in [
            "--controllers=*,bootstrapsigner,tokencleaner",
            "--etcd-servers=https://[::1]:2379",
            "registry.k8s.io/etcd:3.6.8-0",
            "/etc/kubernetes/pki",
            "10.0.0.5",
            "10.0.0.5:6443",
            "250m",
            "fd77::10",
            "b c \" '",
        ] {
            assert_eq!(scalar(text), text);
        }
        for text in
            ["", "yes", "Null", "30", "1.36", "0x1f", "12:30", "2001-01-01", "~", "- a", "a: b", "a #b", "a:", "*a"]
        {
            assert!(scalar(text).starts_with('"'), "{text}");
        }
    }

    #[test]
    fn every_file_under_templates_is_known() {
        fn walk(directory: &std::path::Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else {
                    found.push(path.to_str().unwrap().split_once("/templates/").unwrap().1.to_owned());
                }
            }
        }
        let mut found = Vec::new();
        walk(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut found);
        found.sort();
        let known: Vec<_> = TEMPLATES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, known);
    }

    proptest! {
        #[test]
        fn any_string_comes_back(text in any::<String>()) {
            let read: Vec<String> = serde_yaml::from_str(&format!("- {}\n", scalar(&text))).unwrap();
            prop_assert_eq!(&read[0], &text);
            // and it is a string, not a number or a boolean, for a reader that was not told
            let read: serde_json::Value = serde_yaml::from_str(&format!("k: {}\n", scalar(&text))).unwrap();
            prop_assert_eq!(read["k"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn any_yaml_like_string_comes_back(text in "[-+.:#0-9eyntruofaxTZ~=*&!|>%@`'\"{}\\[\\], \\n\\t]{0,12}") {
            let read: serde_json::Value = serde_yaml::from_str(&format!("k: {}\n", scalar(&text))).unwrap();
            prop_assert_eq!(read["k"].as_str(), Some(text.as_str()));
        }
    }
}
