//! The phases of init: the one list from which running, listing, skipping and resetting all follow.
//!
//! Pure. A phase turns what is desired and what was found into steps. Names are kubeadm's where kubeadm has the
//! phase [5.4]; `images` and `runner-start` stand where kubeadm pulls images and starts the kubelet.

mod certs;
mod control_plane;
mod etcd;
mod file;
mod hardening;
mod images;
mod kubeconfig;
mod kubelet_start;
mod objects;
mod runner_start;
pub mod undo;
mod wait_control_plane;

pub use control_plane::manifest_path;
pub use file::{dashed, foreign};

use crate::desired::Desired;
use crate::error::{Fault, Result};
use crate::plan::found::Found;
use crate::plan::{Plan, Step};

/// One selectable part of init.
#[derive(Debug)]
pub struct Phase {
    pub name: &'static str,
    pub about: &'static str,
    pub steps: fn(&Desired, &Found) -> Vec<Step>,
}

/// All phases after preflight, in order.
pub const PHASES: &[Phase] = &[
    Phase {
        name: "certs",
        about: "certificates, their authorities and the service accounts' key pair",
        steps: certs::steps,
    },
    Phase {
        name: "kubeconfig",
        about: "kubeconfigs of the administrator and the components",
        steps: kubeconfig::steps,
    },
    Phase {
        name: "hardening",
        about: "what `--profile` adds: audit policy and log, encryption at rest, admission",
        steps: hardening::steps,
    },
    Phase { name: "images", about: "the images that the control plane runs from", steps: images::steps },
    Phase { name: "etcd", about: "the static pod manifest of etcd", steps: etcd::steps },
    Phase {
        name: "control-plane",
        about: "the static pod manifests of the control plane's components",
        steps: control_plane::steps,
    },
    Phase {
        name: "kubelet-start",
        about: "flags and configuration for a kubelet; none is started",
        steps: kubelet_start::steps,
    },
    Phase { name: "runner-start", about: "the static pod runner, in the background", steps: runner_start::steps },
    Phase {
        name: "wait-control-plane",
        about: "wait until every component is healthy; the administrator's rights",
        steps: wait_control_plane::steps,
    },
    Phase {
        name: "upload-config",
        about: "the configuration and that of the kubelets, as ConfigMaps in the cluster",
        steps: objects::upload_config,
    },
    Phase {
        name: "bootstrap-token",
        about: "bootstrap tokens, and what nodes need to join with them",
        steps: objects::bootstrap_token,
    },
    Phase { name: "addon", about: "CoreDNS and kube-proxy, for the nodes that join", steps: objects::addon },
];

/// Name of the phase that comes before every plan: it changes nothing, so it is no part of one.
pub const PREFLIGHT: &str = "preflight";
/// What it is, as for the others.
pub const PREFLIGHT_ABOUT: &str = "checks that the machine can run a control plane";

/// Steps that should begin as early as they can, most urgent first: etcd before the API server, since it waits for
/// etcd, and both before anything that is only needed later.
pub const URGENT: &[&str] = &["runner-start", "etcd/local", "control-plane/kube-apiserver"];

/// Every phase's steps, less those skipped.
pub fn plan(desired: &Desired, found: &Found, selection: &Selection) -> Plan {
    let steps = PHASES.iter().flat_map(|phase| (phase.steps)(desired, found));
    Plan { steps: steps.filter(|step| selection.includes(step)).collect() }
}

/// Which phases and steps are wanted.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// `init phase NAME[/ITEM]`; `None` for all.
    only: Option<String>,
    skip: Vec<String>,
}

impl Selection {
    /// Fails when a name is no phase and no step. `known` are the names of all steps.
    pub fn new(only: Option<&str>, skip: &[String], known: &[String]) -> Result<Selection> {
        let only = only.map(|name| name.strip_suffix("/all").unwrap_or(name).to_owned());
        for name in only.iter().chain(skip) {
            let exists = name == PREFLIGHT
                || known.iter().any(|step| step == name || step.starts_with(&format!("{name}/")))
                || FOREIGN.contains(&name.as_str())
                || OPTIONAL.contains(&name.as_str());
            if !exists {
                return Err(Fault::usage(format!("there is no phase `{name}`"))
                    .hint("`bootstrap phases` lists them")
                    .into());
            }
        }
        Ok(Selection { only, skip: skip.to_vec() })
    }

    fn includes(&self, step: &Step) -> bool {
        let name = step.name();
        let covers = |selected: &String| *selected == name || selected == step.phase;
        self.only.as_ref().is_none_or(covers) && !self.skip.iter().any(covers)
    }

    /// Nothing but preflight is wanted.
    pub fn is_preflight_alone(&self) -> bool {
        self.only.as_deref() == Some(PREFLIGHT)
    }

    /// Preflight runs with a whole init and when it is asked for.
    pub fn includes_preflight(&self) -> bool {
        self.only.as_ref().is_none_or(|only| only == PREFLIGHT) && !self.skip.iter().any(|name| name == PREFLIGHT)
    }
}

/// Phases of kubeadm that have nothing to do here; to skip them is no mistake.
const FOREIGN: &[&str] = &["upload-certs", "mark-control-plane", "kubelet-finalize", "show-join-command"];

/// Steps that a configuration may leave out; to skip or to name them is no mistake then.
const OPTIONAL: &[&str] = &[
    "certs/etcd-ca",
    "certs/etcd-server",
    "certs/etcd-peer",
    "certs/etcd-healthcheck-client",
    "certs/apiserver-etcd-client",
    "hardening",
    "hardening/admission",
    "hardening/audit-policy",
    "hardening/encryption",
    "hardening/audit-log",
    "images/etcd",
    "etcd",
    "etcd/local",
    "wait-control-plane/etcd",
    "addon",
    "addon/coredns",
    "addon/kube-proxy",
];

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::Decision;

    fn step(phase: &'static str, item: &str) -> Step {
        Step { phase, item: Some(item.to_owned()), needs: Vec::new(), decision: Decision::Do, actions: Vec::new() }
    }

    #[test]
    fn selections_cover_phases_and_steps() {
        let known = ["certs/ca".to_owned(), "certs/apiserver".to_owned(), "etcd/local".to_owned()];
        let selection = |only: Option<&str>, skip: &[&str]| {
            Selection::new(only, &skip.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &known)
        };
        let one = selection(Some("certs/ca"), &[]).unwrap();
        assert!(one.includes(&step("certs", "ca")) && !one.includes(&step("certs", "apiserver")));
        assert!(!one.includes_preflight());
        assert!(selection(Some("certs/all"), &[]).unwrap().includes(&step("certs", "apiserver")));
        let skipping = selection(None, &["certs", "addon"]).unwrap();
        assert!(!skipping.includes(&step("certs", "ca")) && skipping.includes(&step("etcd", "local")));
        assert!(skipping.includes_preflight());
        assert!(selection(None, &["cert"]).is_err());
        assert!(selection(Some("etcd/remote"), &[]).is_err());
    }
}
