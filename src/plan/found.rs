//! What is on the machine, as far as a plan depends on it. `host::found` gathers it; nothing here looks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// A file that a plan may have to keep, replace or refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundFile {
    Absent,
    Content(Vec<u8>),
    /// It exists, and this user may not read it: only a dry run gets this far.
    Unreadable,
}

/// Paths are those of the node, without the instance's root.
#[derive(Debug, Clone)]
pub struct Found {
    pub files: BTreeMap<PathBuf, FoundFile>,
    /// What this instance wrote earlier, with the SHA-256 of its content in hexadecimal.
    pub written: BTreeMap<PathBuf, String>,
    /// Files that everybody on the machine may read or write.
    pub open_to_all: BTreeSet<PathBuf>,
    pub now: Timestamp,
}

impl Found {
    /// Nothing is there.
    pub fn at(now: Timestamp) -> Found {
        Found { files: BTreeMap::new(), written: BTreeMap::new(), open_to_all: BTreeSet::new(), now }
    }

    /// A path that was not looked at counts as absent.
    pub fn file(&self, path: &Path) -> &FoundFile {
        self.files.get(path).unwrap_or(&FoundFile::Absent)
    }

    pub fn exists(&self, path: &Path) -> bool {
        *self.file(path) != FoundFile::Absent
    }

    /// The moment as the certificate code speaks of it.
    pub fn now(&self) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp(self.now.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }
}
