//! The calling end of the control socket.
//!
//! What ends pods or containers takes as long as they take, and a runner that dies meanwhile closes the socket. All
//! other answers come at once, or the runner hangs.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::{Reply, Request};
use crate::error::{Context, Fault, Result};
use crate::layout::Layout;
use crate::linux::socket::Address;

/// For an answer that needs no waiting; a busy machine may be slow.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks the runner of this instance; its refusal is an error, like the lack of a runner.
pub async fn call(layout: &Layout, request: Request) -> Result<Reply> {
    let mut stream = connect(layout).await?;
    let is_quick = matches!(request, Request::Status | Request::Shutdown);
    let talk = async {
        let mut line = serde_json::to_vec(&request)?;
        line.push(b'\n');
        stream.write_all(&line).await?;
        let mut answer = String::new();
        BufReader::new(&mut stream).read_line(&mut answer).await?;
        if answer.is_empty() {
            anyhow::bail!("it ended before it answered");
        }
        Ok(serde_json::from_str(&answer)?)
    };
    let answered = match is_quick {
        true => tokio::time::timeout(PATIENCE, talk)
            .await
            .unwrap_or_else(|_| Err(anyhow::anyhow!("it has not answered for {} s", PATIENCE.as_secs()))),
        false => talk.await,
    };
    match answered.context("cannot talk with the runner")? {
        Reply::Error { message } => Err(Fault::failed(message).into()),
        reply => Ok(reply),
    }
}

/// A runner of this instance is there and listens.
pub async fn is_running(layout: &Layout) -> bool {
    connect(layout).await.is_ok()
}

async fn connect(layout: &Layout) -> Result<UnixStream> {
    let path = layout.control_socket();
    let connected = match Address::of(&path) {
        Ok(address) => UnixStream::connect(address.path()).await,
        Err(error) => Err(error),
    };
    connected.map_err(|error| match error.kind() {
        // nobody listens on a socket that a killed runner has left
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Fault::failed("no runner is running")
            .hint("`bootstrap runner` starts one; `bootstrap init` starts one that stays")
            .into(),
        io::ErrorKind::PermissionDenied => Fault::failed(format!("cannot connect to `{}`", path.display()))
            .hint("run it as root")
            .because(error)
            .into(),
        _ => anyhow::Error::from(error).context(format!("cannot connect to `{}`", path.display())),
    })
}
