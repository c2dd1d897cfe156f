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
    let is_mounted = mount::mounts()?.iter().any(|mounted| mounted.path == directory);
    match medium {
        Medium::Memory if !is_mounted => {
            mount::tmpfs(directory, &format!("size={}", size(size_limit, pod, node)))
                .with_context(|| format!("cannot mount a tmpfs at `{}`", directory.display()))?;
            // its root has the kernel's mode, 1777
        }
        Medium::HugePages(page_size) if !is_mounted => huge_pages(directory, page_size)?,
        Medium::Disk if is_new => {
            fs::set_permissions(directory, fs::Permissions::from_mode(MODE))
                .with_context(|| format!("cannot set the mode of `{}`", directory.display()))?;
        }
        // what the pod has made of it stays
        Medium::Disk | Medium::Memory | Medium::HugePages(_) => return Ok(()),
    }
    ownership::apply(directory, pod.fs_group, ownership::Access::Writable)
}

fn huge_pages(directory: &Path, page_size: Option<i64>) -> Result<()> {
    let pages = page_size.map(|size| format!(",pagesize={size}")).unwrap_or_default();
    mount::hugetlbfs(directory, &format!("mode=1777{pages}")).with_context(|| {
        let of = page_size.map(|size| format!(" of {size} bytes")).unwrap_or_default();
        let sizes = page_sizes();
        let sizes = if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") };
        format!("cannot mount huge pages{of} at `{}` (sizes of this kernel: {sizes})", directory.display())
    })
}

/// As the kernel names them, `hugepages-2048kB`.
fn page_sizes() -> Vec<String> {
    let entries = fs::read_dir("/sys/kernel/mm/hugepages").into_iter().flatten().flatten();
    let mut sizes: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    sizes.sort();
    sizes
}

/// The smallest of its own limit, the pod's and the machine's [4.21].
fn size(size_limit: Option<i64>, pod: &Pod, node: &Node) -> i64 {
    let limits = [size_limit, resources::of_pod(pod, node).memory_limit, Some(node.memory)];
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

    #[test]
    fn huge_pages_are_mounted_where_the_kernel_has_them_and_refused_with_the_cause_where_not() {
        let directory = tempfile::tempdir().unwrap();
        let (pod, node) = (testing::pod("a"), testing::node());
        let prepared = |name: &str, size| {
            let volume = directory.path().join(name);
            let prepared = (0..2).try_for_each(|_| prepare(&volume, Medium::HugePages(size), None, &pod, &node));
            prepared.map(|()| {
                let mounted = mount::mounts().unwrap().into_iter().filter(|mounted| mounted.path == volume);
                mounted.map(|mounted| mounted.filesystem).collect::<Vec<_>>()
            })
        };
        let sizes = page_sizes().into_iter().filter_map(|name| {
            let kilobytes: i64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            Some((name, kilobytes << 10))
        });
        for (name, size) in sizes {
            assert_eq!(prepared(&name, Some(size)).unwrap(), ["hugetlbfs"], "{name}");
        }
        let refused = crate::error::chain_of(&prepared("odd", Some(12_345)).unwrap_err());
        assert!(refused.contains("huge pages of 12345 bytes") && refused.contains("sizes of this kernel"), "{refused}");
        assert_eq!(super::super::remove_mounted(directory.path()).unwrap(), []);
    }
}
