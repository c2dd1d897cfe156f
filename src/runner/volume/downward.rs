//! downwardAPI volumes, and the projected ones of nothing else: what a pod may know of itself, as files [4.D].
//!
//! ```text
//! ..2026_11_25_15_04_05.123456789/labels     the files
//! ..data -> ..2026_11_25_15_04_05.123456789  moved over at once
//! labels -> ..data/labels                    what the pod reads
//! ```
//!
//! Nothing in it can change while a static pod lives: what is there already is left as it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::ownership;
use crate::error::{Context, Result};
use crate::linux::mount;
use crate::runner::env;
use crate::runner::node::Node;
use crate::runner::pod::{EnvValue, Pod, VolumeFile};

/// What is to stand in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    path: PathBuf,
    content: String,
    mode: u32,
}

/// `Err` where a field has no value.
pub(super) fn payload(files: &[VolumeFile], pod: &Pod, node: &Node) -> std::result::Result<Vec<File>, String> {
    let file = |file: &VolumeFile| {
        let content = match &file.value {
            EnvValue::Literal(text) => text.clone(),
            EnvValue::Field(field) if field == "metadata.labels" => lines(&pod.labels),
            EnvValue::Field(field) if field == "metadata.annotations" => lines(&pod.annotations),
            EnvValue::Field(field) => {
                env::field(field, pod, node).ok_or_else(|| format!("unsupported fieldPath: {field}"))?
            }
            EnvValue::Resource { container, resource, divisor } => {
                env::resource(container, resource, divisor, pod, node)?
            }
            EnvValue::FileKey { .. } => {
                return Err("a file of a volume cannot come from a file of variables".to_owned());
            }
        };
        Ok(File { path: file.path.clone(), content, mode: file.mode })
    };
    files.iter().map(file).collect()
}

/// A map as the kubelet writes it: `key="value"`, sorted, without an end to the last line [4.31].
fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={}", quoted(value))).collect::<Vec<_>>().join("\n")
}

/// As Go's `%q` does.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // writing to a String never fails
            control if control.is_ascii_control() => drop(write!(out, "\\x{:02x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

pub(super) fn prepare(directory: &Path, files: &[File], group: Option<i64>) -> Result<()> {
    let made = || -> io::Result<()> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let mounted = mount::mounts().map_err(io::Error::other)?;
        if !mounted.iter().any(|mounted| mounted.path == directory) {
            mount::tmpfs(directory, "mode=0755")?;
        }
        if fs::symlink_metadata(directory.join("..data")).is_err() {
            write(directory, files)?;
        }
        Ok(())
    };
    made().with_context(|| format!("cannot fill `{}`", directory.display()))?;
    ownership::apply(directory, group, ownership::Access::ReadOnly)
}

fn write(directory: &Path, files: &[File]) -> io::Result<()> {
    let name = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%N").to_string();
    let data = directory.join(&name);
    // an umask takes bits away from a mode at creation
    let set = |path: &Path, mode: u32| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let make = |path: &Path| -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(path)?;
        set(path, 0o755)
    };
    make(&data)?;
    for file in files {
        let path = data.join(&file.path);
        let parents = file.path.parent().into_iter().flat_map(Path::ancestors).collect::<Vec<_>>();
        for parent in parents.into_iter().rev().filter(|parent| !parent.as_os_str().is_empty()) {
            make(&data.join(parent))?;
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        opened.write_all(file.content.as_bytes())?;
        set(&path, file.mode)?;
    }
    for file in files {
        let Some(Component::Normal(top)) = file.path.components().next() else { continue };
        match symlink(Path::new("..data").join(top), directory.join(top)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    // last, so that a volume that was only half written is written again
    symlink(&name, directory.join("..data"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::runner::testing;

    fn file(path: &str, field: &str, mode: u32) -> VolumeFile {
        VolumeFile { path: path.into(), value: EnvValue::Field(field.to_owned()), mode }
    }

    #[test]
    fn a_pod_reads_of_itself() {
        let mut pod = testing::pod("a");
        pod.labels = [("b", "2"), ("a", "\"x\"\n\u{1}ü")].map(|(key, value)| (key.into(), value.into())).into();
        let files = [
            file("name", "metadata.name", 0o644),
            file("deep/er/labels", "metadata.labels", 0o400),
            VolumeFile {
                path: "cpu".into(),
                value: EnvValue::Resource {
                    container: "a".into(),
                    resource: "limits.cpu".into(),
                    divisor: "1m".into(),
                },
                mode: 0o640,
            },
        ];
        let files = payload(&files, &pod, &testing::node()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let volume = directory.path().join("volume");
        for _ in 0..2 {
            prepare(&volume, &files, None).unwrap();
        }
        let read = |name: &str| fs::read_to_string(volume.join(name)).unwrap();
        assert_eq!((read("name").as_str(), read("cpu").as_str()), ("a-node", "2000"));
        assert_eq!(read("deep/er/labels"), "a=\"\\\"x\\\"\\n\\x01ü\"\nb=\"2\"");
        let mode = |name: &str| fs::metadata(volume.join(name)).unwrap().mode() & 0o7777;
        assert_eq!((mode("name"), mode("deep/er/labels"), mode("deep"), mode("cpu")), (0o644, 0o400, 0o755, 0o640));
        assert_eq!(fs::read_link(volume.join("deep")).unwrap(), Path::new("..data/deep"));
        let data = fs::read_link(volume.join("..data")).unwrap();
        assert!(data.to_str().unwrap().starts_with("..2"), "{data:?}");
        let grouped = directory.path().join("grouped");
        prepare(&grouped, &files, Some(4242)).unwrap();
        let found = fs::metadata(grouped.join("deep/er/labels")).unwrap();
        assert_eq!((found.gid(), found.mode() & 0o7777), (4242, 0o440));
        assert_eq!(super::super::remove_mounted(directory.path()).unwrap(), []);
    }

    #[test]
    fn a_field_without_a_value_is_told() {
        let bad = payload(&[file("x", "status.phase", 0o644)], &testing::pod("a"), &testing::node());
        assert_eq!(bad, Err("unsupported fieldPath: status.phase".to_owned()));
    }
}
