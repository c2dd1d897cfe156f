//! Limits that the control plane's processes will meet.

use std::fs;

use nix::sys::inotify::{InitFlags, Inotify};
use nix::sys::resource::{Resource, getrlimit};

use crate::host::daemon::{self, Supervisor};
use crate::layout::Layout;
use crate::preflight::WANTED_INSTANCES;
use crate::preflight::machine::Limits;

pub(super) fn look(layout: &Layout) -> Limits {
    let own = || getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(_, hard)| hard);
    let watches = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok();
    Limits {
        open_files: match Supervisor::detect(layout) {
            Supervisor::Systemd => daemon::OPEN_FILES,
            Supervisor::None => own(),
        },
        inotify_instances: inotify_instances(),
        inotify_watches: watches.and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX),
    }
}

/// Made and let go at once: the limit is the user's, and nothing says how many are in use.
fn inotify_instances() -> usize {
    let made = (0..WANTED_INSTANCES).map_while(|_| Inotify::init(InitFlags::IN_CLOEXEC).ok());
    made.collect::<Vec<_>>().len()
}

/// Devices and files in `/proc/swaps`, below its head.
pub(super) fn swap() -> Vec<String> {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    text.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
