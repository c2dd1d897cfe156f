//! What the containers of a sandbox share: namespaces, `/dev/shm`, and the process that keeps their PID namespace.
//!
//! ```text
//! <sandbox>/{ipc,net,uts,pid}   each keeps a namespace by what is mounted on it
//!          /shm                 the pod's /dev/shm
//!          /pause               the program of the process that keeps `pid`
//! ```

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use super::{Embedded, PATIENCE, PodSandbox, PodSandboxConfig, RuntimeResult, blocking, clean};
use crate::error::{Context, Result};
use crate::layout::PRIVATE_DIRECTORY;
use crate::linux::mount::{self, MsFlags};
use crate::linux::namespace::{self, Kind};
use crate::linux::{link, sysctl};
use crate::runner::runtime::pause;
use crate::runner::runtime::spec::Joined;

/// The one directory of a sandbox that is no container's.
pub(super) const SHARED_MEMORY: &str = "shm";

/// What engines let everybody do in a network of the pod's own [3.84b].
const UNPRIVILEGED: [(&str, &str); 2] =
    [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];

/// Makes what the pod does not share with the node, but for its PID namespace.
pub(super) fn make(directory: &Path, config: &PodSandboxConfig) -> Result<()> {
    let mut kinds = Vec::new();
    if !config.namespaces.host_ipc {
        kinds.push(Kind::Ipc);
        let shared = directory.join(SHARED_MEMORY);
        crate::files::make_directory(&shared, PRIVATE_DIRECTORY)?;
        // as large as engines make it [3.93]
        mount::tmpfs(&shared, "mode=1777,size=65536k")
            .and_then(|()| mount::restrict(&shared, MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC))
            .with_context(|| format!("cannot mount the pod's shared memory at `{}`", shared.display()))?;
    }
    if !config.namespaces.host_network {
        kinds.extend([Kind::Network, Kind::Uts]);
    }
    if kinds.is_empty() {
        return Ok(());
    }
    namespace::make(&kinds, directory, || {
        if kinds.contains(&Kind::Network) {
            namespace::set_hostname(&config.hostname)
                .with_context(|| format!("cannot set the pod's host name `{}`", config.hostname))?;
            link::set_up(link::LOOPBACK)?;
            for (name, value) in UNPRIVILEGED {
                sysctl::set(name, value)?;
            }
        }
        config.sysctls.iter().try_for_each(|(name, value)| sysctl::set(name, value))
    })
}

/// The namespaces that are there for the sandbox's containers. One of an earlier version has none.
pub(super) fn joined(directory: &Path) -> Vec<Joined> {
    let joined = |kind: Kind| {
        let path = directory.join(kind.file());
        let name = if kind == Kind::Network { "network" } else { kind.file() };
        path.exists().then(|| Joined { kind: name.to_owned(), path })
    };
    Kind::ALL.into_iter().filter_map(joined).collect()
}

pub(super) fn shared_memory(directory: &Path) -> Option<PathBuf> {
    Some(directory.join(SHARED_MEMORY)).filter(|path| path.is_dir())
}

impl Embedded {
    /// Starts the process that keeps the PID namespace, where the pod has one and it is not running: containers are
    /// killed by the kernel with it, and started again in a new one.
    pub(super) async fn ensure_pause(&self, sandbox: &PodSandbox) -> RuntimeResult<()> {
        let options = sandbox.config.namespaces;
        if !options.share_process || options.host_pid {
            return Ok(());
        }
        // one at a time, or two containers would be started in two namespaces
        let _starting = self.inner.pausing.lock().await;
        let path = self.inner.places.pause_cgroup(sandbox);
        if !self.inner.cgroups.at(&path).processes().is_empty() {
            return Ok(());
        }
        let (inner, id, cgroup) = (Arc::clone(&self.inner), sandbox.id.clone(), path.clone());
        let forgotten = blocking(move || {
            let directory = inner.places.sandbox(&id);
            clean::end_cgroup(&inner.cgroups, &cgroup)
                .into_iter()
                .chain([Kind::Pid.file(), pause::PROGRAM].iter().flat_map(|name| clean::tree(&directory.join(name))))
                .next()
        });
        if let Some(leftover) = forgotten.await? {
            return Err(anyhow::anyhow!("cannot remove what is left of the pod's first process: {leftover}").into());
        }
        let child = tokio::process::Command::new(&self.inner.settings.program)
            .arg0("bootstrap")
            .arg(pause::COMMAND)
            .arg(self.inner.places.sandbox(&sandbox.id))
            .arg(path)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output();
        let said = tokio::time::timeout(PATIENCE, child).await.context("the pod's first process does not start")?;
        let said = said.with_context(|| format!("cannot start `{}`", self.inner.settings.program.display()))?;
        Ok(pause::outcome(&said.stdout).context("cannot start the pod's first process")?)
    }
}
