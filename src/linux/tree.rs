//! Removing a directory tree that others may have written to, or giving it to somebody.
//!
//! No symbolic link is followed and no mount is entered, so nothing outside the tree can be lost, whatever a container
//! has left inside. What cannot be removed is reported and does not stop the rest.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, unlinkat};

use crate::error::{Context, Result};

/// Something that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    pub reason: String,
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path.display(), self.reason)
    }
}

/// Directories below this depth are moved up first, so that neither descriptors nor the stack run out.
const DEPTH: usize = 64;

/// Removes `path` and everything in it; an absent path is no error.
pub fn remove_tree(path: &Path) -> Result<Vec<Leftover>> {
    let mut leftovers = Vec::new();
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        anyhow::bail!("`{}` cannot be removed", path.display());
    };
    let parent = match File::open(parent) {
        Ok(parent) => OwnedFd::from(parent),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(leftovers),
        Err(error) => return Err(error).with_context(|| format!("cannot open `{}`", parent.display())),
    };
    let mount = mount_of(&parent, OsStr::new("")).context("cannot tell the mount of a directory")?;
    let mut walk = Walk { mount, top: None, moved: 0, leftovers: &mut leftovers };
    walk.remove(&parent, name, path, 0);
    Ok(leftovers)
}

/// Makes `path` and everything in it belong to a user and a group; an absent path is an error. Mode bits stay but those
/// that the kernel takes away.
pub fn give_tree(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let root = OwnedFd::from(File::open(path)?);
    let mount = mount_of(&root, OsStr::new(""))?;
    give(&root, mount, user, group)
}

fn give(directory: &OwnedFd, mount: MountOf, user: u32, group: u32) -> io::Result<()> {
    for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        let name = entry?.file_name();
        if mount_of(directory, &name)? != mount {
            continue;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(directory, name.as_os_str(), flags, Mode::empty()) {
            Ok(below) => give(&below, mount, user, group)?,
            Err(Errno::ENOTDIR | Errno::ELOOP) => {
                let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
                fchownat(directory, name.as_os_str(), user, group, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    // last: whoever owns a directory may change what is in it
    std::os::unix::fs::fchown(directory, Some(user), Some(group))
}

/// Device and mount id; the id is what tells bind mounts of one file system apart.
type MountOf = (u32, u32, u64);

struct Walk<'a> {
    mount: MountOf,
    /// The outermost directory, where deep ones are moved.
    top: Option<OwnedFd>,
    moved: usize,
    leftovers: &'a mut Vec<Leftover>,
}

impl Walk<'_> {
    fn remove(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path, depth: usize) {
        if let Err(error) = self.try_remove(parent, name, path, depth)
            && error.kind() != io::ErrorKind::NotFound
        {
            self.leftovers.push(Leftover { path: path.to_owned(), reason: error.to_string() });
        }
    }

    fn try_remove(&mut self, parent: &OwnedFd, name: &OsStr, path: &Path, depth: usize) -> io::Result<()> {
        if mount_of(parent, name)? != self.mount {
            return Err(io::Error::other("something is mounted here"));
        }
        let refused = match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) => return Ok(()),
            Err(error @ (Errno::EISDIR | Errno::EPERM)) => error,
            Err(error) => return Err(error.into()),
        };
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let directory = match openat(parent, name, flags, Mode::empty()) {
            Ok(directory) => directory,
            // a file that may not be removed: an immutable one
            Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(refused.into()),
            Err(error) => return Err(error.into()),
        };
        if depth == DEPTH
            && let Some(top) = &self.top
        {
            self.moved += 1;
            let lifted = format!(".removing-{}-{}", std::process::id(), self.moved);
            nix::fcntl::renameat(parent, name, top, lifted.as_str())?;
            return Ok(());
        }
        if depth == 0 {
            self.top = Some(directory.try_clone()?);
        }
        self.empty(&directory, path, depth)?;
        Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
    }

    fn empty(&mut self, directory: &OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        loop {
            let moved = self.moved;
            for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
                let name = entry?.file_name();
                self.remove(directory, &name, &path.join(&name), depth + 1);
            }
            // what was moved up here meanwhile is removed in another round
            if depth != 0 || moved == self.moved {
                return Ok(());
            }
        }
    }
}

fn mount_of(directory: &OwnedFd, name: &OsStr) -> io::Result<MountOf> {
    let name = std::ffi::CString::new(name.as_bytes()).map_err(io::Error::other)?;
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW | AtFlags::AT_EMPTY_PATH | AtFlags::AT_NO_AUTOMOUNT;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: the name is a C string, the result fits in `found`, and both outlive the call.
    Errno::result(unsafe {
        libc::statx(directory.as_raw_fd(), name.as_ptr(), flags.bits(), libc::STATX_MNT_ID, found.as_mut_ptr())
    })?;
    // SAFETY: statx succeeded, and all zeroes is a valid value of every field it left alone.
    let found = unsafe { found.assume_init() };
    Ok((found.stx_dev_major, found.stx_dev_minor, found.stx_mnt_id))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_removed_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, tree) = (directory.path().join("kept"), directory.path().join("tree"));
        fs::create_dir_all(kept.join("inner")).unwrap();
        fs::create_dir_all(tree.join("a/b")).unwrap();
        symlink(&kept, tree.join("a/link")).unwrap();
        symlink("/", tree.join("root")).unwrap();
        fs::write(tree.join("a/b/file"), "x").unwrap();
        assert_eq!(remove_tree(&tree).unwrap(), []);
        assert!(!tree.exists() && kept.join("inner").exists());
        assert_eq!(remove_tree(&tree).unwrap(), [], "once more");
        assert_eq!(remove_tree(&tree.join("below/absent")).unwrap(), []);
    }

    #[test]
    fn a_tree_is_given_away_without_what_its_links_name() {
        use std::os::unix::fs::MetadataExt;
        let directory = tempfile::tempdir().unwrap();
        let (kept, tree) = (directory.path().join("kept"), directory.path().join("tree"));
        fs::write(&kept, "").unwrap();
        fs::create_dir_all(tree.join("a")).unwrap();
        fs::write(tree.join("a/file"), "").unwrap();
        symlink(&kept, tree.join("link")).unwrap();
        give_tree(&tree, 4321, 4322).unwrap();
        for path in [&tree, &tree.join("a"), &tree.join("a/file"), &tree.join("link")] {
            let found = fs::symlink_metadata(path).unwrap();
            assert_eq!((found.uid(), found.gid()), (4321, 4322), "{}", path.display());
        }
        assert_ne!(fs::metadata(&kept).unwrap().uid(), 4321);
        assert!(give_tree(&tree.join("absent"), 1, 1).is_err());
    }

    #[test]
    fn a_very_deep_tree_goes_too() {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut at = OwnedFd::from(File::open(&tree).unwrap());
        for _ in 0..3000 {
            nix::sys::stat::mkdirat(&at, "directory", Mode::S_IRWXU).unwrap();
            at = openat(&at, "directory", OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        }
        assert_eq!(remove_tree(&tree).unwrap(), []);
        assert!(!tree.exists());
    }

    #[test]
    fn a_mount_is_left_alone_and_reported() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, tree) = (directory.path().join("kept"), directory.path().join("tree"));
        fs::create_dir_all(&kept).unwrap();
        fs::write(kept.join("precious"), "x").unwrap();
        fs::create_dir_all(tree.join("mount")).unwrap();
        fs::write(tree.join("file"), "x").unwrap();
        super::super::mount::bind(&kept, &tree.join("mount")).unwrap();
        let leftovers = remove_tree(&tree).unwrap();
        super::super::mount::unmount(&tree.join("mount")).unwrap();
        let paths: Vec<_> = leftovers.iter().map(|leftover| leftover.path.as_path()).collect();
        assert_eq!(paths, [tree.join("mount").as_path(), tree.as_path()]);
        assert!(kept.join("precious").exists() && !tree.join("file").exists());
        assert_eq!(remove_tree(&tree).unwrap(), []);
    }
}
