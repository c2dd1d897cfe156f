//! Finding what earlier runners have left, and removing what must not stay. Blocking.
//!
//! A process is ended by its cgroup, or by an identity that a later process cannot have. Directories go without
//! entering mounts or following links.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::container::Entry;
use super::namespaces;
use super::places::Places;
use super::sandbox::{self, SandboxRecord};
use super::watch::exit_on_file;
use super::{ContainerState, PodSandbox, tiers};
use crate::error::{Context, Result, chain_of};
use crate::linux::cgroup::Cgroups;
use crate::linux::process::{Identity, boot_id};
use crate::linux::{Leftover, mount, remove_tree};
use crate::runner::runtime::shim::record::{self, ContainerRecord};

const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// Unmounts what is mounted in `path` and removes it; returns what is left.
pub(super) fn tree(path: &Path) -> Vec<Leftover> {
    let unmounted = mount::unmount_below(path).unwrap_or_else(|error| vec![leftover(path, &error)]);
    let removed = remove_tree(path).unwrap_or_else(|error| vec![leftover(path, &error)]);
    unmounted.into_iter().chain(removed).collect()
}

fn leftover(path: &Path, error: &anyhow::Error) -> Leftover {
    Leftover { path: path.to_owned(), reason: chain_of(error) }
}

/// Removes a container in whatever state it is: shim, processes, cgroup, files.
pub(super) fn container(cgroups: &Cgroups, directory: &Path, writable: &Path, cgroup: &Path) -> Vec<Leftover> {
    let mut leftovers = Vec::new();
    // first of all, so that nothing new is started
    if let Err(error) = end_shim(directory) {
        leftovers.push(leftover(directory, &error));
    }
    leftovers.extend(end_cgroup(cgroups, cgroup));
    if leftovers.is_empty() {
        // the record goes last: as long as there are files, the next runner tries again
        leftovers.extend(tree(writable));
        leftovers.extend(tree(directory));
    }
    leftovers
}

/// Kills the shim that holds the lock of a container.
fn end_shim(directory: &Path) -> Result<()> {
    let Ok(identity) = record::load::<Identity>(directory.join(record::LOCK)) else { return Ok(()) };
    if let Some(shim) = identity.open().context("cannot find the shim")? {
        shim.signal(nix::libc::SIGKILL).context("cannot kill the shim")?;
        anyhow::ensure!(shim.wait(Some(KILL_TIMEOUT))?, "the shim cannot be killed");
    }
    Ok(())
}

pub(super) fn end_cgroup(cgroups: &Cgroups, path: &Path) -> Option<Leftover> {
    let cgroup = cgroups.at(path);
    let end = || -> Result<()> {
        anyhow::ensure!(cgroup.kill_and_wait(KILL_TIMEOUT)?, "its processes cannot be killed");
        cgroup.remove()
    };
    end().err().map(|error| Leftover { path: Path::new("cgroup").join(path), reason: chain_of(&error) })
}

/// Reads all state; what is half made, of an earlier boot or of nobody is removed.
///
/// # Errors
/// When a record is there but cannot be read: what it stands for may well run, and is left alone.
pub(super) fn sort_out(
    places: &Places,
    cgroups: &Cgroups,
    boot_id: &str,
) -> Result<(Vec<PodSandbox>, Vec<Arc<Entry>>)> {
    let (mut sandboxes, mut entries) = (Vec::new(), Vec::new());
    for directory in directories(&places.sandboxes()) {
        let found = record::load_if_exists::<SandboxRecord>(&directory.join(sandbox::FILE));
        match found {
            Ok(Some(record)) if record.boot_id == boot_id => {
                for found in containers(&directory) {
                    entries.extend(restore_container(places, cgroups, &record.sandbox, &found)?);
                }
                sandboxes.push(record.sandbox);
            }
            Err(error) if is_unreadable(&error) => return Err(error),
            // what it ran has ended with its boot
            Ok(Some(_)) => warn(tree(&directory)),
            // half made, or a file cut short by a power failure: what runs is swept away below
            Ok(None) | Err(_) => half_made(places, &name(&directory)),
        }
    }
    sweep(places, cgroups, &sandboxes, &entries);
    Ok((sandboxes, entries))
}

/// Removes a sandbox that nobody knows.
pub(super) fn half_made(places: &Places, id: &str) {
    let directory = places.sandbox(id);
    for shim in containers(&directory) {
        warn(end_shim(&shim).err().map(|error| leftover(&shim, &error)));
    }
    warn(tree(&directory));
}

/// The file is there, and the disk or the kernel does not give it.
fn is_unreadable(error: &anyhow::Error) -> bool {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.map(io::Error::kind).any(|kind| kind != io::ErrorKind::NotFound)
}

fn restore_container(
    places: &Places,
    cgroups: &Cgroups,
    sandbox: &PodSandbox,
    directory: &Path,
) -> Result<Option<Arc<Entry>>> {
    let load = || -> Result<Option<(ContainerRecord, ContainerState)>> {
        if !directory.join(record::PROCESS).exists() {
            return Ok(None);
        }
        let record = record::load(directory.join(record::CONTAINER))?;
        Ok(Some((record, exit_on_file(directory)?.unwrap_or(ContainerState::Created))))
    };
    match load() {
        Ok(Some((record, state))) => return Ok(Some(Entry::new(record, directory.to_owned(), state))),
        // half made, or half removed
        Ok(None) => {}
        Err(error) if is_unreadable(&error) => return Err(error),
        Err(error) => tracing::warn!("removing container `{}`: {}", name(directory), chain_of(&error)),
    }
    let (pod, id) = (&sandbox.config, name(directory));
    let (writable, cgroup) = (places.writable(&pod.metadata.uid, &id), places.container_cgroup(pod, &id));
    warn(container(cgroups, directory, &writable, &cgroup));
    Ok(None)
}

/// Removes cgroups and writable layers that belong to no container.
fn sweep(places: &Places, cgroups: &Cgroups, sandboxes: &[PodSandbox], entries: &[Arc<Entry>]) {
    let pods: Vec<_> = sandboxes.iter().map(|sandbox| places.pod_cgroup(&sandbox.config)).collect();
    let pauses: Vec<_> = sandboxes.iter().map(|sandbox| places.pause_cgroup(sandbox)).collect();
    let parents = tiers::PARENTS.map(|parent| places.parent_cgroup(parent));
    let stays = |path: &PathBuf| parents.contains(path) || *path == places.shims_cgroup();
    let found = parents.iter().flat_map(|parent| cgroups.at(parent).below());
    for pod in found.filter(|path| !stays(path)) {
        if !pods.contains(&pod) {
            warn(end_cgroup(cgroups, &pod));
            continue;
        }
        let is_known =
            |path: &PathBuf| pauses.contains(path) || entries.iter().any(|entry| entry.record.cgroup == *path);
        for container in cgroups.at(&pod).below().into_iter().filter(|path| !is_known(path)) {
            warn(end_cgroup(cgroups, &container));
        }
    }
    for uid in directories(places.pods()) {
        let layers = places.layers(&name(&uid));
        let is_known = |path: &PathBuf| entries.iter().any(|entry| entry.record.writable == *path);
        for writable in directories(&layers).into_iter().filter(|path| !is_known(path)) {
            warn(tree(&writable));
        }
        // what else there is of the pod stays
        let _ = fs::remove_dir(layers).and_then(|()| fs::remove_dir(uid));
    }
}

pub(super) fn tear_down(places: &Places) -> Result<Vec<Leftover>> {
    let mut leftovers = Vec::new();
    let this_boot = boot_id().context("cannot read the boot id")?;
    for sandbox in directories(&places.sandboxes()) {
        // identities of an earlier boot may be anybody's now
        let record = record::load_if_exists::<SandboxRecord>(&sandbox.join(sandbox::FILE));
        if record.is_ok_and(|record| record.is_none_or(|record| record.boot_id == this_boot)) {
            let shims = containers(&sandbox)
                .into_iter()
                .filter_map(|directory| end_shim(&directory).err().map(|error| leftover(&directory, &error)));
            leftovers.extend(shims);
        }
    }
    match Cgroups::detect() {
        // everything the instance runs is in here, shims too
        Ok(cgroups) => leftovers.extend(end_cgroup(&cgroups, &places.cgroup())),
        Err(error) => leftovers.push(leftover(Path::new("cgroups"), &error)),
    }
    leftovers.extend(tree(&places.sandboxes()));
    leftovers.extend(tree(places.pods()));
    Ok(leftovers)
}

fn directories(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// The directories of a sandbox's containers.
fn containers(sandbox: &Path) -> Vec<PathBuf> {
    directories(sandbox).into_iter().filter(|path| !path.ends_with(namespaces::SHARED_MEMORY)).collect()
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Lets go of what a sandbox's containers have shared: none of them is left.
pub(super) fn shared(cgroups: &Cgroups, places: &Places, sandbox: &PodSandbox) -> Vec<Leftover> {
    let directory = places.sandbox(&sandbox.id);
    let mut leftovers: Vec<_> = end_cgroup(cgroups, &places.pause_cgroup(sandbox)).into_iter().collect();
    leftovers.extend(mount::unmount_below(&directory).unwrap_or_else(|error| vec![leftover(&directory, &error)]));
    leftovers
}

fn warn(leftovers: impl IntoIterator<Item = Leftover>) {
    for leftover in leftovers {
        tracing::warn!("cannot remove {leftover}");
    }
}
