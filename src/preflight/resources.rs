//! What this process may use of the machine: root's rights, CPUs, memory, files.

use super::Given;
use super::verdict::{Finding, or_ok};

/// kubeadm's minima [10.1].
const MINIMUM_CPUS: usize = 2;
const MINIMUM_MEMORY: u64 = 1700 << 20;
/// What etcd's documentation asks for; the API server holds a connection for every watch.
const MINIMUM_OPEN_FILES: u64 = 65_536;
/// The runner needs one for the manifests and one for each shim; without them no pod is started.
const NEEDED_INSTANCES: usize = 8;
/// The components watch their certificates and kubeconfigs with more, and look from time to time where they get none.
pub const WANTED_INSTANCES: usize = 32;
const WANTED_WATCHES: u64 = 1024;

pub(super) fn user(given: &Given) -> Vec<Finding> {
    vec![match given.machine.is_root {
        true => Finding::ok("the user is root"),
        false => Finding::error("the user is not root"),
    }]
}

pub(super) fn cpus(given: &Given) -> Vec<Finding> {
    vec![match given.machine.cpus {
        cpus @ MINIMUM_CPUS.. => Finding::ok(format!("{cpus} CPUs")),
        1 => Finding::error(format!("1 CPU is available, {MINIMUM_CPUS} are needed")),
        cpus => Finding::error(format!("{cpus} CPUs are available, {MINIMUM_CPUS} are needed")),
    }]
}

pub(super) fn memory(given: &Given) -> Vec<Finding> {
    let found = given.machine.memory_bytes >> 20;
    vec![match given.machine.memory_bytes {
        MINIMUM_MEMORY.. => Finding::ok(format!("{found} MiB of memory")),
        _ => Finding::error(format!("{found} MiB of memory, {} MiB are needed", MINIMUM_MEMORY >> 20)),
    }]
}

/// A pod without a memory limit may be swapped out, and a control plane's have none.
pub(super) fn swap(given: &Given) -> Vec<Finding> {
    let named: Vec<_> = given.machine.swap.iter().map(|device| format!("`{device}`")).collect();
    vec![match named.as_slice() {
        [] => Finding::ok("no swap"),
        named => Finding::warning(format!(
            "swap is on ({}): etcd answers late when it was swapped out, and kubelets that join may refuse to start",
            named.join(", ")
        )),
    }]
}

pub(super) fn open_files(given: &Given) -> Vec<Finding> {
    let most = given.machine.limits.open_files;
    vec![match most {
        MINIMUM_OPEN_FILES.. => Finding::ok(format!("up to {most} open files")),
        _ => Finding::warning(format!(
            "a process may open {most} files at most, and etcd and kube-apiserver may want {MINIMUM_OPEN_FILES}: \
             raise the hard limit (`ulimit -Hn`)"
        )),
    }]
}

pub(super) fn inotify(given: &Given) -> Vec<Finding> {
    let limits = &given.machine.limits;
    let free = limits.inotify_instances;
    let raise = "raise `fs.inotify.max_user_instances`";
    let mut findings = Vec::new();
    if free < NEEDED_INSTANCES {
        findings.push(Finding::error(format!(
            "only {free} more inotify instances can be made, and the runner needs {NEEDED_INSTANCES}: {raise}"
        )));
    } else if free < WANTED_INSTANCES {
        findings.push(Finding::warning(format!(
            "only {free} more inotify instances can be made: components may notice new certificates late; {raise}"
        )));
    }
    if limits.inotify_watches < WANTED_WATCHES {
        findings.push(Finding::warning(format!(
            "only {} files can be watched: raise `fs.inotify.max_user_watches`",
            limits.inotify_watches
        )));
    }
    or_ok(findings, || format!("{} files can be watched", limits.inotify_watches))
}

#[cfg(test)]
mod tests {
    use super::super::machine::Machine;
    use super::super::testing::{Scene, told};

    fn judged(judge: fn(&super::Given) -> Vec<super::Finding>, change: impl Fn(&mut Machine)) -> Vec<String> {
        let mut scene = Scene::new("");
        change(&mut scene.machine);
        told(judge(&scene.given()))
    }

    #[test]
    fn minima_are_kubeadms() {
        assert_eq!(judged(super::user, |machine| machine.is_root = false), ["error: the user is not root"]);
        assert_eq!(judged(super::cpus, |machine| machine.cpus = 2), ["ok: 2 CPUs"]);
        assert_eq!(judged(super::cpus, |machine| machine.cpus = 1), ["error: 1 CPU is available, 2 are needed"]);
        assert_eq!(judged(super::memory, |machine| machine.memory_bytes = 1700 << 20), ["ok: 1700 MiB of memory"]);
        let little = judged(super::memory, |machine| machine.memory_bytes = (1700 << 20) - 1);
        assert_eq!(little, ["error: 1699 MiB of memory, 1700 MiB are needed"]);
    }

    #[test]
    fn swap_is_named() {
        assert_eq!(judged(super::swap, |_| ()), ["ok: no swap"]);
        let swaps = judged(super::swap, |machine| machine.swap = vec!["/dev/sda2".into(), "/swapfile".into()]);
        assert!(swaps[0].starts_with("warning: swap is on (`/dev/sda2`, `/swapfile`)"), "{swaps:?}");
    }

    #[test]
    fn limits_that_bite_are_told() {
        assert!(judged(super::open_files, |machine| machine.limits.open_files = 4096)[0].starts_with("warning: "));
        assert_eq!(
            judged(super::open_files, |machine| machine.limits.open_files = 65_536),
            ["ok: up to 65536 open files"]
        );
        for (instances, watches, severities) in [
            (32, 1024, &["ok"][..]),
            (31, 1024, &["warning"]),
            (8, 1023, &["warning", "warning"]),
            (7, 8192, &["error"]),
        ] {
            let found = judged(super::inotify, |machine| {
                machine.limits.inotify_instances = instances;
                machine.limits.inotify_watches = watches;
            });
            let found: Vec<_> = found.iter().map(|finding| finding.split(':').next().unwrap_or_default()).collect();
            assert_eq!(found, severities, "{instances} {watches}");
        }
    }
}
