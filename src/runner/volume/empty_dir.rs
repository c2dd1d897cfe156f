//! emptyDir volumes: a directory that everybody in the pod may write, on the disk or in memory [4.C].

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::ownership;
use crate::error::{Context, Result};
use crate::linux::mount;
use crate::runner::node::Node;
use crate::runner::pod::{Medium, Pod};
use crate::runner::resources;

/// On the disk.
const MODE: u32 = 0o777;

pub(super) fn prepare(directory: &Path, medium: Medium, size_limit: Option<i64>, pod: &Pod, node: &Node) -> Result<()> {
    let is_new = match fs::create_dir(directory) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error).with_context(|| format!("cannot make `{}`", directory.display())),
    };
    let is_mounted = || Ok::<_, anyhow::Error>(mount::mounts()?.iter().any(|mounted| mounted.path == directory));
    if medium == Medium::Memory && !is_mounted()? {
        mount::tmpfs(directory, &format!("size={}", size(size_limit, pod, node)))
            .with_context(|| format!("cannot mount a tmpfs at `{}`", directory.display()))?;
        // its root has the kernel's mode, 1777
    } else if is_new {
        fs::set_permissions(directory, fs::Permissions::from_mode(MODE))
            .with_context(|| format!("cannot set the mode of `{}`", directory.display()))?;
    } else {
        // what the pod has made of it stays
        return Ok(());
    }
    ownership::apply(directory, pod.fs_group, ownership::Access::Writable)
}

/// The smallest of its own limit, the pod's and the machine's [4.21].
fn size(size_limit: Option<i64>, pod: &Pod, node: &Node) -> i64 {
    let limits = [size_limit, resources::of_pod(pod).memory_limit, Some(node.memory)];
    limits.into_iter().flatten().filter(|limit| *limit > 0).min().unwrap_or(node.memory)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::runner::testing;

    #[test]
    fn anybody_may_write_whatever_the_umask_and_what_is_written_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (pod, node) = (testing::pod("a"), testing::node());
        let grouped = Pod { fs_group: Some(4242), ..pod.clone() };
        for (name, medium, pod, mode, group) in [
            ("disk", Medium::Disk, &pod, 0o777, 0),
            ("disk of a group", Medium::Disk, &grouped, 0o2777, 4242),
            ("memory", Medium::Memory, &pod, 0o1777, 0),
            ("memory of a group", Medium::Memory, &grouped, 0o3777, 4242),
        ] {
            let volume = directory.path().join(name);
            for _ in 0..2 {
                prepare(&volume, medium, Some(1 << 20), pod, &node).unwrap();
                let found = fs::metadata(&volume).unwrap();
                assert_eq!((found.mode() & 0o7777, found.gid()), (mode, group), "{name}");
                fs::write(volume.join("file"), "x").unwrap();
            }
            assert_eq!(fs::read_dir(&volume).unwrap().count(), 1, "{name}");
            let mounted = mount::mounts().unwrap().into_iter().filter(|mounted| mounted.path == volume).count();
            assert_eq!(mounted, usize::from(medium == Medium::Memory), "{name}");
        }
        let full = fs::write(directory.path().join("memory/file"), vec![0; 2 << 20]).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(super::super::remove_mounted(directory.path()).unwrap(), []);
    }
}
