//! Talking to a shim: one request and one reply on each connection, or two where streams are asked for.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Interest};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::{PATIENCE, Settings};
use crate::error::{Context, Result};
use crate::linux::mount;
use crate::linux::socket::{self, Address};
use crate::runner::runtime::shim::protocol::{Failure, Hello, NOT_UNDERSTOOD, Reply, Request, VERSION, Verb};
use crate::runner::runtime::shim::{COMMAND, Origin, record};
use crate::runner::runtime::{RuntimeError, RuntimeResult, Session};

/// A reply is at most the output of a command, as a list of numbers.
const REPLY_LIMIT: u64 = 1 << 20;

/// A connection whose request has been sent.
#[derive(Debug)]
pub(super) struct Call {
    stream: BufReader<UnixStream>,
}

/// Sends a request to the shim of the container in `directory`; an error means that no shim is there.
pub(super) async fn call(directory: &Path, verb: Verb) -> io::Result<Call> {
    let address = Address::of(&directory.join(record::SOCKET))?;
    // refused at once when the shim has let too many connections wait: nothing else may stand still for it
    let mut stream = UnixStream::connect(address.path()).await?;
    let mut line = serde_json::to_vec(&Request { version: VERSION, verb })?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(Call { stream: BufReader::new(stream) })
}

impl Call {
    /// Waits for the reply; an error means that the shim has ended first. Not cancel-safe: call it once.
    pub(super) async fn reply(self) -> io::Result<Reply> {
        self.after(Vec::new()).await
    }

    /// The same, where the reply's beginning has been read.
    async fn after(self, mut line: Vec<u8>) -> io::Result<Reply> {
        if line.last() == Some(&b'\n') {
            return Ok(serde_json::from_slice(&line)?);
        }
        self.stream.take(REPLY_LIMIT).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }

    /// The first reply, the descriptors that have come with it, and what has come of the second one.
    async fn streams(self) -> io::Result<(Reply, Vec<OwnedFd>, Vec<u8>, UnixStream)> {
        let stream = self.stream.into_inner();
        let (mut line, mut descriptors) = (Vec::new(), Vec::new());
        let mut buffer = [0; 4096];
        let end = loop {
            let receive = || socket::receive(&stream, &mut buffer, &mut descriptors);
            match stream.async_io(Interest::READABLE, receive).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => line.extend_from_slice(&buffer[..count]),
            }
            if let Some(end) = line.iter().position(|byte| *byte == b'\n') {
                break end;
            }
            if line.len() as u64 > REPLY_LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        let reply = serde_json::from_slice(&line[..end])?;
        Ok((reply, descriptors, line.split_off(end + 1), stream))
    }
}

/// Asks the shim of the container in `directory` for streams. Not asked twice: a command may not be run again.
pub(super) async fn open_session(directory: &Path, verb: Verb) -> RuntimeResult<Session> {
    let asking = async { call(directory, verb).await?.streams().await };
    let asked = tokio::time::timeout(PATIENCE, asking).await.context("the container's shim does not answer")?;
    let (reply, descriptors, rest, stream) = asked.context("the container's shim has ended")?;
    let (stdin, stdout, stderr, terminal) = match reply {
        Reply::Streams { stdin, stdout, stderr, terminal } => (stdin, stdout, stderr, terminal),
        Reply::Failed(Failure::Other(message)) if message.starts_with(NOT_UNDERSTOOD) => {
            let age = "the container was made by an older version of this program, which cannot do that";
            return Err(anyhow::anyhow!("{age}; a restart of its pod makes it anew").into());
        }
        Reply::Failed(failure) => return Err(failure.into()),
        other => return Err(anyhow::anyhow!("unexpected reply {other:?}").into()),
    };
    let mut descriptors = descriptors.into_iter();
    let mut next = |has_come: bool| match has_come {
        true => descriptors.next().context("a stream did not come along").map(Some),
        false => Ok(None),
    };
    let (stdin, stdout, stderr, terminal) = (next(stdin)?, next(stdout)?, next(stderr)?, next(terminal)?);
    let rest = Call { stream: BufReader::new(stream) }.after(rest);
    let exit = Box::pin(async move {
        match rest.await.context("the container's shim has ended")? {
            Reply::Exited(code) => Ok(code),
            Reply::TimedOut => Err(RuntimeError::TimedOut),
            Reply::Failed(failure) => Err(failure.into()),
            other => Err(anyhow::anyhow!("unexpected reply {other:?}").into()),
        }
    });
    Ok(Session { stdin, stdout, stderr, terminal, exit })
}

/// Starts a shim and waits until it serves; returns its warnings.
pub(super) async fn spawn(
    settings: &Settings,
    origin: Origin,
    directory: &Path,
) -> Result<Result<Vec<String>, Failure>> {
    let program = directory.join(record::PROGRAM);
    let shown = mount::show_program(&settings.program, &program);
    shown.with_context(|| format!("cannot mount the program at `{}`", program.display()))?;
    let child = Command::new(&program)
        .arg0("bootstrap")
        .args([COMMAND, origin.argument()])
        .arg(directory)
        // the container's creator reads some variables; the user's program gets none of them
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    // whoever executes it keeps the mount, and stays unable to write to it
    mount::unmount(&program)
        .and_then(|()| std::fs::remove_file(&program))
        .with_context(|| format!("cannot unmount `{}`", program.display()))?;
    let mut child = child.with_context(|| format!("cannot start `{}`", settings.program.display()))?;
    let stdout = child.stdout.take().context("the shim has no standard output")?;
    let mut line = Vec::new();
    let read = async { BufReader::new(stdout.take(REPLY_LIMIT)).read_until(b'\n', &mut line).await };
    tokio::time::timeout(PATIENCE, read).await.context("the shim does not answer")??;
    // what was spawned leaves the shim behind and ends
    child.wait().await.context("cannot wait for the shim's first process")?;
    match serde_json::from_slice(&line) {
        Ok(Hello::Ready { warnings }) => Ok(Ok(warnings)),
        Ok(Hello::Failed(failure)) => Ok(Err(failure)),
        Err(_) => {
            anyhow::bail!("the shim has ended without a word; see `{}`", directory.join(record::RUNTIME_LOG).display())
        }
    }
}
