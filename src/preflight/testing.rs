//! A machine on which nothing is wrong, for tests to spoil.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::Given;
use super::machine::*;
use super::verdict::Finding;
use crate::config::facts::{Facts, TokenSeed};
use crate::config::file::FileInput;
use crate::config::flags::Flags;
use crate::config::resolve::resolve;
use crate::desired::Desired;
use crate::phase;
use crate::plan::Plan;
use crate::plan::found::Found;
use crate::release::SOURCE_DATE;

/// 2027-01-15
pub(super) const NOW: i64 = 1_800_000_000;

pub(super) struct Scene {
    pub(super) desired: Desired,
    pub(super) found: Found,
    pub(super) plan: Plan,
    pub(super) machine: Machine,
}

impl Scene {
    /// `fields` are those of a ClusterConfiguration.
    pub(super) fn new(fields: &str) -> Scene {
        let facts = Facts {
            hostname: "n1".to_owned(),
            default_address: Some("10.0.0.5".parse().unwrap()),
            loopback_address: None,
            ca_directories: Vec::new(),
            external_ca: false,
            systemd_resolved: false,
            accounts: None,
            identities: None,
            proxy_environment: Vec::new(),
            now: jiff::Timestamp::from_second(NOW).unwrap(),
            token_seed: TokenSeed::new([0; 32]),
        };
        let text = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{fields}");
        let file = FileInput { name: "config.yaml".to_owned(), text };
        let config = resolve(&Flags::default(), Some(file), &facts).unwrap_or_else(|problems| panic!("{problems}"));
        let desired = Desired::new(config, &facts, &[]).unwrap();
        let found = Found::at(facts.now);
        let plan = phase::plan(&desired, &found);
        Scene { desired, found, plan, machine: machine() }
    }

    pub(super) fn replan(&mut self) {
        self.plan = phase::plan(&self.desired, &self.found);
    }

    pub(super) fn given(&self) -> Given<'_> {
        Given { desired: &self.desired, found: &self.found, plan: &self.plan, machine: &self.machine }
    }
}

/// `error: port 6443 is in use`
pub(super) fn told(findings: Vec<Finding>) -> Vec<String> {
    findings.into_iter().map(|finding| format!("{}: {}", finding.severity, finding.message)).collect()
}

fn machine() -> Machine {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let places = [
        (Use::Configuration, "/etc/kubernetes"),
        (Use::Images, "/var/lib/bootstrap"),
        (Use::EtcdData, "/var/lib/etcd"),
        (Use::Logs, "/var/log/pods"),
        (Use::RuntimeState, "/run/bootstrap"),
    ];
    let place = |(use_, path): (Use, &str)| Place {
        use_,
        path: path.into(),
        device: 1,
        writable: Writable::Yes,
        free_bytes: 100 << 30,
        free_inodes: None,
    };
    Machine {
        is_root: true,
        cpus: 4,
        memory_bytes: 8 << 30,
        now: NOW,
        source_date: SOURCE_DATE,
        kernel: Kernel {
            release: "6.1.0".to_owned(),
            refused_calls: Vec::new(),
            namespaces: set(&["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]),
            has_overlayfs: true,
            has_seccomp: true,
        },
        cgroups: Cgroups::Version2 { available: set(&["cpu", "memory", "pids"]), enabled: set(&[]), is_busy: false },
        places: places.map(place).to_vec(),
        etcd_disk: Some(EtcdDisk {
            path: "/var/lib/etcd".into(),
            unfit: None,
            syncs: vec![std::time::Duration::from_millis(1); 100],
        }),
        network: Network {
            unusable: BTreeMap::new(),
            has_ipv6: true,
            forwards_ipv4: Some(true),
            forwards_ipv6: Some(true),
        },
        lookups: [("n1".to_owned(), Lookup::Found(vec!["10.0.0.5".parse().unwrap()]))].into(),
        limits: Limits { open_files: 1 << 20, inotify_instances: 64, inotify_watches: 8192 },
        ..Machine::default()
    }
}
