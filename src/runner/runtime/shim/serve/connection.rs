//! Clients of the shim's socket: what they have sent so far, and what they get.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::error::{Context, Result};
use crate::runner::runtime::shim::protocol::{Failure, NOT_UNDERSTOOD, Reply, Request, VERSION, Verb};

/// More than any command line the runner sends.
const REQUEST_LIMIT: usize = 1 << 20;
/// The runner alone connects; more than this are leftovers.
const CONNECTION_LIMIT: usize = 256;
/// A client that does not read its reply is dropped.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Clients that have not sent their whole request yet, by token.
#[derive(Default)]
pub(super) struct Connections {
    open: BTreeMap<u64, (UnixStream, Vec<u8>)>,
    next: u64,
}

pub(super) enum Received {
    Nothing,
    Closed,
    Request(UnixStream, Verb),
}

impl Connections {
    /// `base` is the first token.
    pub(super) fn insert(&mut self, stream: UnixStream, base: u64) -> Result<u64> {
        stream.set_nonblocking(true).context("cannot configure a connection")?;
        if self.open.len() >= CONNECTION_LIMIT {
            self.open.pop_first();
        }
        let token = base + self.next;
        self.next += 1;
        self.open.insert(token, (stream, Vec::new()));
        Ok(token)
    }

    pub(super) fn stream(&self, token: u64) -> &UnixStream {
        &self.open[&token].0
    }

    /// Reads what has come. A connection that has sent its request, or is broken, is forgotten.
    pub(super) fn receive(&mut self, token: u64) -> Received {
        let Some((mut stream, mut line)) = self.open.remove(&token) else { return Received::Closed };
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return Received::Closed,
                Ok(count) => line.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.open.insert(token, (stream, line));
                    return Received::Nothing;
                }
                Err(_) => return Received::Closed,
            }
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                return match parse(&line[..end]) {
                    Ok(verb) => Received::Request(stream, verb),
                    Err(message) => {
                        answer(stream, &Reply::Failed(Failure::Other(message)));
                        Received::Closed
                    }
                };
            }
            if line.len() > REQUEST_LIMIT {
                return Received::Closed;
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Verb, String> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let malformed = |error: serde_json::Error| format!("{NOT_UNDERSTOOD}: {error}");
    let Versioned { version } = serde_json::from_slice(line).map_err(malformed)?;
    if version != VERSION {
        return Err(format!("this shim speaks version {VERSION} of the protocol, not {version}"));
    }
    serde_json::from_slice::<Request>(line).map(|request| request.verb).map_err(malformed)
}

/// Sends a reply and hangs up.
pub(in crate::runner::runtime::shim) fn answer(mut client: UnixStream, reply: &Reply) {
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    // a client that has gone does not miss it
    let _ = client
        .set_nonblocking(false)
        .and_then(|()| client.set_write_timeout(Some(WRITE_TIMEOUT)))
        .and_then(|()| client.write_all(&line));
}

/// Whether the client still waits.
pub(in crate::runner::runtime::shim) fn is_open(client: &UnixStream) -> bool {
    let mut byte = [0];
    // a waiting client has nothing more to say
    matches!((&*client).read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_request_may_come_in_pieces() {
        let (mut client, server) = UnixStream::pair().unwrap();
        let mut connections = Connections::default();
        let token = connections.insert(server, 16).unwrap();
        assert!(matches!(connections.receive(token), Received::Nothing));
        client.write_all(br#"{"version":1,"#).unwrap();
        assert!(matches!(connections.receive(token), Received::Nothing));
        client.write_all(b"\"verb\":{\"signal\":15}}\n").unwrap();
        let Received::Request(server, verb) = connections.receive(token) else { panic!("no request") };
        assert_eq!(verb, Verb::Signal(15));
        assert!(is_open(&server));
        drop(client);
        assert!(!is_open(&server));
        assert!(matches!(connections.receive(token), Received::Closed), "forgotten");
    }

    #[test]
    fn another_version_is_refused_in_words() {
        assert!(parse(br#"{"version":2,"verb":"new"}"#).unwrap_err().contains("version 1"));
        assert!(parse(br#"{"version":1,"verb":"dance"}"#).unwrap_err().contains("cannot understand"));
        assert_eq!(parse(br#"{"version":1,"verb":"delete"}"#), Ok(Verb::Delete));
    }
}
