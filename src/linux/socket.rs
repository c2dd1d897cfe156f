//! Unix sockets: at paths of any length, and with descriptors that travel along.
//!
//! The kernel's limit of a path is 107 bytes, so the directory is named by a descriptor.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// As many descriptors as one message may carry here.
pub const MOST_DESCRIPTORS: usize = 8;

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

/// Sends `bytes`, of which there must be one at least, and copies of up to [`MOST_DESCRIPTORS`] descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if bytes.is_empty() || descriptors.len() > MOST_DESCRIPTORS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let descriptors: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let control = [ControlMessage::ScmRights(&descriptors)];
    let control = if descriptors.is_empty() { &[] } else { &control[..] };
    let socket = socket.as_fd().as_raw_fd();
    let sent = sendmsg::<()>(socket, &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    // the descriptors have gone with the first byte; a socket that takes no more is a client that does not read
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Receives into `buffer`, and adds the descriptors that have come along to `descriptors`; 0 is the end.
pub fn receive(socket: impl AsFd, buffer: &mut [u8], descriptors: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; MOST_DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(buffer)];
    let socket = socket.as_fd().as_raw_fd();
    let message = recvmsg::<()>(socket, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just made these descriptors for this process, and nobody else knows them.
            descriptors.extend(received.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    Ok(message.bytes)
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

    #[test]
    fn descriptors_travel_with_the_message() {
        let (near, far) = UnixStream::pair().unwrap();
        let (mut read, write) = crate::linux::pipe::pipe().unwrap();
        send(&near, b"take this", &[write.as_fd()]).unwrap();
        drop(write);
        let (mut buffer, mut descriptors) = ([0; 64], Vec::new());
        assert_eq!(receive(&far, &mut buffer, &mut descriptors).unwrap(), 9);
        let mut writer = File::from(descriptors.pop().unwrap());
        assert!(descriptors.is_empty());
        writer.write_all(b"through it").unwrap();
        drop(writer);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through it");
        assert!(send(&near, b"", &[]).is_err(), "nothing to travel with");
        drop(near);
        assert_eq!(receive(&far, &mut buffer, &mut descriptors).unwrap(), 0);
    }
}
