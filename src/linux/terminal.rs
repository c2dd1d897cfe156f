//! Terminals: their size, their other end, and the raw mode of the one that a person sits at.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// In characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

/// Of a terminal, by either of its ends.
pub fn size(terminal: impl AsFd) -> io::Result<Size> {
    let mut window = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel fills in the structure, which outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut window) })?;
    Ok(Size { columns: window.ws_col, rows: window.ws_row })
}

/// The processes in a terminal's foreground get SIGWINCH when its size has changed.
pub fn set_size(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let window = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the structure, which outlives the call.
    Errno::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const window) })?;
    Ok(())
}

/// Opens the end that a pseudo-terminal's processes use, by the end that controls it: no path is followed.
pub fn peer(master: impl AsFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: the request takes its flags by value, and returns a descriptor that nobody else knows.
    let fd = Errno::result(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCGPTPEER, flags) })?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A terminal that passes every key on as it is, until this value is dropped.
#[derive(Debug)]
pub struct Raw<T: AsFd> {
    terminal: T,
    before: Termios,
}

impl<T: AsFd> Raw<T> {
    pub fn enter(terminal: T) -> io::Result<Raw<T>> {
        let before = tcgetattr(&terminal)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&terminal, SetArg::TCSADRAIN, &raw)?;
        Ok(Raw { terminal, before })
    }
}

impl<T: AsFd> Drop for Raw<T> {
    fn drop(&mut self) {
        // a terminal that has gone needs no mode
        let _ = tcsetattr(&self.terminal, SetArg::TCSADRAIN, &self.before);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use nix::pty::openpty;
    use nix::sys::termios::LocalFlags;

    use super::*;

    #[test]
    fn a_size_is_that_of_both_ends() {
        let pty = openpty(None, None).unwrap();
        let wanted = Size { columns: 132, rows: 43 };
        set_size(&pty.master, wanted).unwrap();
        assert_eq!(size(&pty.slave).unwrap(), wanted);
        assert_eq!(size(peer(&pty.master).unwrap()).unwrap(), wanted);
        let (read, _write) = nix::unistd::pipe().unwrap();
        assert!(size(&read).is_err(), "no terminal");
    }

    #[test]
    fn raw_mode_ends_with_its_value() {
        let pty = openpty(None, None).unwrap();
        let echoes = || tcgetattr(&pty.slave).unwrap().local_flags.contains(LocalFlags::ECHO);
        assert!(echoes());
        let raw = Raw::enter(&pty.slave).unwrap();
        assert!(!echoes());
        drop(raw);
        assert!(echoes());
    }
}
