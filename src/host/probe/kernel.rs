//! What the kernel has, tried or read where it shows.

use std::path::Path;

use nix::sys::utsname::uname;

use crate::linux::calls;
use crate::preflight::machine::Kernel;

pub(super) fn look() -> Kernel {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned()).unwrap_or_default();
    let namespaces = std::fs::read_dir("/proc/self/ns").into_iter().flatten().flatten();
    let actions = std::fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    Kernel {
        refused_calls: calls::refused().into_iter().map(|(name, error)| format!("{name} ({})", error.desc())).collect(),
        namespaces: namespaces.filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        has_overlayfs: has_overlayfs(&release),
        has_seccomp: actions.split_whitespace().any(|action| action == "errno"),
        release,
    }
}

/// Listed once it is loaded; a module that can be loaded is found by its file.
fn has_overlayfs(release: &str) -> bool {
    let listed = std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|text| text.lines().any(|line| line.ends_with("\toverlay")));
    let modules = Path::new("/lib/modules").join(release).join("kernel/fs/overlayfs");
    listed || ["ko", "ko.xz", "ko.zst", "ko.gz"].iter().any(|suffix| modules.join(format!("overlay.{suffix}")).exists())
}
