//! Writes files below one directory and nowhere else, whatever the paths say.
//!
//! Every path is walked from the directory's descriptor, component by component and without following a symbolic
//! link, so an entry may replace a link but is never written through one. Nothing that exists is ever opened for
//! writing: it is removed and made anew, so a hard link cannot lead outside either. Nobody else writes below the
//! directory meanwhile: it is the store's, and root's alone.
//!
//! What a layer removes from those below it is kept as overlayfs wants it: a character device 0/0 for a name, an
//! attribute for the content of a directory. On a filesystem that refuses both (overlayfs itself), the layer's own
//! marker files are kept, and [`super::copy`] reads them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{self, FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::time::TimeSpec;
use nix::unistd::{self, Gid, Uid, UnlinkatFlags};
use xattr::FileExt;

use crate::error::{Context, Fault, Result};

/// In a layer's tar: removes the name that follows from the layers below.
pub const WHITEOUT: &str = ".wh.";
/// In a layer's tar: removes everything that the layers below have in this directory.
pub const OPAQUE: &str = ".wh..wh..opq";
const OPAQUE_ATTRIBUTE: &str = "trusted.overlay.opaque";

const DIRECTORY: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);
const LONGEST_PATH: usize = 4096;
/// Walking and removing a tree hold a descriptor or a stack frame for each level.
const DEEPEST_PATH: usize = 200;

/// A path below the directory: relative, without `.` and `..`; empty for the directory itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryPath(PathBuf);

impl EntryPath {
    /// Takes a path as it stands in an archive, where a leading `/` means the archive's root.
    pub fn new(text: &[u8]) -> Result<EntryPath> {
        let shown = || String::from_utf8_lossy(&text[..text.len().min(200)]).into_owned();
        if text.len() > LONGEST_PATH {
            return Err(Fault::usage(format!("path `{}…` is longer than {LONGEST_PATH} bytes", shown())).into());
        }
        let mut path = PathBuf::new();
        for component in text.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(Fault::usage(format!("path `{}` leaves the directory", shown())).into()),
                name if name.contains(&0) => {
                    return Err(Fault::usage(format!("path `{}` holds a zero byte", shown())).into());
                }
                name => path.push(OsStr::from_bytes(name)),
            }
        }
        if path.iter().count() > DEEPEST_PATH {
            return Err(Fault::usage(format!("path `{}…` has more than {DEEPEST_PATH} levels", shown())).into());
        }
        Ok(EntryPath(path))
    }

    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The last component; `None` for the directory itself.
    pub fn name(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    pub fn parent(&self) -> EntryPath {
        EntryPath(self.0.parent().map(Path::to_owned).unwrap_or_default())
    }

    pub fn join(&self, name: &OsStr) -> EntryPath {
        EntryPath(self.0.join(name))
    }
}

/// What a file has besides its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// The permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub modified: TimeSpec,
    pub attributes: Vec<(OsString, Vec<u8>)>,
}

impl Metadata {
    /// Reads what `file` has. Attributes are those an image may set.
    pub fn of(file: &File) -> io::Result<Metadata> {
        let stat = stat::fstat(file)?;
        let mut attributes = Vec::new();
        for name in file.list_xattr().into_iter().flatten().filter(|name| is_kept(name.as_bytes())) {
            if let Some(value) = file.get_xattr(&name)? {
                attributes.push((name, value));
            }
        }
        Ok(Metadata { attributes, ..Metadata::of_stat(&stat) })
    }

    pub fn of_stat(stat: &FileStat) -> Metadata {
        Metadata {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
            attributes: Vec::new(),
        }
    }

    fn apply(&self, file: &File) -> io::Result<()> {
        // the owner first: changing it takes setuid and capabilities away
        unistd::fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        stat::fchmod(file, Mode::from_bits_truncate(self.mode))?;
        for (name, value) in &self.attributes {
            match file.set_xattr(name, value) {
                Err(error) if error.raw_os_error() == Some(Errno::EOPNOTSUPP as i32) => {}
                result => result?,
            }
        }
        stat::futimens(file, &TimeSpec::UTIME_OMIT, &self.modified)?;
        Ok(())
    }
}

/// The extended attributes that an image may set. Not `trusted.*`, which would redirect overlayfs, nor labels of the
/// machine that the image was made on.
pub fn is_kept(attribute: &[u8]) -> bool {
    attribute == b"security.capability" || (attribute.starts_with(b"user.") && !attribute.starts_with(b"user.overlay."))
}

/// The character device 0/0 by which overlayfs hides a name of the layers below.
pub fn is_whiteout(stat: &FileStat) -> bool {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFCHR && stat.st_rdev == 0
}

pub fn is_opaque(directory: &File) -> bool {
    matches!(directory.get_xattr(OPAQUE_ATTRIBUTE), Ok(Some(value)) if value == b"y")
}

/// Opens the directory `path` below `root` without following a link.
pub fn open_beneath(root: impl AsFd, path: &EntryPath) -> nix::Result<OwnedFd> {
    let mut directory = openat(root, ".", DIRECTORY, Mode::empty())?;
    for component in path.as_path() {
        directory = openat(&directory, component, DIRECTORY, Mode::empty())?;
    }
    Ok(directory)
}

/// A directory that is being filled.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
    markers: bool,
    /// The directory of the last entry, most likely that of the next too.
    current: Option<(EntryPath, OwnedFd)>,
    /// Directories with the time that is theirs once everything is in them.
    directories: Vec<(EntryPath, TimeSpec)>,
    implicit: BTreeSet<EntryPath>,
}

impl Tree {
    /// `root` exists and is the caller's alone.
    pub fn open(root: &Path) -> Result<Tree> {
        let open = || -> nix::Result<Tree> {
            let root = open(root, DIRECTORY, Mode::empty())?;
            let markers =
                nix::sys::statfs::fstatfs(&root)?.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC;
            Ok(Tree { root, markers, current: None, directories: Vec::new(), implicit: BTreeSet::new() })
        };
        open().with_context(|| format!("cannot open `{}`", root.display()))
    }

    /// Makes the file and gives it the content's bytes; returns their number.
    pub fn file(&mut self, path: &EntryPath, metadata: &Metadata, content: &mut impl Read) -> Result<u64> {
        let (parent, name) = self.place(path)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let descriptor =
            openat(&parent, name, flags, Mode::from_bits_truncate(0o600)).with_context(|| cannot_make(path))?;
        let mut file = File::from(descriptor);
        let length = io::copy(content, &mut file).map_err(read_fault).with_context(|| cannot_make(path))?;
        metadata.apply(&file).with_context(|| cannot_make(path))?;
        Ok(length)
    }

    /// Makes the directory, or gives the one that exists its metadata.
    pub fn directory(&mut self, path: &EntryPath, metadata: &Metadata) -> Result<()> {
        if let Some(name) = path.name() {
            let parent = self.parent(path)?;
            let opaque = match lstat(&parent, name)? {
                Some(stat) if is_directory(&stat) => None,
                Some(stat) => {
                    self.remove(path)?;
                    Some(is_whiteout(&stat))
                }
                None => Some(false),
            };
            if let Some(opaque) = opaque {
                make_directory(&parent, name, opaque).with_context(|| cannot_make(path))?;
            }
        }
        self.implicit.remove(path);
        let directory = open_beneath(&self.root, path).with_context(|| cannot_make(path))?;
        metadata.apply(&File::from(directory)).with_context(|| cannot_make(path))?;
        self.directories.push((path.clone(), metadata.modified));
        Ok(())
    }

    pub fn symlink(&mut self, path: &EntryPath, metadata: &Metadata, target: &[u8]) -> Result<()> {
        let (parent, name) = self.place(path)?;
        let make = || -> nix::Result<()> {
            unistd::symlinkat(OsStr::from_bytes(target), &parent, name)?;
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            unistd::fchownat(&parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let (keep, modified) = (TimeSpec::UTIME_OMIT, metadata.modified);
            stat::utimensat(&parent, name, &keep, &modified, UtimensatFlags::NoFollowSymlink)
        };
        make().with_context(|| cannot_make(path))
    }

    /// Gives the file at `target` a second name. A link is not followed but gets the second name itself.
    pub fn hard_link(&mut self, path: &EntryPath, target: &EntryPath) -> Result<()> {
        let missing = || {
            let (path, target) = (path.as_path().display(), target.as_path().display());
            anyhow::Error::from(Fault::usage(format!("`{path}` is a hard link to `{target}`, which is not there")))
        };
        if path == target {
            return Err(missing());
        }
        let source = open_beneath(&self.root, &target.parent()).map_err(|_| missing())?;
        let source_name = target.name().ok_or_else(missing)?;
        match lstat(&source, source_name)? {
            Some(stat) if !is_directory(&stat) => {}
            _ => return Err(missing()),
        }
        let (parent, name) = self.place(path)?;
        unistd::linkat(&source, source_name, &parent, name, AtFlags::empty()).with_context(|| cannot_make(path))
    }

    pub fn fifo(&mut self, path: &EntryPath, metadata: &Metadata) -> Result<()> {
        let (parent, name) = self.place(path)?;
        let make = || -> nix::Result<()> {
            stat::mknodat(&parent, name, SFlag::S_IFIFO, Mode::from_bits_truncate(0o600), 0)?;
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            unistd::fchownat(&parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            // it was made just now and nobody else can reach it, so it is no link
            let mode = Mode::from_bits_truncate(metadata.mode);
            stat::fchmodat(&parent, name, mode, stat::FchmodatFlags::FollowSymlink)?;
            let (keep, modified) = (TimeSpec::UTIME_OMIT, metadata.modified);
            stat::utimensat(&parent, name, &keep, &modified, UtimensatFlags::NoFollowSymlink)
        };
        make().with_context(|| cannot_make(path))
    }

    /// Hides `path` of the layers below. What this layer itself has there stays: it hides them already.
    pub fn whiteout(&mut self, path: &EntryPath) -> Result<()> {
        let Some(name) = path.name() else { return Err(Fault::usage("the root cannot be removed").into()) };
        let parent = self.parent(path)?;
        match lstat(&parent, name)? {
            Some(stat) if is_directory(&stat) => return self.opaque(path),
            Some(_) => return Ok(()),
            None if self.markers => {
                let marker: OsString = [OsStr::new(WHITEOUT), name].into_iter().collect();
                make_marker(&parent, &marker)
            }
            None => stat::mknodat(&parent, name, SFlag::S_IFCHR, Mode::empty(), 0),
        }
        .with_context(|| format!("cannot mark `{}` as removed", path.as_path().display()))
    }

    /// Hides what the layers below have in the directory `path`.
    pub fn opaque(&mut self, path: &EntryPath) -> Result<()> {
        let directory = self.enter(path)?;
        if self.markers { make_marker(&directory, OsStr::new(OPAQUE)) } else { set_opaque(directory) }
            .with_context(|| format!("cannot mark `{}` as replaced", path.as_path().display()))
    }

    /// Removes what is at `path`, with everything below it.
    pub fn remove(&mut self, path: &EntryPath) -> Result<()> {
        let Some(name) = path.name() else { return Err(Fault::usage("the root cannot be removed").into()) };
        let parent = self.parent(path)?;
        let removed = match lstat(&parent, name)? {
            None => return Ok(()),
            Some(stat) if is_directory(&stat) => {
                self.current = None;
                // the standard library removes without following links, but only by path
                fs::remove_dir_all(Path::new(&format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name))
            }
            Some(_) => unistd::unlinkat(&parent, name, UnlinkatFlags::NoRemoveDir).map_err(io::Error::from),
        };
        removed.with_context(|| format!("cannot remove `{}`", path.as_path().display()))
    }

    /// Sets the times of directories, which every entry in them has changed. Returns the directories that were made
    /// without an entry of their own.
    pub fn finish(self) -> Result<Vec<EntryPath>> {
        for (path, modified) in &self.directories {
            // a later entry may have put something else in its place
            let Ok(directory) = open_beneath(&self.root, path) else { continue };
            stat::futimens(directory, &TimeSpec::UTIME_OMIT, modified)
                .with_context(|| format!("cannot set the time of `{}`", path.as_path().display()))?;
        }
        Ok(self.implicit.into_iter().filter(|path| open_beneath(&self.root, path).is_ok()).collect())
    }

    /// The directory and the name for an entry, with what was there removed.
    fn place<'a>(&mut self, path: &'a EntryPath) -> Result<(OwnedFd, &'a OsStr)> {
        let Some(name) = path.name() else {
            return Err(Fault::usage("the root of the layer is not a directory").into());
        };
        let parent = self.parent(path)?;
        if lstat(&parent, name)?.is_some() {
            self.remove(path)?;
        }
        Ok((parent, name))
    }

    fn parent(&mut self, path: &EntryPath) -> Result<OwnedFd> {
        self.enter(&path.parent())
    }

    /// Opens a directory, and makes what is missing on the way.
    fn enter(&mut self, path: &EntryPath) -> Result<OwnedFd> {
        if let Some((current, descriptor)) = &self.current
            && current == path
        {
            return descriptor.try_clone().context("cannot copy a descriptor");
        }
        let mut directory = self.root.try_clone().context("cannot copy a descriptor")?;
        let mut here = EntryPath(PathBuf::new());
        for component in path.as_path() {
            here = here.join(component);
            let mut next = openat(&directory, component, DIRECTORY, Mode::empty());
            let hidden = matches!(next, Err(Errno::ENOTDIR))
                && lstat(&directory, component)?.is_some_and(|stat| is_whiteout(&stat));
            if hidden {
                unistd::unlinkat(&directory, component, UnlinkatFlags::NoRemoveDir)
                    .with_context(|| cannot_make(&here))?;
            }
            if hidden || matches!(next, Err(Errno::ENOENT)) {
                make_directory(&directory, component, hidden).with_context(|| cannot_make(&here))?;
                self.implicit.insert(here.clone());
                next = openat(&directory, component, DIRECTORY, Mode::empty());
            }
            directory = match next {
                Ok(next) => next,
                Err(Errno::ELOOP | Errno::ENOTDIR) => {
                    let (path, here) = (path.as_path().display(), here.as_path().display());
                    return Err(Fault::usage(format!("`{path}` goes through `{here}`, which is no directory")).into());
                }
                Err(error) => return Err(error).with_context(|| format!("cannot open `{}`", here.as_path().display())),
            };
        }
        let copy = directory.try_clone().context("cannot copy a descriptor")?;
        self.current = Some((path.clone(), copy));
        Ok(directory)
    }
}

/// Gives `directory` the metadata that it has in the highest of the layers below, highest first, that has it. A tar
/// may leave out directories that exist already; in a layer of its own they would hide the true owner and mode.
pub fn inherit(layer: &Path, directory: &EntryPath, below: &[PathBuf]) -> Result<()> {
    let inherit = || -> io::Result<()> {
        for lower in below {
            let lower = File::open(lower)?;
            match open_beneath(&lower, directory) {
                Ok(found) => {
                    let metadata = Metadata::of(&File::from(found))?;
                    let own = File::from(open_beneath(File::open(layer)?, directory)?);
                    return metadata.apply(&own);
                }
                Err(Errno::ENOENT) => {}
                // removed or replaced there: what is further below does not show
                Err(Errno::ENOTDIR | Errno::ELOOP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    };
    inherit().with_context(|| format!("cannot set owner and mode of `{}`", directory.as_path().display()))
}

fn cannot_make(path: &EntryPath) -> String {
    format!("cannot make `{}`", path.as_path().display())
}

/// A fault of what is read has no error number; one of the disk has.
pub(super) fn read_fault(error: io::Error) -> anyhow::Error {
    match error.raw_os_error() {
        None => Fault::usage(error.to_string().escape_debug().to_string()).into(),
        Some(_) => error.into(),
    }
}

fn is_directory(stat: &FileStat) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits()
}

fn lstat(directory: impl AsFd, name: &OsStr) -> Result<Option<FileStat>> {
    match stat::fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at `{}`", name.display())),
    }
}

fn make_directory(parent: &OwnedFd, name: &OsStr, opaque: bool) -> nix::Result<()> {
    stat::mkdirat(parent, name, Mode::from_bits_truncate(0o700))?;
    let directory = openat(parent, name, DIRECTORY, Mode::empty())?;
    stat::fchmod(&directory, Mode::from_bits_truncate(0o755))?;
    if opaque { set_opaque(directory) } else { Ok(()) }
}

fn set_opaque(directory: OwnedFd) -> nix::Result<()> {
    File::from(directory)
        .set_xattr(OPAQUE_ATTRIBUTE, b"y")
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(Errno::EIO as i32)))
}

fn make_marker(parent: &OwnedFd, name: &OsStr) -> nix::Result<()> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent, name, flags, Mode::empty()).map(drop)
}
