//! Takes away what a broken reset would leave: processes, mounts and control groups of one root directory.
//!
//! It knows nothing of how they were made.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bootstrap::layout::Layout;
use bootstrap::linux::cgroup::Cgroups;
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A killed process ends at once, unless the kernel holds it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn sweep(root: &Path) {
    let groups = control_groups(root);
    // a runner first, or it starts again what is ended
    for pid in runners(root).into_iter().chain(groups.iter().flat_map(|group| processes(group))) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        let begin = Instant::now();
        while Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok() && begin.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
    }
    for mount in mounts(root).into_iter().rev() {
        let _ = umount2(&mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW);
    }
    for group in groups.iter().flat_map(|group| below(group)) {
        let _ = fs::remove_dir(group);
    }
}

/// The instance's control groups, one for each hierarchy.
pub(crate) fn control_groups(root: &Path) -> Vec<PathBuf> {
    let instance = Layout::new(root).instance();
    let cgroups = Cgroups::detect().unwrap();
    cgroups.mount_points().map(|mount| mount.join(&instance)).filter(|group| group.exists()).collect()
}

/// A control group and those in it, innermost first.
fn below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let children = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut groups: Vec<_> = children.flat_map(|entry| below(&entry.path())).collect();
    groups.push(group.to_owned());
    groups
}

/// The processes in a control group and in those below it.
pub(crate) fn processes(group: &Path) -> Vec<i32> {
    let read = |group: &PathBuf| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> =
        below(group).iter().flat_map(|group| read(group).lines().flat_map(str::parse).collect::<Vec<_>>()).collect();
    pids.sort_unstable();
    pids.dedup();
    pids
}

/// Processes of the program that were told this root directory.
pub(crate) fn runners(root: &Path) -> Vec<i32> {
    let flag = format!("--root={}", root.display());
    let all = procfs::process::all_processes().unwrap().flatten();
    let ours = all.filter(|process| process.cmdline().is_ok_and(|arguments| arguments.contains(&flag)));
    ours.map(|process| process.pid()).collect()
}

/// Everything mounted below a directory, in the order of mounting.
pub(crate) fn mounts(root: &Path) -> Vec<PathBuf> {
    let mounts = procfs::process::Process::myself().unwrap().mountinfo().unwrap();
    mounts.into_iter().map(|mount| mount.mount_point).filter(|path| path.starts_with(root)).collect()
}
