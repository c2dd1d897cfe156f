//! Room on the disks: each file system has to hold what is written to it, alone or together.

use std::collections::BTreeMap;

use super::Given;
use super::files::used_for;
use super::machine::{EtcdData, Place, Use};
use super::verdict::{Finding, or_ok};

/// etcd makes two files of 64 MiB for its log before it does anything.
const ETCD_LEAST: u64 = 128 << 20;
/// With its database and a snapshot.
const ETCD_WANTS: u64 = 256 << 20;
/// Four images.
const IMAGES_WANT: u64 = 1 << 30;
/// Each container's log may grow to 10 MiB five times over; the first days need far less.
const LOGS_WANT: u64 = 64 << 20;
/// Files of four images, with room for a second version.
const IMAGES_WANT_INODES: u64 = 10_000;

pub(super) fn room(given: &Given) -> Vec<Finding> {
    let mut filesystems: BTreeMap<u64, Vec<&Place>> = BTreeMap::new();
    for place in given.machine.places.iter().filter(|place| wanted(place.use_) > 0) {
        filesystems.entry(place.device).or_default().push(place);
    }
    let findings = filesystems.values().flat_map(|places| judge(places, given.machine.etcd_data));
    or_ok(findings.collect(), || {
        let free: Vec<_> = filesystems.values().map(|places| format!("{} MiB", places[0].free_bytes >> 20)).collect();
        format!("{} free", free.join(", "))
    })
}

fn wanted(use_: Use) -> u64 {
    match use_ {
        Use::Images => IMAGES_WANT,
        Use::EtcdData => ETCD_WANTS,
        Use::Logs => LOGS_WANT,
        Use::Configuration | Use::RuntimeState => 0,
    }
}

/// `places` lie on one file system.
fn judge(places: &[&Place], data: EtcdData) -> Vec<Finding> {
    let (free, inodes) = (places[0].free_bytes, places[0].free_inodes);
    let uses: Vec<_> = places.iter().map(|place| used_for(place.use_)).collect();
    let (uses, path) = (uses.join(", "), places[0].path.display());
    let holds = |use_| places.iter().any(|place| place.use_ == use_);
    let mut findings = Vec::new();
    let wanted: u64 = places.iter().map(|place| wanted(place.use_)).sum();
    if holds(Use::EtcdData) && data == EtcdData::None && free < ETCD_LEAST {
        findings.push(Finding::error(format!(
            "only {} MiB are free for {uses} (`{path}`), and etcd needs {} MiB to start",
            free >> 20,
            ETCD_LEAST >> 20
        )));
    } else if free < wanted {
        findings.push(Finding::warning(format!(
            "only {} MiB are free for {uses} (`{path}`): {} MiB were better",
            free >> 20,
            wanted >> 20
        )));
    }
    if let Some(inodes) = inodes.filter(|inodes| holds(Use::Images) && *inodes < IMAGES_WANT_INODES) {
        let message =
            format!("only {inodes} more files fit for {uses} (`{path}`): images may need {IMAGES_WANT_INODES}");
        findings.push(Finding::warning(message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::machine::{EtcdData, Use};
    use super::super::testing::{Scene, told};

    /// Megabytes free for images, etcd's data and logs; one device for equal ones.
    fn found(free: [(Use, u64, u64); 3], data: EtcdData) -> Vec<String> {
        let mut scene = Scene::new("");
        scene.machine.etcd_data = data;
        for (use_, device, megabytes) in free {
            for place in scene.machine.places.iter_mut().filter(|place| place.use_ == use_) {
                (place.device, place.free_bytes) = (device, megabytes << 20);
            }
        }
        told(super::room(&scene.given()))
    }

    #[test]
    fn each_file_system_has_to_hold_what_is_on_it() {
        use Use::{EtcdData as Etcd, Images, Logs};
        let none = EtcdData::None;
        let apart = [(Images, 1, 1024), (Etcd, 2, 256), (Logs, 3, 64)];
        assert_eq!(found(apart, none), ["ok: 1024 MiB, 256 MiB, 64 MiB free"]);
        let together = [(Images, 1, 1200), (Etcd, 1, 1200), (Logs, 1, 1200)];
        let warning = found(together, none);
        assert!(warning[0].starts_with("warning: only 1200 MiB are free for images, etcd's data, logs"), "{warning:?}");
        assert_eq!(found([(Images, 1, 1344), (Etcd, 1, 1344), (Logs, 1, 1344)], none), ["ok: 1344 MiB free"]);
        let narrow = [(Images, 1, 1024), (Etcd, 2, 127), (Logs, 3, 10)];
        let narrow_told = found(narrow, none);
        assert!(narrow_told[0].starts_with("error: only 127 MiB are free for etcd's data (`/var/lib/etcd`)"));
        assert!(narrow_told[1].starts_with("warning: only 10 MiB are free for logs"), "{narrow_told:?}");
        assert!(found(narrow, EtcdData::Ours)[0].starts_with("warning: "), "its log is made already");
    }

    #[test]
    fn files_are_counted_where_the_file_system_does() {
        let mut scene = Scene::new("");
        scene.machine.places[1].free_inodes = Some(500);
        let told = told(super::room(&scene.given()));
        assert!(told[0].starts_with("warning: only 500 more files fit for images"), "{told:?}");
    }
}
