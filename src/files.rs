//! Whole-file atomic writes, with the mode set when the file is created.
//!
//! A reader sees the old file or the new one, never a part; a full disk or a kill leaves the old one. What a kill may
//! leave beside it has a name that follows from the file's, so that the next write and `reset` find it; it is a
//! dotfile, so that a directory watched for manifests never shows it [1.12].

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use xattr::FileExt;

use crate::error::{Context, Result};
use crate::layout::{PUBLIC_DIRECTORY, PUBLIC_FILE};

/// Replaces or creates `path` with `content` and `mode`, whatever the umask, and syncs file and directory. A file that
/// is replaced keeps its owner. One writer of a path at a time.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    write_whole(path, content, mode, Durability::Synced)
}

/// Whether a file outlives a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// File and directory are on the disk when the write returns.
    Synced,
    /// The kernel writes them when it likes: for what can be made again.
    Cached,
}

/// Who may do what with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub mode: u32,
    /// User and group; `None` for those of the process.
    pub owner: Option<(u32, u32)>,
    /// Extended attributes, such as the label of SELinux.
    pub attributes: Vec<(OsString, Vec<u8>)>,
}

impl Access {
    /// The process's own file.
    pub fn new(mode: u32) -> Access {
        Access { mode, owner: None, attributes: Vec::new() }
    }

    /// That of a file that exists.
    pub fn of(path: &Path) -> Result<Access> {
        Access::found(path).with_context(|| format!("cannot look at `{}`", path.display()))
    }

    fn found(path: &Path) -> io::Result<Access> {
        let metadata = fs::metadata(path)?;
        let mut attributes = Vec::new();
        for name in xattr::list(path)? {
            if let Some(value) = xattr::get(path, &name)? {
                attributes.push((name, value));
            }
        }
        Ok(Access { mode: metadata.mode() & 0o7777, owner: Some((metadata.uid(), metadata.gid())), attributes })
    }
}

/// [`write()`], as durable as is asked for.
pub fn write_whole(path: &Path, content: &[u8], mode: u32, durability: Durability) -> Result<()> {
    stage(path, content, &Access::new(mode), durability)?.commit()
}

/// Replaces the content of a file that is somebody else's: mode, owner and extended attributes, such as the label of
/// SELinux, stay. Without one, makes it with mode 0644. Refuses a symbolic link. One writer of a path at a time.
pub fn rewrite(path: &Path, content: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    let access = match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Access::of(path)?,
        Ok(_) => Err(io::Error::other("it is no regular file")).with_context(cannot)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Access::new(PUBLIC_FILE),
        Err(error) => Err(error).with_context(cannot)?,
    };
    stage(path, content, &access, Durability::Synced)?.commit()
}

/// New content that stands beside its file, until it takes the file's place or is dropped. Files that belong together
/// are staged first and committed after that: then no full disk can part them, and a kill hardly.
#[derive(Debug)]
pub struct Staged {
    path: PathBuf,
    /// `None` once it has taken its place.
    temporary: Option<PathBuf>,
    durability: Durability,
}

/// Writes content for `path` beside it.
pub fn stage(path: &Path, content: &[u8], access: &Access, durability: Durability) -> Result<Staged> {
    let staged = Staged { path: path.to_owned(), temporary: Some(temporary(path)), durability };
    try_stage(path, content, access, durability).with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(staged)
}

impl Staged {
    /// The file is the new one from now on.
    pub fn commit(mut self) -> Result<()> {
        self.try_commit().with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn try_commit(&mut self) -> io::Result<()> {
        if let Some(temporary) = &self.temporary {
            fs::rename(temporary, &self.path)?;
        }
        self.temporary = None;
        match self.path.parent() {
            Some(directory) if self.durability == Durability::Synced => sync_directory(directory),
            _ => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // it has a name that the next write finds
            let _ = fs::remove_file(temporary);
        }
    }
}

fn try_stage(path: &Path, content: &[u8], access: &Access, durability: Durability) -> io::Result<()> {
    let mut file = create_anew(&temporary(path))?;
    file.write_all(content)?;
    // what was given to somebody stays theirs
    if let Some((user, group)) = access.owner.or_else(|| owner_of(path)) {
        fchown(&file, Some(user), Some(group))?;
    }
    for (name, value) in &access.attributes {
        file.set_xattr(name, value)?;
    }
    // last, so that a secret is never readable by more than it will be; a change of owner may take bits away, and
    // fchmod ignores the umask
    file.set_permissions(fs::Permissions::from_mode(access.mode))?;
    if durability == Durability::Synced {
        file.sync_all()?;
    }
    Ok(())
}

/// The user and the group of a file, if there is one.
fn owner_of(path: &Path) -> Option<(u32, u32)> {
    let found = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
    Some((found.uid(), found.gid()))
}

/// An empty file that only its owner may read, in the place of what a kill has left.
fn create_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // create_new follows no link that somebody may have put there
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Where the content of `path` stands while it is being written.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".bootstrap-new");
    path.with_file_name(name)
}

/// Makes a directory's entries durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates `path` with `mode`, and its missing parents so that anybody may list them; returns those that were made,
/// outermost first. Directories that exist keep their mode [1.6].
pub fn make_directory(path: &Path, mode: u32) -> Result<Vec<PathBuf>> {
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    let mut made = Vec::new();
    for directory in missing.into_iter().rev() {
        let mode = if directory == path { mode } else { PUBLIC_DIRECTORY };
        match DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => {
                // the umask may have taken bits away
                fs::set_permissions(directory, fs::Permissions::from_mode(mode))
                    .with_context(|| format!("cannot set the mode of `{}`", directory.display()))?;
                made.push(directory.to_owned());
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make directory `{}`", directory.display()));
            }
        }
    }
    if !path.is_dir() {
        anyhow::bail!("`{}` is not a directory", path.display());
    }
    Ok(made)
}

/// The content of `path`, or `None` when there is no such file.
pub fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// The last `limit` bytes of a file, with what is not UTF-8 replaced.
pub fn tail(path: &Path, limit: u64) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut content = Vec::new();
    file.take(limit).read_to_end(&mut content)?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// Removes a file; `false` when there was none.
pub fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot remove `{}`", path.display())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"one", 0o644).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o644));
        write(&path, b"two", 0o600).unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn what_a_kill_left_is_replaced_and_no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("file"), directory.path().join("other"));
        fs::write(&other, "theirs").unwrap();
        std::os::unix::fs::symlink(&other, temporary(&path)).unwrap();
        write(&path, b"ours", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "theirs");
        assert_eq!((fs::read_to_string(&path).unwrap(), mode(&path)), ("ours".to_owned(), 0o600));
        assert!(!temporary(&path).exists());
    }

    #[test]
    fn a_rewritten_file_keeps_what_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("file"), directory.path().join("link"));
        rewrite(&path, b"new").unwrap();
        assert_eq!(mode(&path), 0o644);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4640)).unwrap();
        xattr::set(&path, "user.label", b"x").unwrap();
        rewrite(&path, b"newer").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"newer".to_vec(), 0o4640));
        assert_eq!(xattr::get(&path, "user.label").unwrap().as_deref(), Some(b"x".as_slice()));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(rewrite(&link, b"x").unwrap_err().to_string().contains("link"));
        assert_eq!(fs::read(&path).unwrap(), b"newer");
    }

    #[test]
    fn what_is_staged_and_not_committed_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"old", 0o640).unwrap();
        let access = Access::of(&path).unwrap();
        assert_eq!(access.mode, 0o640);
        drop(stage(&path, b"new", &access, Durability::Cached).unwrap());
        assert_eq!((fs::read(&path).unwrap(), temporary(&path).exists()), (b"old".to_vec(), false));
        stage(&path, b"new", &access, Durability::Cached).unwrap().commit().unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o640));
    }

    #[test]
    fn a_failed_write_names_the_file_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("absent/file");
        let error = write(&path, b"x", 0o600).unwrap_err();
        assert!(error.to_string().contains("absent/file"), "{error}");
    }

    #[test]
    fn of_a_long_file_only_the_end_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one\ntwo\n").unwrap();
        assert_eq!((tail(&path, 4).unwrap(), tail(&path, 100).unwrap()), ("two\n".to_owned(), "one\ntwo\n".to_owned()));
    }

    #[test]
    fn only_missing_directories_get_the_mode() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("old/a/b"));
        fs::create_dir(&old).unwrap();
        fs::set_permissions(&old, fs::Permissions::from_mode(0o711)).unwrap();
        let made = make_directory(&new, 0o700).unwrap();
        assert_eq!(made, [directory.path().join("old/a"), new.clone()]);
        assert_eq!((mode(&old), mode(&directory.path().join("old/a")), mode(&new)), (0o711, 0o755, 0o700));
        assert!(make_directory(&new, 0o755).unwrap().is_empty());
        assert_eq!(mode(&new), 0o700);
    }
}
