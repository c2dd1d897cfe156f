//! Where static pods come from: manifests, read as a whole each time something about them changes.
//!
//! A source delivers what it found, manifest by manifest, good or bad. Which pod then runs is decided in `pods`. The
//! directory and a URL may both be sources, at once [1.1].

pub mod directory;
pub mod url;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pod::Pod;

/// Which of the sources delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Directory,
    Url,
}

/// Where one manifest is. In records and for people it is one text, since no absolute path looks like a URL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "PathBuf", into = "PathBuf")]
pub enum Origin {
    File(PathBuf),
    /// Without user and password.
    Url(String),
}

impl Origin {
    pub fn kind(&self) -> Kind {
        match self {
            Origin::File(_) => Kind::Directory,
            Origin::Url(_) => Kind::Url,
        }
    }

    /// `text` is what stands for it elsewhere.
    pub fn is_at(&self, text: &Path) -> bool {
        match self {
            Origin::File(path) => path == text,
            Origin::Url(url) => Path::new(url) == text,
        }
    }
}

impl From<PathBuf> for Origin {
    fn from(text: PathBuf) -> Origin {
        match text.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
            Some(url) => Origin::Url(url.to_owned()),
            None => Origin::File(text),
        }
    }
}

impl From<Origin> for PathBuf {
    fn from(origin: Origin) -> PathBuf {
        match origin {
            Origin::File(path) => path,
            Origin::Url(url) => PathBuf::from(url),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => path.display().fmt(f),
            Origin::Url(url) => f.write_str(url),
        }
    }
}

/// Every manifest there is: of a directory in the byte order of the paths [1.11], of a URL in the list's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {
    pub manifests: Vec<Manifest>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub origin: Origin,
    /// The pod in it, or why there is none.
    pub pod: Result<Arc<Pod>, String>,
}

/// What a source has delivered.
pub type Delivery = (Kind, Scan);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_text() {
        for (origin, text) in [
            (Origin::File("/etc/kubernetes/manifests/a.yaml".into()), "\"/etc/kubernetes/manifests/a.yaml\""),
            (Origin::Url("https://a.example/pods".into()), "\"https://a.example/pods\""),
        ] {
            assert_eq!(serde_json::to_string(&origin).expect("it is a text"), text);
            assert_eq!(serde_json::from_str::<Origin>(text).expect("it is an origin"), origin);
        }
    }
}
