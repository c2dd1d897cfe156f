//! Programs that would be in the way, found by their names in /proc: no service manager is asked.

use std::fs;
use std::path::{Path, PathBuf};

use crate::layout::Layout;

#[derive(Debug, Default)]
pub(super) struct Processes {
    pub(super) kubelet: Option<i32>,
    pub(super) firewalld: Option<i32>,
}

/// Those of this PID namespace. A kubelet runs the manifests of the machine, none under another root; a firewalld
/// filters its own network namespace.
pub(super) fn look(layout: &Layout) -> Processes {
    let mut found = Processes::default();
    let network = network_of(Path::new("/proc/self"));
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // it may have ended meanwhile: then it is in nobody's way
        let Ok(name) = fs::read_to_string(process.path().join("comm")) else { continue };
        match name.trim_end() {
            "kubelet" if layout.is_default_root() => found.kubelet = Some(pid),
            "firewalld" if network_of(&process.path()) == network => found.firewalld = Some(pid),
            _ => {}
        }
    }
    found
}

fn network_of(process: &Path) -> Option<PathBuf> {
    fs::read_link(process.join("ns/net")).ok()
}
