//! Creating the container: mounts, namespaces and its first process, up to the moment before the user's program runs.
//!
//! All of it happens in a forked helper. It joins the container's cgroup first, so that a cleaner finds whatever it has
//! started, and mounts the image in a mount namespace that ends with it and the container: nothing is left on the
//! machine, wherever it is interrupted. The container's first process is handed over to the shim as its child.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::oci_spec::runtime::Spec;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::executor::Program;
use super::protocol::Failure;
use super::record::{self, ContainerRecord};
use super::stdin;
use super::terminal::Console;
use super::{facts, loan, propagation};
use crate::error::{Context, Result, chain_of};
use crate::image::reference::{InvalidReference, Reference};
use crate::image::store::Store;
use crate::layout::Layout;
use crate::linux::cgroup::Cgroups;
use crate::linux::mount::{self, MsFlags};
use crate::linux::process::{self, Identity};
use crate::linux::{pipe, rooted};
use crate::runner::runtime::seccomp::{self, Filter};
use crate::runner::runtime::{ContainerConfig, ImageMount, RuntimeError, RuntimeResult, SeccompProfile, spec};

/// The most that a seccomp profile may hold, in bytes.
const PROFILE_LIMIT: u64 = 4 << 20;

/// A container whose first process waits to be started.
pub(super) struct Created {
    pub(super) init: Identity,
    pub(super) handles: Handles,
    pub(super) warnings: Vec<String>,
}

/// What only the shim that has created the container holds.
#[derive(Default)]
pub(super) struct Handles {
    /// Says how the execution of the user's program went.
    pub(super) status: Option<File>,
    /// The controlling end of the container's terminal.
    pub(super) terminal: Option<OwnedFd>,
}

#[derive(Serialize, Deserialize)]
enum Outcome {
    Created { pid: u32, warnings: Vec<String> },
    Failed(Failure),
}

pub(super) fn create(container: &ContainerRecord, directory: &Path) -> Result<Created> {
    for path in [record::STDOUT, record::STDERR] {
        pipe::make_fifo(Path::new(path)).with_context(|| format!("cannot make the named pipe `{path}`"))?;
    }
    if container.config.stdin && !container.config.tty {
        let path = record::STDIN;
        pipe::make_fifo(Path::new(path)).with_context(|| format!("cannot make the named pipe `{path}`"))?;
    }
    let console = if container.config.tty { Some(Console::listen(directory)?) } else { None };
    let console_path = console.as_ref().map(|console| console.path().to_owned());
    let log_start = fs::metadata(record::RUNTIME_LOG).map_or(0, |log| log.len());
    let (mut result, mut result_writer) = pipe::pipe().context("cannot make a pipe")?;
    let (status, status_writer) = pipe::pipe().context("cannot make a pipe")?;
    let shim = std::process::id();
    let program_status = Arc::new(status_writer);
    let creator = process::fork(|| {
        let outcome = match prepare_helper(shim, &[result_writer.as_raw_fd(), program_status.as_raw_fd()])
            .map_err(RuntimeError::Other)
            .and_then(|()| run(container, directory, console_path.as_deref(), Arc::clone(&program_status)))
        {
            Ok((pid, warnings)) => Outcome::Created { pid, warnings },
            Err(error) => Outcome::Failed(error.into()),
        };
        let sent = serde_json::to_vec(&outcome).map(|bytes| result_writer.write_all(&bytes));
        i32::from(!matches!(sent, Ok(Ok(()))))
    })
    .context("cannot fork")?;
    drop(result_writer);
    drop(program_status);
    waitpid(Pid::from_raw(creator as i32), None).context("cannot wait for the container's creator")?;
    // the container's first process keeps the other ends open until it is started
    for pipe in [&result, &status] {
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).context("cannot configure a pipe")?;
    }
    match serde_json::from_slice(&read_available(&mut result)) {
        Ok(Outcome::Created { pid, warnings }) => {
            let init = Identity::of(pid).context("the container's first process has ended")?;
            let terminal = console.map(|console| console.receive(owner()?)).transpose()?;
            Ok(Created { init, handles: Handles { status: Some(status), terminal }, warnings })
        }
        Ok(Outcome::Failed(Failure::Other(message))) => Err(Failure::Other(with_log(message, log_start)).into()),
        Ok(Outcome::Failed(failure)) => Err(failure.into()),
        Err(_) => Err(Failure::Other(with_log("the container's creator was killed".to_owned(), log_start)).into()),
    }
}

/// The container's user.
fn owner() -> Result<u32> {
    let spec = Spec::load(record::CONFIG).context("cannot read the container's specification")?;
    Ok(spec::user_id(&spec))
}

/// What a pipe that does not block holds.
pub(super) fn read_available(pipe: &mut File) -> Vec<u8> {
    let mut bytes = Vec::new();
    // the end is either that of the pipe or EAGAIN
    let _ = pipe.read_to_end(&mut bytes);
    bytes
}

/// What the library logs is the only place where some causes stand.
fn with_log(message: String, log_start: u64) -> String {
    match record::runtime_log_tail(log_start) {
        tail if tail.is_empty() => message,
        tail => format!("{message} ({tail})"),
    }
}

/// What every forked helper does first: it ends with the shim, holds nothing open but `kept`, and logs what the library
/// says to the container's runtime log.
pub(super) fn prepare_helper(shim: u32, kept: &[i32]) -> Result<()> {
    process::die_with_parent(shim).context("cannot tie the helper to the shim")?;
    process::close_all_but(kept).context("cannot close inherited files")?;
    process::reset_signals().context("cannot reset signals")?;
    let log = record::open_runtime_log()?;
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .with_max_level(tracing::Level::ERROR)
        .with_writer(std::sync::Mutex::new(log));
    subscriber.try_init().map_err(|error| anyhow::anyhow!("cannot log: {error}"))
}

/// What a process of the container needs besides the specification; used again for those that join it later.
pub(super) fn program(container: &ContainerRecord, spec: &Spec, status: Arc<File>) -> RuntimeResult<Program> {
    let security = &container.config.security;
    let filter = match &security.seccomp {
        SeccompProfile::RuntimeDefault if !security.privileged => {
            seccomp::runtime_default(facts::held_capabilities(spec))
                .map_err(|error| RuntimeError::Other(error.into()))?
        }
        SeccompProfile::Localhost(path) if !security.privileged => {
            let profile = spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
            let profile = profile.context("the container's specification has no seccomp profile")?;
            seccomp::profile::filter(profile)
                .with_context(|| format!("cannot use seccomp profile `{}`", path.display()))?
        }
        _ => Filter::default(),
    };
    let held = if loan::is_needed(&container.config) { Some(facts::held_capabilities(spec)) } else { None };
    Ok(Program { is_looked_for: false, filter, held, status })
}

fn run(
    container: &ContainerRecord,
    directory: &Path,
    console: Option<&Path>,
    status: Arc<File>,
) -> RuntimeResult<(u32, Vec<String>)> {
    let mut warnings = Vec::new();
    let cgroups = Cgroups::detect()?;
    cgroups.at(&container.cgroup).join(std::process::id())?;
    warnings.extend(set_oom_score_adj(&container.config)?);
    let rootfs = directory.join(record::ROOTFS);
    mount_image(container, &rootfs)?;
    let mut config = container.config.clone();
    mount_volumes(container, &mut config, directory)?;
    resolve_sources(&mut config)?;
    propagation::copy_sources(&mut config, directory)?;
    let facts = facts::gather(container, &cgroups, rootfs)?;
    let mut spec = spec::build(&config, &container.image, &facts)?;
    add_local_profile(container, &mut spec)?;
    make_working_directory(&config, &spec, &facts.rootfs)?;
    let mut lent = spec.clone();
    if let Some(process) = lent.process_mut().as_mut().filter(|_| loan::is_needed(&config)) {
        loan::lend(process);
    }
    // what the library reads while it creates
    lent.save(record::CONFIG).context("cannot write the container's specification")?;
    let owner = spec::user_id(&spec);
    let program = program(container, &spec, status)?;
    let [stdout, stderr] = [record::STDOUT, record::STDERR].map(|path| open_output(path, owner));
    let built = ContainerBuilder::new(container.id.clone(), SyscallType::default())
        .with_executor(program)
        .with_root_path(directory.join(record::LIBRARY))
        .map_err(anyhow::Error::from)?
        .with_console_socket(console)
        .with_stdin(stdin::for_container(config.stdin && !config.tty, config.stdin_once, owner)?)
        .with_stdout(stdout?)
        .with_stderr(stderr?)
        .as_init(directory)
        .with_systemd(false)
        .with_detach(true)
        // its parent becomes the shim
        .as_sibling(true)
        .build()
        .context("cannot create the container")?;
    // what commands that join it are made from
    spec.save(record::CONFIG).context("cannot write the container's specification")?;
    let pid = built.pid().context("the container has no first process")?;
    let pid = pid.as_raw() as u32;
    propagation::apply(&config, pid)?;
    Ok((pid, warnings))
}

/// A profile of the machine's own becomes part of the specification, so that commands that join the container later are
/// filtered as it is, whatever has become of the file.
fn add_local_profile(container: &ContainerRecord, spec: &mut Spec) -> Result<()> {
    let security = &container.config.security;
    let SeccompProfile::Localhost(path) = &security.seccomp else { return Ok(()) };
    let Some(linux) = spec.linux_mut().as_mut().filter(|_| !security.privileged) else { return Ok(()) };
    let directory = Layout::new(&container.root).seccomp_profiles();
    let failed = || format!("cannot load seccomp profile `{}`", directory.join(path).display());
    let text = rooted::read_text_within(&directory, path, PROFILE_LIMIT).with_context(failed)?;
    linux.set_seccomp(Some(seccomp::profile::parse(&text).with_context(failed)?));
    Ok(())
}

fn set_oom_score_adj(config: &ContainerConfig) -> Result<Option<String>> {
    let Some(wanted) = config.resources.oom_score_adj else { return Ok(None) };
    let set = process::set_oom_score_adj(wanted).context("cannot set oom_score_adj")?;
    Ok((set != wanted).then(|| format!("oom_score_adj {wanted} needs CAP_SYS_RESOURCE; containers keep {set}")))
}

/// In a mount namespace of this process's own, which the container's is made from.
fn mount_image(container: &ContainerRecord, rootfs: &Path) -> RuntimeResult<()> {
    mount::unshare_mounts().context("cannot make a mount namespace")?;
    mount::make_parent_private(rootfs)?;
    let store = Store::open(&Layout::new(&container.root));
    let name = &container.config.image;
    let reference: Reference = name.parse().map_err(|error: InvalidReference| RuntimeError::Other(error.into()))?;
    let image = store.get(&reference)?.filter(|image| image.id.to_string() == container.image_id);
    let image = image.with_context(|| format!("image `{name}` has been removed or replaced meanwhile"))?;
    store.mount(&image, &container.writable, rootfs)?;
    if !container.config.security.privileged {
        // an image's device nodes would open the machine's devices where no controller refuses it
        mount::restrict(rootfs, MsFlags::MS_NODEV).context("cannot restrict the image's mount")?;
    }
    Ok(())
}

/// Mounts the images that the container mounts, where the mount namespace of this process alone shows them, as sources
/// of its mounts. What is written to them would go to a directory of the container's, and nothing can write.
fn mount_volumes(container: &ContainerRecord, config: &mut ContainerConfig, directory: &Path) -> RuntimeResult<()> {
    let store = Store::open(&Layout::new(&container.root));
    for (index, mounted) in config.mounts.iter_mut().enumerate() {
        let Some(ImageMount { image: name, sub_path }) = &mounted.image else { continue };
        let reference: Reference = name.parse().map_err(|error: InvalidReference| RuntimeError::Other(error.into()))?;
        let absent = || RuntimeError::ImageNotPresent(name.clone());
        let image = store.get(&reference)?.ok_or_else(absent)?;
        let target = directory.join(record::VOLUMES).join(index.to_string());
        crate::files::make_directory(&target, crate::layout::PRIVATE_DIRECTORY)?;
        store.mount(&image, &container.writable.join(record::VOLUMES).join(index.to_string()), &target)?;
        mounted.host_path = if sub_path.as_os_str().is_empty() {
            target
        } else {
            let found = File::open(&target).and_then(|root| rooted::open_in_root(&root, sub_path));
            let found = found.with_context(|| format!("cannot mount `{}` of image `{name}`", sub_path.display()))?;
            let part = directory.join(record::VOLUMES).join(format!("{index}-part"));
            mount::bind_at(&found, &part).with_context(|| format!("cannot mount at `{}`", part.display()))?;
            part
        };
    }
    Ok(())
}

/// Sources as they are without symbolic links; a missing one becomes a directory, as engines do [4.10].
fn resolve_sources(config: &mut ContainerConfig) -> RuntimeResult<()> {
    for mount in &mut config.mounts {
        let source = &mount.host_path;
        let found = match source.canonicalize() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                fs::create_dir_all(source).and_then(|()| source.canonicalize())
            }
            found => found,
        };
        let refused = |error| {
            RuntimeError::BadConfig(format!(
                "cannot mount `{}` in container `{}`: {error}",
                source.display(),
                config.name
            ))
        };
        mount.host_path = found.map_err(refused)?;
    }
    Ok(())
}

/// The library changes to it before anybody could make it: on the image, or on the mount that covers it.
fn make_working_directory(config: &ContainerConfig, spec: &Spec, rootfs: &Path) -> Result<()> {
    let Some(process) = spec.process() else { return Ok(()) };
    let path = spec::normalize(process.cwd());
    let covering = config
        .mounts
        .iter()
        .map(|mount| (spec::normalize(&mount.container_path), mount))
        .filter(|(target, _)| path.starts_with(target))
        .max_by_key(|(target, _)| target.components().count());
    let (root, below) = match &covering {
        Some((_, mount)) if mount.read_only => return Ok(()),
        Some((target, mount)) => (mount.host_path.as_path(), path.strip_prefix(target)?),
        None => (rootfs, path.as_path()),
    };
    rooted::make_directories(root, below)
        .with_context(|| format!("cannot make the working directory `{}`", path.display()))
}

/// Opened for both directions: the container itself keeps the pipe alive when the shim is gone. It belongs to the
/// container's user, who may open /dev/stdout again.
fn open_output(path: &str, owner: u32) -> Result<OwnedFd> {
    let fifo = pipe::open_fifo(Path::new(path), true).with_context(|| format!("cannot open `{path}`"))?;
    std::os::unix::fs::fchown(&fifo, Some(owner), None)
        .with_context(|| format!("cannot change the owner of `{path}`"))?;
    Ok(fifo.into())
}

pub(super) fn null() -> Result<OwnedFd> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").context("cannot open `/dev/null`")?;
    Ok(null.into())
}

/// The chain of an error with what the library logged about it since `log_start`.
pub(super) fn explain(error: &anyhow::Error, log_start: u64) -> String {
    with_log(chain_of(error), log_start)
}
