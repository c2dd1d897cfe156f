//! A handle on one process that stays right when its pid is used again.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// `struct pidfd_info` of linux/pidfd.h, its first version.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroupid: u64,
    /// pid, tgid, ppid, then the real, effective, saved and file system ids.
    ids: [u32; 11],
    exit_code: i32,
}

/// `_IOWR(0xFF, 11, struct pidfd_info)`
const PIDFD_GET_INFO: libc::c_ulong = 0xC040_FF0B;
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// An open pidfd; close-on-exec.
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    pid: u32,
}

impl PidFd {
    /// `ESRCH` when there is no such process.
    pub fn open(pid: u32) -> io::Result<PidFd> {
        // SAFETY: pidfd_open takes two integers and returns a new descriptor or -1.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) })?;
        // SAFETY: the kernel has just made this descriptor for us alone.
        let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
        Ok(PidFd { fd, pid })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// `false` when the process is gone already.
    pub fn signal(&self, signal: i32) -> io::Result<bool> {
        // SAFETY: the descriptor is a pidfd, a null siginfo means that of kill(2).
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.fd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match Errno::result(result) {
            Ok(_) => Ok(true),
            Err(Errno::ESRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the end of the process; `false` when `timeout` comes first. `None` waits for ever.
    pub fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        self.poll_for(PollFlags::POLLIN, timeout)
    }

    pub fn has_exited(&self) -> io::Result<bool> {
        self.wait(Some(Duration::ZERO))
    }

    /// How the ended process ended, as wait(2) codes it, for a process that is not our child. `None` where the
    /// kernel does not tell: before 6.15 unless it is still a zombie.
    pub fn exit_status(&self) -> io::Result<Option<i32>> {
        // a zombie shows its code in field 52 of stat to root
        if let Some(status) = zombie_status(self.pid) {
            return Ok(Some(status));
        }
        // PIDFD_GET_INFO knows it once the parent has reaped the process, which hangs the pidfd up
        self.poll_for(PollFlags::POLLHUP, Some(Duration::from_secs(1)))?;
        let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
        // SAFETY: the argument is a pidfd_info of the size that the request number names.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), PIDFD_GET_INFO as _, &raw mut info) };
        match Errno::result(result) {
            Ok(_) if info.mask & PIDFD_INFO_EXIT != 0 => Ok(Some(info.exit_code)),
            _ => Ok(None),
        }
    }

    fn poll_for(&self, wanted: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
        let deadline = timeout.map(|timeout| std::time::Instant::now() + timeout);
        // POLLHUP is always reported, so it is not asked for: asking for POLLIN too would return at once
        let asked = wanted & PollFlags::POLLIN;
        loop {
            let remaining = match deadline {
                None => PollTimeout::NONE,
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(std::time::Instant::now());
                    PollTimeout::try_from(left.as_millis().min(i32::MAX as u128) as i32).unwrap_or(PollTimeout::ZERO)
                }
            };
            let mut fds = [PollFd::new(self.fd.as_fd(), asked)];
            match poll(&mut fds, remaining) {
                Ok(0) if remaining == PollTimeout::NONE => {}
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn zombie_status(pid: u32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    // the first field after the name is number 3
    (*fields.first()? == "Z").then(|| fields.get(52 - 3)?.parse().ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_exit_of_a_child_is_seen_before_it_is_reaped() {
        let mut child = Command::new("sh").args(["-c", "exit 7"]).spawn().unwrap();
        let pidfd = PidFd::open(child.id()).unwrap();
        assert!(pidfd.wait(None).unwrap());
        assert_eq!(pidfd.exit_status().unwrap(), Some(7 << 8));
        child.wait().unwrap();
        assert!(!pidfd.signal(libc::SIGTERM).unwrap(), "it is gone");
    }

    #[test]
    fn a_signal_reaches_it_and_a_timeout_ends_the_wait() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pidfd = PidFd::open(child.id()).unwrap();
        assert!(!pidfd.has_exited().unwrap());
        assert!(!pidfd.wait(Some(Duration::from_millis(1))).unwrap());
        assert!(pidfd.signal(libc::SIGKILL).unwrap());
        assert!(pidfd.wait(None).unwrap());
        child.wait().unwrap();
    }
}
