//! `nodeRegistration`: the node's name and how images are pulled. There is no kubelet here, hence nothing that the
//! fields for the kubelet could change; they are taken, so that a file written for kubeadm works, and warned about.

use super::Resolver;
use crate::config::file::v1beta4;
use crate::config::{NodeRegistration, defaults};
use crate::image::policy::PullPolicy;

impl Resolver<'_> {
    pub(super) fn node(&mut self, written: v1beta4::NodeRegistration) -> Option<NodeRegistration> {
        let v1beta4::NodeRegistration {
            name,
            cri_socket,
            taints,
            kubelet_extra_args,
            ignore_preflight_errors: _, // resolved on its own
            image_pull_policy,
            image_pull_serial,
        } = written;
        if !cri_socket.is_empty() && cri_socket != defaults::CRI_SOCKET {
            self.warn("nodeRegistration.criSocket", "no effect: no other container runtime is used");
        }
        if taints.is_some() {
            self.warn("nodeRegistration.taints", "no effect: this node is not registered");
        }
        if !kubelet_extra_args.is_empty() {
            self.warn("nodeRegistration.kubeletExtraArgs", "no effect: there is no kubelet on this node");
        }
        let name = self.node_name(&name);
        let image_pull_policy = self.image_pull_policy(&image_pull_policy);
        Some(NodeRegistration {
            name: name?,
            image_pull_policy: image_pull_policy?,
            image_pull_serial: image_pull_serial.unwrap_or(true),
        })
    }

    /// The name given, else the host's, trimmed and lower-cased [4.5].
    fn node_name(&mut self, written: &str) -> Option<String> {
        let (text, whose) = if written.trim().is_empty() {
            (self.facts.hostname.as_str(), "; it is the host's name: give another one")
        } else {
            (written, "")
        };
        let name = text.trim().to_lowercase();
        if !crate::config::name::is_subdomain(&name) {
            let reason = format!("{}{whose}", crate::config::name::SUBDOMAIN);
            self.problems.invalid("nodeRegistration.name", &name, reason);
            return None;
        }
        Some(name)
    }

    fn image_pull_policy(&mut self, text: &str) -> Option<PullPolicy> {
        match text {
            "" | "IfNotPresent" => Some(PullPolicy::IfNotPresent),
            "Always" => Some(PullPolicy::Always),
            "Never" => Some(PullPolicy::Never),
            _ => {
                let field = "nodeRegistration.imagePullPolicy";
                self.problems.invalid(field, text, "must be one of Always, IfNotPresent, Never");
                None
            }
        }
    }
}
