//! Copies layers over one another, where overlayfs cannot show them so.
//!
//! It understands both ways in which [`super::tree`] keeps what a layer removes.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstatat};

use super::tree::{self, EntryPath, Metadata, OPAQUE, Tree, WHITEOUT, open_beneath};
use crate::error::{Context, Result};

/// Copies `layers`, lowest first, into the empty directory `target`.
pub fn layers(layers: &[PathBuf], target: &Path) -> Result<()> {
    for layer in layers {
        let root = File::open(layer).with_context(|| format!("cannot open `{}`", layer.display()))?;
        let mut tree = Tree::open(target)?;
        directory(&mut tree, &root, &EntryPath::new(b"")?)
            .with_context(|| format!("cannot copy `{}`", layer.display()))?;
        tree.finish()?;
    }
    Ok(())
}

fn directory(tree: &mut Tree, root: &File, path: &EntryPath) -> Result<()> {
    let here = File::from(open_beneath(root, path)?);
    let listed: io::Result<Vec<_>> =
        fs::read_dir(format!("/proc/self/fd/{}", here.as_raw_fd()))?.map(|entry| Ok(entry?.file_name())).collect();
    let mut names = listed?;
    // removals first: they are about the layers below
    names.sort_by_key(|name| (!name.as_bytes().starts_with(WHITEOUT.as_bytes()), name.clone()));
    if path.name().is_some() && (tree::is_opaque(&here) || names.iter().any(|name| name == OPAQUE)) {
        tree.remove(path)?;
    }
    tree.directory(path, &Metadata::of(&here)?)?;
    for name in names {
        if name == OPAQUE {
            continue;
        }
        if let Some(removed) = name.as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            tree.remove(&path.join(std::ffi::OsStr::from_bytes(removed)))?;
            continue;
        }
        let entry = path.join(&name);
        let stat = fstatat(&here, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let metadata = Metadata::of_stat(&stat);
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => directory(tree, root, &entry)?,
            SFlag::S_IFREG => {
                let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mut file = File::from(openat(&here, name.as_os_str(), flags, Mode::empty())?);
                tree.file(&entry, &Metadata::of(&file)?, &mut file)?;
            }
            SFlag::S_IFLNK => {
                let target = nix::fcntl::readlinkat(&here, name.as_os_str())?;
                tree.symlink(&entry, &metadata, target.as_bytes())?;
            }
            SFlag::S_IFIFO => tree.fifo(&entry, &metadata)?,
            _ if tree::is_whiteout(&stat) => tree.remove(&entry)?,
            _ => {}
        }
    }
    Ok(())
}
