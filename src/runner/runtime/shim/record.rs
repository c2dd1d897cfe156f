//! The files of a container's state directory, which is the shim's working directory.
//!
//! `container.json` is the runner's, the others are the shim's. A container exists once `process.json` does; until then
//! it is half made, and the next runner cleans it up. All of it dies with a boot, so nothing is synced to disk.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Result};
use crate::image::manifest::ImageConfig;
use crate::linux::process::Identity;
use crate::runner::runtime::log::file::Rotation;
use crate::runner::runtime::spec::Joined;
use crate::runner::runtime::{ContainerConfig, NamespaceOptions};

pub const CONTAINER: &str = "container.json";
pub const PROCESS: &str = "process.json";
pub const EXIT: &str = "exit.json";
pub const SOCKET: &str = "shim.sock";
/// This program, as a shim executes it; only there for that moment.
pub const PROGRAM: &str = "program";
pub const LOCK: &str = "shim.lock";
pub const RUNTIME_LOG: &str = "runtime.log";
/// The OCI specification, by the name that the library looks for.
pub const CONFIG: &str = "config.json";
pub const ROOTFS: &str = "rootfs";
/// Images that the container mounts, by the index of the mount.
pub const VOLUMES: &str = "volumes";
/// The library's own state.
pub const LIBRARY: &str = "oci";
pub const STDIN: &str = "stdin";
pub const STDOUT: &str = "stdout";
pub const STDERR: &str = "stderr";

/// Everything that was decided about a container before it was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerRecord {
    pub version: u32,
    pub id: String,
    pub sandbox_id: String,
    pub image_id: String,
    pub created_at: Timestamp,
    pub config: ContainerConfig,
    pub image: ImageConfig,
    pub namespaces: NamespaceOptions,
    /// The pod's namespaces.
    #[serde(default)]
    pub joined: Vec<Joined>,
    /// The pod's shared memory, a directory.
    #[serde(default)]
    pub shared_memory: Option<PathBuf>,
    pub hostname: String,
    /// Container path and source of the files that all containers of the pod see.
    pub managed_files: Vec<(PathBuf, PathBuf)>,
    /// Of the instance, whose store holds the image.
    pub root: PathBuf,
    /// Holds the writable layer.
    pub writable: PathBuf,
    /// Relative to the root of every hierarchy.
    pub cgroup: PathBuf,
    /// Where shims themselves live.
    pub shims_cgroup: PathBuf,
    pub log: PathBuf,
    pub rotation: Rotation,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub init: Identity,
    /// `None` until the user's program has been executed.
    pub started_at: Option<Timestamp>,
    /// A client has had the standard input that only the first one gets.
    #[serde(default)]
    pub stdin_taken: bool,
}

pub fn load<T: DeserializeOwned>(path: impl AsRef<Path>) -> Result<T> {
    let path = path.as_ref();
    let bytes = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("cannot understand `{}`", path.display()))
}

/// `None` when there is no such file.
pub fn load_if_exists<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match path.try_exists() {
        Ok(false) => Ok(None),
        _ => load(path).map(Some),
    }
}

/// Replaces the file whole, for a reader at any time.
pub fn store<T: Serialize>(path: impl AsRef<Path>, value: &T) -> Result<()> {
    let path = path.as_ref();
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let options = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).clone();
        options.open(&temporary)?.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}

/// For the library's own words. Begun anew when it has grown: a probe may fail for days, and this is memory.
pub fn open_runtime_log() -> Result<File> {
    const LIMIT: u64 = 256 * 1024;
    let open = || -> io::Result<File> {
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(RUNTIME_LOG)?;
        if log.metadata()?.len() > LIMIT {
            log.set_len(0)?;
        }
        Ok(log)
    };
    open().with_context(|| format!("cannot open `{RUNTIME_LOG}`"))
}

/// The last lines that were written to the runtime log after `start`, joined.
pub fn runtime_log_tail(start: u64) -> String {
    const LINES: usize = 4;
    let read = || -> io::Result<String> {
        let mut file = File::open(RUNTIME_LOG)?;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(64 * 1024).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    // the first error is the cause, those that follow pass it on
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(LINES);
    lines.map(|line| line.trim_start_matches("ERROR ")).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_are_replaced_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(PROCESS);
        assert_eq!(load_if_exists::<ProcessRecord>(&path).unwrap(), None);
        let record = ProcessRecord { init: Identity { pid: 1, start_time: 2 }, started_at: None, stdin_taken: false };
        store(&path, &record).unwrap();
        assert_eq!(load_if_exists(&path).unwrap(), Some(record));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        fs::write(&path, "{").unwrap();
        let error = load_if_exists::<ProcessRecord>(&path).unwrap_err().to_string();
        assert!(error.contains(PROCESS), "{error}");
    }
}
