//! Clients that see what a container prints as it comes.
//!
//! Each has a pipe for each stream, which is all the memory it gets: who does not read in time is let go of, so that
//! nobody holds up the container or its log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::ends::Ends;
use super::protocol::{Failure, Reply};
use super::serve::{answer, is_open};
use crate::linux::pipe;
use crate::runner::runtime::StreamOptions;
use crate::runner::runtime::log::Stream;

/// More than this are leftovers.
const CLIENT_LIMIT: usize = 64;
/// Bytes that a client may be behind; where the kernel grants less, it is less.
const BACKLOG: i32 = 1 << 20;

#[derive(Default)]
pub(super) struct Attached {
    clients: Vec<Client>,
}

struct Client {
    connection: UnixStream,
    stdout: Option<File>,
    stderr: Option<File>,
}

impl Attached {
    /// Gives the client its ends; `ends` holds those that are not made here.
    pub(super) fn add(&mut self, connection: UnixStream, streams: StreamOptions, mut ends: Ends) -> io::Result<()> {
        connection.set_nonblocking(true)?;
        self.clients.retain(|client| is_open(&client.connection));
        if self.clients.len() >= CLIENT_LIMIT {
            return Err(io::Error::other(format!("{CLIENT_LIMIT} clients are attached already")));
        }
        let pair = |is_wanted: bool| -> io::Result<(Option<File>, _)> {
            if !is_wanted {
                return Ok((None, None));
            }
            let (read, write) = pipe::pipe()?;
            fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(BACKLOG));
            Ok((Some(write), Some(read.into())))
        };
        let (stdout, stdout_end) = pair(streams.stdout)?;
        let (stderr, stderr_end) = pair(streams.stderr && ends.terminal.is_none())?;
        (ends.stdout, ends.stderr) = (stdout_end, stderr_end);
        ends.send(&connection)?;
        self.clients.push(Client { connection, stdout, stderr });
        Ok(())
    }

    /// Hands on what the container has printed.
    pub(super) fn forward(&mut self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut kept = Vec::with_capacity(self.clients.len());
        for mut client in self.clients.drain(..) {
            if client.write(stream, bytes) {
                kept.push(client);
            } else {
                let reason = "the client reads more slowly than the container prints".to_owned();
                answer(client.connection, &Reply::Failed(Failure::Other(reason)));
            }
        }
        self.clients = kept;
    }

    /// The container has ended, and everything it printed has been handed on.
    pub(super) fn end(&mut self, code: i32) {
        for client in self.clients.drain(..) {
            answer(client.connection, &Reply::Exited(code));
        }
    }
}

impl Client {
    /// `false` when it is too far behind.
    fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> bool {
        let end = match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        };
        while let Some(pipe) = end
            && !bytes.is_empty()
        {
            match pipe.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // it does not want this stream any more
                Err(_) => *end = None,
            }
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::linux::socket;

    fn attach(attached: &mut Attached) -> (UnixStream, File) {
        let (near, far) = UnixStream::pair().unwrap();
        let wanted = StreamOptions { stdout: true, ..StreamOptions::default() };
        attached.add(far, wanted, Ends::default()).unwrap();
        let mut descriptors = Vec::new();
        socket::receive(&near, &mut [0; 256], &mut descriptors).unwrap();
        assert_eq!(descriptors.len(), 1);
        (near, descriptors.pop().unwrap().into())
    }

    #[test]
    fn a_slow_client_is_let_go_of_and_told() {
        let mut attached = Attached::default();
        let (mut connection, mut slow) = attach(&mut attached);
        let (_other, mut quick) = attach(&mut attached);
        let piece = [b'x'; 4096];
        for _ in 0..1024 {
            attached.forward(Stream::Stdout, &piece);
            quick.read_exact(&mut [0; 4096]).unwrap();
        }
        assert_eq!(attached.clients.len(), 1);
        let mut reply = String::new();
        connection.read_to_string(&mut reply).unwrap();
        assert!(reply.contains("more slowly"), "{reply}");
        let mut rest = Vec::new();
        slow.read_to_end(&mut rest).unwrap();
        assert!(rest.len() >= 64 << 10 && rest.len() < 1024 * 4096, "{}", rest.len());
    }

    #[test]
    fn a_client_that_closes_a_stream_stays_for_the_end() {
        let mut attached = Attached::default();
        let (mut connection, stdout) = attach(&mut attached);
        drop(stdout);
        attached.forward(Stream::Stdout, b"to nobody");
        attached.forward(Stream::Stderr, b"not asked for");
        attached.end(3);
        let mut reply = String::new();
        connection.read_to_string(&mut reply).unwrap();
        assert_eq!(reply, "{\"exited\":3}\n");
    }
}
