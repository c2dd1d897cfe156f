//! Looks at what preflight's checks depend on.

use nix::sys::statvfs::statvfs;
use nix::sys::sysinfo::sysinfo;

use super::{journal, ports};
use crate::desired::Desired;
use crate::error::Result;
use crate::layout::Layout;
use crate::linux::cgroup::Cgroups;
use crate::phase::undo::MadeKind;
use crate::preflight::{self, Machine};
use crate::release;

/// Looks at the machine.
pub fn look(layout: &Layout, desired: &Desired) -> Result<Machine> {
    Ok(Machine {
        is_root: nix::unistd::geteuid().is_root(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: sysinfo().map(|info| info.ram_total()).unwrap_or(u64::MAX),
        listeners: ports::listeners(layout, &preflight::ports(desired)),
        foreign_etcd_data: foreign_etcd_data(layout, desired),
        cgroups: match Cgroups::detect() {
            Ok(_) => preflight::Cgroups::Usable,
            Err(error) => preflight::Cgroups::Unusable(crate::error::chain_of(&error)),
        },
        has_overlayfs: has_overlayfs(),
        free_bytes: free_bytes(layout),
        kubelet: kubelet(),
        now: jiff::Timestamp::now().as_second(),
        source_date: release::SOURCE_DATE,
    })
}

fn foreign_etcd_data(layout: &Layout, desired: &Desired) -> bool {
    let Some(data_dir) = desired.config.etcd.local().map(|member| &member.data_dir) else { return false };
    let has_content = std::fs::read_dir(layout.under(data_dir)).is_ok_and(|mut entries| entries.next().is_some());
    let ours = || {
        journal::read(layout)
            .is_ok_and(|record| record.made.iter().any(|made| made.kind == MadeKind::Tree && made.path == *data_dir))
    };
    has_content && !ours()
}

/// Listed once it is loaded; a module that can be loaded is found by its file.
fn has_overlayfs() -> bool {
    let listed = std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with("\toverlay")));
    let release = nix::sys::utsname::uname().map(|name| name.release().to_string_lossy().into_owned());
    listed
        || release.is_ok_and(|release| {
            ["ko", "ko.xz", "ko.zst", "ko.gz"].iter().any(|suffix| {
                std::path::Path::new(&format!("/lib/modules/{release}/kernel/fs/overlayfs/overlay.{suffix}")).exists()
            })
        })
}

/// Free bytes of the file system that will hold our state: that of its nearest existing ancestor.
fn free_bytes(layout: &Layout) -> u64 {
    let state = layout.state();
    let place = state.ancestors().find(|path| path.exists());
    place.and_then(|path| statvfs(path).ok()).map_or(u64::MAX, |fs| fs.blocks_available() * fs.fragment_size())
}

/// A kubelet in this PID namespace.
fn kubelet() -> Option<i32> {
    procfs::process::all_processes()
        .ok()?
        .flatten()
        .find(|process| process.stat().is_ok_and(|stat| stat.comm == "kubelet"))
        .map(|process| process.pid())
}
