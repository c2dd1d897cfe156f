//! Looks at what a plan depends on: the files that are desired, and what the journal says of them.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;

use super::{journal, users};
use crate::desired::{Desired, kubelet, pki, profile};
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
    let paths: Vec<PathBuf> = certificates.chain([key, public]).chain(kubeconfigs).chain(others).collect();

    let mut files = BTreeMap::new();
    for path in paths {
        let place = layout.under(&path);
        let file = match std::fs::read(&place) {
            Ok(content) => FoundFile::Content(content),
            Err(error) if error.kind() == ErrorKind::NotFound => FoundFile::Absent,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => FoundFile::Unreadable,
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", place.display())),
        };
        files.insert(path, file);
    }
    // without root the journal cannot be read, and a dry run does without
    let written = journal::read(layout).map(|record| record.written).or_else(|error| {
        let denied = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
        let denied = denied.map(std::io::Error::kind).any(|kind| kind == ErrorKind::PermissionDenied);
        if denied { Ok(BTreeMap::new()) } else { Err(error) }
    })?;
    let etcd_owner = match config.gives_etcd_its_data() {
        true => Some(users::look(layout, &profile::ETCD)?),
        false => None,
    };
    Ok(Found { files, written, etcd_owner, now })
}
