//! The shim's loop: the container's end, its output and the runner's requests.
//!
//! ```text
//! created ── start ──► running ── exit ──► exited ── delete ──► (the shim ends)
//!    └─────────── exit, or never executed ───┘
//! ```
//!
//! When the first process ends, everything left in the container's cgroup is killed, the pipes are drained and the exit
//! is written to a file, in this order; only then is anybody told.

mod connection;

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use libcontainer::container::Container;
use nix::libc;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use self::connection::{Connections, Received};
pub(super) use self::connection::{answer, is_open};
use super::create::Handles;
use super::ends::Ends;
use super::output::Output;
use super::protocol::{Failure, Reply, Verb};
use super::record::{self, ContainerRecord, ProcessRecord};
use super::stdin::Stdin;
use super::{Origin, exec, executor, session};
use crate::error::{Context, Result, chain_of};
use crate::linux::cgroup::Cgroups;
use crate::linux::pidfd::PidFd;
use crate::linux::process;
use crate::runner::runtime::{ContainerState, Exit, StreamOptions};

/// Which descriptor is ready: the tokens of the first few, connections follow.
const LISTENER: u64 = 0;
const CHILDREN: u64 = 1;
const INIT: u64 = 2;
const STATUS: u64 = 3;
const OUTPUT: u64 = 4;
const TERMINAL: u64 = 6;
const CONNECTIONS: u64 = 16;

/// How long what is left of a container may take to die before its end is recorded all the same.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the shim of an ended container looks whether somebody has removed its state without asking. A watch would
/// tell at once, but each takes one of the few inotify instances that a user may have (128 by default).
const FORGOTTEN_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Server {
    container: ContainerRecord,
    directory: PathBuf,
    process: ProcessRecord,
    cgroups: Cgroups,
    /// `None`: it ended before this shim was there.
    init: Option<PidFd>,
    exit: Option<Exit>,
    output: Output,
    stdin: Stdin,
    /// How the user's program is executed; unread until then.
    status: Option<File>,
    said: Vec<u8>,
    /// Who asked for the start.
    starter: Option<UnixStream>,
    waiters: Vec<UnixStream>,
    /// Who asked for the deletion.
    deleter: Option<UnixStream>,
    epoll: Epoll,
    children: SignalFd,
    listener: UnixListener,
    connections: Connections,
}

impl Server {
    pub(super) fn new(
        origin: Origin,
        container: ContainerRecord,
        directory: &Path,
        process: ProcessRecord,
        handles: Handles,
        cgroups: Cgroups,
        listener: UnixListener,
    ) -> Result<Server> {
        let Handles { status, terminal } = handles;
        let output = Output::open(&container, terminal)?;
        let mut children = SigSet::empty();
        children.add(Signal::SIGCHLD);
        let children = SignalFd::with_flags(&children, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        listener.set_nonblocking(true)?;
        let init = process.init.open().context("cannot watch the container's first process")?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let add = |fd: std::os::fd::BorrowedFd<'_>, flags, token| epoll.add(fd, EpollEvent::new(flags, token));
        add(listener.as_fd(), EpollFlags::EPOLLIN, LISTENER)?;
        add(children.as_fd(), EpollFlags::EPOLLIN, CHILDREN)?;
        if let (Origin::Adopt, Some(init)) = (origin, &init) {
            add(init.as_fd(), EpollFlags::EPOLLIN, INIT)?;
        }
        for (number, fifo) in (0u64..).zip(output.descriptors()) {
            // told once for each write: what is not finished stays in the pipe
            add(fifo, EpollFlags::EPOLLIN | EpollFlags::EPOLLET, OUTPUT + number)?;
        }
        if let Some(terminal) = output.terminal() {
            add(terminal, EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TERMINAL)?;
        }
        let mut server = Server {
            stdin: Stdin::open(&container, &process),
            container,
            directory: directory.to_owned(),
            process,
            cgroups,
            init,
            exit: record::load_if_exists(Path::new(record::EXIT))?,
            output,
            status,
            said: Vec::new(),
            starter: None,
            waiters: Vec::new(),
            deleter: None,
            epoll,
            children,
            listener,
            connections: Connections::default(),
        };
        // a child is reaped, whenever it has ended
        if origin == Origin::Adopt && server.init.is_none() && server.exit.is_none() {
            server.ended(None)?;
        }
        Ok(server)
    }

    pub(super) fn run(mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 16];
        loop {
            self.output.advance()?;
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error).context("cannot wait for events"),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept()?,
                    CHILDREN => self.reap()?,
                    INIT => self.adopted_ended()?,
                    STATUS => self.executed()?,
                    TERMINAL => self.output.mark_terminal_ready(),
                    token if token < CONNECTIONS => self.output.mark_ready((token - OUTPUT) as usize),
                    token => self.received(token)?,
                }
            }
            if self.exit.is_none() {
                continue;
            }
            if let Some(deleter) = self.deleter.take() {
                answer(deleter, &Reply::Done);
                return Ok(());
            }
            // nobody can ask for it any more
            if is_forgotten() {
                return Ok(());
            }
        }
    }

    fn timeout(&self) -> EpollTimeout {
        if self.output.is_ready() {
            return EpollTimeout::ZERO;
        }
        let look = self.exit.as_ref().map(|_| Instant::now() + FORGOTTEN_INTERVAL);
        match self.output.deadline().into_iter().chain(look).min() {
            None => EpollTimeout::NONE,
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now()).as_millis() as u64 + 1;
                EpollTimeout::try_from(left).unwrap_or(EpollTimeout::MAX)
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            let token = self.connections.insert(stream, CONNECTIONS)?;
            let stream = self.connections.stream(token);
            self.epoll.add(stream, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, token))?;
        }
        Ok(())
    }

    fn received(&mut self, token: u64) -> Result<()> {
        match self.connections.receive(token) {
            Received::Nothing => Ok(()),
            Received::Request(stream, verb) => {
                let _ = self.epoll.delete(&stream);
                self.handle(verb, stream)
            }
            Received::Closed => Ok(()),
        }
    }

    fn handle(&mut self, verb: Verb, client: UnixStream) -> Result<()> {
        let reply = match verb {
            Verb::State => Ok(Reply::State(self.state())),
            Verb::Start => return self.start(client),
            Verb::Signal(signal) => self.signal(signal).map(|()| Reply::Done),
            Verb::KillAll => self.kill_all().map(|()| Reply::Done),
            Verb::Wait if self.exit.is_some() => Ok(Reply::State(self.state())),
            Verb::Wait => {
                self.waiters.retain(is_open);
                self.waiters.push(client);
                return Ok(());
            }
            Verb::Exec { command, timeout } => {
                let shim = std::process::id();
                let (container, directory) = (&self.container, &self.directory);
                if self.exit.is_some() || self.process.started_at.is_none() {
                    Err(anyhow::anyhow!("the container does not run"))
                } else {
                    // the helper answers; without one the client sees its connection close, and the container lives on
                    let _ = process::fork(|| exec::serve(shim, container, directory, &command, timeout, client));
                    return Ok(());
                }
            }
            Verb::Stream { command, streams, timeout } => {
                let shim = std::process::id();
                let (container, directory) = (&self.container, &self.directory);
                if self.exit.is_some() || self.process.started_at.is_none() {
                    Err(anyhow::anyhow!("the container does not run"))
                } else {
                    let _ = process::fork(|| {
                        session::serve(shim, container, directory, (&command, timeout), streams, client)
                    });
                    return Ok(());
                }
            }
            Verb::Attach(streams) => {
                self.attach(streams, client);
                return Ok(());
            }
            Verb::ReopenLog => self.output.reopen_log().map(|()| Reply::Done),
            Verb::Delete => {
                let killed = if self.exit.is_none() { self.kill_all() } else { Ok(()) };
                match killed {
                    Ok(()) => {
                        self.deleter = Some(client);
                        return Ok(());
                    }
                    Err(error) => Err(error),
                }
            }
        };
        answer(client, &reply.unwrap_or_else(|error| Reply::Failed(Failure::Other(chain_of(&error)))));
        Ok(())
    }

    /// From now on the client has the container's streams.
    fn attach(&mut self, streams: StreamOptions, client: UnixStream) {
        let attached = client.try_clone().context("cannot copy a connection").and_then(|copy| {
            if self.exit.is_some() || self.process.started_at.is_none() {
                anyhow::bail!("the container does not run");
            }
            let terminal = self.output.terminal().map(|terminal| terminal.try_clone_to_owned()).transpose()?;
            let stdin = if streams.stdin { self.stdin.end(terminal.as_ref())? } else { None };
            let has_stdin = stdin.is_some();
            let ends = Ends { stdin, terminal, ..Ends::default() };
            self.output.attached.add(copy, streams, ends).context("cannot attach")?;
            if has_stdin && self.stdin.given() {
                self.process.stdin_taken = true;
                record::store(record::PROCESS, &self.process)?;
            }
            Ok(())
        });
        if let Err(error) = attached {
            answer(client, &Reply::Failed(Failure::Other(chain_of(&error))));
        }
    }

    fn state(&self) -> ContainerState {
        match (&self.exit, self.process.started_at) {
            (Some(exit), started_at) => ContainerState::Exited { started_at, exit: exit.clone() },
            (None, Some(started_at)) => ContainerState::Running { pid: self.process.init.pid, started_at },
            (None, None) => ContainerState::Created,
        }
    }

    fn signal(&self, signal: i32) -> Result<()> {
        if let (Some(init), None) = (&self.init, &self.exit) {
            init.signal(signal).context("cannot signal the container's first process")?;
        }
        Ok(())
    }

    fn kill_all(&self) -> Result<()> {
        self.signal(libc::SIGKILL)?;
        self.cgroups.at(&self.container.cgroup).kill()
    }

    /// Lets the first process go on to the user's program.
    fn start(&mut self, client: UnixStream) -> Result<()> {
        let root = self.directory.join(record::LIBRARY).join(&self.container.id);
        let begun = if self.exit.is_some() {
            Err(anyhow::anyhow!("the container has exited"))
        } else if self.process.started_at.is_some() || self.starter.is_some() {
            Err(anyhow::anyhow!("the container has been started"))
        } else {
            Container::load(root).and_then(|mut library| library.start()).context("cannot start the container")
        };
        match (begun, &self.status) {
            (Err(error), _) => answer(client, &Reply::Failed(Failure::Other(chain_of(&error)))),
            (Ok(()), Some(status)) => {
                self.epoll.add(status, EpollEvent::new(EpollFlags::EPOLLIN, STATUS))?;
                self.starter = Some(client);
            }
            // the pipe went with the shim that created the container
            (Ok(()), None) => {
                self.started()?;
                answer(client, &Reply::Done);
            }
        }
        Ok(())
    }

    fn started(&mut self) -> Result<()> {
        self.process.started_at = Some(Timestamp::now());
        record::store(record::PROCESS, &self.process)
    }

    /// The status pipe has something to say, or has ended.
    fn executed(&mut self) -> Result<()> {
        let Some(status) = &mut self.status else { return Ok(()) };
        match status.read_to_end(&mut self.said) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("cannot read the execution's status"),
        }
        self.status = None;
        let reply = match executor::outcome(&self.said) {
            Ok(true) => {
                self.started()?;
                Reply::Done
            }
            Ok(false) => Reply::Failed(Failure::Other("the container was killed before it started".to_owned())),
            Err(reason) => Reply::Failed(Failure::BadConfig(reason)),
        };
        if let Some(starter) = self.starter.take() {
            answer(starter, &reply);
        }
        Ok(())
    }

    /// Takes the status of every child that has ended: the container, helpers, orphans.
    fn reap(&mut self) -> Result<()> {
        while let Ok(Some(_)) = self.children.read_signal() {}
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
            let (pid, status) = match waitid(Id::All, flags) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, (code & 0xff) << 8),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(()),
                Ok(_) | Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(error).context("cannot wait for children"),
            };
            if pid.as_raw() as u32 == self.process.init.pid && self.exit.is_none() {
                self.ended(Some(status))?;
            }
        }
    }

    /// The first process of an adopted container, which is not a child, has ended.
    fn adopted_ended(&mut self) -> Result<()> {
        let Some(init) = self.init.take() else { return Ok(()) };
        let _ = self.epoll.delete(&init);
        if self.exit.is_none() {
            let status = init.exit_status().context("cannot read the exit of the container")?;
            self.ended(status)?;
        }
        Ok(())
    }

    /// Everything that follows the end of the first process; `status` as wait(2) codes it.
    fn ended(&mut self, status: Option<i32>) -> Result<()> {
        let is_empty = self.cgroups.at(&self.container.cgroup).kill_and_wait(KILL_TIMEOUT);
        self.executed()?;
        if let Some(starter) = self.starter.take() {
            answer(starter, &Reply::Failed(Failure::Other("the container was killed before it started".to_owned())));
        }
        let oom_kills = self.cgroups.at(&self.container.cgroup).oom_kills();
        self.output.drain()?;
        let mut exit = exit_of(status, oom_kills);
        if let (None, Err(reason)) = (self.process.started_at, executor::outcome(&self.said)) {
            // the engines' code for a program that could not be executed
            exit.code = 128;
            exit.message = Some(reason);
        } else if !matches!(is_empty, Ok(true)) {
            exit.message = Some("some of its processes could not be killed".to_owned());
        }
        if !is_forgotten() {
            record::store(record::EXIT, &exit)?;
        }
        self.output.attached.end(exit.code);
        self.exit = Some(exit);
        let state = Reply::State(self.state());
        for waiter in self.waiters.drain(..) {
            answer(waiter, &state);
        }
        Ok(())
    }
}

/// Whether the container's record is gone from the shim's working directory: nobody can ask for the container any more.
fn is_forgotten() -> bool {
    matches!(Path::new(record::CONTAINER).try_exists(), Ok(false))
}

fn exit_of(status: Option<i32>, oom_kills: u64) -> Exit {
    let (code, signal) = match status {
        Some(status) if libc::WIFSIGNALED(status) => (128 + libc::WTERMSIG(status), libc::WTERMSIG(status)),
        Some(status) => (libc::WEXITSTATUS(status), 0),
        None => (137, 0),
    };
    Exit {
        code,
        signal,
        code_known: status.is_some(),
        // whatever the code: a process of the container was killed, if not the one that is waited for [3.11]
        oom_killed: oom_kills > 0,
        finished_at: Timestamp::now(),
        message: status.is_none().then(|| "nobody saw it end".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_become_exit_codes() {
        let cases = [
            (Some(0), 0, (0, 0, true, false)),
            (Some(7 << 8), 0, (7, 0, true, false)),
            (Some(15), 0, (143, 15, true, false)),
            (Some(9 | 0x80), 1, (137, 9, true, true)),
            (Some(0), 1, (0, 0, true, true)),
            (None, 0, (137, 0, false, false)),
        ];
        for (status, oom_kills, expected) in cases {
            let exit = exit_of(status, oom_kills);
            assert_eq!((exit.code, exit.signal, exit.code_known, exit.oom_killed), expected, "{status:?}");
        }
    }
}
