//! hostPath volumes and where they are mounted [3.8].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::facts::{Facts, OPTIONAL_CA_DIRECTORIES};
use crate::config::{ExternalEtcd, HostPathMount};

/// A volume and its one mount.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) host_path: String,
    /// Verbatim; empty means that nothing is checked.
    pub(super) path_type: String,
    pub(super) mount_path: String,
    pub(super) read_only: bool,
}

impl Volume {
    /// A directory of the node at the same place in the container.
    pub(super) fn directory(name: &str, path: impl AsRef<Path>) -> Self {
        Volume::same_path(name, path.as_ref(), "DirectoryOrCreate")
    }

    /// A file of the node at the same place in the container.
    pub(super) fn file(name: &str, path: impl AsRef<Path>) -> Self {
        Volume::same_path(name, path.as_ref(), "FileOrCreate")
    }

    fn same_path(name: &str, path: &Path, path_type: &str) -> Self {
        let path = path.to_string_lossy().into_owned();
        Volume {
            name: name.to_owned(),
            host_path: path.clone(),
            path_type: path_type.to_owned(),
            mount_path: path,
            read_only: false,
        }
    }

    pub(super) fn read_only(self) -> Self {
        Volume { read_only: true, ..self }
    }
}

impl From<&HostPathMount> for Volume {
    fn from(mount: &HostPathMount) -> Self {
        Volume {
            name: mount.name.clone(),
            host_path: mount.host_path.clone(),
            path_type: mount.path_type.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only,
        }
    }
}

/// The CA certificates of the node: the usual place, and those of the others that exist.
pub(super) fn ca_directories(facts: &Facts) -> Vec<Volume> {
    let mut volumes = vec![Volume::directory("ca-certs", "/etc/ssl/certs").read_only()];
    for path in &facts.ca_directories {
        let name = path.to_string_lossy().trim_start_matches('/').replace('/', "-");
        volumes.push(Volume::directory(&name, path).read_only());
    }
    volumes
}

/// The directories of an external etcd's files, as far as no other volume holds them [3.8]. What holds what is a
/// comparison of texts, as in kubeadm: `/etc/foo` also holds `/etc/foobar`.
pub(super) fn external_etcd_directories(etcd: &ExternalEtcd, certificates_dir: &Path) -> Vec<Volume> {
    let client = etcd.client.iter().flat_map(|client| [&client.cert_file, &client.key_file]);
    let directories: BTreeSet<String> = etcd
        .ca_file
        .iter()
        .chain(client)
        .filter_map(|file| file.parent())
        // without double slashes, which a prefix would trip over
        .map(|directory| directory.components().collect::<PathBuf>().to_string_lossy().into_owned())
        .collect();
    let mut holders: Vec<String> = OPTIONAL_CA_DIRECTORIES.map(str::to_owned).to_vec();
    holders.extend(["/etc/ssl/certs".to_owned(), certificates_dir.to_string_lossy().into_owned()]);
    let mut volumes = Vec::new();
    // in this order, a directory comes after those that hold it
    for directory in directories {
        if !holders.iter().any(|holder| directory.starts_with(holder.as_str())) {
            volumes.push(Volume::directory(&format!("etcd-certs-{}", volumes.len()), &directory).read_only());
            holders.push(directory);
        }
    }
    volumes
}

/// Defaults and the user's volumes by name; the user's replaces a default of the same name.
pub(super) fn merged(defaults: Vec<Volume>, extra: &[HostPathMount]) -> Vec<Volume> {
    let mut by_name: BTreeMap<String, Volume> = BTreeMap::new();
    for volume in defaults.into_iter().chain(extra.iter().map(Volume::from)) {
        by_name.insert(volume.name.clone(), volume);
    }
    by_name.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EtcdClient;

    #[test]
    fn directories_of_an_external_etcd_are_mounted_once() {
        for (ca, cert, expected) in [
            ("/etc/etcd/ca.crt", "/etc/etcd/client.crt", vec!["/etc/etcd"]),
            ("/etc/etcd/ca/ca.crt", "/etc/etcd/client.crt", vec!["/etc/etcd"]),
            ("/z/ca.crt", "/a/client.crt", vec!["/a", "/z"]),
            ("/etc/ssl/certs/ca.crt", "/pki/etcd/client.crt", vec![]),
            ("/etc/pki/ca-trust/a/ca.crt", "/pkix/client.crt", vec![]),
        ] {
            let etcd = ExternalEtcd {
                endpoints: Vec::new(),
                http_endpoints: Vec::new(),
                ca_file: Some(ca.into()),
                client: Some(EtcdClient { cert_file: cert.into(), key_file: cert.into() }),
            };
            let volumes = external_etcd_directories(&etcd, Path::new("/pki"));
            let paths: Vec<_> = volumes.iter().map(|volume| volume.host_path.as_str()).collect();
            assert_eq!(paths, expected, "{ca} {cert}");
        }
    }
}
