//! Processes: who is who, forking, and what a process may change about itself.

use std::fs;
use std::io;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::ForkResult;
use serde::{Deserialize, Serialize};

use super::pidfd::PidFd;

/// A process of this boot: its pid and when it started, so that a later process of the same pid is not taken for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: u32,
    /// Clock ticks since boot: field 22 of /proc/pid/stat.
    pub start_time: u64,
}

impl Identity {
    pub fn of(pid: u32) -> io::Result<Identity> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is malformed"));
        // the name may hold blanks and parentheses; the first field after its last one is number 3
        let after_name = stat.rfind(')').map(|end| &stat[end + 1..]).ok_or_else(malformed)?;
        let start_time = after_name.split_whitespace().nth(22 - 3).and_then(|field| field.parse().ok());
        Ok(Identity { pid, start_time: start_time.ok_or_else(malformed)? })
    }

    pub fn current() -> io::Result<Identity> {
        Identity::of(std::process::id())
    }

    /// A handle on the process; `None` when it has ended.
    pub fn open(&self) -> io::Result<Option<PidFd>> {
        let pidfd = match PidFd::open(self.pid) {
            Ok(pidfd) => pidfd,
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        // read after the handle was opened: the handle cannot change its process any more
        match Identity::of(self.pid) {
            Ok(found) if found == *self && !pidfd.has_exited()? => Ok(Some(pidfd)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Differs from boot to boot.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Bytes of memory that this process has written to and shares with nobody: what one more of its kind costs. Pages of
/// the program's file are left out; whether those are shared depends on who else runs.
pub fn private_memory(pid: u32) -> io::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| io::Error::other("smaps_rollup is malformed"))
}

/// Runs `child` in a copy of this process, which ends with the code it returns; returns the copy's pid.
///
/// Refused in a process with more than one thread: locks that the others hold would stay locked in the copy for ever.
pub fn fork(child: impl FnOnce() -> i32) -> io::Result<u32> {
    if fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("cannot fork a process that has threads"));
    }
    // SAFETY: there is but one thread, so the copy may do whatever this process may.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(child.as_raw() as u32),
        ForkResult::Child => {
            // no unwinding into the parent's frames, no exit handlers of the parent
            let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(101);
            // SAFETY: _exit ends this process and runs nothing.
            unsafe { libc::_exit(code) }
        }
    }
}

/// Orphans below this process become its children.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// This process is killed when its parent ends; `parent` guards against one that has ended before.
pub fn die_with_parent(parent: u32) -> io::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    if nix::unistd::getppid().as_raw() as u32 != parent {
        return Err(io::Error::other("the parent process has ended"));
    }
    Ok(())
}

/// Closes every descriptor but the first three and `kept`. For a process that has just begun, or has just been forked
/// and will never return to the code that owns the others.
pub fn close_all_but(kept: &[RawFd]) -> io::Result<()> {
    let mut kept: Vec<_> = kept.iter().map(|fd| *fd as libc::c_uint).filter(|fd| *fd > 2).collect();
    kept.sort_unstable();
    let mut first = 3;
    for end in kept.into_iter().chain([libc::c_uint::MAX]) {
        if first < end {
            let last = if end == libc::c_uint::MAX { end } else { end - 1 };
            // SAFETY: nobody uses these descriptors afterwards, as the caller vouches.
            Errno::result(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
        first = end.saturating_add(1);
    }
    Ok(())
}

/// No blocked signals and default dispositions, but for SIGPIPE: our own writes report an error instead.
pub fn reset_signals() -> io::Result<()> {
    const KEPT: [Signal; 3] = [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGPIPE];
    for signal in Signal::iterator().filter(|signal| !KEPT.contains(signal)) {
        set_default(signal)?;
    }
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// The last thing before another program is executed, which expects SIGPIPE to end it.
pub fn reset_sigpipe() -> io::Result<()> {
    set_default(Signal::SIGPIPE)
}

fn set_default(signal: Signal) -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { sigaction(signal, &default) }?;
    Ok(())
}

/// Sets this process's oom_score_adj, or the lowest that is allowed when lowering needs CAP_SYS_RESOURCE; returns
/// what it is now.
pub fn set_oom_score_adj(wanted: i32) -> io::Result<i32> {
    const FILE: &str = "/proc/self/oom_score_adj";
    match fs::write(FILE, wanted.to_string()) {
        Ok(()) => Ok(wanted),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let current = fs::read_to_string(FILE)?.trim().parse().map_err(io::Error::other)?;
            Ok(current)
        }
        Err(error) => Err(error),
    }
}

/// Closes standard input, output and error. For a process that opens nothing afterwards.
pub fn close_standard_streams() -> io::Result<()> {
    // SAFETY: nobody uses these descriptors afterwards, as the caller vouches.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 0, 2, 0) })?;
    Ok(())
}

/// Gives away whatever sets this process apart: user, groups, capabilities, and the way back to them. Nobody but root may
/// look into it afterwards.
pub fn give_up_privileges(uid: u32) -> io::Result<()> {
    nix::unistd::setgroups(&[])?;
    nix::unistd::setgid(nix::unistd::Gid::from_raw(uid))?;
    nix::unistd::setuid(nix::unistd::Uid::from_raw(uid))?;
    nix::sys::prctl::set_no_new_privs()?;
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Bit mask of the capabilities that a child of this process could have.
pub fn capability_bounding_set() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    match (set("CapBnd:"), set("CapPrm:")) {
        (Some(bounding), Some(permitted)) => Ok(bounding & permitted),
        _ => Err(io::Error::other("/proc/self/status shows no capabilities")),
    }
}

fn capabilities(mask: u64) -> caps::CapsHashSet {
    caps::all().into_iter().filter(|capability| mask & (1 << capability.index()) != 0).collect()
}

/// Neither this process nor a program it executes gets these any more; what it holds, it keeps. Needs CAP_SETPCAP.
pub fn forbid_capabilities(mask: u64) -> io::Result<()> {
    let mut forbidden = capabilities(mask).into_iter();
    forbidden
        .try_for_each(|capability| caps::drop(None, caps::CapSet::Bounding, capability))
        .map_err(|error| io::Error::other(error.to_string()))
}

/// From now on this process holds these capabilities and no others.
pub fn set_capabilities(mask: u64) -> io::Result<()> {
    let held = capabilities(mask);
    [caps::CapSet::Effective, caps::CapSet::Permitted]
        .into_iter()
        .try_for_each(|set| caps::set(None, set, &held))
        .map_err(|error| io::Error::other(error.to_string()))
}

/// Installs a seccomp filter for good, with the flags of seccomp(2). Needs no_new_privs or CAP_SYS_ADMIN.
pub fn install_filter(program: &[libc::sock_filter], flags: u64) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program, which outlives the call, and writes to nothing.
    let done = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags as libc::c_ulong, &raw const program)
    };
    Errno::result(done)?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn an_ended_process_is_not_its_successor() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let identity = Identity::of(child.id()).unwrap();
        assert!(identity.open().unwrap().is_some());
        let other = Identity { start_time: identity.start_time + 1, ..identity };
        assert!(other.open().unwrap().is_none(), "another process of that pid");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(identity.open().unwrap().is_none());
    }

    #[test]
    fn a_process_with_threads_does_not_fork() {
        // the test harness has threads
        let error = fork(|| 0).unwrap_err();
        assert!(error.to_string().contains("threads"), "{error}");
    }

    #[test]
    fn memory_and_boot_are_readable() {
        assert!(private_memory(std::process::id()).unwrap() > 4096);
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
