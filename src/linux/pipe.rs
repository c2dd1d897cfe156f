//! Named pipes that are read without taking anything out until it is safe elsewhere.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::stat::Mode;

/// Makes a named pipe that root alone may open, unless it is there.
pub fn make_fifo(path: &Path) -> io::Result<()> {
    match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => Ok(()),
        Err(Errno::EEXIST) if std::fs::symlink_metadata(path)?.file_type().is_fifo() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Opens a named pipe for both directions, so that it has a reader and a writer as long as anybody holds it.
pub fn open_fifo(path: &Path, blocking: bool) -> io::Result<File> {
    let flags = OFlag::O_NOFOLLOW | if blocking { OFlag::empty() } else { OFlag::O_NONBLOCK };
    OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)
}

/// A pipe of our own, close-on-exec: read end and write end.
pub fn pipe() -> io::Result<(File, File)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((File::from(read), File::from(write)))
}

/// Shows what a pipe holds and drops from it only what the caller has dealt with.
#[derive(Debug)]
pub struct Peeker {
    read: OwnedFd,
    write: OwnedFd,
    sink: File,
}

impl Peeker {
    pub fn new() -> io::Result<Peeker> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Peeker { read, write, sink: OpenOptions::new().write(true).open("/dev/null")? })
    }

    /// Copies up to `buffer.len()` bytes from the head of `pipe` without consuming them; 0 when it is empty.
    pub fn peek(&self, pipe: &File, buffer: &mut [u8]) -> io::Result<usize> {
        // SAFETY: both are pipes that outlive the call; tee moves no memory of ours.
        let copied = Errno::result(unsafe {
            libc::tee(pipe.as_raw_fd(), self.write.as_raw_fd(), buffer.len(), libc::SPLICE_F_NONBLOCK)
        });
        let copied = match copied {
            Ok(copied) => copied as usize,
            Err(Errno::EAGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut read = 0;
        while read < copied {
            match nix::unistd::read(&self.read, &mut buffer[read..copied])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => read += count,
            }
        }
        Ok(copied)
    }

    /// Takes `count` bytes, which were peeked at before, out of `pipe`.
    pub fn consume(&self, pipe: &File, mut count: usize) -> io::Result<()> {
        while count > 0 {
            // SAFETY: a pipe and /dev/null that outlive the call; null offsets as pipes require.
            let moved = Errno::result(unsafe {
                libc::splice(
                    pipe.as_raw_fd(),
                    std::ptr::null_mut(),
                    self.sink.as_raw_fd(),
                    std::ptr::null_mut(),
                    count,
                    libc::SPLICE_F_NONBLOCK,
                )
            });
            match moved {
                // the container has read from its own pipe
                Ok(0) | Err(Errno::EAGAIN) => return Ok(()),
                Ok(moved) => count -= moved as usize,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn bytes_stay_in_the_pipe_until_they_are_consumed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("fifo");
        make_fifo(&path).unwrap();
        make_fifo(&path).unwrap();
        let mut writer = open_fifo(&path, true).unwrap();
        let reader = open_fifo(&path, false).unwrap();
        let peeker = Peeker::new().unwrap();
        let mut buffer = [0; 64];
        assert_eq!(peeker.peek(&reader, &mut buffer).unwrap(), 0);
        writer.write_all(b"one\ntwo").unwrap();
        for _ in 0..3 {
            assert_eq!(peeker.peek(&reader, &mut buffer).unwrap(), 7);
            assert_eq!(&buffer[..7], b"one\ntwo");
        }
        peeker.consume(&reader, 4).unwrap();
        assert_eq!(peeker.peek(&reader, &mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
    }

    #[test]
    fn something_else_of_that_name_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "x").unwrap();
        assert!(make_fifo(&path).is_err());
    }
}
