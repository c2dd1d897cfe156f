//! Serves the control socket: one request and one answer for each connection, for root and the runner's own user.
//!
//! The socket is root's by its mode and its directory's; who is at the other end is asked of the kernel all the same.

use std::convert::Infallible;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::sys::stat::{Mode, fchmod};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use super::pods::Ask;
use crate::control::{Reply, Request};
use crate::error::{Context, Result, chain_of};
use crate::files;
use crate::layout::{self, Layout};
use crate::linux::socket::Address;

/// No request is longer.
const MAX_REQUEST: u64 = 64 << 10;
/// A client that says nothing for so long is let go of.
const PATIENCE: Duration = Duration::from_secs(5);

/// Listens anew, over whatever a runner before this one has left; whoever calls holds the runner's lock.
pub fn bind_socket(layout: &Layout) -> Result<UnixListener> {
    files::make_directory(&layout.run(), layout::PRIVATE_DIRECTORY)?;
    listen_at(&layout.control_socket())
}

/// Who may talk: root, and the user that the runner itself is.
pub(super) fn is_allowed(user: u32) -> bool {
    user == 0 || user == nix::unistd::geteuid().as_raw()
}

/// A socket for this user alone.
pub(super) fn listen_at(path: &Path) -> Result<UnixListener> {
    files::remove_file(path)?;
    let listen = || -> Result<UnixListener> {
        let address = Address::of(path)?;
        let socket =
            socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
        // the mode of the file that bind makes is the socket's own: there is no moment at which it is wider
        fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
        bind(socket.as_raw_fd(), &UnixAddr::new(address.path())?)?;
        listen(&socket, Backlog::new(64)?)?;
        Ok(UnixListener::from_std(StdListener::from(socket))?)
    };
    listen().with_context(|| format!("cannot listen on `{}`", path.display()))
}

/// Hands every request to `asks` until dropped. Each conversation holds a sender of `open` until its answer is sent.
pub async fn serve(listener: UnixListener, asks: mpsc::Sender<Ask>, open: mpsc::Sender<Infallible>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (asks, open) = (asks.clone(), open.clone());
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, asks).await {
                        tracing::debug!("a client of the control socket: {}", chain_of(&error));
                    }
                    drop(open);
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept on the control socket: {error}");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, asks: mpsc::Sender<Ask>) -> Result<()> {
    let peer = stream.peer_cred()?.uid();
    let (reading, mut writing) = stream.into_split();
    let reply = if !is_allowed(peer) {
        Reply::Error { message: format!("user {peer} may not control the runner") }
    } else {
        let mut line = String::new();
        let mut reader = BufReader::new(reading.take(MAX_REQUEST));
        tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await.context("it said nothing")??;
        match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                let (answer, answered) = oneshot::channel();
                asks.send((request, answer)).await.context("the runner is ending")?;
                answered.await.context("the runner has ended")?
            }
            Err(error) => Reply::Error { message: format!("cannot understand the request: {error}") },
        }
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    writing.write_all(&text).await?;
    Ok(())
}
