//! From the container's two named pipes to its log file.
//!
//! Bytes leave a pipe only after they are in the file, so a shim that is killed loses nothing: its successor finds them
//! in the pipe. Memory is bounded by the two buffers; a container that writes faster than the disk waits. What a terminal
//! shows is moved into the first of the pipes and goes its way. Attached clients get everything the moment it is seen.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::attach::Attached;
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
    terminal: Option<Terminal>,
    pub(super) attached: Attached,
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
    /// How much of what the pipe holds has been handed to attached clients.
    forwarded: usize,
    /// Since when an unfinished line has been waiting.
    waiting: Option<Instant>,
}

/// The controlling end of the container's terminal.
struct Terminal {
    master: File,
    is_ready: bool,
    /// Read from it, and not yet taken by the pipe.
    pending: Vec<u8>,
}

impl Output {
    pub(super) fn open(container: &ContainerRecord, terminal: Option<OwnedFd>) -> Result<Output> {
        let source = |stream, path: &str| -> Result<Source> {
            let fifo = pipe::open_fifo(Path::new(path), false).with_context(|| format!("cannot open `{path}`"))?;
            Ok(Source { stream, fifo, is_ready: true, forwarded: 0, waiting: None })
        };
        let log = LogFile::open(&container.log, container.rotation)
            .with_context(|| format!("cannot open the log `{}`", container.log.display()))?;
        if let Some(terminal) = &terminal {
            fcntl(terminal, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot configure the terminal")?;
        }
        let terminal = terminal.map(|master| Terminal { master: master.into(), is_ready: true, pending: Vec::new() });
        Ok(Output {
            terminal,
            attached: Attached::default(),
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

    pub(super) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(|terminal| terminal.master.as_fd())
    }

    /// Something was written to the terminal, or all of its processes have closed it.
    pub(super) fn mark_terminal_ready(&mut self) {
        if let Some(terminal) = &mut self.terminal {
            terminal.is_ready = true;
        }
    }

    /// Whether there is work that no descriptor will tell of again.
    pub(super) fn is_ready(&self) -> bool {
        let has_more = |terminal: &Terminal| terminal.is_ready || !terminal.pending.is_empty();
        self.sources.iter().any(|source| source.is_ready) || self.terminal.as_ref().is_some_and(has_more)
    }

    /// When an unfinished line must be written.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sources.iter().filter_map(|source| source.waiting).min().map(|since| since + PATIENCE)
    }

    /// Moves one piece of each ready source.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.pump()?;
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
        self.mark_terminal_ready();
        for source in &mut self.sources {
            source.is_ready = true;
        }
        while self.is_ready() {
            self.pump()?;
            for number in 0..self.sources.len() {
                if self.sources[number].is_ready {
                    self.step(number, Unfinished::Write)?;
                }
            }
        }
        Ok(())
    }

    /// From the terminal to the first pipe, as much as that takes.
    fn pump(&mut self) -> Result<()> {
        let Some(terminal) = &mut self.terminal else { return Ok(()) };
        if terminal.pump(&mut self.sources[0].fifo).context("cannot read the container's terminal")? {
            self.sources[0].is_ready = true;
        }
        Ok(())
    }

    pub(super) fn reopen_log(&mut self) -> Result<()> {
        self.log.reopen().context("cannot reopen the log")
    }

    fn step(&mut self, number: usize, unfinished: Unfinished) -> Result<()> {
        let source = &mut self.sources[number];
        let count = self.peeker.peek(&source.fifo, &mut self.peeked).context("cannot read the container's output")?;
        self.attached.forward(source.stream, &self.peeked[source.forwarded.min(count)..count]);
        source.forwarded = count;
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
        source.forwarded -= consumed;
        source.is_ready = true;
        source.waiting = None;
        Ok(())
    }
}

impl Terminal {
    /// Whether the pipe has got something.
    fn pump(&mut self, fifo: &mut File) -> io::Result<bool> {
        // no more than the kernel writes at once or not at all
        let mut buffer = [0; 4096];
        let mut has_moved = false;
        // not for ever: a flood must not keep others from being heard
        for _ in 0..16 {
            if self.pending.is_empty() {
                if !self.is_ready {
                    break;
                }
                match self.master.read(&mut buffer) {
                    Ok(count) if count > 0 => self.pending.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    // nothing there, or nobody has it open at the moment
                    _ => self.is_ready = false,
                }
                continue;
            }
            match fifo.write(&self.pending) {
                Ok(count) => {
                    self.pending.drain(..count);
                    has_moved = true;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(has_moved)
    }
}
