//! Says why a component does not come up: its exit, the last lines of its log, the likely cause.

use std::path::Path;

use crate::control::{ContainerState, ContainerStatus, ExitStatus};
use crate::error::Fault;
use crate::files;

/// How much of a log's end is read, and how many of its lines are told.
const TAIL_BYTES: u64 = 16 << 10;
const TAIL_LINES: usize = 8;

/// What is known of a container that is waited for.
#[derive(Debug, Clone, Default)]
pub struct Story {
    pub restarts: u32,
    /// It has ended and is not running again yet.
    pub has_ended: bool,
    pub reason: String,
    pub last_exit: Option<ExitStatus>,
    /// The last lines it wrote, without the log format's prefix.
    pub log: Vec<String>,
}

impl Story {
    pub fn of_missing(reason: String) -> Story {
        Story { reason, ..Story::default() }
    }

    pub fn of(container: &ContainerStatus, reason: String) -> Story {
        Story {
            restarts: container.restarts,
            has_ended: !matches!(container.state, ContainerState::Running { .. }) && container.last_exit.is_some()
                || matches!(container.state, ContainerState::Terminated(_)),
            reason,
            last_exit: match &container.state {
                ContainerState::Terminated(exit) => Some(exit.clone()),
                _ => container.last_exit.clone(),
            },
            log: container.log.as_deref().map(tail).unwrap_or_default(),
        }
    }

    /// `what`, the last exit and the log's end.
    pub fn with_log(&self, what: &str) -> String {
        let mut text = what.to_owned();
        if let Some(exit) = &self.last_exit {
            text.push_str(&format!("; last {}", exit_words(exit)));
        }
        if !self.log.is_empty() {
            text.push_str("; its last lines:");
            for line in &self.log {
                text.push_str("\n    ");
                text.push_str(line);
            }
        }
        text
    }
}

/// `exit code 1 (Error)`, `signal 9 (OOMKilled)`, with the runtime's message.
pub fn exit_words(exit: &ExitStatus) -> String {
    let mut words = match exit.signal {
        0 => format!("exit code {} ({})", exit.exit_code, exit.reason),
        signal => format!("end by signal {signal} ({})", exit.reason),
    };
    if let Some(more) = exit.words() {
        words.push_str(&format!(": {more}"));
    }
    words
}

/// Adds the likely cause as the hint.
pub fn explain(fault: Fault, component: &str, story: &Story) -> anyhow::Error {
    let hint = match likely_cause(story) {
        Some(cause) => cause.to_owned(),
        None => format!("`bootstrap logs {component}` shows the whole log; `bootstrap status` the pods"),
    };
    fault.hint(hint).into()
}

/// What usually stands behind a text in the log, most telling first.
const CAUSES: &[(&str, &str)] = &[
    ("address already in use", "another process listens on the component's port: `ss -ltnp` names it"),
    ("no space left on device", "a disk is full: make room, then run init again"),
    ("too many open files", "the limit of open files is too low for this machine"),
    ("unknown flag", "an `extraArgs` name is no flag of this version of the component"),
    ("invalid argument", "an `extraArgs` value is refused by the component"),
    ("walpb: crc mismatch", "etcd's data is damaged: restore a snapshot, or `bootstrap reset` to begin anew"),
    (
        "member count is unequal",
        "etcd's data belongs to another cluster: move it away, or use another `etcd.local.dataDir`",
    ),
    (
        "cluster id mismatch",
        "etcd's data belongs to another cluster: move it away, or use another `etcd.local.dataDir`",
    ),
    ("database space exceeded", "etcd's database is full: compact and defragment it"),
    ("cannot assign requested address", "`localAPIEndpoint.advertiseAddress` is no address of this machine"),
    ("certificate has expired", "a certificate has expired, or the clock is wrong"),
    ("not yet valid", "the clock is behind the time at which the certificates were made"),
    (
        "certificate signed by unknown authority",
        "certificates of different authorities were mixed in the certificate directory",
    ),
    ("permission denied", "the component may not open a file: look at its mode and its mount"),
    ("no such file or directory", "a file that the component was told to use is missing, or not mounted into its pod"),
    ("exec format error", "the image is built for another processor"),
    ("connection refused", "what the component talks to is not up: see the other components"),
];

fn likely_cause(story: &Story) -> Option<&'static str> {
    if story.last_exit.as_ref().is_some_and(|exit| exit.reason == "OOMKilled") {
        return Some("it used more memory than it may: raise its limit, or give the machine more");
    }
    let message = story.last_exit.as_ref().and_then(ExitStatus::words).unwrap_or_default();
    let text = format!("{}\n{message}\n{}", story.log.join("\n"), story.reason).to_lowercase();
    CAUSES.iter().find(|(sign, _)| text.contains(sign)).map(|(_, cause)| *cause)
}

/// The last lines of a log in the CRI's format, `time stream tag text`; none when it cannot be read.
fn tail(path: &Path) -> Vec<String> {
    let text = files::tail(path, TAIL_BYTES).unwrap_or_default();
    let lines: Vec<_> = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3)).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_log_tells_the_likely_cause() {
        let story = |log: &str| Story { log: vec![log.to_owned()], ..Story::default() };
        let cause = |log: &str| likely_cause(&story(log)).unwrap_or("");
        assert!(cause("listen tcp 127.0.0.1:2379: bind: address already in use").contains("ss -ltnp"));
        assert!(cause("Error: unknown flag: --fooo").contains("extraArgs"));
        assert_eq!(cause("all is well"), "");
    }

    #[test]
    fn the_tail_is_told_without_the_log_formats_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let lines: String = (0..20).map(|n| format!("2026-01-01T00:00:00Z stderr F line {n}\n")).collect();
        std::fs::write(&path, lines).unwrap();
        let tail = tail(&path);
        assert_eq!((tail.len(), tail[0].as_str(), tail[7].as_str()), (8, "line 12", "line 19"));
    }
}
