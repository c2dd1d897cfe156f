//! 4: worker nodes. There is no kubelet here; the files that kubeadm would give one are.

use super::super::facts::Place;
use super::super::rule::Rule;
use super::{Item, automated, manual};

const KUBELET: Place = Place::Kubeconfigs(&["kubelet.conf"]);

pub(super) const ITEMS: &[Item] = &[
    automated("4.1.1", "the kubelet's service file: mode", Rule::Kubelet),
    automated("4.1.2", "the kubelet's service file: owner", Rule::Kubelet),
    manual("4.1.3", "kube-proxy's kubeconfig: mode", Rule::Kubelet),
    manual("4.1.4", "kube-proxy's kubeconfig: owner", Rule::Kubelet),
    automated("4.1.5", "the kubelet's kubeconfig: mode", Rule::Mode { of: KUBELET, most: 0o600 }),
    automated("4.1.6", "the kubelet's kubeconfig: owner", Rule::Owner { of: KUBELET, owner: "root:root" }),
    manual("4.1.7", "the authority for clients: mode", Rule::Mode { of: Place::Authority, most: 0o644 }),
    manual("4.1.8", "the authority for clients: owner", Rule::Owner { of: Place::Authority, owner: "root:root" }),
    automated("4.1.9", "the kubelet's configuration: mode", Rule::Kubelet),
    automated("4.1.10", "the kubelet's configuration: owner", Rule::Kubelet),
    automated("4.2.1", "the kubelet lets nobody in without credentials", Rule::Kubelet),
    automated("4.2.2", "the kubelet does not allow everything", Rule::Kubelet),
    automated("4.2.3", "the kubelet has an authority for clients", Rule::Kubelet),
    manual("4.2.4", "the kubelet has no port without TLS", Rule::Kubelet),
    manual("4.2.5", "the kubelet ends idle streams", Rule::Kubelet),
    automated("4.2.6", "the kubelet keeps its firewall rules", Rule::Kubelet),
    manual("4.2.7", "the kubelet goes by the host's name", Rule::Kubelet),
    manual("4.2.8", "the kubelet reports enough events", Rule::Kubelet),
    manual("4.2.9", "the kubelet has a serving certificate", Rule::Kubelet),
    automated("4.2.10", "the kubelet renews its client certificate", Rule::Kubelet),
    manual("4.2.11", "the kubelet renews its serving certificate", Rule::Kubelet),
    manual("4.2.12", "the kubelet has strong cipher suites only", Rule::Kubelet),
    manual("4.2.13", "the kubelet limits the processes of a pod", Rule::Kubelet),
    manual("4.2.14", "the kubelet gives pods a seccomp profile", Rule::Kubelet),
    automated("4.3.1", "kube-proxy's metrics are on loopback only", Rule::Kubelet),
];
