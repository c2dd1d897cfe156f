//! Mounts: what is mounted where, who sees it, and taking it away.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
pub use nix::mount::MsFlags;
use nix::mount::{MntFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use super::Leftover;
use crate::error::{Context, Result};

/// One line of /proc/self/mountinfo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    pub path: PathBuf,
    /// The directory of the file system that is seen there.
    pub root: PathBuf,
    pub filesystem: String,
    pub read_only: bool,
    /// Super block options, for cgroup v1 its controllers.
    pub super_options: Vec<String>,
}

/// Everything mounted in this mount namespace, in the order of mounting.
pub fn mounts() -> Result<Vec<MountPoint>> {
    read("/proc/self/mountinfo")
}

/// Everything mounted in the mount namespace of a process that its root lets it see, with paths as it sees them.
pub fn mounts_of(pid: u32) -> Result<Vec<MountPoint>> {
    read(&format!("/proc/{pid}/mountinfo"))
}

fn read(path: &str) -> Result<Vec<MountPoint>> {
    let text = fs::read(path).with_context(|| format!("cannot read `{path}`"))?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(parse_line).collect())
}

/// `36 35 98:0 /root /path ro,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<MountPoint> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(MountPoint {
        root: unescape(fields.get(3)?),
        path: unescape(fields.get(4)?),
        read_only: fields.get(5)?.split(|byte| *byte == b',').any(|option| option == b"ro"),
        filesystem: text(fields.get(separator + 1)?),
        super_options: text(fields.get(separator + 3)?).split(',').map(str::to_owned).collect(),
    })
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| *first == b'\\').and_then(|digits| {
            digits.iter().try_fold(0u32, |value, digit| Some(value * 8 + (*digit as char).to_digit(8)?))
        });
        match octal.and_then(|value| u8::try_from(value).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Gives this process a mount namespace of its own; mounts that are shared stay so.
pub fn unshare_mounts() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWNS)?)
}

/// Gives this process a mount namespace of its own, in which nothing is shared with others any more.
pub fn unshare_private() -> io::Result<()> {
    unshare_mounts()?;
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

/// Makes an empty directory that nobody can change the root of this process, which has a mount namespace of its own;
/// `at` is any directory, and is hidden by it.
pub fn enter_empty_root(at: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("tmpfs"), at, Some("tmpfs"), flags, Some("size=0,nr_inodes=1,mode=555"))?;
    std::env::set_current_dir(at)?;
    // the old root is put on top of the new one, and goes
    nix::unistd::pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    std::env::set_current_dir("/")
}

/// Joins the mount namespace of a process: its root becomes this process's root and working directory.
pub fn enter(pid: u32) -> io::Result<()> {
    let namespace = fs::File::open(format!("/proc/{pid}/ns/mnt"))?;
    Ok(setns(namespace, CloneFlags::CLONE_NEWNS)?)
}

/// Makes the uppermost mount at `path` private, a slave or shared, and not what is mounted below it.
pub fn set_propagation(path: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?)
}

/// Mounts made below the mount that `path` lies in are no longer seen in other mount namespaces.
pub fn make_parent_private(path: &Path) -> Result<()> {
    let parent = mounts()?
        .into_iter()
        .filter(|mounted| path.starts_with(&mounted.path))
        .max_by_key(|mounted| mounted.path.as_os_str().len())
        .with_context(|| format!("cannot tell where `{}` is mounted", path.display()))?;
    set_propagation(&parent.path, MsFlags::MS_PRIVATE)
        .with_context(|| format!("cannot make the mount `{}` private", parent.path.display()))
}

/// Adds `flags` to the mount at `path`, for all who see it there.
pub fn restrict(path: &Path, flags: MsFlags) -> io::Result<()> {
    let flags = flags | MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    Ok(mount(None::<&str>, path, None::<&str>, flags, None::<&str>)?)
}

/// Mounts an empty file system in memory, which is never swapped out where the kernel can promise that (6.4 and later).
pub fn tmpfs(target: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let try_mount = |options: &str| mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options));
    match try_mount(&format!("{options},noswap")) {
        Err(Errno::EINVAL) => Ok(try_mount(options)?),
        mounted => Ok(mounted?),
    }
}

/// Mounts an empty file system of huge pages.
pub fn hugetlbfs(target: &Path, options: &str) -> io::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    Ok(mount(Some("nodev"), target, Some("hugetlbfs"), flags, Some(options))?)
}

/// Shows at `target` what was opened, wherever it is by now.
pub fn bind_opened(source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", source.as_raw_fd());
    Ok(mount(Some(source.as_str()), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// As [`bind_opened`], at a file or directory that is made for it.
pub fn bind_at(source: &File, target: &Path) -> io::Result<()> {
    if source.metadata()?.is_dir() {
        fs::create_dir(target)?;
    } else {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
    }
    bind_opened(source.as_fd(), target)
}

/// Shows `source` at `target`, with all that is mounted below it.
pub fn bind_all(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount(Some(source), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?)
}

/// Shows `source` at `target`, without what is mounted below it.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// Shows a program at `target`, a file that is made: executed there, it cannot be opened for writing through
/// `/proc/<pid>/exe`, not even by root, once it has ended, or when nothing is mounted at `target` any more.
pub fn show_program(program: &Path, target: &Path) -> io::Result<()> {
    // what a kill has left would be written to
    while unmount(target).is_ok() {}
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o700).open(target)?;
    bind(program, target)?;
    restrict(target, MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV)
}

/// Detaches the uppermost mount at `path`; a symbolic link is not followed.
pub fn unmount(path: &Path) -> io::Result<()> {
    Ok(umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?)
}

/// Detaches everything mounted at or below `path`, last mounted first; what stays is returned.
pub fn unmount_below(path: &Path) -> Result<Vec<Leftover>> {
    // /proc shows resolved paths
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let mut below: Vec<_> = mounts()?.into_iter().filter(|mounted| mounted.path.starts_with(&path)).collect();
    below.reverse();
    let failed = below.into_iter().filter_map(|mounted| match unmount(&mounted.path) {
        Ok(()) => None,
        // it went together with one above it
        Err(_) if !is_mounted(&mounted.path) => None,
        Err(error) => Some(Leftover { path: mounted.path, reason: format!("cannot unmount: {error}") }),
    });
    Ok(failed.collect())
}

fn is_mounted(path: &Path) -> bool {
    mounts().is_ok_and(|mounted| mounted.iter().any(|mount| mount.path == path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_whatever_its_path() {
        let line = b"36 35 98:0 /a /mnt/with\\040blank\\134 ro,noatime master:1 shared:2 - cgroup none rw,cpu,cpuacct";
        let mounted = parse_line(line).unwrap();
        assert_eq!(mounted.path, Path::new("/mnt/with blank\\"));
        assert_eq!(mounted.root, Path::new("/a"));
        assert!(mounted.read_only);
        assert_eq!((mounted.filesystem.as_str(), mounted.super_options.len()), ("cgroup", 3));
        assert_eq!(parse_line(b""), None);
    }

    #[test]
    fn everything_below_a_directory_is_unmounted() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["source", "a", "a b"] {
            fs::create_dir(path(name)).unwrap();
        }
        for target in ["a", "a", "a b"] {
            bind(&path("source"), &path(target)).unwrap();
        }
        assert!(is_mounted(&path("a b").canonicalize().unwrap()));
        assert_eq!(unmount_below(directory.path()).unwrap(), []);
        assert!(!is_mounted(&path("a")) && !is_mounted(&path("a b")));
    }
}
