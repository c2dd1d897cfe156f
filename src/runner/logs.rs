//! What the runner does about log files: it links, counts, compresses and removes them; the shim writes and rotates
//! them [6].

pub mod compress;
pub mod lines;
pub mod reader;

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use super::container::{log_directory, termination_file};
use super::pod::Pod;
use super::runtime::PodMetadata;
use crate::error::{Context, Result};
use crate::files;
use crate::layout::{self, Layout};
use lines::Joiner;

/// The longest name of a file.
const MAX_NAME: usize = 255;
/// What of a pod's name is in a link's, however long container and id are: an id has 64 digits at most.
const SHORTEST_HEAD: usize = MAX_NAME - "_-.log".len() - 63 - 64;
/// Of a termination message, its end [3.51].
const MAX_MESSAGE: u64 = 4096;
/// Of a log that stands in for one.
const MAX_LOG_MESSAGE: usize = 2048;
const MAX_LOG_LINES: usize = 80;
/// Of the end of a log that is read for them, in bytes.
const MAX_LOG: u64 = MAX_LOG_LINES as u64 * 1024;

/// Where tools that collect logs look for this container's [6.5].
pub fn link_path(layout: &Layout, pod: &PodMetadata, container: &str, id: &str) -> PathBuf {
    let tail = format!("_{container}-{id}.log");
    let mut head = format!("{}_{}", pod.name, pod.namespace);
    head.truncate(MAX_NAME.saturating_sub(tail.len()));
    layout.container_logs().join(head + &tail)
}

/// Links the log of a container that has started.
pub fn link(layout: &Layout, pod: &PodMetadata, container: &str, attempt: u32, id: &str) -> Result<()> {
    let log = log_directory(layout, pod).join(container).join(format!("{attempt}.log"));
    let link = link_path(layout, pod, container, id);
    files::make_directory(&layout.container_logs(), layout::PUBLIC_DIRECTORY)?;
    match symlink(&log, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot link `{}`", link.display()))
        }
        _ => Ok(()),
    }
}

/// Removes what a dead container left: its log with its rotated parts, its link, its last words.
pub fn forget(layout: &Layout, pod: &PodMetadata, container: &str, attempt: u32, id: &str) -> Result<()> {
    files::remove_file(&link_path(layout, pod, container, id))?;
    files::remove_file(&termination_file(layout, &pod.uid, container, attempt))?;
    let directory = log_directory(layout, pod).join(container);
    for (name, found) in entries(&directory)? {
        if found == attempt {
            files::remove_file(&directory.join(name))?;
        }
    }
    Ok(())
}

/// The first attempt that has no log yet [3.35].
pub fn first_attempt(layout: &Layout, pod: &PodMetadata, container: &str) -> u32 {
    let directory = log_directory(layout, pod).join(container);
    let entries = entries(&directory).unwrap_or_default();
    entries.into_iter().map(|(_, attempt)| attempt.saturating_add(1)).max().unwrap_or(0)
}

/// The files `<attempt>.log…` of a container.
fn entries(directory: &Path) -> Result<Vec<(std::ffi::OsString, u32)>> {
    let read = match fs::read_dir(directory) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", directory.display())),
    };
    let mut found = Vec::new();
    for entry in read {
        let name = entry.with_context(|| format!("cannot read `{}`", directory.display()))?.file_name();
        let attempt =
            name.to_str().and_then(|name| name.split_once(".log")).and_then(|(number, _)| number.parse().ok());
        found.extend(attempt.map(|attempt| (name, attempt)));
    }
    Ok(found)
}

/// Removes the links to the logs of a pod's containers.
pub fn unlink(layout: &Layout, pod: &PodMetadata) -> Result<()> {
    let logs = log_directory(layout, pod);
    let Ok(read) = fs::read_dir(layout.container_logs()) else { return Ok(()) };
    // only links that may be this pod's are looked into: there may be thousands of others
    let head = pod.name.get(..SHORTEST_HEAD).unwrap_or(&pod.name).as_bytes();
    for entry in read.flatten().filter(|entry| entry.file_name().as_bytes().starts_with(head)) {
        if fs::read_link(entry.path()).is_ok_and(|target| target.starts_with(&logs)) {
            files::remove_file(&entry.path())?;
        }
    }
    Ok(())
}

/// Removes everything that stays of a pod when it is gone: logs, links.
pub fn remove(layout: &Layout, pod: &PodMetadata) -> Result<()> {
    unlink(layout, pod)?;
    let directory = log_directory(layout, pod);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", directory.display()))
        }
        _ => Ok(()),
    }
}

/// Makes the file in which a container leaves its last words; anybody in the container may write it [3.50].
pub fn make_termination_file(layout: &Layout, uid: &str, container: &str, attempt: u32) -> Result<()> {
    let path = termination_file(layout, uid, container, attempt);
    if let Some(directory) = path.parent() {
        files::make_directory(directory, layout::PRIVATE_DIRECTORY)?;
    }
    // the umask takes bits away from a mode at creation [2.62]
    fs::File::create(&path)
        .and_then(|file| file.set_permissions(fs::Permissions::from_mode(0o666)))
        .with_context(|| format!("cannot make `{}`", path.display()))
}

/// The last words of an ended container, if it has any [3.51].
pub fn last_words(layout: &Layout, pod: &Pod, index: usize, attempt: u32, failed: bool) -> Option<String> {
    let container = &pod.containers[index];
    let message = container.termination_message.as_ref()?;
    let path = termination_file(layout, &pod.uid, &container.name, attempt);
    // a container may write as much as it likes
    let words = files::tail(&path, MAX_MESSAGE).unwrap_or_default();
    if !words.is_empty() {
        return Some(words);
    }
    if !(message.fallback_to_logs && failed) {
        return None;
    }
    let metadata = super::container::metadata(pod);
    let log = log_directory(layout, &metadata).join(&container.name).join(format!("{attempt}.log"));
    let content = files::tail(&log, MAX_LOG).ok()?;
    // what was cut off is no record
    let whole = if content.len() as u64 >= MAX_LOG { content.split_once('\n')?.1 } else { &content };
    let mut joiner = Joiner::default();
    let ended: Vec<_> = whole.split_inclusive('\n').filter_map(|record| joiner.push(record.as_bytes())).collect();
    let lines: Vec<_> = ended.into_iter().chain(joiner.rest()).collect();
    let mut text = Vec::new();
    lines[lines.len().saturating_sub(MAX_LOG_LINES)..].iter().for_each(|line| line.write(false, &mut text));
    let words = end_of(&text, MAX_LOG_MESSAGE);
    (words.trim() != "").then_some(words)
}

fn end_of(content: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(&content[content.len().saturating_sub(limit)..]).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::runner::container::metadata;
    use crate::runner::pod::TerminationMessage;
    use crate::runner::testing;

    #[test]
    fn attempts_go_on_from_the_logs_there_are() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let pod = metadata(&testing::pod("a"));
        assert_eq!(first_attempt(&layout, &pod, "a"), 0);
        let directory = log_directory(&layout, &pod).join("a");
        fs::create_dir_all(&directory).unwrap();
        for name in ["0.log", "2.log.20260101-000000.gz", "1.log", "x.log"] {
            fs::write(directory.join(name), "").unwrap();
        }
        assert_eq!(first_attempt(&layout, &pod, "a"), 3);
        link(&layout, &pod, "a", 1, "id1").unwrap();
        link(&layout, &pod, "a", 1, "id1").unwrap();
        let link = layout.container_logs().join("a-node_default_a-id1.log");
        assert_eq!(fs::read_link(&link).unwrap(), directory.join("1.log"));
        forget(&layout, &pod, "a", 2, "id2").unwrap();
        assert_eq!(first_attempt(&layout, &pod, "a"), 2);
        remove(&layout, &pod).unwrap();
        assert!(!directory.exists() && fs::symlink_metadata(&link).is_err());
        remove(&layout, &pod).unwrap();
    }

    #[test]
    fn last_words_come_from_the_file_or_else_from_the_log() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        let mut pod = testing::pod("a");
        pod.containers[0].termination_message =
            Some(TerminationMessage { path: "/dev/termination-log".into(), fallback_to_logs: true });
        make_termination_file(&layout, &pod.uid, "a", 0).unwrap();
        assert_eq!(last_words(&layout, &pod, 0, 0, true), None);
        let directory = log_directory(&layout, &metadata(&pod)).join("a");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("0.log"), "2026-01-01T00:00:00Z stderr F one\n2026-01-01T00:00:00Z stdout F two x\n")
            .unwrap();
        assert_eq!(last_words(&layout, &pod, 0, 0, true).as_deref(), Some("one\ntwo x\n"));
        assert_eq!(last_words(&layout, &pod, 0, 0, false), None);
        fs::write(directory.join("0.log"), "2026-01-01T00:00:00Z stdout P bye\n").unwrap();
        assert_eq!(last_words(&layout, &pod, 0, 0, true).as_deref(), Some("bye"));
        fs::write(termination_file(&layout, &pod.uid, "a", 0), format!("{}bye", "x".repeat(5000))).unwrap();
        let words = last_words(&layout, &pod, 0, 0, false).unwrap();
        assert!(words.len() as u64 == MAX_MESSAGE && words.ends_with("bye"));
    }

    #[test]
    fn a_link_never_has_too_long_a_name() {
        let pod = PodMetadata { name: "p".repeat(253), namespace: "n".repeat(63), uid: "u".to_owned() };
        let path = link_path(&Layout::default(), &pod, &"c".repeat(63), &"f".repeat(64));
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name.len() == MAX_NAME && name.ends_with(&format!("{}.log", "f".repeat(64))), "{name}");

        // and is found by it
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        link(&layout, &pod, &"c".repeat(63), 0, &"f".repeat(64)).unwrap();
        unlink(&layout, &pod).unwrap();
        assert_eq!(fs::read_dir(layout.container_logs()).unwrap().count(), 0);
    }
}
