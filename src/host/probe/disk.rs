//! Tries the disk of etcd's data as etcd uses it: small writes one after the other, each waited for.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statfs::{
    FUSE_SUPER_MAGIC, FsType, NFS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC, SMB_SUPER_MAGIC, TMPFS_MAGIC, statfs,
};

use super::places::nearest;
use crate::preflight::machine::{EtcdDisk, UnfitFilesystem};

/// Enough for a 99th percentile, which is the first to leave the slowest out.
const MOST: usize = 100;
/// Altogether: a disk that is so slow that fewer fit is known by then. All the rest of preflight takes about half.
const BUDGET: Duration = Duration::from_millis(100);
/// An entry of etcd's log is about as large.
const ENTRY: usize = 2300;
/// linux/magic.h
const CIFS_MAGIC: u64 = 0xFF53_4D42;
const SMB2_MAGIC: u64 = 0xFE53_4D42;

/// `node_path` is what the directory is called, `place` where it is or will be.
pub(super) fn look(node_path: &Path, place: &Path, is_tried: bool) -> EtcdDisk {
    let directory = nearest(place);
    let unfit = statfs(&directory).ok().and_then(|filesystem| unfit(filesystem.filesystem_type()));
    let syncs = match is_tried {
        // where nothing can be written, the check `Writable` says so
        true => sync_times(&directory).unwrap_or_default(),
        false => Vec::new(),
    };
    EtcdDisk { path: node_path.to_owned(), unfit, syncs }
}

fn unfit(kind: FsType) -> Option<UnfitFilesystem> {
    match kind {
        TMPFS_MAGIC => Some(UnfitFilesystem::Tmpfs),
        NFS_SUPER_MAGIC => Some(UnfitFilesystem::Nfs),
        FUSE_SUPER_MAGIC => Some(UnfitFilesystem::Fuse),
        OVERLAYFS_SUPER_MAGIC => Some(UnfitFilesystem::Overlay),
        kind if kind == SMB_SUPER_MAGIC || [CIFS_MAGIC, SMB2_MAGIC].contains(&(kind.0 as u64 & 0xFFFF_FFFF)) => {
            Some(UnfitFilesystem::Smb)
        }
        _ => None,
    }
}

/// How long each of the writes took to reach the disk. The file has no name, so that a kill leaves nothing.
fn sync_times(directory: &Path) -> io::Result<Vec<Duration>> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    // as etcd does; where the file system cannot, the file just grows
    let _ = fallocate(&file, FallocateFlags::empty(), 0, (MOST * ENTRY) as i64);
    let entry = [0x5a; ENTRY];
    let mut times = Vec::with_capacity(MOST);
    let begin = Instant::now();
    while times.len() < MOST && begin.elapsed() < BUDGET {
        let start = Instant::now();
        file.write_all(&entry)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::preflight::disk::percentile;

    #[test]
    fn a_real_disk_gives_figures_and_keeps_nothing() {
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let begin = Instant::now();
        let disk = look(Path::new("/var/lib/etcd"), &directory.path().join("not/there/yet"), true);
        assert!((1..=MOST).contains(&disk.syncs.len()), "{disk:?}");
        let sum: Duration = disk.syncs.iter().sum();
        assert!(sum <= begin.elapsed(), "{disk:?}");
        let (half, p99) = (percentile(&disk.syncs, 50).unwrap(), percentile(&disk.syncs, 99).unwrap());
        assert!(Duration::ZERO < half && half <= p99, "{half:?} {p99:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(look(Path::new("/var/lib/etcd"), directory.path(), false).syncs.is_empty());
    }

    #[test]
    fn file_systems_that_do_not_do_are_known() {
        for (kind, expected) in [
            (TMPFS_MAGIC, Some(UnfitFilesystem::Tmpfs)),
            (NFS_SUPER_MAGIC, Some(UnfitFilesystem::Nfs)),
            (FsType(CIFS_MAGIC as _), Some(UnfitFilesystem::Smb)),
            (FUSE_SUPER_MAGIC, Some(UnfitFilesystem::Fuse)),
            (OVERLAYFS_SUPER_MAGIC, Some(UnfitFilesystem::Overlay)),
            (nix::sys::statfs::EXT4_SUPER_MAGIC, None),
            (nix::sys::statfs::XFS_SUPER_MAGIC, None),
        ] {
            assert_eq!(unfit(kind), expected, "{kind:?}");
        }
    }
}
