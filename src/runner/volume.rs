//! The volumes of a pod: made ready before its first container, taken away when the pod is gone [4].
//!
//! Only volumes that a container mounts count [4.1]. Whatever fails is told in the kubelet's words and tried again: all
//! of it may be done twice. What a volume holds lives as long as the pod's UID, over restarts of its containers, of the
//! runner and, on a disk, of the machine [4.23].

mod downward;
mod empty_dir;
pub mod env_file;
mod host_path;
mod ownership;
pub mod sub_path;

use std::path::{Path, PathBuf};

use super::node::Node;
use super::pod::{Container, Pod, Volume, VolumeSource};
use crate::error::{Result, chain_of};
use crate::image::policy::PullPolicy;
use crate::layout::{Layout, PRIVATE_DIRECTORY};
use crate::linux::{Leftover, mount, remove_tree};

/// Makes ready every volume that the pod's containers mount. Blocks.
pub fn prepare(pod: &Pod, node: &Node, layout: &Layout) -> std::result::Result<(), String> {
    let mounts = || pod.containers.iter().flat_map(|container| &container.mounts);
    for volume in pod.volumes.iter().filter(|volume| mounts().any(|mount| mount.volume == volume.name)) {
        set_up(volume, pod, node, layout)
            .map_err(|cause| format!("MountVolume.SetUp failed for volume \"{}\" : {cause}", volume.name))?;
    }
    Ok(())
}

fn set_up(volume: &Volume, pod: &Pod, node: &Node, layout: &Layout) -> std::result::Result<(), String> {
    let directory = place(volume, pod, layout);
    let own = |made: Result<()>| made.map_err(|error| chain_of(&error));
    let parent = || crate::files::make_directory(&volumes(layout, &pod.uid), PRIVATE_DIRECTORY);
    match &volume.source {
        VolumeSource::HostPath { kind, .. } => host_path::prepare(&directory, *kind),
        VolumeSource::EmptyDir { medium, size_limit } => {
            own(parent().and_then(|_| empty_dir::prepare(&directory, *medium, *size_limit, pod, node)))
        }
        VolumeSource::DownwardApi { files } => {
            let files = downward::payload(files, pod, node)?;
            own(parent().and_then(|_| downward::prepare(&directory, &files, pod.fs_group)))
        }
        // the runtime mounts it, when a container is created
        VolumeSource::Image { .. } => Ok(()),
    }
}

/// Where the volume is on the machine.
pub fn place(volume: &Volume, pod: &Pod, layout: &Layout) -> PathBuf {
    match &volume.source {
        VolumeSource::HostPath { path, .. } => layout.under(path),
        VolumeSource::EmptyDir { .. } | VolumeSource::DownwardApi { .. } | VolumeSource::Image { .. } => {
            volumes(layout, &pod.uid).join(&volume.name)
        }
    }
}

/// The images that the container mounts, with the policies by which they are fetched.
pub fn images<'a>(pod: &'a Pod, container: &'a Container) -> impl Iterator<Item = (&'a str, PullPolicy)> {
    let is_mounted = |volume: &&Volume| container.mounts.iter().any(|mount| mount.volume == volume.name);
    pod.volumes.iter().filter(is_mounted).filter_map(|volume| match &volume.source {
        VolumeSource::Image { image, pull } => Some((image.as_str(), *pull)),
        _ => None,
    })
}

fn volumes(layout: &Layout, uid: &str) -> PathBuf {
    layout.pods().join(uid).join("volumes")
}

/// Removes what was made for the pod, never through a mount that is not its own. Blocks.
pub fn remove(layout: &Layout, uid: &str) -> Result<Vec<Leftover>> {
    let mut leftovers = Vec::new();
    for directory in [sub_path::directory(layout, uid), volumes(layout, uid)] {
        leftovers.extend(remove_mounted(&directory)?);
    }
    crate::files::remove_file(&super::container::hosts_file(layout, uid))?;
    // other data of the pod may be there
    let _ = std::fs::remove_dir(layout.pods().join(uid));
    Ok(leftovers)
}

fn remove_mounted(directory: &Path) -> Result<Vec<Leftover>> {
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let mut leftovers = mount::unmount_below(directory)?;
    if leftovers.is_empty() {
        leftovers = remove_tree(directory)?;
    }
    Ok(leftovers)
}
