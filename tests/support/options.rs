//! The settings of a runner of which a test says nothing.

use std::net::{IpAddr, Ipv4Addr};

use bootstrap::layout::Layout;
use bootstrap::runner::Options;
use bootstrap::runner::node::MAX_PODS;
use bootstrap::runner::runtime::log::file::Rotation;
use bootstrap::runner::worker::backoff::LONGEST;

/// Of the node `n1`, whose manifests are where kubeadm has them, without an API of its own.
pub(crate) fn options(layout: &Layout) -> Options {
    Options {
        layout: layout.clone(),
        node_name: "n1".to_owned(),
        node_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        manifests: layout.manifests(),
        manifest_url: None,
        server: None,
        max_restart_period: LONGEST,
        node_labels: Vec::new(),
        max_pods: MAX_PODS,
        pod_max_pids: None,
        rotation: Rotation::default(),
        seccomp_default: false,
    }
}
