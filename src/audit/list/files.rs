//! 1.1: the control plane's files.

use super::super::facts::Place;
use super::super::rule::Rule;
use super::{Item, automated, manual};
use crate::desired::manifest::Component;

const fn mode(of: Place, most: u32) -> Rule {
    Rule::Mode { of, most }
}

const fn of_root(of: Place) -> Rule {
    Rule::Owner { of, owner: "root:root" }
}

const ADMINISTRATORS: Place = Place::Kubeconfigs(&["admin.conf", "super-admin.conf"]);
const SCHEDULER: Place = Place::Kubeconfigs(&["scheduler.conf"]);
const CONTROLLER_MANAGER: Place = Place::Kubeconfigs(&["controller-manager.conf"]);

pub(super) const ITEMS: &[Item] = &[
    automated("1.1.1", "kube-apiserver's manifest: mode", mode(Place::Manifest(Component::ApiServer), 0o600)),
    automated("1.1.2", "kube-apiserver's manifest: owner", of_root(Place::Manifest(Component::ApiServer))),
    automated(
        "1.1.3",
        "kube-controller-manager's manifest: mode",
        mode(Place::Manifest(Component::ControllerManager), 0o600),
    ),
    automated(
        "1.1.4",
        "kube-controller-manager's manifest: owner",
        of_root(Place::Manifest(Component::ControllerManager)),
    ),
    automated("1.1.5", "kube-scheduler's manifest: mode", mode(Place::Manifest(Component::Scheduler), 0o600)),
    automated("1.1.6", "kube-scheduler's manifest: owner", of_root(Place::Manifest(Component::Scheduler))),
    automated("1.1.7", "etcd's manifest: mode", mode(Place::Manifest(Component::Etcd), 0o600)),
    automated("1.1.8", "etcd's manifest: owner", of_root(Place::Manifest(Component::Etcd))),
    manual("1.1.9", "network plugins' files: mode", mode(Place::Cni, 0o600)),
    manual("1.1.10", "network plugins' files: owner", of_root(Place::Cni)),
    automated("1.1.11", "etcd's data directory: mode", mode(Place::EtcdData, 0o700)),
    automated("1.1.12", "etcd's data directory: owner", Rule::Owner { of: Place::EtcdData, owner: "etcd:etcd" }),
    automated("1.1.13", "the administrators' kubeconfigs: mode", mode(ADMINISTRATORS, 0o600)),
    automated("1.1.14", "the administrators' kubeconfigs: owner", of_root(ADMINISTRATORS)),
    automated("1.1.15", "the scheduler's kubeconfig: mode", mode(SCHEDULER, 0o600)),
    automated("1.1.16", "the scheduler's kubeconfig: owner", of_root(SCHEDULER)),
    automated("1.1.17", "the controller manager's kubeconfig: mode", mode(CONTROLLER_MANAGER, 0o600)),
    automated("1.1.18", "the controller manager's kubeconfig: owner", of_root(CONTROLLER_MANAGER)),
    automated("1.1.19", "certificates, keys and their directories: owner", of_root(Place::Pki)),
    manual("1.1.20", "certificates: mode", mode(Place::PkiCertificates, 0o644)),
    manual("1.1.21", "private keys: mode", mode(Place::PkiKeys, 0o600)),
];
