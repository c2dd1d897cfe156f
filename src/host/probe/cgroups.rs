//! Which control groups there are, and what they could limit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::error::chain_of;
use crate::linux::cgroup::Cgroups as Mounted;
use crate::preflight::machine::Cgroups;

/// Those of version 1 that a limit of a pod may need.
const LIMITING: [&str; 3] = ["cpu", "memory", "pids"];

pub(super) fn look() -> Cgroups {
    let mounted = match Mounted::detect() {
        Ok(mounted) => mounted,
        Err(error) => return Cgroups::Unusable(chain_of(&error)),
    };
    match mounted.mount_points().next() {
        Some(root) if mounted.is_unified() => version2(root),
        _ => {
            let controllers = LIMITING.into_iter().filter(|name| mounted.has_controller(name));
            Cgroups::Version1 { controllers: controllers.map(str::to_owned).collect() }
        }
    }
}

fn version2(root: &Path) -> Cgroups {
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap_or_default();
    let names = |file: &str| read(file).split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
    // the real root has no type, and there processes are in nobody's way (cgroups(7))
    let is_busy = root.join("cgroup.type").exists() && !read("cgroup.procs").trim().is_empty();
    Cgroups::Version2 { available: names("cgroup.controllers"), enabled: names("cgroup.subtree_control"), is_busy }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_namespaces_root_with_processes_is_busy_and_the_real_one_never() {
        let root = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(root.path().join(file), text).unwrap();
        write("cgroup.controllers", "cpuset cpu io memory pids\n");
        write("cgroup.subtree_control", "memory\n");
        write("cgroup.procs", "1\n2\n");
        let Cgroups::Version2 { available, enabled, is_busy } = version2(root.path()) else { panic!() };
        assert_eq!((available.len(), enabled.len(), is_busy), (5, 1, false));
        write("cgroup.type", "domain\n");
        assert!(matches!(version2(root.path()), Cgroups::Version2 { is_busy: true, .. }));
        write("cgroup.procs", "");
        assert!(matches!(version2(root.path()), Cgroups::Version2 { is_busy: false, .. }));
    }
}
