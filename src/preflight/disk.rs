//! The disk of etcd's data: how long a small write takes to reach it, and whether what is written stays.
//!
//! etcd answers a write once its log has reached the disk, and its leader speaks every 100 ms: a disk that takes long
//! makes the API server slow, and one that takes very long costs the leadership.

use std::time::Duration;

use super::Given;
use super::machine::UnfitFilesystem;
use super::verdict::{Finding, or_ok};

/// What etcd's documentation asks of the 99th percentile.
const SLOW: Duration = Duration::from_millis(10);

pub(super) fn judge(given: &Given) -> Vec<Finding> {
    let Some(disk) = &given.machine.etcd_disk else { return Vec::new() };
    let shown = disk.path.display();
    let mut findings = Vec::new();
    if let Some(unfit) = disk.unfit {
        findings.push(Finding::warning(format!("`{shown}` is on {}", consequence(unfit))));
    }
    let count = disk.syncs.len();
    let Some(p99) = percentile(&disk.syncs, 99) else { return or_ok(findings, || format!("`{shown}` was not tried")) };
    if p99 > SLOW {
        let median = percentile(&disk.syncs, 50).unwrap_or_default();
        findings.push(Finding::warning(format!(
            "the disk of `{shown}` is slow: 99 % of {count} fdatasync within {}, half within {}; etcd wants {}, or its \
             answers are late and its leaders are lost",
            milliseconds(p99),
            milliseconds(median),
            milliseconds(SLOW)
        )));
    }
    or_ok(findings, || format!("99 % of {count} fdatasync on the disk of `{shown}` within {}", milliseconds(p99)))
}

fn consequence(unfit: UnfitFilesystem) -> &'static str {
    match unfit {
        UnfitFilesystem::Tmpfs => "tmpfs: the cluster is lost when the machine restarts",
        UnfitFilesystem::Nfs => "NFS: etcd does not support it, and can lose data",
        UnfitFilesystem::Smb => "SMB: etcd does not support it, and can lose data",
        UnfitFilesystem::Fuse => "a FUSE file system: whether it keeps what etcd writes depends on its program",
        UnfitFilesystem::Overlay => "overlayfs, a container's own layer: the cluster is lost with the container",
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// The nearest-rank percentile: the smallest value that at least `percent` % of all do not exceed.
pub fn percentile(values: &[Duration], percent: usize) -> Option<Duration> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::super::machine::{EtcdDisk, UnfitFilesystem};
    use super::super::testing::{Scene, told};
    use super::*;

    fn of_milliseconds(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let hundred = of_milliseconds((1..=100).rev());
        assert_eq!(percentile(&hundred, 99), Some(Duration::from_millis(99)));
        assert_eq!(percentile(&hundred, 50), Some(Duration::from_millis(50)));
        assert_eq!(percentile(&hundred, 100), Some(Duration::from_millis(100)));
        // of few values the largest: nothing smaller covers 99 % of them
        assert_eq!(percentile(&of_milliseconds([3, 1, 2]), 99), Some(Duration::from_millis(3)));
        assert_eq!(percentile(&of_milliseconds([3, 1, 2]), 0), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 99), None);
    }

    fn found(unfit: Option<UnfitFilesystem>, syncs: Vec<Duration>) -> Vec<String> {
        let mut scene = Scene::new("");
        scene.machine.etcd_disk = Some(EtcdDisk { path: "/var/lib/etcd".into(), unfit, syncs });
        told(judge(&scene.given()))
    }

    #[test]
    fn a_slow_disk_is_told_with_its_figures() {
        let mut syncs = of_milliseconds([2; 99]);
        syncs.push(Duration::from_millis(50));
        assert_eq!(
            found(None, syncs.clone()),
            ["ok: 99 % of 100 fdatasync on the disk of `/var/lib/etcd` within 2.0 ms"],
            "one in a hundred may be slow"
        );
        syncs.push(Duration::from_micros(10_400));
        syncs.push(Duration::from_millis(50));
        let slow = found(None, syncs);
        let expected = "warning: the disk of `/var/lib/etcd` is slow: 99 % of 102 fdatasync within 50.0 ms, half within \
                        2.0 ms; etcd wants 10.0 ms";
        assert!(slow[0].starts_with(expected), "{slow:?}");
    }

    #[test]
    fn a_file_system_that_forgets_is_told_however_fast_it_is() {
        let tmpfs = found(Some(UnfitFilesystem::Tmpfs), of_milliseconds([0; 100]));
        assert!(tmpfs[0].starts_with("warning: `/var/lib/etcd` is on tmpfs: the cluster is lost"), "{tmpfs:?}");
        assert_eq!(found(None, Vec::new()), ["ok: `/var/lib/etcd` was not tried"]);
        let both = found(Some(UnfitFilesystem::Nfs), of_milliseconds([20; 10]));
        assert_eq!(both.len(), 2);
    }
}
