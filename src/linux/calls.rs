//! System calls that not every kernel has, or that a filter around this process refuses: are they there?

use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, openat2};
use nix::libc;

use super::pidfd::PidFd;

/// Those that this module needs and that are refused, each tried in a way that does nothing.
pub fn refused() -> Vec<(&'static str, Errno)> {
    let tried = [("close_range", close_nothing()), ("openat2", open_root()), ("pidfd_open", open_self())];
    tried.into_iter().filter_map(|(name, tried)| Some((name, tried.err()?))).collect()
}

/// Whether the kernel's random number generator has been seeded: until then, whoever asks it waits.
pub fn has_randomness() -> bool {
    let mut byte = [0u8; 1];
    // SAFETY: the kernel writes at most one byte to a buffer of one.
    let got = unsafe { libc::getrandom(byte.as_mut_ptr().cast(), byte.len(), libc::GRND_NONBLOCK) };
    Errno::result(got) != Err(Errno::EAGAIN)
}

fn close_nothing() -> nix::Result<()> {
    // SAFETY: no descriptor has this number: the kernel's limits are below.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, libc::c_uint::MAX, libc::c_uint::MAX, 0) }).map(drop)
}

fn open_root() -> nix::Result<()> {
    let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
    openat2(AT_FDCWD, Path::new("/"), how).map(drop)
}

fn open_self() -> nix::Result<()> {
    PidFd::open(std::process::id()).map(drop).map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_kernel_refuses_none() {
        assert_eq!(super::refused(), []);
        assert!(super::has_randomness());
    }
}
