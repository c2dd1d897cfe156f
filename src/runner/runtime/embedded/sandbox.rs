//! Sandboxes: the pod's cgroup, its log directory and the files that all its containers see.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::container::Entry;
use super::{
    Embedded, PodSandbox, PodSandboxConfig, RuntimeError, RuntimeResult, blocking, clean, limits, namespaces, places,
};
use crate::error::{Context, Result, chain_of};
use crate::layout::{PRIVATE_DIRECTORY, PUBLIC_DIRECTORY};
use crate::linux::Leftover;
use crate::linux::namespace::Kind;
use crate::runner::runtime::SandboxState;
use crate::runner::runtime::shim::record;

pub(super) const FILE: &str = "sandbox.json";
/// Files of the node that a hostNetwork pod sees, with their names in the sandbox's directory [3.90, 3.92, 3.93].
const MANAGED: [(&str, &str); 3] =
    [("/etc/hosts", "hosts"), ("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname")];

/// `sandbox.json`; a directory without it is half made.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SandboxRecord {
    /// Nothing of an earlier boot runs any more, whatever the files say.
    pub(super) boot_id: String,
    pub(super) sandbox: PodSandbox,
}

/// Container path and source of those that exist.
pub(super) fn managed_files(directory: &Path) -> Vec<(PathBuf, PathBuf)> {
    let files = MANAGED.iter().map(|(target, name)| (PathBuf::from(target), directory.join(name)));
    files.filter(|(_, source)| source.exists()).collect()
}

impl Embedded {
    pub(super) async fn make_sandbox(&self, config: &PodSandboxConfig) -> RuntimeResult<PodSandbox> {
        check(config)?;
        let id = places::new_id().context("cannot make an id")?;
        let mut sandbox = PodSandbox {
            id,
            state: SandboxState::Ready,
            created_at: Timestamp::now(),
            ips: Vec::new(),
            config: config.clone(),
        };
        let runtime = self.clone();
        let prepared = blocking(move || {
            let prepared = runtime.prepare(&mut sandbox);
            match &prepared {
                Ok(_) => {
                    runtime.known().sandboxes.insert(sandbox.id.clone(), sandbox.clone());
                    runtime.share_out_now();
                }
                Err(_) => runtime.unmake(&sandbox.id),
            }
            prepared.map(|warnings| (sandbox, warnings))
        });
        let (sandbox, warnings) = prepared.await??;
        self.warn_once(warnings);
        Ok(sandbox)
    }

    /// After a failure.
    fn unmake(&self, id: &str) {
        if let Err(error) = self.inner.network.detach(id) {
            tracing::warn!("{}", chain_of(&error));
        }
        clean::half_made(&self.inner.places, id);
    }

    fn prepare(&self, sandbox: &mut PodSandbox) -> Result<Vec<String>> {
        let config = &sandbox.config;
        let directory = self.inner.places.sandbox(&sandbox.id);
        crate::files::make_directory(&directory, PRIVATE_DIRECTORY)?;
        crate::files::make_directory(&config.log_directory, PUBLIC_DIRECTORY)?;
        for (path, name) in MANAGED {
            let content = match (name, &config.dns) {
                ("hostname", _) => Some(format!("{}\n", config.hostname).into_bytes()),
                ("resolv.conf", Some(dns)) => Some(dns.to_string().into_bytes()),
                _ => crate::files::read_if_exists(Path::new(path))?,
            };
            if let Some(content) = content {
                crate::files::write(&directory.join(name), &content, crate::layout::PUBLIC_FILE)?;
            }
        }
        namespaces::make(&directory, config)?;
        if !config.namespaces.host_network {
            let network = directory.join(Kind::Network.file());
            sandbox.ips = self.inner.network.attach(&sandbox.id, config, &network)?;
        }
        let cgroup = self.inner.cgroups.at(self.inner.places.pod_cgroup(config));
        cgroup.create()?;
        let warnings = cgroup.limit(&limits(&config.resources, false))?;
        self.store(sandbox)?;
        Ok(warnings)
    }

    fn store(&self, sandbox: &PodSandbox) -> Result<()> {
        let record = SandboxRecord { boot_id: self.inner.boot_id.clone(), sandbox: sandbox.clone() };
        record::store(self.inner.places.sandbox(&sandbox.id).join(FILE), &record)
    }

    fn containers_of(&self, sandbox: &str) -> Vec<Arc<Entry>> {
        let known = self.known();
        known.containers.values().filter(|entry| entry.record.sandbox_id == sandbox).cloned().collect()
    }

    pub(super) async fn end_sandbox(&self, id: &str) -> RuntimeResult<()> {
        let entries = self.containers_of(id);
        let killed = join_all(entries.iter().filter(|entry| !entry.has_exited()).map(|entry| entry.kill())).await;
        killed.into_iter().collect::<Result<Vec<_>>>()?;
        self.release(id).await?;
        let ended = match self.known().sandboxes.get_mut(id) {
            Some(sandbox) if sandbox.state == SandboxState::Ready => {
                sandbox.state = SandboxState::NotReady;
                sandbox.clone()
            }
            _ => return Ok(()),
        };
        self.share_out().await?;
        Ok(self.store(&ended)?)
    }

    /// Lets go of what the sandbox's containers have shared; what is gone already is no error.
    async fn release(&self, id: &str) -> Result<()> {
        let Some(sandbox) = self.known().sandboxes.get(id).cloned() else { return Ok(()) };
        let inner = Arc::clone(&self.inner);
        let released = blocking(move || -> Result<Vec<Leftover>> {
            if !sandbox.config.namespaces.host_network {
                inner.network.detach(&sandbox.id)?;
            }
            Ok(clean::shared(&inner.cgroups, &inner.places, &sandbox))
        });
        match released.await??.first() {
            Some(leftover) => anyhow::bail!("cannot stop pod sandbox `{id}`: {leftover}"),
            None => Ok(()),
        }
    }

    pub(super) async fn forget_sandbox(&self, id: &str) -> RuntimeResult<()> {
        let Some(sandbox) = self.known().sandboxes.get(id).cloned() else { return Ok(()) };
        let entries = self.containers_of(id);
        let removed = join_all(entries.iter().map(|entry| self.forget_container(&entry.record.id))).await;
        removed.into_iter().collect::<Result<Vec<_>>>()?;
        self.release(id).await?;
        let config = sandbox.config;
        let others: Vec<_> = self.known().sandboxes.values().filter(|other| other.id != id).cloned().collect();
        let (inner, id_) = (Arc::clone(&self.inner), id.to_owned());
        blocking(move || -> Result<()> {
            let cgroup = inner.places.pod_cgroup(&config);
            // a later sandbox of the pod may be elsewhere, if the pod is of another class by then
            if !others.iter().any(|other| inner.places.pod_cgroup(&other.config) == cgroup) {
                inner.cgroups.at(cgroup).remove()?;
            }
            let uid = config.metadata.uid;
            if !others.iter().any(|other| other.config.metadata.uid == uid) {
                // what the runner keeps there of the pod stays
                for empty in [inner.places.layers(&uid), inner.places.pods().join(&uid)] {
                    let _ = fs::remove_dir(empty);
                }
            }
            match clean::tree(&inner.places.sandbox(&id_)).first() {
                Some(leftover) => anyhow::bail!("cannot remove pod sandbox `{id_}`: {leftover}"),
                None => Ok(()),
            }
        })
        .await??;
        self.known().sandboxes.remove(id);
        Ok(self.share_out().await?)
    }

    /// Finds what an earlier runner has left, adopts what lives and removes what is of no use.
    pub(super) async fn restore(&self) -> Result<()> {
        let runtime = self.clone();
        let found =
            blocking(move || clean::sort_out(&runtime.inner.places, &runtime.inner.cgroups, &runtime.inner.boot_id));
        let (sandboxes, entries) = found.await??;
        let (network, of_network) = (Arc::clone(&self.inner.network), sandboxes.clone());
        let is_up = |sandbox: &&PodSandbox| sandbox.state == SandboxState::Ready;
        if let Err(error) = blocking(move || network.restore(of_network.iter().filter(is_up))).await? {
            // what runs goes on
            tracing::warn!("cannot put the pods' network in order: {}", chain_of(&error));
        }
        let adopted = join_all(entries.iter().map(|entry| self.adopt(entry))).await;
        for (entry, adopted) in entries.into_iter().zip(adopted) {
            if let Err(error) = adopted {
                // the watcher goes on trying
                tracing::warn!("cannot adopt container `{}` yet: {}", entry.record.id, chain_of(&error));
            }
            self.known().containers.insert(entry.record.id.clone(), Arc::clone(&entry));
            if !entry.has_exited() {
                self.watch(&entry);
            }
        }
        self.known().sandboxes.extend(sandboxes.into_iter().map(|sandbox| (sandbox.id.clone(), sandbox)));
        self.make_tiers().await
    }
}

fn check(config: &PodSandboxConfig) -> RuntimeResult<()> {
    let pod = format!("{}/{}", config.metadata.namespace, config.metadata.name);
    if !places::is_component(&config.metadata.uid) {
        return Err(RuntimeError::BadConfig(format!(
            "pod `{pod}`: uid `{}` cannot name a directory",
            config.metadata.uid
        )));
    }
    if !config.log_directory.is_absolute() {
        let path = config.log_directory.display();
        return Err(RuntimeError::BadConfig(format!("pod `{pod}`: log directory `{path}` is not absolute")));
    }
    Ok(())
}
