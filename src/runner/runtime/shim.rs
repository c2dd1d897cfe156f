//! The process that parents one container, handles its output and outlives the runner.
//!
//! ```text
//! runner ── spawns ──► bootstrap shim create DIR ── forks, ends ──► shim ── forks ──► creator ── the container's init
//!    ▲                          │ stdout: one line of JSON, once the container is created
//!    └── DIR/shim.sock ◄────────┴──────── state, start, signal, wait, exec, …
//! ```
//!
//! `shim adopt DIR` takes the place of a shim that died: the container has lived on, as its output goes to named pipes
//! that it holds open itself. A shim has one thread and no asynchronous runtime, for what it forks must be whole; all
//! that needs memory happens in forked helpers that end at once.

mod attach;
mod create;
mod ends;
mod exec;
mod executor;
mod facts;
mod loan;
mod output;
mod propagation;
pub mod protocol;
pub mod record;
mod serve;
mod session;
mod stdin;
mod terminal;

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::stat::{Mode, umask};

use self::create::{Created, Handles};
use self::protocol::{Failure, Hello};
use self::record::{ContainerRecord, ProcessRecord};
use crate::error::{Context, Result, chain_of};
use crate::linux::cgroup::Cgroups;
use crate::linux::process::{self, Identity};
use crate::linux::socket;

/// The hidden first argument.
pub const COMMAND: &str = "shim";

/// How a shim comes to its container; the second argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Create,
    Adopt,
}

impl Origin {
    pub fn argument(self) -> &'static str {
        match self {
            Origin::Create => "create",
            Origin::Adopt => "adopt",
        }
    }

    fn parse(argument: &OsString) -> Option<Origin> {
        [Origin::Create, Origin::Adopt].into_iter().find(|origin| argument == origin.argument())
    }
}

/// Runs the shim and returns its exit code when this process was started as one; `None` otherwise.
pub fn main_if_shim() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != COMMAND {
        return None;
    }
    let arguments: Vec<_> = arguments.collect();
    Some(match begin(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    })
}

/// Leaves the shim behind as a process of its own, so that whoever has spawned it need not wait for its end.
fn begin(arguments: &[OsString]) -> Result<()> {
    let [origin, directory] = arguments else {
        anyhow::bail!("`{COMMAND}` is for the runner's use");
    };
    let origin = Origin::parse(origin).context("neither `create` nor `adopt`")?;
    let directory = PathBuf::from(directory);
    // nothing of the process that spawned it is its business
    process::close_all_but(&[]).context("cannot close inherited files")?;
    std::env::set_current_dir(&directory).with_context(|| format!("cannot enter `{}`", directory.display()))?;
    process::fork(|| match supervise(origin, &directory) {
        Ok(()) => 0,
        Err(error) => {
            fail(&error);
            1
        }
    })
    .context("cannot fork")?;
    Ok(())
}

fn fail(error: &anyhow::Error) -> ExitCode {
    let failure = match error.downcast_ref::<Failure>() {
        Some(failure) => failure.clone(),
        None => Failure::Other(chain_of(error)),
    };
    say(&Hello::Failed(failure));
    ExitCode::FAILURE
}

/// The whole life of a shim.
fn supervise(origin: Origin, directory: &Path) -> Result<()> {
    nix::unistd::setsid().context("cannot become a session of its own")?;
    umask(Mode::from_bits_truncate(0o022));
    let _lock = lock()?;
    log_standard_error()?;
    process::become_subreaper().context("cannot become the parent of orphans")?;
    // read from a signalfd, or not at all: a shim is ended by its container's deletion only
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).context("cannot block signals")?;
    let container: ContainerRecord = record::load(record::CONTAINER)?;
    let cgroups = Cgroups::detect()?;
    // so that a service manager that ends the runner's cgroup leaves the shim alone
    cgroups.at(&container.shims_cgroup).create()?;
    cgroups.at(&container.shims_cgroup).join(std::process::id())?;
    let listener = socket::listen(Path::new(record::SOCKET)).context("cannot listen on the shim's socket")?;
    let (process, handles, warnings) = match origin {
        Origin::Create => {
            let Created { init, handles, warnings } = create::create(&container, directory)?;
            let process = ProcessRecord { init, started_at: None, stdin_taken: false };
            record::store(record::PROCESS, &process)?;
            (process, handles, warnings)
        }
        // the others went with the shim that created the container
        Origin::Adopt => (record::load(record::PROCESS)?, Handles::default(), Vec::new()),
    };
    let server = serve::Server::new(origin, container, directory, process, handles, cgroups, listener)?;
    say(&Hello::Ready { warnings });
    close_standard_output()?;
    server.run()
}

/// One shim for one container: held until this process ends. The content tells a cleaner whom to end.
fn lock() -> Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(record::LOCK)
        .context("cannot open the shim's lock")?;
    file.try_lock().context("another shim has this container")?;
    let identity = serde_json::to_vec(&Identity::current()?)?;
    file.set_len(0).and_then(|()| file.write_all(&identity)).context("cannot write the shim's lock")?;
    Ok(file)
}

/// What a helper prints before it has a log, a panic above all, ends up where the library's errors do.
fn log_standard_error() -> Result<()> {
    let log = record::open_runtime_log()?;
    nix::unistd::dup2_stderr(&log).context("cannot redirect standard error")?;
    Ok(())
}

fn close_standard_output() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    Ok(nix::unistd::dup2_stdout(null.as_fd())?)
}

/// To the runner, which reads one line.
fn say(hello: &Hello) {
    let mut line = serde_json::to_vec(hello).unwrap_or_default();
    line.push(b'\n');
    // a runner that has gone will find the container, or clean it up, when it comes back
    let _ = io::stdout().lock().write_all(&line).and_then(|()| io::stdout().flush());
}
