//! A container's standard input: a named pipe in its state directory.
//!
//! One that stays open is open for both directions in the container itself, and so survives its shim. One for the first
//! client only must come to an end: the shim keeps it open until that client has it, and then the client does.

use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::create::null;
use super::record::{self, ContainerRecord, ProcessRecord};
use crate::error::{Context, Result};
use crate::linux::pipe;

/// The end that the container's first process reads.
pub(super) fn for_container(is_open: bool, once: bool, owner: u32) -> Result<OwnedFd> {
    if !is_open {
        return null();
    }
    let path = Path::new(record::STDIN);
    let open = || -> std::io::Result<File> {
        if !once {
            return pipe::open_fifo(path, true);
        }
        // without waiting for a writer: the shim comes later
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let fifo = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        fcntl(&fifo, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok(fifo)
    };
    let fifo = open().context("cannot open the container's standard input")?;
    std::os::unix::fs::fchown(&fifo, Some(owner), None)
        .context("cannot change the owner of the container's standard input")?;
    Ok(fifo.into())
}

/// What the shim knows of it.
pub(super) struct Stdin {
    is_open: bool,
    once: bool,
    /// Until the first client has come.
    held: Option<File>,
}

impl Stdin {
    /// Once the container's first process is there.
    pub(super) fn open(container: &ContainerRecord, process: &ProcessRecord) -> Stdin {
        let config = &container.config;
        let (is_open, once) = (config.stdin && !process.stdin_taken, config.stdin_once);
        // nobody reads any more when it has ended
        let held = if is_open && once && !config.tty { writer().ok() } else { None };
        Stdin { is_open, once, held }
    }

    /// A client's end, or that of `terminal`; `None` when there is no input, or not for another client.
    pub(super) fn end(&self, terminal: Option<&OwnedFd>) -> Result<Option<OwnedFd>> {
        if !self.is_open {
            return Ok(None);
        }
        let end = match terminal {
            Some(terminal) => terminal.try_clone().context("cannot copy the terminal")?,
            None => writer().context("cannot open the container's standard input")?.into(),
        };
        Ok(Some(end))
    }

    /// A client has an end; whether it was the last to get one, which makes its end the input's.
    pub(super) fn given(&mut self) -> bool {
        if self.once {
            self.is_open = false;
            self.held = None;
        }
        self.once
    }
}

fn writer() -> std::io::Result<File> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let fifo = OpenOptions::new().write(true).custom_flags(flags).open(record::STDIN)?;
    fcntl(&fifo, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(fifo)
}
