//! Reads the static pods' manifests as they lie on the disk.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;

use crate::error::{Context, Result};
use crate::phase::renew::PlacedPod;

/// What lies in a directory of manifests, by file name.
#[derive(Debug, Default)]
pub struct Manifests {
    pub pods: Vec<PlacedPod>,
    /// Files that are no pod.
    pub others: Vec<PathBuf>,
}

/// Reads a directory of manifests, or one manifest.
pub fn read(path: &Path) -> Result<Manifests> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut files = match std::fs::read_dir(path) {
        Ok(entries) => entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<std::result::Result<Vec<_>, _>>()
            .with_context(cannot)?,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) if error.kind() == ErrorKind::NotADirectory => vec![path.to_owned()],
        Err(error) => return Err(error).with_context(cannot),
    };
    files.retain(|file| !file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    files.sort();
    let mut manifests = Manifests::default();
    for manifest in files {
        match pod(&manifest) {
            Some(pod) => manifests.pods.push(PlacedPod { manifest, pod }),
            None => manifests.others.push(manifest),
        }
    }
    Ok(manifests)
}

fn pod(manifest: &Path) -> Option<Pod> {
    let text = std::fs::read_to_string(manifest).ok()?;
    let pod: Pod = serde_yaml::from_str(&text).ok()?;
    pod.metadata.name.is_some().then_some(pod)
}
