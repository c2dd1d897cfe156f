//! Looks at what a plan depends on: the files that are desired, and what the journal says of them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::journal;
use crate::desired::kubeconfig::existing;
use crate::desired::{Desired, kubelet, pki};
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::phase;
use crate::plan::found::{Found, FoundFile};

/// Reads every file that is desired. A file that may not be read is found unreadable; other failures are errors.
pub fn look(layout: &Layout, desired: &Desired, now: Timestamp) -> Result<Found> {
    let config = &desired.config;
    let certificates =
        desired.certificates.iter().flat_map(|file| [file.certificate_path(config), file.key_path(config)]);
    let (key, public) = pki::service_account_paths(config);
    let kubeconfigs = desired.kubeconfigs.iter().map(|file| file.path());
    let manifests = desired.manifests.iter().map(|manifest| phase::manifest_path(manifest.component));
    let profile_files = desired.profile_files.iter().map(|file| PathBuf::from(file.path));
    let kubelet =
        desired.kubelet_files.iter().map(|file| file.path.clone()).chain([kubelet::client_certificate(config)]);
    let others = profile_files.chain(manifests).chain(kubelet);
    let paths = certificates.chain([key, public]).chain(kubeconfigs).chain(others);
    let mut found = read(layout, paths, now)?;
    // a kubeconfig may trust an authority in a file of its own
    let trusted = desired.kubeconfigs.iter().filter_map(|file| match found.file(&file.path()) {
        FoundFile::Content(text) => existing::trusted_file(&file.path(), text),
        FoundFile::Absent | FoundFile::Unreadable => None,
    });
    found.files.extend(read(layout, trusted.collect::<Vec<_>>(), now)?.files);
    // without root the journal cannot be read, and a dry run does without
    found.written = journal::read(layout).map(|record| record.written).or_else(|error| {
        let denied = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        let denied = denied.map(std::io::Error::kind).any(|kind| kind == ErrorKind::PermissionDenied);
        if denied { Ok(BTreeMap::new()) } else { Err(error) }
    })?;
    Ok(found)
}

/// Reads these files; paths are the node's.
pub fn read(layout: &Layout, paths: impl IntoIterator<Item = PathBuf>, now: Timestamp) -> Result<Found> {
    let mut found = Found::at(now);
    for path in paths {
        let place = layout.under(&path);
        let file = match std::fs::read(&place) {
            Ok(content) => FoundFile::Content(content),
            Err(error) if error.kind() == ErrorKind::NotFound => FoundFile::Absent,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => FoundFile::Unreadable,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", place.display())),
        };
        if is_open_to_all(&place) {
            found.open_to_all.insert(path.clone());
        }
        found.files.insert(path, file);
    }
    Ok(found)
}

fn is_open_to_all(place: &Path) -> bool {
    place.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o006 != 0)
}
