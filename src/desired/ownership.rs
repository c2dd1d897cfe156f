//! What belongs to somebody else than root.

use std::fmt;
use std::path::PathBuf;

/// Whose a path has to be so that a component can read or write it, or nobody else can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// Of the node, without the instance's root.
    pub path: PathBuf,
    pub user: &'static str,
    pub group: &'static str,
    pub reach: Reach,
}

/// How far it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One file, which gets this mode.
    File(u32),
    /// A directory without what is below.
    Directory,
    /// A directory with everything below; modes stay.
    Tree,
}

/// Its id is known without looking.
pub const ROOT: &str = "root";

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, user, group) = (self.path.display(), self.user, self.group);
        match self.reach {
            Reach::File(mode) => write!(f, "{path} to {user}:{group} (mode {mode:04o})"),
            Reach::Directory => write!(f, "directory {path} to {user}:{group}"),
            Reach::Tree => write!(f, "directory {path} with everything below to {user}:{group}"),
        }
    }
}
