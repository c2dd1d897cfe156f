//! hostPath volumes: what must be there is checked, what may be made is made [4.B].
//!
//! Only volumes that a container mounts count [4.1]. Whatever fails is told in the kubelet's words and tried again.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::pod::{HostPathType, Pod};
use crate::layout::Layout;

/// Makes ready every volume that the pod's containers mount.
pub fn prepare(pod: &Pod, layout: &Layout) -> Result<(), String> {
    let mounts = || pod.containers.iter().flat_map(|container| &container.mounts);
    for volume in pod.volumes.iter().filter(|volume| mounts().any(|mount| mount.volume == volume.name)) {
        host_path(&layout.under(&volume.path), volume.kind)
            .map_err(|cause| format!("MountVolume.SetUp failed for volume \"{}\" : {cause}", volume.name))?;
    }
    Ok(())
}

fn host_path(path: &Path, kind: HostPathType) -> Result<(), String> {
    let failed = |error: io::Error| format!("`{}`: {error}", path.display());
    let found = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.file_type()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    match (kind, found) {
        // without a type a missing path becomes a directory when the container is made [4.10]
        (HostPathType::Unset | HostPathType::DirectoryOrCreate, None) => {
            fs::DirBuilder::new().recursive(true).mode(0o755).create(path).map_err(failed)
        }
        (HostPathType::FileOrCreate, None) => {
            OpenOptions::new().write(true).create_new(true).mode(0o644).open(path).map(drop).map_err(failed)
        }
        (kind, found) => {
            let (holds, word) = match kind {
                HostPathType::Unset => (true, ""),
                HostPathType::DirectoryOrCreate | HostPathType::Directory => {
                    (found.is_some_and(|found| found.is_dir()), "a directory")
                }
                HostPathType::FileOrCreate | HostPathType::File => {
                    (found.is_some_and(|found| found.is_file()), "a file")
                }
                HostPathType::Socket => (found.is_some_and(|found| found.is_socket()), "a socket file"),
                HostPathType::CharDevice => (found.is_some_and(|found| found.is_char_device()), "a character device"),
                HostPathType::BlockDevice => (found.is_some_and(|found| found.is_block_device()), "a block device"),
            };
            if holds { Ok(()) } else { Err(format!("hostPath type check failed: {} is not {word}", path.display())) }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_type_accepts_its_own_and_makes_what_it_may() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "").unwrap();
        fs::create_dir(path("directory")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        use HostPathType::{BlockDevice, CharDevice, Directory, DirectoryOrCreate, File, FileOrCreate, Socket, Unset};
        for (name, good, bad) in [
            ("file", vec![Unset, File, FileOrCreate], vec![Directory, DirectoryOrCreate, Socket, CharDevice]),
            ("directory", vec![Unset, Directory, DirectoryOrCreate], vec![File, FileOrCreate, BlockDevice]),
            ("socket", vec![Unset, Socket], vec![File, Directory]),
        ] {
            for kind in good {
                assert_eq!(host_path(&path(name), kind), Ok(()), "{name} {kind:?}");
            }
            for kind in bad {
                let failure = host_path(&path(name), kind).unwrap_err();
                assert!(failure.starts_with("hostPath type check failed: "), "{failure}");
            }
        }
        assert_eq!(host_path(Path::new("/dev/null"), CharDevice), Ok(()));
        for kind in [Directory, File, Socket, CharDevice, BlockDevice] {
            assert!(host_path(&path("none"), kind).is_err());
        }
        assert!(host_path(&path("new/file"), FileOrCreate).is_err(), "no parents are made for a file");
        assert_eq!(host_path(&path("new/deep"), DirectoryOrCreate), Ok(()));
        assert_eq!(host_path(&path("new/file"), FileOrCreate), Ok(()));
        assert!(path("new/file").is_file() && path("new/deep").is_dir());
    }
}
