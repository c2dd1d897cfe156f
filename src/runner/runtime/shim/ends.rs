//! The ends of a process's streams, on their way to a client.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use super::protocol::Reply;
use crate::linux::socket;

#[derive(Default)]
pub(super) struct Ends {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
}

impl Ends {
    /// The first of the two replies; the client gets copies.
    pub(super) fn send(&self, client: &UnixStream) -> io::Result<()> {
        let reply = Reply::Streams {
            stdin: self.stdin.is_some(),
            stdout: self.stdout.is_some(),
            stderr: self.stderr.is_some(),
            terminal: self.terminal.is_some(),
        };
        let mut line = serde_json::to_vec(&reply)?;
        line.push(b'\n');
        let all = [&self.stdin, &self.stdout, &self.stderr, &self.terminal];
        let present: Vec<BorrowedFd<'_>> = all.into_iter().flatten().map(AsFd::as_fd).collect();
        socket::send(client, &line, &present)
    }
}
