//! What this instance made: one line of JSON for each thing, written before the thing is made.
//!
//! `reset` removes what stands here and nothing else. A kill between the line and the effect leaves a line too many,
//! which does no harm: what is not there needs no removing.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Context, Fault, Result};
use crate::files;
use crate::layout::{Layout, PRIVATE_DIRECTORY, PUBLIC_DIRECTORY};
use crate::phase::undo::{Made, MadeKind};

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// About to be made by a phase.
    Make { phase: String, kind: MadeKind, path: PathBuf },
    /// Written with this content.
    Wrote { path: PathBuf, sha256: String },
}

/// The journal of one instance, open for appending. Paths in it are the node's, without the root.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
    /// Serialises writers within this process; `instance.lock` keeps other processes out.
    writing: Mutex<()>,
}

/// What a journal says.
#[derive(Debug, Default)]
pub struct Record {
    /// In the order of making, no duplicates.
    pub made: Vec<Made>,
    /// SHA-256 of what was last written to a file, in hexadecimal.
    pub written: BTreeMap<PathBuf, String>,
}

/// Reads the journal; without one, nothing was made. A last line cut short by a crash is ignored: its effect had not
/// begun.
pub fn read(layout: &Layout) -> Result<Record> {
    let path = layout.journal();
    let Some(content) = files::read_if_exists(&path)? else { return Ok(Record::default()) };
    let text = String::from_utf8_lossy(&content);
    let mut record = Record::default();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match serde_json::from_str(line) {
            Ok(Line::Make { phase, kind, path }) => {
                let made = Made { phase, kind, path };
                if !record.made.iter().any(|known| known.identity() == made.identity()) {
                    record.made.push(made);
                }
            }
            Ok(Line::Wrote { path, sha256 }) => drop(record.written.insert(path, sha256)),
            Err(_) if !line.ends_with('\n') => {}
            Err(_) => {
                let message = format!("cannot understand line {number} of the journal `{}`", path.display());
                let hint = "it says what reset may remove: mend that line, or delete it";
                return Err(Fault::failed(message).hint(hint).into());
            }
        }
    }
    Ok(record)
}

impl Journal {
    /// Opens the journal, and on the first time makes our state directories, which are its first lines together with
    /// those `already_made`.
    pub fn open(layout: &Layout, already_made: &[PathBuf]) -> Result<Journal> {
        let journal = Journal { layout: layout.clone(), writing: Mutex::new(()) };
        let of = |path: &Path| Made {
            phase: "runner-start".to_owned(),
            kind: MadeKind::Directory,
            path: journal.node_path(path),
        };
        let mut made: Vec<_> = already_made.iter().map(|path| of(path)).collect();
        for directory in [layout.state(), layout.run()] {
            made.extend(missing(&directory).map(|path| of(&path)));
            if let Some(parent) = directory.parent() {
                files::make_directory(parent, PUBLIC_DIRECTORY)?;
            }
            files::make_directory(&directory, PRIVATE_DIRECTORY)?;
        }
        journal.announce(&made)?;
        Ok(journal)
    }

    /// A path of the machine as a path of the node.
    fn node_path(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(self.layout.root()).unwrap_or(path))
    }

    /// Writes down, durably, what is about to be made.
    pub fn announce(&self, things: &[Made]) -> Result<()> {
        let line =
            |made: &Made| Line::Make { phase: made.phase.clone(), kind: made.kind.clone(), path: made.path.clone() };
        self.append(&things.iter().map(line).collect::<Vec<_>>(), true)
    }

    /// Writes down what a file now holds; losing this line only makes a later init more careful.
    pub fn wrote(&self, path: &Path, content: &[u8]) -> Result<()> {
        let sha256 = hex::encode(Sha256::digest(content));
        self.append(&[Line::Wrote { path: path.to_owned(), sha256 }], false)
    }

    fn append(&self, lines: &[Line], durable: bool) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.layout.journal();
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        let _writing = self.writing.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let written = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path)?;
            cut_short_line(&mut file)?;
            file.write_all(&text)?;
            if durable { file.sync_all() } else { Ok(()) }
        };
        written().with_context(|| format!("cannot write the journal `{}`", path.display()))
    }
}

/// Takes away a last line without an end, which a crash or a full disk has left: what follows would be part of it.
fn cut_short_line(file: &mut File) -> std::io::Result<()> {
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    let whole = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    if whole < content.len() { file.set_len(whole as u64) } else { Ok(()) }
}

/// The ancestors of `path`, itself included, that do not exist, outermost first.
pub fn missing(path: &Path) -> impl Iterator<Item = PathBuf> {
    let mut missing: Vec<_> = path.ancestors().take_while(|path| !path.exists()).map(Path::to_owned).collect();
    missing.reverse();
    missing.into_iter()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_tells_what_was_made_first_to_last() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        assert!(read(&layout).unwrap().made.is_empty());
        let journal = Journal::open(&layout, &[]).unwrap();
        let thing = Made { phase: "certs".into(), kind: MadeKind::File, path: "/etc/a".into() };
        journal.announce(&[thing.clone(), thing.clone()]).unwrap();
        let entry = |name: &str| Made { kind: MadeKind::Account(name.into()), ..thing.clone() };
        journal.announce(&[entry("u"), entry("v"), entry("u")]).unwrap();
        journal.wrote(Path::new("/etc/a"), b"x").unwrap();
        let record = read(&layout).unwrap();
        let paths: Vec<_> = record.made.iter().map(|made| made.path.to_str().unwrap()).collect();
        assert_eq!(
            paths,
            ["/var", "/var/lib", "/var/lib/bootstrap", "/run", "/run/bootstrap", "/etc/a", "/etc/a", "/etc/a"]
        );
        assert_eq!(record.made[6], entry("u"));
        assert_eq!(record.written.len(), 1);
    }

    #[test]
    fn a_line_cut_short_at_the_end_is_ignored_and_one_in_the_middle_is_not() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::new(root.path());
        Journal::open(&layout, &[]).unwrap();
        let whole = std::fs::read(layout.journal()).unwrap();
        std::fs::write(layout.journal(), [&whole[..], b"{\"make\":{\"pha"].concat()).unwrap();
        assert_eq!(read(&layout).unwrap().made.len(), 5);
        let thing = Made { phase: "certs".into(), kind: MadeKind::File, path: "/etc/a".into() };
        Journal::open(&layout, &[]).unwrap().announce(&[thing]).unwrap();
        assert_eq!(read(&layout).unwrap().made.len(), 6, "what comes after it is a line of its own");
        std::fs::write(layout.journal(), [b"garbage\n", &whole[..]].concat()).unwrap();
        assert!(read(&layout).is_err());
    }
}
