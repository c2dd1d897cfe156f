//! The phases of init: the one list from which running, listing, skipping and resetting all follow.
//!
//! Pure. A phase turns what is desired and what was found into steps. Names and order are kubeadm's where kubeadm has
//! the phase [5.4]; `images` and `runner-start` stand where kubeadm pulls images and starts the kubelet.

mod certs;
mod control_plane;
mod dependencies;
mod etcd;
mod file;
mod hardening;
mod images;
mod judgement;
mod kubeconfig;
mod kubelet_finalize;
mod kubelet_start;
mod objects;
pub mod renew;
pub mod request;
mod runner_start;
mod selection;
pub mod undo;
mod upload_certs;
mod wait_control_plane;

pub use control_plane::{manifest_path, manifest_step};
pub use dependencies::check as check_dependencies;
pub use file::{dashed, foreign};
pub use selection::Selection;

use crate::desired::Desired;
use crate::plan::found::Found;
use crate::plan::{Decision, Plan, Step};

/// One selectable part of init.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub about: &'static str,
    /// Its steps, as far as any configuration has them; none for a phase that is one step.
    pub items: &'static [Item],
    /// Phases that must not be left out when this one is not, whatever is on the machine [5.3].
    pub depends_on: &'static [&'static str],
    pub steps: fn(&Desired, &Found) -> Vec<Step>,
}

/// A step of a phase.
#[derive(Debug)]
pub struct Item {
    pub name: &'static str,
    pub about: &'static str,
}

const fn item(name: &'static str, about: &'static str) -> Item {
    Item { name, about }
}

/// All phases after preflight, in order.
pub const PHASES: &[Phase] = &[
    Phase {
        name: "certs",
        about: "certificates, their authorities and the service accounts' key pair",
        items: &[
            item("ca", "the cluster's authority"),
            item("apiserver", "certificate of the API server"),
            item("apiserver-kubelet-client", "certificate that the API server shows to kubelets"),
            item("front-proxy-ca", "authority for proxies before the API server"),
            item("front-proxy-client", "certificate of such a proxy"),
            item("etcd-ca", "etcd's authority"),
            item("etcd-server", "certificate of etcd"),
            item("etcd-peer", "certificate that members of etcd show each other"),
            item("etcd-healthcheck-client", "certificate for asking etcd about its health"),
            item("apiserver-etcd-client", "certificate that the API server shows to etcd"),
            item("sa", "the key pair that signs service accounts' tokens"),
        ],
        depends_on: &[],
        steps: certs::steps,
    },
    Phase {
        name: "kubeconfig",
        about: "kubeconfigs of the administrator and the components",
        items: &[
            item("admin", "the administrator"),
            item("super-admin", "the administrator whom no missing role locks out"),
            item("kubelet", "this node's kubelet"),
            item("controller-manager", "the controller manager"),
            item("scheduler", "the scheduler"),
        ],
        depends_on: &[],
        steps: kubeconfig::steps,
    },
    Phase {
        name: "hardening",
        about: "what `--profile` adds: audit policy and log, encryption at rest, admission",
        items: &[
            item("admission", "what namespaces let in"),
            item("audit-policy", "which requests are audited"),
            item("encryption", "the key that encrypts Secrets in etcd"),
            item("audit-log", "the directory of the audit log"),
        ],
        depends_on: &[],
        steps: hardening::steps,
    },
    Phase {
        name: "images",
        about: "the images that the control plane runs from",
        items: &[
            item("etcd", "etcd"),
            item("kube-apiserver", "the API server"),
            item("kube-controller-manager", "the controller manager"),
            item("kube-scheduler", "the scheduler"),
        ],
        depends_on: &[],
        steps: images::steps,
    },
    Phase {
        name: "etcd",
        about: "the static pod manifest of etcd",
        items: &[item("local", "this node's member, and its data directory")],
        depends_on: &[],
        steps: etcd::steps,
    },
    Phase {
        name: "control-plane",
        about: "the static pod manifests of the control plane's components",
        items: &[
            item("apiserver", "kube-apiserver"),
            item("controller-manager", "kube-controller-manager"),
            item("scheduler", "kube-scheduler"),
        ],
        depends_on: &[],
        steps: control_plane::steps,
    },
    Phase {
        name: "kubelet-start",
        about: "flags and configuration for a kubelet; none is started",
        items: &[],
        depends_on: &[],
        steps: kubelet_start::steps,
    },
    Phase {
        name: "runner-start",
        about: "the static pod runner, in the background",
        items: &[],
        depends_on: &[],
        steps: runner_start::steps,
    },
    Phase {
        name: "wait-control-plane",
        about: "wait until every component is healthy; the administrator's rights",
        items: &[
            item("etcd", "etcd answers healthy"),
            item("kube-apiserver", "the API server answers /readyz"),
            item("kube-controller-manager", "the controller manager answers healthy"),
            item("kube-scheduler", "the scheduler answers healthy"),
            item("admin-rbac", "the administrators' ClusterRoleBinding"),
        ],
        depends_on: &[],
        steps: wait_control_plane::steps,
    },
    Phase {
        name: "upload-config",
        about: "the configuration and that of the kubelets, as ConfigMaps in the cluster",
        items: &[
            item("kubeadm", "the configuration of the cluster"),
            item("kubelet", "the configuration of the kubelets that join"),
        ],
        depends_on: &[],
        steps: objects::upload_config,
    },
    Phase {
        name: "upload-certs",
        about: "with `--upload-certs`: the certificates that further control planes need, encrypted, in the cluster",
        items: &[],
        depends_on: &[],
        steps: upload_certs::steps,
    },
    Phase {
        name: "mark-control-plane",
        about: "labels and taints of this node",
        items: &[],
        depends_on: &[],
        steps: objects::mark_control_plane,
    },
    Phase {
        name: "bootstrap-token",
        about: "bootstrap tokens, and what nodes need to join with them",
        items: &[],
        depends_on: &[],
        steps: objects::bootstrap_token,
    },
    Phase {
        name: "kubelet-finalize",
        about: "the kubeconfig of a kubelet that has taken this node over",
        items: &[item("enable-client-cert-rotation", "it names the certificate that the kubelet renews")],
        depends_on: &[],
        steps: kubelet_finalize::steps,
    },
    Phase {
        name: "addon",
        about: "CoreDNS and kube-proxy, for the nodes that join",
        items: &[
            item("coredns", "the cluster's DNS"),
            item("kube-proxy", "what makes service addresses work on every node"),
        ],
        depends_on: &[],
        steps: objects::addon,
    },
    Phase {
        name: "show-join-command",
        about: "how other machines join",
        items: &[],
        depends_on: &["bootstrap-token", "upload-certs"],
        steps: objects::show_join_command,
    },
];

/// The phase that comes before every plan: it changes nothing, so it is no part of one.
pub const PREFLIGHT: Item = item("preflight", "checks that the machine can run a control plane");

/// Steps that should begin as early as they can, most urgent first: etcd before the API server, since it waits for
/// etcd, and both before anything that is only needed later.
pub const URGENT: &[&str] = &["runner-start", "etcd/local", "control-plane/apiserver"];

/// Every phase's steps.
pub fn plan(desired: &Desired, found: &Found) -> Plan {
    Plan { steps: PHASES.iter().flat_map(|phase| (phase.steps)(desired, found)).collect() }
}

/// What is kept and may surprise the user, one sentence each.
pub fn warnings(desired: &Desired, found: &Found, plan: &Plan) -> Vec<String> {
    let is_kept = |name: &str| plan.steps.iter().any(|step| step.name() == name && step.decision == Decision::Keep);
    let mut warnings = certs::warnings(desired, found, &is_kept);
    warnings.extend(kubeconfig::warnings(desired, found, &is_kept));
    warnings
}
