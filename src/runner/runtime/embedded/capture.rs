//! What a command says, for whoever waits for its end.

use std::future::pending;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::container::{Entry, stream};
use super::{RuntimeError, RuntimeResult, StreamOptions};
use crate::error::{Context, Result};
use crate::linux::stream::StreamEnd;
use crate::runner::runtime::{Captured, Session};

const READ: usize = 16 << 10;
/// For what a command has written before its end; a child of it may hold its output open for ever.
const DRAIN: Duration = Duration::from_secs(10);
/// For the shim to say that it has ended the command; one of an older version does not.
const LATE: Duration = Duration::from_secs(5);

/// One output.
struct Reading {
    end: Option<StreamEnd>,
    buffer: Vec<u8>,
    said: Vec<u8>,
}

impl Reading {
    fn new(end: Option<OwnedFd>) -> Result<Reading> {
        let end = end.map(StreamEnd::new).transpose().context("cannot read the command's output")?;
        Ok(Reading { end, buffer: vec![0; READ], said: Vec::new() })
    }

    /// The length of the next piece, in the buffer; never after the end. Cancel-safe.
    async fn next(&mut self) -> usize {
        let Some(end) = &mut self.end else { return pending().await };
        // what cannot be read any more has ended
        let length = end.read(&mut self.buffer).await.unwrap_or(0);
        if length == 0 {
            self.end = None;
        }
        length
    }

    /// Keeps what there is room for.
    fn keep(&mut self, length: usize, room: &mut usize) {
        let kept = length.min(*room);
        self.said.extend_from_slice(&self.buffer[..kept]);
        *room -= kept;
    }
}

impl Entry {
    /// Both outputs have `limit` bytes together.
    pub(super) async fn capture(
        &self,
        command: &[String],
        timeout: Option<Duration>,
        limit: usize,
    ) -> RuntimeResult<Captured> {
        let wanted = StreamOptions { stdout: true, stderr: true, ..StreamOptions::default() };
        let Session { stdout, stderr, exit, .. } = stream(&self.directory, command, wanted, timeout).await?;
        let (mut stdout, mut stderr) = (Reading::new(stdout)?, Reading::new(stderr)?);
        let mut room = limit;
        let late = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout + LATE).await,
                None => pending().await,
            }
        };
        tokio::pin!(exit, late);
        let ended = loop {
            tokio::select! {
                ended = &mut exit => break ended,
                () = &mut late => break Err(RuntimeError::TimedOut),
                length = stdout.next() => stdout.keep(length, &mut room),
                length = stderr.next() => stderr.keep(length, &mut room),
            }
        };
        let exit_code = match ended {
            Ok(code) => Some(code),
            Err(RuntimeError::TimedOut) => None,
            Err(error) => return Err(error),
        };
        if exit_code.is_some() {
            let rest = async {
                while stdout.end.is_some() || stderr.end.is_some() {
                    tokio::select! {
                        length = stdout.next() => stdout.keep(length, &mut room),
                        length = stderr.next() => stderr.keep(length, &mut room),
                    }
                }
            };
            // what it has said is complete, or somebody else still may say something
            let _ = tokio::time::timeout(DRAIN, rest).await;
        }
        Ok(Captured { exit_code, stdout: stdout.said, stderr: stderr.said })
    }
}
