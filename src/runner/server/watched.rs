//! What is made of files, and made anew when they have changed.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::error::{Result, chain_of};

/// What tells one content of a file from the next: device, inode, size and the moment of its last change.
type Version = Option<(u64, u64, u64, i64, i64)>;

#[derive(Debug)]
pub struct Watched<T> {
    files: Vec<PathBuf>,
    made: Mutex<Made<T>>,
}

#[derive(Debug)]
struct Made<T> {
    /// Of the last try.
    versions: Vec<Version>,
    /// Of the last try that succeeded.
    value: Option<Arc<T>>,
}

impl<T> Watched<T> {
    pub fn new(files: Vec<PathBuf>) -> Watched<T> {
        Watched { files, made: Mutex::new(Made { versions: Vec::new(), value: None }) }
    }

    /// What `make` makes of the files as they are now. When it fails, what was made of them before goes on, and this is
    /// said once; without any, it is tried again the next time.
    pub async fn get<F: Future<Output = Result<T>>>(&self, make: impl FnOnce() -> F) -> Result<Arc<T>> {
        let mut made = self.made.lock().await;
        let versions: Vec<_> = self.files.iter().map(version).collect();
        if let Some(value) = &made.value
            && made.versions == versions
        {
            return Ok(Arc::clone(value));
        }
        match (make().await, &made.value) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                *made = Made { versions, value: Some(Arc::clone(&value)) };
                Ok(value)
            }
            (Err(error), Some(value)) => {
                tracing::warn!("{}; what was there before goes on", chain_of(&error));
                let value = Arc::clone(value);
                made.versions = versions;
                Ok(value)
            }
            (Err(error), None) => Err(error),
        }
    }
}

fn version(path: &PathBuf) -> Version {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_new_file_is_read_and_a_bad_one_leaves_what_there_was() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("number");
        let watched = Watched::new(vec![file.clone()]);
        let read = || async { Ok(std::fs::read_to_string(&file)?.parse::<u32>()?) };
        assert!(watched.get(read).await.is_err());
        std::fs::write(&file, "1").unwrap();
        assert_eq!(*watched.get(read).await.unwrap(), 1);
        assert_eq!(*watched.get(|| async { anyhow::bail!("not asked") }).await.unwrap(), 1);
        std::fs::write(&file, "none").unwrap();
        assert_eq!(*watched.get(read).await.unwrap(), 1);
        std::fs::write(&file, "22").unwrap();
        assert_eq!(*watched.get(read).await.unwrap(), 22);
    }
}
