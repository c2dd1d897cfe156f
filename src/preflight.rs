//! Preflight: may init begin? Every check by its name, all verdicts together, each ignorable by name [6].
//!
//! Pure. [`CHECKS`] is the one list from which running, ignoring and docs/preflight.md follow; each check judges what
//! is [`Given`]. `host::probe` looks at the machine.

mod addresses;
mod cgroups;
mod clock;
pub mod disk;
mod etcd;
mod files;
mod kernel;
pub mod machine;
mod names;
mod programs;
mod proxy;
mod resources;
mod space;
#[cfg(test)]
mod testing;
pub mod verdict;
mod version;

pub use addresses::listening;
pub use clock::clock;
pub use machine::Machine;
pub use names::looked_up;
pub use programs::ports;
pub use resources::WANTED_INSTANCES;
pub use verdict::{Severity, Verdict, refuse, settle, user_first};

use crate::desired::Desired;
use crate::plan::Plan;
use crate::plan::found::Found;
use verdict::Finding;

/// What the checks judge.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    pub desired: &'a Desired,
    pub found: &'a Found,
    pub plan: &'a Plan,
    pub machine: &'a Machine,
}

/// One check.
#[derive(Debug)]
pub struct Check {
    /// As `--ignore-preflight-errors` takes it; a `*` at the end stands for a port or a path.
    pub name: &'static str,
    pub about: &'static str,
    extent: Extent,
    judge: fn(&Given) -> Vec<Finding>,
}

/// When a check is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Whatever is done, one phase alone as well.
    Always,
    /// With the phase `preflight`.
    Preflight,
    /// With the phase `preflight`, and again at the end: it never refuses, and is not waited for.
    Late,
}

impl Extent {
    pub const ALL: &[Extent] = &[Extent::Always, Extent::Preflight, Extent::Late];
}

/// Every check, in the order in which verdicts are told: kubeadm's in kubeadm's order [6.2], then our own.
pub const CHECKS: &[Check] = &[
    always("IsPrivilegedUser", "the user is root", resources::user),
    check("NumCPU", "there are 2 CPUs", resources::cpus),
    check("Mem", "there are 1700 MiB of memory", resources::memory),
    check("KubernetesVersion", "the version is one that this program knows", version::known),
    check("Firewalld", "no firewalld keeps other machines out", programs::firewalld),
    check("Port-*", "nobody else listens on a port of the control plane", programs::held_ports),
    always("FileAvailable-*", "a manifest that is there is init's own", files::manifests),
    check("HTTPProxy", "the API server is asked without a proxy", proxy::api_server),
    check("HTTPProxyCIDR", "services and pods are asked without a proxy", proxy::networks),
    check("Swap", "there is no swap", resources::swap),
    check("SystemVerification", "the kernel has what the pods need", kernel::verify),
    late("Hostname", "the node's name resolves", names::node),
    check("FileContent--proc-sys-net-ipv4-ip_forward", "IPv4 packets are forwarded", addresses::forwarding4),
    check(
        "FileContent--proc-sys-net-ipv6-conf-default-forwarding",
        "IPv6 packets are forwarded",
        addresses::forwarding6,
    ),
    check("ExternalEtcdVersion", "every external etcd answers and is new enough", etcd::versions),
    check("DirAvailable-*", "etcd's data directory is empty, or init's own", files::etcd_data),
    check("ExternalEtcdClientCertificates", "the files for the external etcd are there", etcd::files),
    always("FilesFit", "certificates and kubeconfigs that are there can be used", files::fit),
    check("Writable", "init can write where it has to", files::writable),
    check("DiskSpace", "images, etcd's data and logs have room", space::room),
    check("EtcdDisk", "the disk of etcd's data is fast and durable", disk::judge),
    check("Clock", "the clock can be right", clock::judge),
    check("AdvertiseAddress", "this machine has the addresses that are listened on", addresses::own),
    check("Loopback", "the loopback interface works", addresses::loopback),
    check("AddressFamilies", "addresses and subnets are of families that go together", addresses::families),
    late("ControlPlaneEndpoint", "the control plane endpoint's name resolves", names::endpoint),
    check("OpenFiles", "the control plane may open enough files", resources::open_files),
    check("Inotify", "enough files can be watched", resources::inotify),
    check("KubeletRunning", "no kubelet runs the same manifests", programs::kubelet),
];

const fn check(name: &'static str, about: &'static str, judge: fn(&Given) -> Vec<Finding>) -> Check {
    Check { name, about, extent: Extent::Preflight, judge }
}

const fn always(name: &'static str, about: &'static str, judge: fn(&Given) -> Vec<Finding>) -> Check {
    Check { name, about, extent: Extent::Always, judge }
}

const fn late(name: &'static str, about: &'static str, judge: fn(&Given) -> Vec<Finding>) -> Check {
    Check { name, about, extent: Extent::Late, judge }
}

/// Runs the checks of these extents.
pub fn check_all(given: &Given, extents: &[Extent]) -> Vec<Verdict> {
    let checks = CHECKS.iter().filter(|check| extents.contains(&check.extent));
    checks.flat_map(|check| (check.judge)(given).into_iter().map(|finding| finding.of_check(check.name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_open_only_at_the_end() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name.trim_end_matches('*')).collect();
        assert_eq!(names.len(), CHECKS.len());
        assert!(names.iter().all(|name| !name.contains('*') && !name.is_empty()));
    }

    #[test]
    fn a_healthy_machine_has_nothing_but_good_verdicts() {
        let scene = testing::Scene::new("");
        let verdicts = check_all(&scene.given(), Extent::ALL);
        let bad: Vec<_> = verdicts.iter().filter(|verdict| verdict.severity != Severity::Ok).collect();
        assert!(bad.is_empty(), "{bad:#?}");
        // those about an external etcd have nothing to say, and everybody else has
        let silent = |check: &&Check| {
            let stem = check.name.trim_end_matches('*');
            !verdicts.iter().any(|verdict| verdict.check.starts_with(stem))
        };
        let silent: Vec<_> = CHECKS.iter().filter(silent).map(|check| check.name).collect();
        let expected = [
            "FileContent--proc-sys-net-ipv6-conf-default-forwarding",
            "ExternalEtcdVersion",
            "ExternalEtcdClientCertificates",
            "ControlPlaneEndpoint",
        ];
        assert_eq!(silent, expected);
    }
}
