//! Reads a container's log as people want to see it: for `bootstrap logs` and for the node's API. Blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::lines::{Joiner, Line};
use crate::error::{Context, Result};
use crate::runner::runtime::log::file::rotated_files;
use crate::runner::runtime::log::rotated::Form;

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(100);
/// What is handed on at once, about.
const BLOCK: usize = 64 << 10;

/// Which part of a log, and how it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Each line begins with the time at which it was written.
    pub timestamps: bool,
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// No more than so many of the last lines.
    pub tail: Option<usize>,
    /// No more than so many bytes, though that may cut a line.
    pub limit: Option<u64>,
}

/// Where a followed log goes on.
pub trait Followed {
    /// Its file at the moment; another one than before after a rotation or a restart.
    fn current(&self) -> Option<PathBuf>;
    /// Nothing will be written any more, or nobody reads.
    fn is_over(&self) -> bool;
}

/// Shows a log, and with `followed` what is added to it. An error of `show` ends it.
pub fn read(
    path: PathBuf,
    wanted: Wanted,
    followed: Option<&dyn Followed>,
    show: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<()> {
    let mut log = Log::open(&path)?;
    let mut reader = Reader { joiner: Joiner::default(), wanted, left: wanted.limit.unwrap_or(u64::MAX), show };
    match wanted.tail {
        Some(count) => {
            let mut last = VecDeque::new();
            while let Some(record) = log.next()? {
                last.extend(reader.joiner.push(&record));
                while last.len() > count {
                    last.pop_front();
                }
            }
            reader.lines(last)?;
        }
        None => reader.all(&mut log)?,
    }
    while let Some(followed) = followed {
        // looked at first: what was written before the end is read
        let is_over = followed.is_over();
        reader.all(&mut log)?;
        let next = followed.current().filter(|current| log.is_another(current));
        match next {
            _ if reader.left == 0 => break,
            Some(current) => {
                // what was written between the last look and the rename or the restart
                reader.all(&mut log)?;
                match Log::open(&log.successor(&current)) {
                    Ok(next) => log = next,
                    // it was rotated or removed in this very moment
                    Err(error) if is_missing(&error) => std::thread::sleep(POLL),
                    Err(error) => return Err(error),
                }
            }
            None if is_over => break,
            None => std::thread::sleep(POLL),
        }
    }
    let rest: Vec<_> = reader.joiner.rest().collect();
    reader.lines(rest)
}

struct Reader<'a> {
    joiner: Joiner,
    wanted: Wanted,
    left: u64,
    show: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl Reader<'_> {
    /// Shows everything that there is.
    fn all(&mut self, log: &mut Log) -> Result<()> {
        let mut lines = Vec::new();
        let mut size = 0;
        while let Some(record) = log.next()? {
            size += record.len();
            lines.extend(self.joiner.push(&record));
            if size > BLOCK {
                self.lines(std::mem::take(&mut lines))?;
                size = 0;
            }
        }
        self.lines(lines)
    }

    fn lines(&mut self, lines: impl IntoIterator<Item = Line>) -> Result<()> {
        let mut block = Vec::new();
        for line in lines {
            if self.wanted.since.is_none_or(|since| line.is_since(since)) {
                line.write(self.wanted.timestamps, &mut block);
            }
            if block.len() > BLOCK {
                self.show(&std::mem::take(&mut block))?;
            }
        }
        self.show(&block)
    }

    fn show(&mut self, block: &[u8]) -> Result<()> {
        let length = block.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= length as u64;
        if length > 0 {
            (self.show)(&block[..length])?;
        }
        Ok(())
    }
}

/// A log file being read; what it was renamed to does not matter.
struct Log {
    reader: BufReader<File>,
    identity: (u64, u64),
    /// The beginning of a record that is still being written.
    partial: Vec<u8>,
}

impl Log {
    fn open(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot read `{}`", path.display());
        let file = File::open(path).with_context(cannot)?;
        let metadata = file.metadata().with_context(cannot)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok(Log { reader: BufReader::new(file), identity, partial: Vec::new() })
    }

    /// The file that was begun after this one: several may have been rotated since the last look. All are newer than
    /// one that is gone, or compressed.
    fn successor(&self, current: &Path) -> PathBuf {
        let mut files = rotated_files(current).unwrap_or_default();
        files.retain(|file| file.form == Form::Plain);
        files.sort_unstable_by(|one, other| one.age.cmp(&other.age));
        let paths: Vec<_> = files.iter().map(|file| current.with_file_name(&file.name)).collect();
        let own = paths.iter().rposition(|path| identity(path) == Some(self.identity));
        paths.get(own.map_or(0, |own| own + 1)).cloned().unwrap_or_else(|| current.to_owned())
    }

    /// In the middle of a rotation there is none.
    fn is_another(&self, path: &Path) -> bool {
        identity(path).is_some_and(|identity| identity != self.identity)
    }

    /// The next whole record, or `None` while there is none.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        self.reader.read_until(b'\n', &mut self.partial).context("cannot read the log")?;
        if self.partial.ends_with(b"\n") { Ok(Some(std::mem::take(&mut self.partial))) } else { Ok(None) }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

fn is_missing(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const LOG: &str = "2026-01-01T00:00:01Z stdout F one\n2026-01-01T00:00:02.5Z stderr F two\n\
                       2026-01-01T00:00:03Z stdout P thr\n2026-01-01T00:00:03Z stdout F ee\n";

    fn shown(wanted: Wanted) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let mut text = Vec::new();
        read(path, wanted, None, &mut |block| {
            text.extend_from_slice(block);
            Ok(())
        })
        .unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_part_of_a_log_is_shown() {
        let all = Wanted::default();
        assert_eq!(shown(all), "one\ntwo\nthree\n");
        assert_eq!(shown(Wanted { tail: Some(2), ..all }), "two\nthree\n");
        assert_eq!(shown(Wanted { tail: Some(0), ..all }), "");
        assert_eq!(shown(Wanted { since: "2026-01-01T00:00:02.5Z".parse().ok(), ..all }), "two\nthree\n");
        assert_eq!(shown(Wanted { since: "2026-01-01T00:00:02.6Z".parse().ok(), tail: Some(2), ..all }), "three\n");
        assert_eq!(shown(Wanted { limit: Some(6), ..all }), "one\ntw");
        let timed = "2026-01-01T00:00:02.5Z two\n2026-01-01T00:00:03Z three\n";
        assert_eq!(shown(Wanted { timestamps: true, tail: Some(2), ..all }), timed);
    }

    /// Rotates the log and ends it, one step at each look.
    struct Steps {
        path: PathBuf,
        step: Cell<u32>,
    }

    impl Followed for Steps {
        fn current(&self) -> Option<PathBuf> {
            Some(self.path.clone())
        }

        fn is_over(&self) -> bool {
            let step = self.step.replace(self.step.get() + 1);
            let append = |text: &str| {
                use std::io::Write;
                let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
                file.write_all(text.as_bytes()).unwrap();
            };
            let rotate = |time: &str| {
                std::fs::rename(&self.path, self.path.with_file_name(format!("0.log.{time}"))).unwrap();
            };
            match step {
                0 => append("T stdout F four\n"),
                1 => rotate("20261126-000001"),
                2 => {
                    append("T stdout F five\n");
                    rotate("20261126-000001.001");
                    append("T stdout F and a half\n");
                    rotate("20261126-000002");
                    append("T stdout F almost\n");
                }
                3 => append("T stdout P si"),
                4 => append("x\n"),
                _ => return true,
            }
            false
        }
    }

    #[test]
    fn case_149_a_followed_log_goes_on_over_rotations_until_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        let steps = Steps { path: path.clone(), step: Cell::new(0) };
        let mut text = Vec::new();
        read(path, Wanted { tail: Some(1), ..Wanted::default() }, Some(&steps), &mut |block| {
            text.extend_from_slice(block);
            Ok(())
        })
        .unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "three\nfour\nfive\nand a half\nalmost\nsix");
    }
}
