//! Where static pods come from: a set of files, read as a whole each time something about it changes.
//!
//! A source delivers what it found, file by file, good or bad. Which pod then runs is decided in `pods`.

pub mod directory;

use std::path::PathBuf;
use std::sync::Arc;

use super::pod::Pod;

/// Every manifest there is, in the byte order of the paths [1.11].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    pub files: Vec<Manifest>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub path: PathBuf,
    /// The pod in it, or why there is none.
    pub pod: Result<Arc<Pod>, String>,
}
