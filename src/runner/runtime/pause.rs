//! The first process of a PID namespace that the containers of a pod share: it reaps what they leave behind, and does
//! nothing else.
//!
//! ```text
//! runner ── spawns ──► bootstrap pause DIR CGROUP ── forks, ends ──► /pause, pid 1 of DIR/pid
//! ```
//!
//! Containers see this process, and one of them may hold `CAP_SYS_PTRACE`: it has an empty directory as its root, no
//! privileges, and no file open but the program's, which is mounted read-only.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::error::{Context, Result, chain_of};
use crate::linux::cgroup::Cgroups;
use crate::linux::mount;
use crate::linux::namespace::{self, Kind};
use crate::linux::{pipe, process};

/// The hidden first argument.
pub const COMMAND: &str = "pause";
/// The program's file as the process executes it, in the sandbox's directory.
pub const PROGRAM: &str = "pause";
/// What processes of the pod see as the command of pid 1.
const NAME: &str = "/pause";
/// A user that owns nothing: that of the image which stands in this place elsewhere.
const USER: u32 = 65535;
/// What it says, and nothing else, when everything is in order.
const READY: &str = "ready\n";

/// Runs the process and returns its exit code when this process was started as one; `None` otherwise.
pub fn main_if_pause() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let result = if arguments.next()? == NAME {
        wait()
    } else if arguments.next()? == COMMAND {
        begin(&arguments.collect::<Vec<_>>())
    } else {
        return None;
    };
    Some(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // whoever spawned it reads this
            let _ = std::io::stdout().write_all(chain_of(&error).as_bytes());
            ExitCode::FAILURE
        }
    })
}

/// Says on its standard output why a pause process could not be made, or nothing.
pub fn outcome(said: &[u8]) -> Result<()> {
    match String::from_utf8_lossy(said).trim() {
        "" => Ok(()),
        reason => Err(anyhow::anyhow!("{reason}")),
    }
}

/// Leaves the pause process behind, with its namespace kept in the sandbox's directory.
fn begin(arguments: &[OsString]) -> Result<()> {
    let [directory, cgroup] = arguments else {
        anyhow::bail!("`{COMMAND}` is for the runner's use");
    };
    let directory = PathBuf::from(directory);
    process::close_all_but(&[]).context("cannot close inherited files")?;
    nix::unistd::setsid().context("cannot become a session of its own")?;
    let cgroups = Cgroups::detect()?;
    let cgroup = cgroups.at(Path::new(cgroup));
    cgroup.create()?;
    cgroup.join(std::process::id())?;
    for kind in [Kind::Ipc, Kind::Network, Kind::Uts] {
        let path = directory.join(kind.file());
        if path.exists() {
            namespace::enter(kind, &path)?;
        }
    }
    let program = directory.join(PROGRAM);
    mount::show_program(Path::new("/proc/self/exe"), &program)
        .with_context(|| format!("cannot mount the program at `{}`", program.display()))?;
    namespace::unshare_pids().context("cannot make a PID namespace")?;
    let (mut said, writer) = pipe::pipe().context("cannot make a pipe")?;
    let pid = process::fork(move || {
        let error = become_pause(&program, &writer);
        let _ = (&writer).write_all(chain_of(&error).as_bytes());
        1
    })
    .context("cannot fork")?;
    let mut words = String::new();
    said.read_to_string(&mut words).context("cannot hear from the pause process")?;
    anyhow::ensure!(words == READY, "the pause process does not start: {words}");
    namespace::pin(Path::new(&format!("/proc/{pid}/ns/pid")), &directory.join(Kind::Pid.file()))
}

/// Returns only when it fails.
fn become_pause(program: &Path, said: &File) -> anyhow::Error {
    let prepare = || -> Result<Command> {
        mount::unshare_private().context("cannot make a mount namespace")?;
        let mut command = Command::new(program);
        command.arg0(NAME).env_clear().current_dir(program.parent().context("it has no directory")?);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(Stdio::null());
        Ok(command)
    };
    match prepare() {
        Ok(mut command) => anyhow::Error::from(command.exec()).context("cannot execute the program"),
        Err(error) => error,
    }
}

/// The whole life of the pause process.
fn wait() -> Result<()> {
    anyhow::ensure!(std::process::id() == 1, "`{NAME}` is the first process of a pod");
    let mut signals = SigSet::empty();
    [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT].into_iter().for_each(|signal| signals.add(signal));
    // a first process gets no signal from its namespace that it does not wait for
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&signals), None).context("cannot block signals")?;
    // by its path: what is mounted on `.` is not seen at `.`
    let directory = std::env::current_dir().context("cannot tell its directory")?;
    mount::enter_empty_root(&directory).context("cannot leave the machine's files")?;
    process::give_up_privileges(USER).context("cannot give up privileges")?;
    std::io::stdout()
        .write_all(READY.as_bytes())
        .and_then(|()| std::io::stdout().flush())
        .context("cannot say that it is ready")?;
    process::close_standard_streams().context("cannot close the standard streams")?;
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => reap(),
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn reap() {
    while let Ok(status) = waitpid(Pid::from_raw(-1), Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}
