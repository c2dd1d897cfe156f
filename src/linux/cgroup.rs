//! Control groups of version 1, of version 2, and of both side by side, through their file system.
//!
//! In a hybrid set-up the controllers are version 1's; the version 2 tree beside them is left alone. A path here is
//! relative to the root of every hierarchy: the same in all of them.

mod limits;
mod usage;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use limits::Duty;
pub use limits::Limits;
pub use usage::Usage;

use super::mount::{MountPoint, mounts};
use super::pidfd::PidFd;
use crate::error::{Context, Fault, Result};

/// Where distributions mount control groups; the container runtime library looks nowhere else.
const ROOT: &str = "/sys/fs/cgroup";

/// The hierarchies of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    unified: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hierarchy {
    mount: PathBuf,
    /// Empty in version 2, where each cgroup lists its own.
    controllers: Vec<String>,
}

impl Cgroups {
    /// Finds what is mounted; an error says what is missing.
    pub fn detect() -> Result<Cgroups> {
        Cgroups::from_mounts(mounts()?)
    }

    fn from_mounts(mounts: Vec<MountPoint>) -> Result<Cgroups> {
        let absent = || {
            Fault::failed(format!("no control groups are mounted at `{ROOT}`"))
                .hint("mount them: `mount -t cgroup2 none /sys/fs/cgroup`")
        };
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut read_only = false;
        for mount in mounts.into_iter().filter(|mount| mount.path.starts_with(ROOT)) {
            let unified = mount.filesystem == "cgroup2" && mount.path == Path::new(ROOT);
            // a named hierarchy such as systemd's has no controllers and belongs to its maker
            let controllers =
                mount.super_options.into_iter().filter(|option| is_controller(option)).collect::<Vec<_>>();
            if unified || (mount.filesystem == "cgroup" && !controllers.is_empty()) {
                read_only |= mount.read_only;
                let controllers = if unified { Vec::new() } else { controllers };
                if unified {
                    let hierarchies = vec![Hierarchy { mount: mount.path, controllers }];
                    return Cgroups { hierarchies, unified }.checked(read_only);
                }
                if !hierarchies.iter().any(|known| known.controllers == controllers) {
                    hierarchies.push(Hierarchy { mount: mount.path, controllers });
                }
            }
        }
        if hierarchies.is_empty() {
            return Err(absent().into());
        }
        Cgroups { hierarchies, unified: false }.checked(read_only)
    }

    fn checked(self, read_only: bool) -> Result<Cgroups> {
        if read_only {
            let hint =
                "inside a container, run it with its own writable control groups: `--privileged --cgroupns=private`";
            return Err(Fault::failed(format!("control groups at `{ROOT}` are read-only")).hint(hint).into());
        }
        Ok(self)
    }

    /// Version 2 alone.
    pub fn is_unified(&self) -> bool {
        self.unified
    }

    /// Whether version 1 has that controller mounted; in version 2 each cgroup has its own.
    pub fn has_controller(&self, name: &str) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.controllers.iter().any(|controller| controller == name))
    }

    /// Mount points of the hierarchies, as seen in their parent directory.
    pub fn mount_points(&self) -> impl Iterator<Item = &Path> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.mount.as_path())
    }

    /// The cgroup at `path` below every root, whether it exists or not.
    pub fn at(&self, path: impl AsRef<Path>) -> Cgroup<'_> {
        let path = path.as_ref();
        Cgroup { cgroups: self, path: path.strip_prefix("/").unwrap_or(path).to_owned() }
    }
}

fn is_controller(option: &str) -> bool {
    const KNOWN: [&str; 13] = [
        "blkio",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "hugetlb",
        "memory",
        "misc",
        "net_cls",
        "net_prio",
        "perf_event",
        "pids",
    ];
    KNOWN.contains(&option)
}

/// One cgroup: a directory in each hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroup<'a> {
    cgroups: &'a Cgroups,
    path: PathBuf,
}

impl Cgroup<'_> {
    /// Relative to the root of a hierarchy.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn directories(&self) -> impl Iterator<Item = (&Hierarchy, PathBuf)> {
        self.cgroups.hierarchies.iter().map(|hierarchy| (hierarchy, hierarchy.mount.join(&self.path)))
    }

    /// Makes it and its parents with all controllers ready for use; it may exist.
    pub fn create(&self) -> Result<()> {
        for (hierarchy, directory) in self.directories() {
            let mut at = hierarchy.mount.clone();
            for component in self.path.components() {
                if self.cgroups.unified {
                    enable_controllers(&at);
                }
                let parent = at.clone();
                at.push(component);
                match fs::create_dir(&at) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                        return Err(error).with_context(|| format!("cannot make cgroup `{}`", directory.display()));
                    }
                    _ => {}
                }
                // whoever made it may not have come to this yet: two pods start side by side
                if hierarchy.controllers.iter().any(|name| name == "cpuset") {
                    inherit_cpuset(&parent, &at)?;
                }
            }
        }
        Ok(())
    }

    /// Moves a process in, with all its threads.
    pub fn join(&self, pid: u32) -> Result<()> {
        for (_, directory) in self.directories() {
            fs::write(directory.join("cgroup.procs"), pid.to_string())
                .with_context(|| format!("cannot move a process into cgroup `{}`", directory.display()))?;
        }
        Ok(())
    }

    /// Sets what is not `None`; returns what this machine cannot limit, in words.
    pub fn limit(&self, limits: &Limits) -> Result<Vec<String>> {
        let mut missing = Vec::new();
        for setting in limits.settings(self.cgroups.unified) {
            let found = self.directories().find_map(|(_, directory)| {
                let file = directory.join(setting.file);
                file.exists().then_some(file)
            });
            match found {
                Some(file) if setting.duty == Duty::Attempt => {
                    let _ = fs::write(&file, &setting.value);
                }
                Some(file) => fs::write(&file, &setting.value)
                    .with_context(|| format!("cannot write `{}` to `{}`", setting.value, file.display()))?,
                None if setting.duty != Duty::Needed => {}
                None => missing
                    .push(format!("this machine cannot limit {}: no cgroup file `{}`", setting.what, setting.file)),
            }
        }
        Ok(missing)
    }

    /// The processes in it and below it.
    pub fn processes(&self) -> Vec<u32> {
        // every hierarchy holds the same ones
        let mut found = Vec::new();
        for (_, directory) in self.directories() {
            collect_processes(&directory, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Sends SIGKILL to everything in it and below it, to what is being forked too.
    pub fn kill(&self) -> Result<()> {
        if self.cgroups.unified {
            let file = self.cgroups.hierarchies[0].mount.join(&self.path).join("cgroup.kill");
            match fs::write(&file, "1") {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot write to `{}`", file.display())),
            }
        }
        let frozen = self.freeze("FROZEN");
        let killed = self.signal_all();
        if frozen {
            self.freeze("THAWED");
        }
        killed
    }

    fn signal_all(&self) -> Result<()> {
        let mut signalled = Vec::new();
        // without a freezer a process may fork while its siblings are signalled: repeat until nobody is new
        loop {
            let new: Vec<_> = self.processes().into_iter().filter(|pid| !signalled.contains(pid)).collect();
            if new.is_empty() {
                break;
            }
            for pid in &new {
                // opened first and looked up again: the pid may have been used again meanwhile
                if let Ok(process) = PidFd::open(*pid)
                    && self.processes().contains(pid)
                {
                    process.signal(nix::libc::SIGKILL)?;
                }
            }
            signalled.extend(new);
        }
        Ok(())
    }

    fn freeze(&self, state: &str) -> bool {
        self.directories().any(|(hierarchy, directory)| {
            hierarchy.controllers.iter().any(|name| name == "freezer")
                && fs::write(directory.join("freezer.state"), state).is_ok()
        })
    }

    /// Kills everything in it and waits until nothing is left; `false` when `timeout` comes first.
    pub fn kill_and_wait(&self, timeout: Duration) -> Result<bool> {
        let deadline = Instant::now() + timeout;
        loop {
            self.kill()?;
            let left = self.processes();
            if left.is_empty() {
                return Ok(true);
            }
            for pid in left {
                let remaining = deadline.saturating_duration_since(Instant::now());
                if remaining.is_zero() {
                    return Ok(false);
                }
                if let Ok(process) = PidFd::open(pid) {
                    process.wait(Some(remaining))?;
                }
            }
        }
    }

    /// How many processes the kernel has killed in it for want of memory.
    pub fn oom_kills(&self) -> u64 {
        let file = if self.cgroups.unified { "memory.events" } else { "memory.oom_control" };
        let count = |text: String| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
        self.directories().find_map(|(_, directory)| count(fs::read_to_string(directory.join(file)).ok()?)).unwrap_or(0)
    }

    /// Removes it with the cgroups below it; there may be none. Its processes must have ended: those that are being
    /// taken apart by the kernel are waited for.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        for (_, directory) in self.directories() {
            remove_directory(&directory, deadline)
                .with_context(|| format!("cannot remove cgroup `{}`", directory.display()))?;
        }
        Ok(())
    }

    /// Paths of the cgroups in it, in any hierarchy.
    pub fn below(&self) -> Vec<PathBuf> {
        let directories = self.directories().flat_map(|(_, directory)| subdirectories(&directory));
        let mut paths: Vec<_> =
            directories.filter_map(|directory| Some(self.path.join(directory.file_name()?))).collect();
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    pub fn exists(&self) -> bool {
        self.directories().any(|(_, directory)| directory.exists())
    }
}

/// Lets the cgroups below `directory` have every controller it has. One by one: where one is refused, the limits that
/// need it are reported when they are set.
fn enable_controllers(directory: &Path) {
    let Ok(available) = fs::read_to_string(directory.join("cgroup.controllers")) else { return };
    let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
    for name in available.split_whitespace() {
        if !enabled.split_whitespace().any(|enabled| enabled == name) {
            let _ = fs::write(directory.join("cgroup.subtree_control"), format!("+{name}"));
        }
    }
}

/// A version 1 cpuset starts empty and takes no process until it has processors and memory nodes.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let of = |group: &Path| fs::read_to_string(group.join(file)).unwrap_or_default();
        let inherited = of(parent);
        if of(child).trim().is_empty() && !inherited.trim().is_empty() {
            fs::write(child.join(file), inherited.trim())
                .with_context(|| format!("cannot write `{}`", child.join(file).display()))?;
        }
    }
    Ok(())
}

fn collect_processes(directory: &Path, found: &mut Vec<u32>) {
    let processes = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    found.extend(processes.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    for below in subdirectories(directory) {
        collect_processes(&below, found);
    }
}

fn remove_directory(directory: &Path, deadline: Instant) -> io::Result<()> {
    for below in subdirectories(directory) {
        remove_directory(&below, deadline)?;
    }
    loop {
        match fs::remove_dir(directory) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy || Instant::now() > deadline => {
                return Err(error);
            }
            // version 1 offers nothing to wait for
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    fn mounted(path: &str, filesystem: &str, options: &str) -> MountPoint {
        MountPoint {
            path: path.into(),
            root: "/".into(),
            filesystem: filesystem.into(),
            read_only: false,
            super_options: options.split(',').map(str::to_owned).collect(),
        }
    }

    #[test]
    fn versions_are_told_apart() {
        let unified = Cgroups::from_mounts(vec![mounted(ROOT, "cgroup2", "rw,nsdelegate")]).unwrap();
        assert!(unified.is_unified());
        let hybrid = Cgroups::from_mounts(vec![
            mounted("/sys/fs/cgroup/unified", "cgroup2", "rw"),
            mounted("/sys/fs/cgroup/systemd", "cgroup", "rw,name=systemd"),
            mounted("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
            mounted("/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
        ])
        .unwrap();
        assert!(!hybrid.is_unified() && hybrid.has_controller("cpuacct") && !hybrid.has_controller("devices"));
        assert_eq!(hybrid.mount_points().count(), 2);
        let none = Cgroups::from_mounts(vec![mounted("/", "ext4", "rw")]).unwrap_err();
        assert!(none.to_string().contains("no control groups"), "{none}");
        let mut read_only = mounted(ROOT, "cgroup2", "ro");
        read_only.read_only = true;
        let refused = Cgroups::from_mounts(vec![read_only]).unwrap_err();
        assert!(refused.to_string().contains("read-only"), "{refused}");
    }

    #[test]
    fn a_cgroup_holds_its_processes_until_it_is_killed() {
        let cgroups = Cgroups::detect().unwrap();
        let parent = cgroups.at(format!("bootstrap-test-{}", std::process::id()));
        let cgroup = cgroups.at(parent.path().join("below"));
        cgroup.create().unwrap();
        cgroup.create().unwrap();
        let limits = Limits { cpu_shares: Some(512), memory: Some(64 << 20), pids: Some(50), ..Limits::default() };
        assert_eq!(cgroup.limit(&limits).unwrap(), Vec::<String>::new());
        for memory in [256 << 20, 32 << 20, 64 << 20] {
            assert_eq!(cgroup.limit(&Limits { memory: Some(memory), ..limits.clone() }).unwrap(), Vec::<String>::new());
        }
        let mut child = Command::new("sh").args(["-c", "sleep 60 & sleep 60 & wait"]).spawn().unwrap();
        cgroup.join(child.id()).unwrap();
        assert!(parent.processes().contains(&child.id()));
        assert!(cgroup.kill_and_wait(Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        assert_eq!(cgroup.oom_kills(), 0);
        parent.remove().unwrap();
        parent.remove().unwrap();
        assert!(!cgroup.exists() && !parent.exists());
    }
}
