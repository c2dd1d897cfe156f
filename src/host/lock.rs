//! One `init`, `reset` or `certs renew` of an instance at a time.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::journal;
use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{Layout, PRIVATE_DIRECTORY, SECRET_FILE};

/// Held until it is dropped, or the process ends however it does.
#[derive(Debug)]
pub struct InstanceLock {
    _file: File,
    /// Directories that the lock's own file needed and that were not there, outermost first.
    pub made: Vec<PathBuf>,
}

impl InstanceLock {
    /// Fails when another process holds it, and names that.
    pub fn take(layout: &Layout) -> Result<InstanceLock> {
        let made = journal::missing(&layout.run()).collect();
        let path = layout.instance_lock();
        let mut file = loop {
            files::make_directory(&layout.run(), PRIVATE_DIRECTORY)?;
            let mut options = File::options();
            let open = options.create(true).truncate(false).write(true).mode(SECRET_FILE).open(&path);
            let file = open.with_context(|| format!("cannot open `{}`", path.display()))?;
            match file.try_lock() {
                Ok(()) if is_at(&file, &path) => break file,
                // a reset has removed it between the two
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    let message =
                        format!("another init, reset or renewal of this instance runs (pid {})", holder.trim());
                    return Err(Fault::failed(message).hint("wait until it has ended, or end it").into());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock `{}`", path.display()));
                }
            }
        };
        file.set_len(0)?;
        write!(file, "{}", std::process::id())?;
        Ok(InstanceLock { _file: file, made })
    }

    /// For a reset, which must make nothing: `None` when there is no instance to lock.
    pub fn take_if_any(layout: &Layout) -> Result<Option<InstanceLock>> {
        match layout.run().symlink_metadata() {
            Ok(_) => InstanceLock::take(layout).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot look at `{}`", layout.run().display())),
        }
    }
}

/// Whether `file` is still what `path` names.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let (held, named) = (file.metadata().map(identity), path.metadata().map(identity));
    held.is_ok_and(|held| named.is_ok_and(|named| named == held))
}
