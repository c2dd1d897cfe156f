//! Terminals for containers and commands. The library makes them inside the container, so that their names mean
//! something there, and sends the controlling end to a socket.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::linux::{socket, terminal};

/// Where one terminal is waited for.
pub(super) struct Console {
    path: PathBuf,
    listener: UnixListener,
}

impl Console {
    pub(super) fn listen(directory: &Path) -> Result<Console> {
        let path = directory.join(format!("console-{}.sock", std::process::id()));
        let listener = socket::listen(&path).context("cannot listen for the terminal")?;
        listener.set_nonblocking(true).context("cannot listen for the terminal")?;
        Ok(Console { path, listener })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The controlling end. To be called once the process is there that the terminal was made for; its end becomes
    /// `owner`'s, who may open it again.
    pub(super) fn receive(self, owner: u32) -> Result<OwnedFd> {
        let (stream, _) = self.listener.accept().context("nobody has made the terminal")?;
        let (mut name, mut descriptors) = ([0; 64], Vec::new());
        stream.set_nonblocking(false).context("cannot receive the terminal")?;
        socket::receive(&stream, &mut name, &mut descriptors).context("cannot receive the terminal")?;
        let master = descriptors.pop().context("the terminal was not sent")?;
        let peer = terminal::peer(&master).context("cannot open the terminal")?;
        std::os::unix::fs::fchown(&peer, Some(owner), None).context("cannot change the owner of the terminal")?;
        Ok(master)
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
