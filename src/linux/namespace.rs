//! Namespaces that outlive the processes in them: each is kept by a mount on a file.
//!
//! To change its namespaces is a thread's own affair, so all of it happens in threads that end right after.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Context, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ipc,
    Network,
    Uts,
    Pid,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Ipc, Kind::Network, Kind::Uts, Kind::Pid];

    /// As `/proc/<pid>/ns` calls it.
    pub fn file(self) -> &'static str {
        match self {
            Kind::Ipc => "ipc",
            Kind::Network => "net",
            Kind::Uts => "uts",
            Kind::Pid => "pid",
        }
    }

    fn flag(self) -> CloneFlags {
        match self {
            Kind::Ipc => CloneFlags::CLONE_NEWIPC,
            Kind::Network => CloneFlags::CLONE_NEWNET,
            Kind::Uts => CloneFlags::CLONE_NEWUTS,
            Kind::Pid => CloneFlags::CLONE_NEWPID,
        }
    }
}

/// Makes new namespaces, lets `furnish` put things in order inside, and mounts each on the file of its kind's name in
/// `directory`. Not for [`Kind::Pid`], which needs a first process.
pub fn make<T: Send>(kinds: &[Kind], directory: &Path, furnish: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    in_thread(|| {
        let flags = kinds.iter().fold(CloneFlags::empty(), |flags, kind| flags | kind.flag());
        unshare(flags).context("cannot make namespaces")?;
        let furnished = furnish()?;
        for kind in kinds {
            pin(&Path::new("/proc/thread-self/ns").join(kind.file()), &directory.join(kind.file()))?;
        }
        Ok(furnished)
    })
}

/// Keeps the namespace that a file of `/proc/<pid>/ns` stands for, by a mount on the new file `target`.
pub fn pin(namespace: &Path, target: &Path) -> Result<()> {
    let pin = || -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(target)?;
        Ok(mount(Some(namespace), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
    };
    pin().with_context(|| format!("cannot keep a namespace at `{}`", target.display()))
}

/// Does `work` inside the namespace that is kept at `path`.
pub fn within<T: Send>(kind: Kind, path: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let namespace = File::open(path).with_context(|| format!("cannot open the namespace `{}`", path.display()))?;
    in_thread(|| {
        setns(&namespace, kind.flag()).with_context(|| format!("cannot enter the namespace `{}`", path.display()))?;
        work()
    })
}

/// Does `work` in a thread of its own, and waits for it.
pub fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, work);
        let ended = thread.context("cannot start a thread")?.join();
        ended.unwrap_or_else(|_| Err(anyhow::anyhow!("a thread in another namespace has panicked")))
    })
}

/// This process, of one thread, enters what is kept at `path`; its children are born there.
pub fn enter(kind: Kind, path: &Path) -> Result<()> {
    let namespace = File::open(path).with_context(|| format!("cannot open the namespace `{}`", path.display()))?;
    setns(&namespace, kind.flag()).with_context(|| format!("cannot enter the namespace `{}`", path.display()))
}

/// The next child of this process is the first process of a PID namespace.
pub fn unshare_pids() -> io::Result<()> {
    Ok(unshare(CloneFlags::CLONE_NEWPID)?)
}

/// The name that the processes of this thread's UTS namespace see.
pub fn set_hostname(name: &str) -> io::Result<()> {
    Ok(nix::unistd::sethostname(name)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;
    use crate::linux::mount::unmount_below;

    #[test]
    fn a_namespace_lives_without_a_process() {
        let directory = tempfile::tempdir().unwrap();
        let host = nix::unistd::gethostname().unwrap();
        make(&[Kind::Uts, Kind::Ipc], directory.path(), || Ok(set_hostname("a-name-of-its-own")?)).unwrap();
        let uts = directory.path().join("uts");
        let seen = within(Kind::Uts, &uts, || Ok(nix::unistd::gethostname()?)).unwrap();
        assert_eq!(seen, "a-name-of-its-own");
        assert_eq!(nix::unistd::gethostname().unwrap(), host, "only there");
        assert!(within(Kind::Network, &uts, || Ok(())).is_err(), "it is of another kind");
        assert!(make(&[Kind::Uts], directory.path(), || Ok(())).is_err(), "there is one already");
        assert_eq!(unmount_below(directory.path()).unwrap(), []);
        assert_eq!(fs::read(&uts).unwrap(), b"", "nothing but a file");
    }
}
