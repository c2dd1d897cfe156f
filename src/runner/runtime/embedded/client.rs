//! Talking to a shim: one request and one reply on each connection.

use std::io;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::{PATIENCE, Settings};
use crate::error::{Context, Result};
use crate::linux::socket::Address;
use crate::runner::runtime::shim::protocol::{Failure, Hello, Reply, Request, VERSION, Verb};
use crate::runner::runtime::shim::{COMMAND, Origin, record};

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
        let mut line = Vec::new();
        self.stream.take(REPLY_LIMIT).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}

/// Starts a shim and waits until it serves; returns its warnings.
pub(super) async fn spawn(
    settings: &Settings,
    origin: Origin,
    directory: &Path,
) -> Result<Result<Vec<String>, Failure>> {
    let mut child = Command::new(&settings.program)
        .arg0("bootstrap")
        .args([COMMAND, origin.argument()])
        .arg(directory)
        // the container's creator reads some variables; the user's program gets none of them
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start `{}`", settings.program.display()))?;
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
