//! kubeadm's defaults that do not depend on the machine [4.2-4.4, 10.1].

use std::time::Duration;

pub use crate::layout::{ETCD_DATA, PKI as CERTIFICATES_DIR};

pub const CLUSTER_NAME: &str = "kubernetes";
/// The one public registry of Kubernetes' images, also for versions whose kubeadm still named its frozen predecessor.
pub const IMAGE_REPOSITORY: &str = "registry.k8s.io";
pub const SERVICE_SUBNET: &str = "10.96.0.0/12";
pub const DNS_DOMAIN: &str = "cluster.local";

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

pub const CERTIFICATE_VALIDITY_PERIOD: Duration = Duration::from_secs(8760 * 3600);
pub const CA_CERTIFICATE_VALIDITY_PERIOD: Duration = Duration::from_secs(87600 * 3600);

pub const TOKEN_TTL: Duration = Duration::from_secs(24 * HOUR.as_secs());
pub const TOKEN_USAGES: [&str; 2] = ["signing", "authentication"];
/// How long uploaded certificates are in the cluster.
pub const UPLOADED_CERTIFICATES_TTL: Duration = Duration::from_secs(2 * HOUR.as_secs());
/// The group of nodes that join with a bootstrap token.
pub const TOKEN_GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

pub const CONTROL_PLANE_COMPONENT_HEALTH_CHECK: Duration = Duration::from_secs(4 * MINUTE.as_secs());
pub const KUBERNETES_API_CALL: Duration = MINUTE;
/// Timeouts of things that `init` does not do here.
pub const KUBELET_HEALTH_CHECK: Duration = Duration::from_secs(4 * MINUTE.as_secs());
pub const ETCD_API_CALL: Duration = Duration::from_secs(2 * MINUTE.as_secs());
pub const TLS_BOOTSTRAP: Duration = Duration::from_secs(5 * MINUTE.as_secs());
pub const DISCOVERY: Duration = Duration::from_secs(5 * MINUTE.as_secs());
pub const UPGRADE_MANIFESTS: Duration = Duration::from_secs(5 * MINUTE.as_secs());

/// Where kubeadm looks first; no socket of the machine is looked for [4.5].
pub const CRI_SOCKET: &str = "unix:///var/run/containerd/containerd.sock";
/// What every socket's URL begins with.
pub const CRI_SCHEME: &str = "unix";
/// Key and effect of the taint that keeps ordinary pods away from control planes [4.4].
pub const TAINT: (&str, &str) = ("node-role.kubernetes.io/control-plane", "NoSchedule");
