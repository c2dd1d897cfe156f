//! Files inside a tree that somebody else has made, such as an image's: a path never leads out of it.

use std::fs::{File, Permissions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// As [`read`], and what is no UTF-8 replaced.
pub fn read_text(root: &Path, path: &Path, limit: u64) -> io::Result<Option<String>> {
    Ok(read(root, path, limit)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// The content of a regular file of at most `limit` bytes, with `root` as the root of its path and of all symbolic
/// links; `None` when there is no such file.
pub fn read(root: &Path, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let root = File::open(root)?;
    // without O_NONBLOCK a named pipe would be waited for
    let file = match open(&root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
        Ok(file) => File::from(file),
        Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    read_file(file, limit).map(Some)
}

fn read_file(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let found = file.metadata()?;
    if !found.is_file() || found.len() > limit {
        return Err(io::Error::other(format!("it is not a file of at most {limit} bytes")));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a regular file of at most `limit` bytes at `path` below `root`. Symbolic links are followed where they
/// stay below; one that leaves is an error, as is a missing file.
pub fn read_text_within(root: &Path, path: &Path, limit: u64) -> io::Result<String> {
    let how = OpenHow::new()
        // without O_NONBLOCK a named pipe would be waited for
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let bytes = read_file(File::from(openat2(File::open(root)?, path, how)?), limit)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Makes `path` and its missing parents as directories of mode 0755, with `root` as the root of all symbolic links.
pub fn make_directories(root: &Path, path: &Path) -> io::Result<()> {
    let root = File::open(root)?;
    let mut done = std::path::PathBuf::from(".");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let parent = open(&root, &done, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
        done.push(name);
        match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
            // it may be a link to a directory: the next round, or the last open, tells
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    open(&root, &done, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    Ok(())
}

/// Opens what is at `path` below `root`. Symbolic links are followed where they stay below; one that leaves is an error.
pub fn open_within(root: &File, path: &Path) -> io::Result<File> {
    Ok(File::from(within(root, path)?))
}

/// Opens what is at `path`, with `root` as the root of all symbolic links.
pub fn open_in_root(root: &File, path: &Path) -> io::Result<File> {
    Ok(File::from(open(root, path, OFlag::O_PATH)?))
}

/// Makes `path` and its missing parents as directories of this mode, whatever the umask.
pub fn make_within(root: &File, path: &Path, mode: &Permissions) -> io::Result<()> {
    let mut done = std::path::PathBuf::from(".");
    for component in path.components() {
        let Component::Normal(name) = component else { continue };
        let parent = within(root, &done)?;
        done.push(name);
        match mkdirat(&parent, name, Mode::S_IRWXU) {
            Ok(()) => {
                // a descriptor of O_PATH has no mode to set
                let made = within(root, &done)?;
                File::open(format!("/proc/self/fd/{}", made.as_raw_fd()))?.set_permissions(mode.clone())?;
            }
            Err(Errno::EEXIST) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn within(root: &File, path: &Path) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

fn open(root: &File, path: &Path, flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    openat2(root, path, how)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(directory.path().join("secret"), "outside").unwrap();
        fs::write(root.join("secret"), "inside").unwrap();
        symlink("../../secret", root.join("etc/passwd")).unwrap();
        symlink("/secret", root.join("etc/group")).unwrap();
        for name in ["etc/passwd", "/etc/group", "/etc/../../secret"] {
            assert_eq!(read_text(&root, Path::new(name), 100).unwrap().as_deref(), Some("inside"), "{name}");
        }
        assert_eq!(read_text(&root, Path::new("/absent/file"), 100).unwrap(), None);
        assert!(read_text(&root, Path::new("/secret"), 3).is_err(), "too large");
        assert!(read_text(&root, Path::new("/etc"), 100).is_err(), "a directory");
    }

    #[test]
    fn a_text_below_is_read_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(directory.path().join("outside"), "outside").unwrap();
        fs::write(root.join("sub/file"), "inside").unwrap();
        symlink("sub/file", root.join("link")).unwrap();
        symlink("../outside", root.join("escape")).unwrap();
        let text = |path: &str| read_text_within(&root, Path::new(path), 100);
        assert_eq!((text("sub/file").unwrap(), text("link").unwrap()), ("inside".into(), "inside".into()));
        for path in ["escape", "../outside", "/sub/file", "sub", "absent"] {
            assert!(text(path).is_err(), "{path}");
        }
        assert!(read_text_within(&root, Path::new("sub/file"), 3).is_err(), "too large");
    }

    #[test]
    fn directories_are_made_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        fs::create_dir_all(root.join("real")).unwrap();
        symlink("/real", root.join("link")).unwrap();
        symlink("/absent", root.join("dangling")).unwrap();
        make_directories(&root, Path::new("/link/a/b")).unwrap();
        make_directories(&root, Path::new("/link/a/b")).unwrap();
        assert!(root.join("real/a/b").is_dir());
        assert!(make_directories(&root, Path::new("/dangling/x")).is_err());
        assert!(!directory.path().join("absent").exists());
    }
}
