//! The ends of pipes and of terminals for asynchronous code.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Reads what a process prints, or writes what it reads. To drop it closes this end.
#[derive(Debug)]
pub struct StreamEnd(AsyncFd<File>);

impl StreamEnd {
    /// Inside a Tokio runtime. Makes the descriptor non-blocking, and every copy of it.
    pub fn new(end: OwnedFd) -> io::Result<StreamEnd> {
        let flags = OFlag::from_bits_retain(fcntl(&end, FcntlArg::F_GETFL)?);
        fcntl(&end, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // SAFETY: a file gives the same open descriptor for as long as it lives, and nobody replaces it in there.
        Ok(StreamEnd(unsafe { AsyncFd::register(File::from(end)) }?))
    }
}

impl AsyncRead for StreamEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.0.poll_read_ready(cx))?;
            let room = buffer.initialize_unfilled();
            match guard.try_io(|end| end.get_ref().read(room)) {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // a terminal that no process has open any more
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => return Poll::Ready(Ok(())),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_) => {}
            }
        }
    }
}

impl AsyncWrite for StreamEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.0.poll_write_ready(cx))?;
            match guard.try_io(|end| end.get_ref().write(bytes)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(written) => return Poll::Ready(written),
                Err(_) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Closes nothing: that is for the drop.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_pipe_and_a_terminal_come_to_an_end() {
        let (read, write) = crate::linux::pipe::pipe().unwrap();
        let mut writer = StreamEnd::new(write.into()).unwrap();
        let mut reader = StreamEnd::new(read.into()).unwrap();
        writer.write_all(b"text").await.unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "text");

        let pty = nix::pty::openpty(None, None).unwrap();
        File::from(pty.slave).write_all(b"shown\n").unwrap();
        let mut shown = String::new();
        StreamEnd::new(pty.master).unwrap().read_to_string(&mut shown).await.unwrap();
        assert_eq!(shown, "shown\r\n");
    }
}
