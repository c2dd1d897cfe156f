//! Patches to the manifests: which file patches what, and the three ways to patch [3.11].
//!
//! Files come in as texts, in the order of application. A file that patches nothing known is refused: kubeadm passes
//! over it, and a slip of the finger would go unnoticed.

mod json;
mod strategic;

use std::path::PathBuf;

use serde_json::Value;

use super::manifest::Component;
use crate::error::{Context, Fault, Result};

/// A file below `patches.directory`.
#[derive(Debug, Clone)]
pub struct PatchFile {
    pub path: PathBuf,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Strategic,
    /// RFC 7386.
    Merge,
    /// RFC 6902.
    Json,
}

/// Fails on the first file that is no patch of a component.
pub fn check(files: &[PatchFile]) -> Result<()> {
    files.iter().try_for_each(|file| target(file).map(drop))
}

/// Applies every patch of `component`; whether there was one.
pub fn apply(component: Component, value: &mut Value, files: &[PatchFile]) -> Result<bool> {
    let mut applied = false;
    for file in files {
        let Some((target, kind)) = target(file)? else { continue };
        if target != component {
            continue;
        }
        let patches: Vec<Value> = serde_yaml::from_multiple(&file.text)
            .map_err(|error| Fault::usage(format!("`{}` is not YAML: {error}", file.path.display())))?;
        for patch in patches {
            let outcome = match kind {
                Kind::Strategic => strategic::apply(value, &patch),
                Kind::Merge => {
                    merge(value, &patch);
                    Ok(())
                }
                Kind::Json => json::apply(value, &patch),
            };
            outcome.map_err(|reason| {
                Fault::usage(format!("cannot apply the patch `{}`: {reason}", file.path.display()))
            })?;
            applied = true;
        }
    }
    Ok(applied)
}

/// `target[suffix][+type].yaml|json`; `None` for other files. Target and type are prefixes, as in kubeadm.
fn target(file: &PatchFile) -> Result<Option<(Component, Kind)>> {
    let name = file.path.file_name().context("a patch without a file name")?.to_string_lossy();
    let Some((stem, "yaml" | "json")) = name.split_once('.') else { return Ok(None) };
    let refuse = |reason: &str| Err(Fault::usage(format!("cannot use the patch `{}`: {reason}", file.path.display())));
    let (target, kind) = stem.split_once('+').map_or((stem, None), |(target, kind)| (target, Some(kind)));
    let kind = match kind {
        None => Kind::Strategic,
        Some(kind) if kind.starts_with("strategic") => Kind::Strategic,
        Some(kind) if kind.starts_with("merge") => Kind::Merge,
        Some(kind) if kind.starts_with("json") => Kind::Json,
        Some(_) => return Ok(refuse("its type is none of `strategic`, `merge` and `json`")?),
    };
    match Component::ALL.into_iter().find(|component| target.starts_with(component.name())) {
        Some(component) => Ok(Some((component, kind))),
        None => {
            Ok(refuse("its name begins with none of etcd, kube-apiserver, kube-controller-manager, kube-scheduler")?)
        }
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Default::default());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (field, value) in fields {
        match value {
            Value::Null => drop(object.remove(field)),
            value => merge(object.entry(field).or_insert(Value::Null), value),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn file(name: &str) -> PatchFile {
        PatchFile { path: name.into(), text: String::new() }
    }

    #[test]
    fn names_say_what_is_patched_and_how() {
        for (name, expected) in [
            ("d/etcd.yaml", Some((Component::Etcd, Kind::Strategic))),
            ("etcd0+merge.yaml", Some((Component::Etcd, Kind::Merge))),
            ("kube-apiserverFOO.json", Some((Component::ApiServer, Kind::Strategic))),
            ("kube-scheduler+jsonXYZ.yaml", Some((Component::Scheduler, Kind::Json))),
            ("README.md", None),
        ] {
            assert_eq!(target(&file(name)).unwrap(), expected, "{name}");
        }
        for name in ["kube-apisever.yaml", "etcd+.yaml", "etcd+patch.json"] {
            assert!(target(&file(name)).unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn merge_patches_remove_with_null() {
        let mut value = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        merge(&mut value, &json!({"a": null, "b": {"c": null}, "e": [2], "f": {"g": null, "h": 1}}));
        assert_eq!(value, json!({"b": {"d": 3}, "e": [2], "f": {"h": 1}}));
    }
}
