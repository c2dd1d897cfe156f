//! From the container's two named pipes to its log file.
//!
//! Bytes leave a pipe only after they are in the file, so a shim that is killed loses nothing: its successor finds them
//! in the pipe. Memory is bounded by the two buffers; a container that writes faster than the disk waits.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::record::{self, ContainerRecord};
use crate::error::{Context, Result};
use crate::linux::pipe::{self, Peeker};
use crate::runner::runtime::log::file::LogFile;
use crate::runner::runtime::log::{MAX_TEXT, Stream, Unfinished, frame};

/// Holds more than the longest record's text.
const PEEK: usize = 2 * MAX_TEXT;
/// Records are written in pieces of about this size.
const RECORDS: usize = 32 * 1024;
/// How long the beginning of a line waits for its end before it is written as a part.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) struct Output {
    sources: [Source; 2],
    peeker: Peeker,
    log: LogFile,
    peeked: Vec<u8>,
    records: Vec<u8>,
}

struct Source {
    stream: Stream,
    fifo: File,
    /// There may be something that has not been looked at.
    is_ready: bool,
    /// Since when an unfinished line has been waiting.
    waiting: Option<Instant>,
}

impl Output {
    pub(super) fn open(container: &ContainerRecord) -> Result<Output> {
        let source = |stream, path: &str| -> Result<Source> {
            let fifo = pipe::open_fifo(Path::new(path), false).with_context(|| format!("cannot open `{path}`"))?;
            Ok(Source { stream, fifo, is_ready: true, waiting: None })
        };
        let log = LogFile::open(&container.log, container.rotation)
            .with_context(|| format!("cannot open the log `{}`", container.log.display()))?;
        Ok(Output {
            sources: [source(Stream::Stdout, record::STDOUT)?, source(Stream::Stderr, record::STDERR)?],
            peeker: Peeker::new().context("cannot make a pipe")?,
            log,
            peeked: vec![0; PEEK],
            records: Vec::with_capacity(RECORDS + PEEK),
        })
    }

    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.sources[0].fifo.as_fd(), self.sources[1].fifo.as_fd()]
    }

    /// Something was written to the source of that number.
    pub(super) fn mark_ready(&mut self, source: usize) {
        self.sources[source].is_ready = true;
    }

    /// Whether there is work that no descriptor will tell of again.
    pub(super) fn is_ready(&self) -> bool {
        self.sources.iter().any(|source| source.is_ready)
    }

    /// When an unfinished line must be written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sources.iter().filter_map(|source| source.waiting).min().map(|since| since + PATIENCE)
    }

    /// Moves one piece of each ready source.
    pub(super) fn advance(&mut self) -> Result<()> {
        let now = Instant::now();
        for number in 0..self.sources.len() {
            let is_overdue = self.sources[number].waiting.is_some_and(|since| now >= since + PATIENCE);
            if is_overdue {
                self.step(number, Unfinished::Write)?;
            } else if self.sources[number].is_ready {
                self.step(number, Unfinished::Keep)?;
            }
        }
        Ok(())
    }

    /// Moves everything: the container has ended.
    pub(super) fn drain(&mut self) -> Result<()> {
        for number in 0..self.sources.len() {
            self.sources[number].is_ready = true;
            while self.sources[number].is_ready {
                self.step(number, Unfinished::Write)?;
            }
        }
        Ok(())
    }

    pub(super) fn reopen_log(&mut self) -> Result<()> {
        self.log.reopen().context("cannot reopen the log")
    }

    fn step(&mut self, number: usize, unfinished: Unfinished) -> Result<()> {
        let source = &mut self.sources[number];
        let count = self.peeker.peek(&source.fifo, &mut self.peeked).context("cannot read the container's output")?;
        self.records.clear();
        let time = Timestamp::now().to_string();
        let consumed = frame(&self.peeked[..count], source.stream, &time, unfinished, RECORDS, &mut self.records);
        if consumed == 0 {
            source.is_ready = false;
            source.waiting = (count > 0).then(|| source.waiting.unwrap_or_else(Instant::now));
            return Ok(());
        }
        // a full disk costs records, never the container: it would stand still on a full pipe
        let _ = self.log.append(&self.records);
        self.peeker.consume(&source.fifo, consumed).context("cannot read the container's output")?;
        source.is_ready = true;
        source.waiting = None;
        Ok(())
    }
}
