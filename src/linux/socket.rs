//! Unix sockets at paths of any length: the kernel's limit is 107 bytes, so the directory is named by a descriptor.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::libc;

/// A way to a socket that is always short enough, good for as long as this value lives.
#[derive(Debug)]
pub struct Address {
    /// Keeps the descriptor open that the path names.
    _directory: File,
    path: PathBuf,
}

impl Address {
    /// The directory must exist, the socket need not.
    pub fn of(socket: &Path) -> io::Result<Address> {
        let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_DIRECTORY)
            .open(if directory.as_os_str().is_empty() { Path::new(".") } else { directory })?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Address { _directory: directory, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Listens at `path`, in place of a socket that was left there.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    let address = Address::of(path)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => UnixListener::bind(address.path()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_long_path_works_and_a_stale_socket_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("x".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        let path = deep.join("socket");
        drop(listen(&path).unwrap());
        let address = Address::of(&path).unwrap();
        assert!(UnixStream::connect(address.path()).is_err(), "nobody listens");
        let listener = listen(&path).unwrap();
        let mut client = UnixStream::connect(address.path()).unwrap();
        client.write_all(b"hello").unwrap();
        drop(client);
        let mut text = String::new();
        listener.accept().unwrap().0.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }
}
