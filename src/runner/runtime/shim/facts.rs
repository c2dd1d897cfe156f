//! What the machine and the mounted image say about a container to be.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use libcontainer::oci_spec::runtime::Spec;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{major, minor};

use super::record::ContainerRecord;
use crate::error::{Context, Result};
use crate::linux::cgroup::Cgroups;
use crate::linux::process::capability_bounding_set;
use crate::linux::rooted;
use crate::runner::runtime::spec::{CAPABILITIES, Device, Facts};

/// More than any image's; a larger file is no passwd.
const TEXT_LIMIT: u64 = 8 << 20;
/// What service managers give container engines; programs that close every possible file take for ever with more.
const OPEN_FILES: u64 = 1 << 20;

pub(super) fn gather(container: &ContainerRecord, cgroups: &Cgroups, rootfs: PathBuf) -> Result<Facts> {
    let text = |path: &str| -> Result<String> {
        let text = rooted::read_text(&rootfs, Path::new(path), TEXT_LIMIT);
        Ok(text.with_context(|| format!("cannot read the image's `{path}`"))?.unwrap_or_default())
    };
    let privileged = container.config.security.privileged;
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    let is_unified = cgroups.is_unified();
    Ok(Facts {
        passwd: text("/etc/passwd")?,
        group: text("/etc/group")?,
        rootfs,
        hostname: container.hostname.clone(),
        namespaces: container.namespaces,
        joined: container.joined.clone(),
        shared_memory: container.shared_memory.clone(),
        cgroup: Path::new("/").join(&container.cgroup),
        cgroup_hierarchies: if is_unified { Vec::new() } else { cgroups.mount_points().map(Path::to_owned).collect() },
        device_control: cgroups.has_controller("devices"),
        capabilities: capability_bounding_set().context("cannot read this process's capabilities")?,
        open_files: open_files.min(OPEN_FILES),
        devices: if privileged { devices(Path::new("/dev")) } else { Vec::new() },
        thermal_throttle: thermal_throttle(),
        has_mqueue: Path::new("/dev/mqueue").is_dir(),
        managed_files: container.managed_files.clone(),
    })
}

/// The mask of what the specification's process may use.
pub(super) fn held_capabilities(spec: &Spec) -> u64 {
    let capabilities = spec.process().as_ref().and_then(|process| process.capabilities().as_ref());
    let Some(effective) = capabilities.and_then(|capabilities| capabilities.effective().as_ref()) else { return 0 };
    let held = effective.iter().map(ToString::to_string);
    held.filter_map(|name| CAPABILITIES.iter().position(|known| *known == name)).fold(0, |mask, bit| mask | 1 << bit)
}

/// Every device node but terminals of others and what the library makes itself [3.75].
fn devices(directory: &Path) -> Vec<Device> {
    const SKIPPED: [&str; 6] = ["pts", "shm", "fd", "mqueue", "console", "ptmx"];
    let mut found = Vec::new();
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| !SKIPPED.iter().any(|name| entry.file_name() == *name)) {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            found.extend(devices(&path));
        } else if (kind.is_char_device() || kind.is_block_device())
            && let Ok(node) = entry.metadata()
        {
            found.push(Device {
                path,
                kind: if kind.is_block_device() { 'b' } else { 'c' },
                major: major(node.rdev()),
                minor: minor(node.rdev()),
                mode: node.mode(),
                uid: node.uid(),
                gid: node.gid(),
            });
        }
    }
    found
}

/// One for each processor, where the machine has them.
fn thermal_throttle() -> Vec<String> {
    let entries = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path().join("thermal_throttle")).filter(|path| path.is_dir());
    paths.filter_map(|path| path.to_str().map(str::to_owned)).collect()
}
