//! PURE: what a pod may know of the node it runs on, gathered once when the runner starts.

use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub host_name: String,
    pub ip: IpAddr,
    /// Name servers of the cluster; none where there is no cluster DNS.
    pub cluster_dns: Vec<IpAddr>,
    /// The end of the cluster's names.
    pub cluster_domain: String,
    /// Bytes of memory.
    pub memory: i64,
    /// Thousandths of a CPU.
    pub cpu: i64,
    /// Pods that it takes [9.16].
    pub max_pods: usize,
    /// Processes that a pod may have; `None` where nobody counts them.
    pub pod_max_pids: Option<i64>,
    pub labels: BTreeMap<String, String>,
    /// Containers of which nobody says how their calls are filtered have RuntimeDefault [3.82].
    pub seccomp_default: bool,
}

/// What a node takes unless told otherwise.
pub const MAX_PODS: usize = 110;

/// The labels that every node has, and those it was given, which win.
pub fn labels(name: &str, given: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let known = [
        ("beta.kubernetes.io/arch", arch),
        ("beta.kubernetes.io/os", std::env::consts::OS),
        ("kubernetes.io/arch", arch),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", std::env::consts::OS),
    ];
    known.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).chain(given).collect()
}
