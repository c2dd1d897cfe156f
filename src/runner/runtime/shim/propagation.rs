//! What is mounted below one of a container's mounts later, and who sees it: each mount for itself [4.64].
//!
//! The library has one propagation for all mounts of a container, the most open one asked for. The others are given
//! copies of their sources that the machine does not follow, so that a mount inside another does not appear on the
//! machine, and get what they ask for while the container's first process waits to be started.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{Context, Result};
use crate::linux::mount::{self, MsFlags};
use crate::runner::runtime::{ContainerConfig, Mount, Propagation, spec};

/// Directory of the copies, in the container's; seen in the creator's mount namespace only.
const COPIES: &str = "mounts";

/// Replaces the sources, which are free of symbolic links, by copies in this process's own mount namespace.
pub(super) fn copy_sources(config: &mut ContainerConfig, directory: &Path) -> Result<()> {
    if is_private(config) {
        return Ok(());
    }
    let copies = directory.join(COPIES);
    for (index, mount) in config.mounts.iter_mut().enumerate() {
        let Some(flags) = closing(mount.propagation) else { continue };
        let (source, copy) = (&mount.host_path, copies.join(index.to_string()));
        let failed = || format!("cannot copy the mount of `{}`", source.display());
        let made = match fs::metadata(source).with_context(failed)?.is_dir() {
            true => fs::create_dir_all(&copy),
            false => fs::create_dir_all(&copies).and_then(|()| File::create(&copy).map(drop)),
        };
        made.and_then(|()| mount::bind_all(source, &copy)).with_context(failed)?;
        mount::set_propagation(&copy, flags | MsFlags::MS_REC).with_context(failed)?;
        mount.host_path = copy;
    }
    Ok(())
}

fn is_private(config: &ContainerConfig) -> bool {
    config.mounts.iter().all(|mount| mount.propagation == Propagation::Private)
}

/// Enters the mount namespace of the container whose first process is `pid`: the last that the caller does.
pub(super) fn apply(config: &ContainerConfig, pid: u32) -> Result<()> {
    if is_private(config) {
        return Ok(());
    }
    // in the order of mounting, as the container sees them; its own /proc would not show this process
    let mounted = mount::mounts_of(pid)?;
    mount::enter(pid).context("cannot enter the container's mount namespace")?;
    let resolve = |mount: &Mount| {
        let target = spec::normalize(&mount.container_path);
        // the image's symbolic links have been followed by what mounted there
        let resolved = target.canonicalize();
        let resolved = resolved.with_context(|| format!("cannot find the mount at `{}`", target.display()))?;
        Ok((resolved, mount.propagation))
    };
    let own = config.mounts.iter().map(resolve).collect::<Result<Vec<_>>>()?;
    for path in mounted.iter().map(|mounted| mounted.path.as_path()).filter(|path| *path != Path::new("/")) {
        let Some(flags) = closed_to(&own, path) else { continue };
        mount::set_propagation(path, flags)
            .with_context(|| format!("cannot set the propagation of the mount at `{}`", path.display()))?;
    }
    Ok(())
}

/// How the mount at `path` is closed: as the innermost of the container's `own` that it belongs to asks, and what the
/// engine mounts is private.
fn closed_to(own: &[(PathBuf, Propagation)], path: &Path) -> Option<MsFlags> {
    let innermost = own
        .iter()
        .filter(|(target, _)| path.starts_with(target))
        .max_by_key(|(target, _)| target.components().count())
        .map_or(Propagation::Private, |(_, propagation)| *propagation);
    closing(innermost)
}

/// `None`: it stays open in both directions.
fn closing(propagation: Propagation) -> Option<MsFlags> {
    match propagation {
        Propagation::Private => Some(MsFlags::MS_PRIVATE),
        Propagation::HostToContainer => Some(MsFlags::MS_SLAVE),
        Propagation::Bidirectional => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let own = [
            (PathBuf::from("/a"), Propagation::Private),
            (PathBuf::from("/a/both"), Propagation::Bidirectional),
            (PathBuf::from("/in"), Propagation::HostToContainer),
        ];
        let cases = [
            ("/a", Some(MsFlags::MS_PRIVATE)),
            ("/a/sub", Some(MsFlags::MS_PRIVATE)),
            ("/a/both", None),
            ("/a/both/sub", None),
            ("/a/bothered", Some(MsFlags::MS_PRIVATE)),
            ("/in/sub", Some(MsFlags::MS_SLAVE)),
            ("/dev/shm", Some(MsFlags::MS_PRIVATE)),
        ];
        for (path, expected) in cases {
            assert_eq!(closed_to(&own, Path::new(path)), expected, "{path}");
        }
    }
}
