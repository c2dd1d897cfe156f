//! hostPath volumes: what must be there is checked, what may be made is made [4.B].

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

use crate::runner::pod::HostPathType;

/// `Err` in the kubelet's words.
pub(super) fn prepare(path: &Path, kind: HostPathType) -> Result<(), String> {
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
    fn case_151_each_type_accepts_its_own_and_makes_what_it_may() {
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
                assert_eq!(prepare(&path(name), kind), Ok(()), "{name} {kind:?}");
            }
            for kind in bad {
                let failure = prepare(&path(name), kind).unwrap_err();
                assert!(failure.starts_with("hostPath type check failed: "), "{failure}");
            }
        }
        assert_eq!(prepare(Path::new("/dev/null"), CharDevice), Ok(()));
        for kind in [Directory, File, Socket, CharDevice, BlockDevice] {
            assert!(prepare(&path("none"), kind).is_err());
        }
        assert!(prepare(&path("new/file"), FileOrCreate).is_err(), "no parents are made for a file");
        assert_eq!(prepare(&path("new/deep"), DirectoryOrCreate), Ok(()));
        assert_eq!(prepare(&path("new/file"), FileOrCreate), Ok(()));
        assert!(path("new/file").is_file() && path("new/deep").is_dir());
    }
}
