//! Patches: which file patches what, and the three ways to patch [3.11].
//!
//! Files come in as texts, in the order of application. What a file made of its target is checked before the next one
//! is applied, so that a refusal names the file that is at fault.

mod json;
mod name;
mod strategic;

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::manifest::Component;
use crate::error::{Fault, Result};

pub use name::{Kind, Target};
pub use strategic::Lists;

use name::Reading;

/// A file below `patches.directory`.
#[derive(Debug, Clone)]
pub struct PatchFile {
    pub path: PathBuf,
    /// Empty for a file that [`is_patch`] denies.
    pub text: String,
}

/// A patch that has done its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub target: Target,
    pub kind: Kind,
    pub path: PathBuf,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "applied the {} patch `{}` to {}", self.kind.name(), self.path.display(), self.target.name())
    }
}

/// By its name alone.
pub fn is_patch(path: &Path) -> bool {
    matches!(name::read(path), Reading::Patch(..))
}

/// One sentence for each file that is no patch and is passed over, as in kubeadm.
///
/// # Errors
/// Every file that names a type of patch which does not exist.
pub fn passed_over(files: &[PatchFile]) -> Result<Vec<String>> {
    let (mut sentences, mut refused) = (Vec::new(), Vec::new());
    for file in files {
        match name::read(&file.path) {
            Reading::Patch(..) if file.text.is_empty() => {
                sentences.push(format!("`{}` is not used: it is empty", file.path.display()));
            }
            Reading::Patch(..) => {}
            Reading::Other(reason) => sentences.push(format!("`{}` is not used: {reason}", file.path.display())),
            Reading::Refused(reason) => refused.push(format!("`{}`: {reason}", file.path.display())),
        }
    }
    if refused.is_empty() {
        return Ok(sentences);
    }
    Err(Fault::usage(format!("patches.directory: {}", refused.join("; "))).into())
}

/// Applies every patch of `target` to it, and tells which. `check` says what is wrong with the outcome, if anything is.
pub fn apply(
    target: Target,
    value: &mut Value,
    files: &[PatchFile],
    check: impl Fn(&Value) -> Result<(), String>,
) -> Result<Vec<Applied>> {
    let mut applied = Vec::new();
    for file in files {
        let Reading::Patch(named, kind) = name::read(&file.path) else { continue };
        if named != target {
            continue;
        }
        let path = file.path.display();
        let patches: Vec<Value> = serde_yaml::from_multiple(&file.text)
            .map_err(|error| Fault::usage(format!("the patch `{path}` is not YAML: {error}")))?;
        for patch in patches.iter().filter(|patch| !patch.is_null()) {
            let outcome = match kind {
                Kind::Strategic => strategic::apply(value, patch, target.lists()),
                Kind::Merge => {
                    merge(value, patch);
                    Ok(())
                }
                Kind::Json => json::apply(value, patch),
            };
            outcome.map_err(|reason| Fault::usage(format!("cannot apply the patch `{path}`: {reason}")))?;
            applied.push(Applied { target, kind, path: file.path.clone() });
        }
        check(value).map_err(|reason| {
            Fault::usage(format!("the patch `{path}` makes something else of {}: {reason}", target.name()))
        })?;
    }
    Ok(applied)
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

impl Target {
    /// How lists of the target's API are merged.
    fn lists(self) -> Lists {
        match self {
            Target::Manifest(_) | Target::CoreDnsDeployment => Lists::Pods,
            Target::KubeletConfiguration => Lists::Whole,
        }
    }
}

impl From<Component> for Target {
    fn from(component: Component) -> Self {
        Target::Manifest(component)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn file(name: &str, text: &str) -> PatchFile {
        PatchFile { path: Path::new("/patches").join(name), text: text.to_owned() }
    }

    fn patched(files: &[PatchFile]) -> Result<Value> {
        let mut value = json!({"kind": "Pod", "metadata": {"name": "etcd"}});
        let check = |value: &Value| if value["kind"] == "Pod" { Ok(()) } else { Err("it is no Pod".to_owned()) };
        apply(Component::Etcd.into(), &mut value, files, check).map(|_| value)
    }

    #[test]
    fn patches_of_a_target_are_applied_in_order_document_by_document() {
        let files = [
            file("etcd0.yaml", "metadata: {labels: {a: '1', b: '1'}}\n---\n---\nmetadata: {labels: {b: '2'}}\n"),
            file("etcd1+merge.json", r#"{"metadata": {"labels": {"a": null}}}"#),
            file("etcd2+json.yaml", "- {op: add, path: /metadata/labels/c, value: '3'}\n"),
            file("kube-scheduler.yaml", "metadata: {labels: {d: '4'}}\n"),
            file("etcd3.yaml", "# nothing in here\n"),
        ];
        let value = patched(&files).unwrap();
        assert_eq!(value["metadata"], json!({"name": "etcd", "labels": {"b": "2", "c": "3"}}));
    }

    #[test]
    fn the_file_at_fault_is_named() {
        for (bad, says) in [
            (file("etcd1.yaml", "a: [\n"), "`/patches/etcd1.yaml` is not YAML"),
            (file("etcd1.yaml", "[]\n"), "cannot apply the patch `/patches/etcd1.yaml`: "),
            (file("etcd1+json.yaml", "{}\n"), "cannot apply the patch `/patches/etcd1+json.yaml`: "),
            (file("etcd1.yaml", "kind: Node\n"), "`/patches/etcd1.yaml` makes something else of etcd: it is no Pod"),
        ] {
            let files = [file("etcd0.yaml", "metadata: {namespace: x}\n"), bad, file("etcd2.yaml", "x: y\n")];
            let error = patched(&files).unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn other_files_are_told_and_wrong_types_refused_together() {
        let files =
            [file("README.md", ""), file("kube-apisever.yaml", ""), file("etcd.yaml", ""), file("etcd1.yaml", "a: b")];
        let told = passed_over(&files).unwrap();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[1].contains("kube-apisever.yaml") && told[2].ends_with("it is empty"), "{told:?}");
        let refused = passed_over(&[file("etcd+.yaml", ""), file("etcd+patch.json", "")]).unwrap_err().to_string();
        assert!(refused.contains("etcd+.yaml") && refused.contains("etcd+patch.json"), "{refused}");
    }

    #[test]
    fn merge_patches_remove_with_null() {
        let mut value = json!({"a": 1, "b": {"c": 2, "d": 3}, "e": [1]});
        merge(&mut value, &json!({"a": null, "b": {"c": null}, "e": [2], "f": {"g": null, "h": 1}}));
        assert_eq!(value, json!({"b": {"d": 3}, "e": [2], "f": {"h": 1}}));
    }
}
