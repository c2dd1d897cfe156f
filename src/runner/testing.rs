//! What the unit tests of the runner share: a small pod and a small node.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::node::Node;
use super::pod::{Container, ContainerKind, Pod, RestartPolicy};
use super::runtime::SecurityContext;
use super::source::Origin;
use crate::image::policy::PullPolicy;

pub(crate) fn node() -> Node {
    Node {
        name: "node".to_owned(),
        host_name: "host".to_owned(),
        ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        memory: 1 << 30,
        cpu: 2000,
        max_pods: super::node::MAX_PODS,
        pod_max_pids: None,
        labels: super::node::labels("node", []),
        seccomp_default: false,
    }
}

/// A pod with one container of the same name.
pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        name: format!("{name}-node"),
        namespace: "default".to_owned(),
        uid: format!("uid-{name}"),
        revision: format!("revision-{name}"),
        source: Origin::File(format!("/manifests/{name}.yaml").into()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        host_pid: false,
        host_ipc: false,
        share_process: false,
        network: None,
        sysctls: BTreeMap::new(),
        restart_policy: RestartPolicy::Always,
        grace: Duration::from_secs(30),
        active_deadline: None,
        node_critical: false,
        volumes: Vec::new(),
        dns: None,
        host_aliases: Vec::new(),
        fs_group: None,
        placement: Default::default(),
        containers: vec![container(name)],
        remarks: Vec::new(),
        object: None,
    }
}

pub(crate) fn container(name: &str) -> Container {
    Container {
        name: name.to_owned(),
        kind: ContainerKind::Regular,
        restart_policy: None,
        restart_rules: Vec::new(),
        post_start: None,
        pre_stop: None,
        image: "image".to_owned(),
        pull: PullPolicy::IfNotPresent,
        command: Vec::new(),
        args: Vec::new(),
        working_dir: None,
        env: Vec::new(),
        mounts: Vec::new(),
        resources: Default::default(),
        security: SecurityContext::default(),
        stdin: false,
        stdin_once: false,
        tty: false,
        termination_message: None,
        startup: None,
        liveness: None,
        readiness: None,
    }
}
