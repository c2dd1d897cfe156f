//! Running a command inside the container: in a forked helper, which answers the request itself.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::create::{explain, null, prepare_helper, program, read_available};
use super::executor::{self, Program};
use super::loan;
use super::protocol::{Failure, Reply};
use super::record::{self, ContainerRecord};
use super::serve::answer;
use crate::error::{Context, Result};
use crate::linux::pidfd::PidFd;
use crate::linux::{pipe, process};
use crate::runner::runtime::ExecOutput;

/// What a probe's output is cut to [5.20].
const OUTPUT_LIMIT: usize = 10 * 1024;

/// What a command's standard streams are.
pub(super) enum Stdio {
    Files {
        stdin: OwnedFd,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// A terminal, whose other end is sent to the socket of this path.
    Terminal(PathBuf),
}

/// The helper's whole life: runs `command`, replies on `client`, returns its exit code.
pub(super) fn serve(
    shim: u32,
    container: &ContainerRecord,
    directory: &Path,
    command: &[String],
    timeout: Duration,
    client: UnixStream,
) -> i32 {
    let reply = match prepare_helper(shim, &[client.as_raw_fd()]) {
        Ok(()) => run(container, directory, command, timeout),
        Err(error) => Err(Failure::Other(crate::error::chain_of(&error))),
    };
    answer(client, &reply.map_or_else(Reply::Failed, Reply::from));
    0
}

fn run(
    container: &ContainerRecord,
    directory: &Path,
    command: &[String],
    timeout: Duration,
) -> Result<ExecOutput, Failure> {
    let deadline = Instant::now() + timeout;
    let log_start = fs::metadata(record::RUNTIME_LOG).map_or(0, |log| log.len());
    let failed = |error: &anyhow::Error| Failure::Other(explain(error, log_start));
    let (mut status, status_writer) = pipe::pipe().map_err(|error| failed(&error.into()))?;
    let (output, output_writer) = pipe::pipe().map_err(|error| failed(&error.into()))?;
    let joined =
        stdio(output_writer).and_then(|stdio| join(container, directory, command, Arc::new(status_writer), stdio));
    match joined {
        Ok(pid) => watch(pid, output, deadline).map_err(|error| failed(&error)),
        Err(error) => {
            let _ = fcntl(&status, FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
            match executor::outcome(&read_available(&mut status)) {
                Err(reason) => Err(Failure::BadConfig(reason)),
                Ok(_) => Err(failed(&error)),
            }
        }
    }
}

/// Both outputs into one pipe.
fn stdio(output: File) -> Result<Stdio> {
    let copy = output.try_clone().context("cannot copy a pipe")?;
    Ok(Stdio::Files { stdin: null()?, stdout: copy.into(), stderr: output.into() })
}

/// Starts the command as a child of this process.
pub(super) fn join(
    container: &ContainerRecord,
    directory: &Path,
    command: &[String],
    status: Arc<File>,
    stdio: Stdio,
) -> Result<Pid> {
    if let Some(wanted) = container.config.resources.oom_score_adj {
        process::set_oom_score_adj(wanted).context("cannot set oom_score_adj")?;
    }
    let spec = Spec::load(record::CONFIG).context("cannot read the container's specification")?;
    // the container's own process with another command: its user, capabilities, environment and limits
    let mut process = spec.process().clone().context("the container's specification has no process")?;
    process.set_args(Some(command.to_vec()));
    process.set_terminal(Some(matches!(stdio, Stdio::Terminal(_))));
    if loan::is_needed(&container.config) {
        loan::lend(&mut process);
    }
    let file = directory.join(format!("exec-{}.json", std::process::id()));
    record::store(&file, &process)?;
    let builder = ContainerBuilder::new(container.id.clone(), SyscallType::default())
        .with_executor(Program { is_looked_for: true, ..program(container, &spec, status)? })
        .with_root_path(directory.join(record::LIBRARY))?;
    let builder = match stdio {
        Stdio::Files { stdin, stdout, stderr } => builder.with_stdin(stdin).with_stdout(stdout).with_stderr(stderr),
        Stdio::Terminal(socket) => builder.with_console_socket(Some(socket)),
    };
    let pid = builder
        .as_tenant()
        .with_process(Some(&file))
        .with_detach(true)
        .build()
        .context("cannot run a command in the container");
    let _ = fs::remove_file(&file);
    Ok(Pid::from_raw(pid?.as_raw()))
}

/// Collects what the command prints until it ends, or ends it at the deadline.
fn watch(pid: Pid, mut output: File, deadline: Instant) -> Result<ExecOutput> {
    let child = PidFd::open(pid.as_raw() as u32).context("cannot watch the command")?;
    fcntl(&output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let mut collected = Vec::new();
    let mut is_open = true;
    let exit_code = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break None;
        }
        let timeout = at_most(left);
        let readable = if is_open { PollFlags::POLLIN } else { PollFlags::empty() };
        let mut watched = [PollFd::new(child.as_fd(), PollFlags::POLLIN), PollFd::new(output.as_fd(), readable)];
        // a descriptor that nobody writes to any more would be reported for ever
        let count = if is_open { 2 } else { 1 };
        match poll(&mut watched[..count], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
        if is_open {
            is_open = collect(&mut output, &mut collected)?;
        }
        if child.has_exited()? {
            break Some(exit_code(waitpid(pid, None)?));
        }
    };
    if exit_code.is_none() {
        kill(pid, &child)?;
    }
    collect(&mut output, &mut collected)?;
    Ok(ExecOutput { exit_code, output: collected })
}

/// A part of a long time, after which it is looked again.
pub(super) fn at_most(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_millis().clamp(1, 60_000) as u32).unwrap_or(PollTimeout::MAX)
}

/// Ends a command that has run for too long.
pub(super) fn kill(pid: Pid, child: &PidFd) -> Result<()> {
    // it leads a session of its own: its children go with it
    let _ = killpg(pid, Signal::SIGKILL);
    child.signal(libc::SIGKILL)?;
    waitpid(pid, None)?;
    Ok(())
}

/// Reads what is there; what exceeds the limit is dropped. `false` once everybody has closed it.
fn collect(output: &mut File, collected: &mut Vec<u8>) -> Result<bool> {
    let mut buffer = [0; 4096];
    // bounded: a command that never stops printing must not keep its own timeout from being seen
    for _ in 0..64 {
        match output.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                let room = OUTPUT_LIMIT.saturating_sub(collected.len());
                collected.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("cannot read the command's output"),
        }
    }
    Ok(true)
}

pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 255,
    }
}
