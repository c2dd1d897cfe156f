//! Running a command whose streams are a client's: in a forked helper, which lives as long as the command.
//!
//! A client that goes away closes the command's input and nothing else [8.41]: from then on the helper reads what the
//! command prints, so that it neither stands still nor is ended for it.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::create::{explain, null, prepare_helper};
use super::ends::Ends;
use super::exec::{Stdio, at_most, exit_code, join, kill};
use super::executor;
use super::protocol::{Failure, Reply};
use super::record::{self, ContainerRecord};
use super::serve::answer;
use super::terminal::Console;
use crate::error::{Context, Result, chain_of};
use crate::linux::pidfd::PidFd;
use crate::linux::pipe;
use crate::runner::runtime::{StreamOptions, spec};

/// The helper's whole life; returns its exit code. The command may have a time limit.
pub(super) fn serve(
    shim: u32,
    container: &ContainerRecord,
    directory: &Path,
    (command, timeout): (&[String], Option<Duration>),
    streams: StreamOptions,
    client: UnixStream,
) -> i32 {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let log_start = fs::metadata(record::RUNTIME_LOG).map_or(0, |log| log.len());
    let begun = match prepare_helper(shim, &[client.as_raw_fd()]) {
        Ok(()) => begin(container, directory, command, streams, log_start),
        Err(error) => Err(Failure::Other(chain_of(&error))),
    };
    let reply = match begun {
        Ok((pid, ends)) => match accompany(pid, ends, &client, deadline) {
            Ok(Some(code)) => Reply::Exited(code),
            Ok(None) => Reply::TimedOut,
            Err(error) => Reply::Failed(Failure::Other(chain_of(&error))),
        },
        Err(failure) => Reply::Failed(failure),
    };
    answer(client, &reply);
    0
}

/// Starts the command; returns once its program has been executed.
fn begin(
    container: &ContainerRecord,
    directory: &Path,
    command: &[String],
    streams: StreamOptions,
    log_start: u64,
) -> Result<(Pid, Ends), Failure> {
    let failed = |error: &anyhow::Error| Failure::Other(explain(error, log_start));
    let (mut status, status_writer) = pipe::pipe().map_err(|error| failed(&error.into()))?;
    let started = match streams.tty {
        true => in_terminal(container, directory, command, status_writer),
        false => with_pipes(container, directory, command, streams, status_writer),
    };
    // to its end: whoever could still write to it has executed the program, or has failed
    let mut said = Vec::new();
    let read = status.read_to_end(&mut said);
    match (executor::outcome(&said), started) {
        (Err(reason), _) => Err(Failure::BadConfig(reason)),
        (_, Err(error)) => Err(failed(&error)),
        (Ok(true), Ok(started)) if read.is_ok() => Ok(started),
        _ => Err(Failure::Other("the command was killed before it started".to_owned())),
    }
}

fn in_terminal(container: &ContainerRecord, directory: &Path, command: &[String], status: File) -> Result<(Pid, Ends)> {
    let console = Console::listen(directory)?;
    let stdio = Stdio::Terminal(console.path().to_owned());
    let pid = join(container, directory, command, Arc::new(status), stdio)?;
    let master = console.receive(owner()?)?;
    let copy = || master.try_clone().context("cannot copy the terminal");
    Ok((pid, Ends { stdin: Some(copy()?), stdout: Some(copy()?), stderr: None, terminal: Some(master) }))
}

fn with_pipes(
    container: &ContainerRecord,
    directory: &Path,
    command: &[String],
    streams: StreamOptions,
    status: File,
) -> Result<(Pid, Ends)> {
    let owner = owner()?;
    // the command's end, which its user may open again, and the client's
    let pair = |is_wanted: bool, is_input: bool| -> Result<(OwnedFd, Option<OwnedFd>)> {
        if !is_wanted {
            return Ok((null()?, None));
        }
        let (read, write) = pipe::pipe().context("cannot make a pipe")?;
        let (inner, outer) = if is_input { (read, write) } else { (write, read) };
        std::os::unix::fs::fchown(&inner, Some(owner), None).context("cannot change the owner of a pipe")?;
        Ok((inner.into(), Some(outer.into())))
    };
    let (stdin, stdin_end) = pair(streams.stdin, true)?;
    let (stdout, stdout_end) = pair(streams.stdout, false)?;
    let (stderr, stderr_end) = pair(streams.stderr, false)?;
    let pid = join(container, directory, command, Arc::new(status), Stdio::Files { stdin, stdout, stderr })?;
    Ok((pid, Ends { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end, terminal: None }))
}

fn owner() -> Result<u32> {
    let spec = libcontainer::oci_spec::runtime::Spec::load(record::CONFIG);
    Ok(spec::user_id(&spec.context("cannot read the container's specification")?))
}

/// Hands the ends over and waits for the command's end; its exit code, or `None` where it was killed at the deadline.
fn accompany(pid: Pid, ends: Ends, client: &UnixStream, deadline: Option<Instant>) -> Result<Option<i32>> {
    let child = PidFd::open(pid.as_raw() as u32).context("cannot watch the command")?;
    // a client that has gone already is noticed below
    let _ = ends.send(client);
    let Ends { stdin, stdout, stderr, terminal } = ends;
    // its end is the client's alone to bring about
    drop(stdin);
    drop(terminal);
    let mut outputs: Vec<File> = stdout.into_iter().chain(stderr).map(File::from).collect();
    let mut is_attended = true;
    loop {
        let mut watched = vec![PollFd::new(child.as_fd(), PollFlags::POLLIN)];
        match is_attended {
            true => watched.push(PollFd::new(client.as_fd(), PollFlags::POLLIN)),
            false => watched.extend(outputs.iter().map(|output| PollFd::new(output.as_fd(), PollFlags::POLLIN))),
        }
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut watched, left.map_or(PollTimeout::NONE, at_most)) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("cannot wait for the command"),
        }
        if child.has_exited()? {
            return Ok(Some(exit_code(waitpid(pid, None)?)));
        }
        if left.is_some_and(|left| left.is_zero()) {
            kill(pid, &child)?;
            return Ok(None);
        }
        if !is_attended {
            outputs.retain_mut(discard);
        } else if !super::serve::is_open(client) {
            is_attended = false;
            for output in &outputs {
                // shared with nobody any more
                fcntl(output, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            }
        }
    }
}

/// Reads what is there; `false` once nobody can write any more.
fn discard(output: &mut File) -> bool {
    let mut buffer = [0; 4096];
    // not for ever: the command's own end must be seen, too
    for _ in 0..64 {
        match output.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
    true
}
