//! What containers and images use, and the change of a container's limits.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;

use super::{ContainerState, ContainerStats, Embedded, ImageFsInfo, Resources, RuntimeResult, blocking, limits};
use crate::error::Result;
use crate::runner::runtime::FilesystemUsage;
use crate::runner::runtime::shim::record;

/// What `du` counts in.
const BLOCK: u64 = 512;

impl Embedded {
    /// Of every container that runs; one that ends meanwhile is left out.
    pub(super) async fn count_usage(&self) -> Result<Vec<ContainerStats>> {
        let entries: Vec<_> = self.known().containers.values().cloned().collect();
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let running =
                entries.iter().filter(|entry| matches!(*entry.state.borrow(), ContainerState::Running { .. }));
            running
                .filter_map(|entry| {
                    let usage = inner.cgroups.at(&entry.record.cgroup).usage()?;
                    Some(ContainerStats {
                        id: entry.record.id.clone(),
                        taken_at: Timestamp::now(),
                        cpu_usage: usage.cpu,
                        memory_usage: usage.memory,
                        memory_working_set: usage.working_set,
                        pids: usage.processes,
                    })
                })
                .collect()
        })
        .await
    }

    /// Sets the limits that are named, and remembers them.
    pub(super) async fn limit_container(&self, id: &str, changed: &Resources) -> RuntimeResult<()> {
        let entry = self.entry(id)?;
        let old = entry.resources();
        let resources = Resources {
            cpu_shares: changed.cpu_shares.or(old.cpu_shares),
            cpu_quota: changed.cpu_quota.or(old.cpu_quota),
            cpu_period: changed.cpu_period.or(old.cpu_period),
            memory_limit: changed.memory_limit.or(old.memory_limit),
            pids_limit: changed.pids_limit.or(old.pids_limit),
            // of a process, not of its cgroup
            oom_score_adj: old.oom_score_adj,
        };
        let inner = Arc::clone(&self.inner);
        let warnings = blocking(move || -> Result<Vec<String>> {
            let warnings = inner.cgroups.at(&entry.record.cgroup).limit(&limits(&resources, true))?;
            let mut record = entry.record.clone();
            record.config.resources = resources.clone();
            record::store(entry.directory.join(record::CONTAINER), &record)?;
            *entry.resources.lock().unwrap_or_else(PoisonError::into_inner) = resources;
            Ok(warnings)
        });
        self.warn_once(warnings.await??);
        Ok(())
    }

    pub(super) async fn disk_usage(&self) -> Result<ImageFsInfo> {
        let (store, pods) = (self.inner.puller.store().clone(), self.inner.places.pods().to_owned());
        blocking(move || {
            let images = FilesystemUsage { bytes: store.layers_size()?, directory: store.directory().to_owned() };
            Ok(ImageFsInfo { images, containers: FilesystemUsage { bytes: size_of(&pods), directory: pods } })
        })
        .await?
    }
}

/// Bytes that the files below a directory take on its disk. Neither links nor mounts are followed; what goes meanwhile
/// counts nothing.
fn size_of(root: &Path) -> u64 {
    let Ok(device) = fs::symlink_metadata(root).map(|root| root.dev()) else { return 0 };
    let (mut bytes, mut directories) = (0, vec![root.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let Ok(found) = fs::symlink_metadata(entry.path()) else { continue };
            if found.dev() != device {
                continue;
            }
            bytes += found.blocks() * BLOCK;
            if found.is_dir() {
                directories.push(entry.path());
            }
        }
    }
    bytes
}
