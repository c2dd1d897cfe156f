//! The manifests directory: read as a whole at the start, on every change and every 20 s [1.B].
//!
//! The kernel's events say *that* something changed and which files are being written just now; what is there is
//! always read from the directory itself, so that no lost or misread event can leave a wrong picture for longer than
//! a rescan. A file that a writer has not closed yet keeps its last good reading. The path may also be one file; then
//! its directory is watched for that name alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Delivery, Kind, Manifest, Origin, Scan};
use crate::error::{Context, Result, chain_of};
use crate::runner::pod::{self, Pod};

/// How often everything is read whether or not the kernel told of a change.
const RESCAN: Duration = Duration::from_secs(20);
/// How often a directory that is missing is looked for [1.5].
const MISSING: Duration = Duration::from_secs(1);
/// A writer that keeps a file open longer is not waited for.
const WRITING: Duration = Duration::from_secs(20);
/// The largest manifest [1.21].
const MAX_SIZE: u64 = 10 << 20;

/// Delivers a scan at once, and then whenever it differs from the last, until the receiver is gone.
pub async fn watch(path: PathBuf, node: String, scans: mpsc::Sender<Delivery>) {
    let mut reader = Reader::new(path, node);
    let mut last = None;
    let mut watcher = None;
    loop {
        if watcher.is_none() {
            watcher = Watcher::new(&reader.path).inspect_err(|error| warn_unless_missing(error, &reader.path)).ok();
        }
        match reader.scan() {
            Ok(scan) => {
                if last.as_ref() != Some(&scan) {
                    last = Some(scan.clone());
                    if scans.send((Kind::Directory, scan)).await.is_err() {
                        return;
                    }
                }
            }
            // what runs goes on: a directory that cannot be read says nothing about what should be in it
            Err(error) => tracing::warn!("{}", chain_of(&error)),
        }
        let until = Instant::now() + if watcher.is_some() { RESCAN } else { MISSING };
        let Some(active) = &watcher else {
            tokio::time::sleep_until(until).await;
            continue;
        };
        // Cancel-safe: events stay in the kernel's queue until they are read
        let changes = tokio::select! {
            changes = active.changes() => changes,
            () = tokio::time::sleep_until(until) => Ok(Vec::new()),
            () = scans.closed() => return,
        };
        match changes {
            Ok(changes) => {
                if !reader.note(&changes) {
                    watcher = None;
                }
            }
            Err(error) => {
                tracing::warn!("cannot watch `{}`: {error}", reader.path.display());
                watcher = None;
                tokio::time::sleep(MISSING).await;
            }
        }
    }
}

/// What is there now.
pub fn read(path: &Path, node: &str) -> Result<Scan> {
    Reader::new(path.to_owned(), node.to_owned()).scan()
}

fn warn_unless_missing(error: &io::Error, path: &Path) {
    if error.kind() != io::ErrorKind::NotFound {
        tracing::warn!("cannot watch `{}`: {error}", path.display());
    }
}

/// One change that the kernel told.
#[derive(Debug, PartialEq)]
struct Change {
    flags: AddWatchFlags,
    name: Option<OsString>,
}

/// Lets tokio wait for the kernel's queue.
struct Queue(Inotify);

impl AsRawFd for Queue {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

struct Watcher {
    queue: AsyncFd<Queue>,
}

impl Watcher {
    fn new(path: &Path) -> io::Result<Self> {
        let is_file = fs::metadata(path)?.is_file();
        let directory = if is_file { path.parent().unwrap_or(path) } else { path };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, flags)?;
        // its successor is unsafe for the sake of types that can lend a closed descriptor; this one owns an open one
        #[expect(deprecated)]
        let queue = AsyncFd::new(Queue(inotify))?;
        Ok(Watcher { queue })
    }

    /// Everything that happened since the last call; waits for something to happen.
    async fn changes(&self) -> io::Result<Vec<Change>> {
        loop {
            let mut guard = self.queue.readable().await?;
            match guard.try_io(|queue| queue.get_ref().0.read_events().map_err(io::Error::from)) {
                Ok(events) => {
                    let change =
                        |event: nix::sys::inotify::InotifyEvent| Change { flags: event.mask, name: event.name };
                    return Ok(events?.into_iter().map(change).collect());
                }
                Err(_would_block) => {}
            }
        }
    }
}

/// What identifies the content of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What a file held when it was read last.
struct Reading {
    /// `None`: it is read again each time.
    stamp: Option<Stamp>,
    pod: Result<Arc<Pod>, String>,
}

struct Reader {
    path: PathBuf,
    node: String,
    known: BTreeMap<PathBuf, Reading>,
    /// Files that are open for writing, and since when.
    writing: BTreeMap<OsString, Instant>,
}

impl Reader {
    fn new(path: PathBuf, node: String) -> Self {
        Reader { path, node, known: BTreeMap::new(), writing: BTreeMap::new() }
    }

    /// Takes in what the kernel told; `false` when the watched directory itself is gone.
    fn note(&mut self, changes: &[Change]) -> bool {
        let gone = AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_IGNORED
            | AddWatchFlags::IN_UNMOUNT;
        let mut is_there = true;
        for Change { flags, name } in changes {
            is_there &= !flags.intersects(gone);
            if flags.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                self.writing.clear();
            }
            let Some(name) = name else { continue };
            if flags.contains(AddWatchFlags::IN_MODIFY) {
                self.writing.insert(name.clone(), Instant::now());
            } else if flags.contains(AddWatchFlags::IN_CREATE) {
                // links are complete when they appear; only what is opened for writing will be closed
                let path = self.directory().join(name);
                if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.nlink() == 1) {
                    self.writing.insert(name.clone(), Instant::now());
                }
            } else if flags
                .intersects(AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVE | AddWatchFlags::IN_DELETE)
            {
                self.writing.remove(name);
            }
        }
        is_there
    }

    fn directory(&self) -> &Path {
        if self.path.is_file() { self.path.parent().unwrap_or(&self.path) } else { &self.path }
    }

    fn scan(&mut self) -> Result<Scan> {
        self.writing.retain(|_, since| since.elapsed() < WRITING);
        let mut paths = match self.paths() {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", self.path.display()));
            }
        };
        paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
        let present: BTreeSet<_> = paths.iter().collect();
        self.known.retain(|path, _| present.contains(path));
        let manifests = paths.into_iter().filter_map(|path| self.manifest(path)).collect();
        Ok(Scan { manifests })
    }

    fn paths(&self) -> io::Result<Vec<PathBuf>> {
        if fs::metadata(&self.path)?.is_file() {
            return Ok(vec![self.path.clone()]);
        }
        let mut paths = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().as_bytes().starts_with(b".") {
                paths.push(entry.path());
            }
        }
        Ok(paths)
    }

    /// `None`: a directory, or a file that vanished meanwhile, or one that is being written for the first time.
    fn manifest(&mut self, path: PathBuf) -> Option<Manifest> {
        let is_open = path.file_name().is_some_and(|name: &OsStr| self.writing.contains_key(name));
        if is_open {
            let pod = self.known.get(&path)?.pod.clone();
            return Some(Manifest { origin: Origin::File(path), pod });
        }
        let metadata = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => return None,
            Ok(metadata) => metadata,
            // it vanished between the listing and now; a link whose target is missing is still there
            Err(_) if fs::symlink_metadata(&path).is_err() => return None,
            Err(error) => {
                return Some(Manifest { origin: Origin::File(path), pod: Err(format!("cannot read it: {error}")) });
            }
        };
        let stamp = Stamp::of(&metadata);
        if let Some(known) = self.known.get(&path).filter(|known| known.stamp == Some(stamp)) {
            return Some(Manifest { pod: known.pod.clone(), origin: Origin::File(path) });
        }
        let pod = self.read(&path, &metadata).map(Arc::new).map_err(|error| chain_of(&error));
        // a failure to read may pass without the file changing
        let reading = Reading { stamp: pod.is_ok().then_some(stamp), pod: pod.clone() };
        self.known.insert(path.clone(), reading);
        Some(Manifest { origin: Origin::File(path), pod })
    }

    fn read(&self, path: &Path, metadata: &fs::Metadata) -> Result<Pod> {
        if !metadata.is_file() {
            anyhow::bail!("it is neither a file nor a directory");
        }
        let mut content = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_SIZE + 1).read_to_end(&mut content))
            .context("cannot read it")?;
        if content.len() as u64 > MAX_SIZE {
            anyhow::bail!("it is larger than 10 MiB");
        }
        pod::decode(&content, &Origin::File(path.to_owned()), &self.node)
    }
}

#[cfg(test)]
mod tests;
