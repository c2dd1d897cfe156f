//! The log file of one container: appended to, rotated by size, reopened on demand.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::libc;
use serde::{Deserialize, Serialize};

use super::rotated::{self, Rotated};

/// As containerd makes them [6.1].
pub(crate) const MODE: u32 = 0o640;
/// Longer than any record.
const TAIL: u64 = 32 * 1024;

/// How much of a container's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Bytes of one file; [`Rotation::UNLIMITED`] for any size.
    pub max_size: u64,
    /// The current one included; at least 2.
    pub max_files: usize,
}

impl Rotation {
    /// A size that nothing reaches: the log is not rotated [6.7].
    pub const UNLIMITED: u64 = u64::MAX;

    /// The size of one file as a quantity.
    pub fn max_size_text(&self) -> String {
        let units = [(30, "Gi"), (20, "Mi"), (10, "Ki")];
        match units.iter().find(|(shift, _)| self.max_size.trailing_zeros() >= *shift) {
            _ if self.max_size == Rotation::UNLIMITED => "-1".to_owned(),
            Some((shift, unit)) => format!("{}{unit}", self.max_size >> shift),
            None => self.max_size.to_string(),
        }
    }
}

impl Default for Rotation {
    /// The kubelet's [6.6].
    fn default() -> Self {
        Rotation { max_size: 10 << 20, max_files: 5 }
    }
}

#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    size: u64,
}

impl LogFile {
    /// Opens or creates the file; its directory exists. A symbolic link is not followed. Half a record, left by a
    /// writer that was killed, is taken away: its text is still in the container's pipe.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<LogFile> {
        let (file, size) = open(path)?;
        let mut tail = vec![0; size.min(TAIL) as usize];
        let start = size - tail.len() as u64;
        File::open(path)?.read_exact_at(&mut tail, start)?;
        let whole = tail.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let size = start + whole as u64;
        if whole < tail.len() {
            file.set_len(size)?;
        }
        Ok(LogFile { path: path.to_owned(), rotation, file, size })
    }

    /// Appends whole records; a full disk loses them and leaves no half of one.
    pub fn append(&mut self, records: &[u8]) -> io::Result<()> {
        if self.size > 0 && self.size + records.len() as u64 > self.rotation.max_size {
            // output goes on in the old file when it cannot be moved
            let _ = self.rotate();
        }
        match self.file.write_all(records) {
            Ok(()) => {
                self.size += records.len() as u64;
                Ok(())
            }
            Err(error) => {
                let _ = self.file.set_len(self.size);
                Err(error)
            }
        }
    }

    /// Goes on in a new file after somebody has moved the old one away.
    pub fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }

    /// Goes on in a new file; the oldest are removed before, so that there are never more than may be.
    fn rotate(&mut self) -> io::Result<()> {
        let (Some(directory), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let found = rotated_files(&self.path)?;
        // besides the file that is rotated now and the one that is begun
        for old in rotated::excess(&found, self.rotation.max_files.saturating_sub(2)) {
            match fs::remove_file(directory.join(&old.name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, directory.join(rotated::next(&name.to_string_lossy(), Timestamp::now(), &found)))?;
        (self.file, self.size) = open(&self.path)?;
        Ok(())
    }
}

/// What there is of a log's rotated files, in no order.
pub fn rotated_files(log: &Path) -> io::Result<Vec<Rotated>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        found.extend(entry?.file_name().to_str().and_then(|entry| Rotated::parse(name, entry)));
    }
    Ok(found)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().append(true).create(true).mode(MODE).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file, found.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn case_149_files_are_rotated_and_the_oldest_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        fs::write(directory.path().join("1.log"), "another's").unwrap();
        let mut log = LogFile::open(&path, Rotation { max_size: 100, max_files: 3 }).unwrap();
        let mut names = Vec::new();
        for number in 0..50 {
            log.append(format!("{number:039}\n").as_bytes()).unwrap();
            names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            assert!(names.len() <= 4, "{names:?}");
        }
        assert_eq!(names.len(), 4, "{names:?}");
        let last = fs::read_to_string(&path).unwrap();
        assert_eq!(last.lines().last(), Some(format!("{:039}", 49).as_str()));
        let before = fs::read_to_string(directory.path().join(&names[2])).unwrap();
        assert!(before.ends_with(&format!("{:039}\n", 47)), "{before}");
    }

    #[test]
    fn a_size_is_told_as_a_quantity() {
        for (max_size, text) in
            [(10 << 20, "10Mi"), (40 << 10, "40Ki"), (3 << 30, "3Gi"), (1500, "1500"), (Rotation::UNLIMITED, "-1")]
        {
            assert_eq!(Rotation { max_size, max_files: 2 }.max_size_text(), text);
        }
    }

    #[test]
    fn without_a_limit_a_file_only_grows() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogFile::open(&path, Rotation { max_size: Rotation::UNLIMITED, max_files: 2 }).unwrap();
        for _ in 0..100 {
            log.append(&[b'x'; 100]).unwrap();
        }
        assert_eq!((log.size, fs::read_dir(directory.path()).unwrap().count()), (10_000, 1));
    }

    #[test]
    fn a_moved_file_is_left_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let mut log = LogFile::open(&path, Rotation::default()).unwrap();
        log.append(b"one\n").unwrap();
        fs::rename(&path, directory.path().join("moved")).unwrap();
        log.reopen().unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two\n");
        assert_eq!(fs::read(directory.path().join("moved")).unwrap(), b"one\n");
    }

    #[test]
    fn half_a_record_is_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        for (before, after) in [("one\ntw", "one\nnew\n"), ("half", "new\n"), ("", "new\n"), ("one\n", "one\nnew\n")] {
            fs::write(&path, before).unwrap();
            LogFile::open(&path, Rotation::default()).unwrap().append(b"new\n").unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert!(LogFile::open(&path, Rotation::default()).is_err());
    }
}
