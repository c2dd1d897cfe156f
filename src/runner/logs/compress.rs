//! Compresses the rotated files of running containers [6.6].
//!
//! Shims rotate and remove the oldest, so that a flood is bounded also while no runner is there; what takes time is
//! done here, one file after the other. A file that a shim removes meanwhile stays removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::libc;

use crate::error::{Context, Result, chain_of};
use crate::files;
use crate::runner::cri::convert::is_from_cri;
use crate::runner::runtime::log::file::{MODE, rotated_files};
use crate::runner::runtime::log::rotated::{self, Form};
use crate::runner::runtime::{ContainerState, Runtime};
use crate::runner::worker::Site;

/// Between two looks, as the kubelet's [6.6].
const INTERVAL: Duration = Duration::from_secs(10);
/// With what a compressed file begins, and no record.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Goes on until dropped.
pub(crate) async fn run<R: Runtime>(site: Arc<Site<R>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for log in running_logs(&site.runtime).await {
            let tidied = tokio::task::spawn_blocking(move || tidy(&log)).await;
            if let Ok(Err(error)) = tidied {
                // of no consequence for the container, and tried again at the next look
                tracing::debug!("{}", chain_of(&error));
            }
        }
    }
}

/// Of the pods of manifests: a client of the CRI compresses its own.
async fn running_logs<R: Runtime>(runtime: &R) -> Vec<PathBuf> {
    let (Ok(sandboxes), Ok(containers)) = (runtime.list_pod_sandboxes().await, runtime.list_containers().await) else {
        return Vec::new();
    };
    let running = containers.into_iter().filter(|one| matches!(one.state, ContainerState::Running { .. }));
    let log = |container: crate::runner::runtime::Container| {
        let sandbox = sandboxes.iter().find(|sandbox| sandbox.id == container.sandbox_id)?;
        (!is_from_cri(&sandbox.config)).then(|| sandbox.config.log_directory.join(&container.config.log_path))
    };
    running.filter_map(log).collect()
}

/// Compresses all but the newest rotated file of a log, and removes what an interrupted compression has left. Blocks.
pub fn tidy(log: &Path) -> Result<()> {
    let found =
        rotated_files(log).with_context(|| format!("cannot look for what was rotated of `{}`", log.display()))?;
    for left in found.iter().filter(|file| file.form == Form::Temporary) {
        files::remove_file(&log.with_file_name(&left.name))?;
    }
    for plain in rotated::uncompressed(&found) {
        let path = log.with_file_name(&plain.name);
        match compress(&path) {
            // the shim was faster
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            compressed => compressed.with_context(|| format!("cannot compress `{}`", path.display()))?,
        }
    }
    Ok(())
}

/// Replaces the file by `<file>.gz`. At no moment are both there, or neither.
fn compress(path: &Path) -> io::Result<()> {
    let beside = |suffix: &str| PathBuf::from(format!("{}{suffix}", path.display()));
    let (temporary, compressed) = (beside(".tmp"), beside(".gz"));
    let mut plain = open(path)?;
    let mut beginning = Vec::new();
    (&mut plain).take(GZIP.len() as u64).read_to_end(&mut beginning)?;
    plain.rewind()?;
    // otherwise its name is all that is missing
    if beginning != GZIP {
        let replaced = write(plain, &temporary).and_then(|()| replace(&temporary, path));
        let removed = fs::remove_file(&temporary);
        replaced.and(match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })?;
    }
    fs::rename(path, compressed)
}

fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

fn write(mut plain: File, to: &Path) -> io::Result<()> {
    let to = OpenOptions::new().write(true).create_new(true).mode(MODE).custom_flags(libc::O_NOFOLLOW).open(to)?;
    let mut encoder = GzEncoder::new(to, Compression::default());
    io::copy(&mut plain, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

/// Puts the one file in the other's place, if that is still there.
fn replace(temporary: &Path, path: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RenameFlags::RENAME_EXCHANGE) {
        // a file system that cannot tell: what comes back so is removed with the next rotation
        Err(Errno::EINVAL) if path.try_exists()? => fs::rename(temporary, path),
        replaced => Ok(replaced?),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use flate2::read::GzDecoder;

    use super::*;

    fn text(path: &Path) -> String {
        let mut text = String::new();
        GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    }

    /// Names and contents of a directory, what is compressed in plain.
    fn contents(directory: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let content = |path: &Path| match path.extension().is_some_and(|extension| extension == "gz") {
            true => text(path),
            false => fs::read_to_string(path).unwrap(),
        };
        entries.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), content(&path))).collect()
    }

    fn expected(files: &[(&str, &str)]) -> BTreeMap<String, String> {
        files.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
    }

    #[test]
    fn case_149_all_but_the_live_and_the_newest_rotated_file_are_compressed_and_leftovers_removed() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("0.log", "live\n"),
            ("0.log.20261126-000003", "three\n"),
            ("0.log.20261126-000002.001", "two and a bit\n"),
            ("0.log.20261126-000002", "two\n"),
            ("0.log.20261126-000002.tmp", "half"),
            ("0.log.20261126-000009.tmp", "half"),
            ("1.log.20261126-000000", "another's\n"),
            ("1.log.20261126-000001.tmp", "another's\n"),
        ] {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let done = expected(&[
            ("0.log", "live\n"),
            ("0.log.20261126-000003", "three\n"),
            ("0.log.20261126-000002.001.gz", "two and a bit\n"),
            ("0.log.20261126-000002.gz", "two\n"),
            ("1.log.20261126-000000", "another's\n"),
            ("1.log.20261126-000001.tmp", "another's\n"),
        ]);
        for _ in 0..2 {
            tidy(&directory.path().join("0.log")).unwrap();
            assert_eq!(contents(directory.path()), done);
        }
    }

    #[test]
    fn an_interrupted_compression_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("0.log.20261126-000001"), "one\n").unwrap();
        fs::write(path("0.log.20261126-000002"), "two\n").unwrap();
        // what a runner leaves that is killed before the last rename
        write(open(&path("0.log.20261126-000001")).unwrap(), &path("0.log.20261126-000001.tmp")).unwrap();
        replace(&path("0.log.20261126-000001.tmp"), &path("0.log.20261126-000001")).unwrap();
        assert_eq!(fs::read_to_string(path("0.log.20261126-000001.tmp")).unwrap(), "one\n");
        tidy(&path("0.log")).unwrap();
        let done = expected(&[("0.log.20261126-000001.gz", "one\n"), ("0.log.20261126-000002", "two\n")]);
        assert_eq!(contents(directory.path()), done);
    }

    #[test]
    fn what_was_removed_meanwhile_does_not_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log.20261126-000001");
        let temporary = directory.path().join("0.log.20261126-000001.tmp");
        fs::write(&temporary, "").unwrap();
        assert_eq!(replace(&temporary, &path).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!path.exists());
        assert_eq!(compress(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", directory.path().join("0.log.20261126-000001")).unwrap();
        fs::write(directory.path().join("0.log.20261126-000002"), "").unwrap();
        tidy(&directory.path().join("0.log")).unwrap_err();
        assert_eq!(contents(directory.path()).len(), 2);
    }
}
