//! `nodeRegistration`: the node's name, what its kubelet is told, and how images are pulled [4.4].

use k8s_openapi::api::core::v1::Taint;

use super::Resolver;
use crate::config::file::v1beta4;
use crate::config::{NodeRegistration, defaults};
use crate::image::policy::PullPolicy;

const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

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
        let name = self.node_name(&name);
        let cri_socket = self.cri_socket(cri_socket);
        let taints = self.taints(taints);
        let kubelet_extra_args = self.args("nodeRegistration.kubeletExtraArgs", kubelet_extra_args);
        let image_pull_policy = self.image_pull_policy(&image_pull_policy);
        Some(NodeRegistration {
            name: name?,
            cri_socket,
            taints,
            kubelet_extra_args,
            image_pull_policy: image_pull_policy?,
            image_pull_serial: image_pull_serial.unwrap_or(true),
        })
    }

    /// The name given, else the host's, trimmed and lower-cased [4.5].
    fn node_name(&mut self, written: &str) -> Option<String> {
        let (text, whose) = if written.is_empty() {
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

    /// The scheme is added where it is missing, whatever the rest looks like, as kubeadm does [4.4].
    fn cri_socket(&mut self, written: String) -> String {
        if written.is_empty() {
            return defaults::CRI_SOCKET.to_owned();
        }
        let field = "nodeRegistration.criSocket";
        let socket = match written.starts_with(defaults::CRI_SCHEME) {
            true => written,
            false => {
                let socket = format!("{}://{written}", defaults::CRI_SCHEME);
                self.warn(field, format_args!("has no scheme; `{socket}` is taken"));
                socket
            }
        };
        let scheme = socket.split_once(':').map(|(scheme, _)| scheme);
        if scheme != Some(defaults::CRI_SCHEME) || socket.contains(char::is_control) {
            self.problems.invalid(
                field,
                &socket,
                "must be a socket's URL, as in `unix:///run/containerd/containerd.sock`",
            );
        }
        socket
    }

    /// The list as written, else the taint of control planes. What a kubelet would not start with is refused.
    fn taints(&mut self, written: Option<Vec<Taint>>) -> Vec<Taint> {
        let Some(taints) = written else {
            let (key, effect) = defaults::TAINT;
            return vec![Taint { key: key.to_owned(), effect: effect.to_owned(), ..Taint::default() }];
        };
        for (index, taint) in taints.iter().enumerate() {
            let field = format!("nodeRegistration.taints[{index}]");
            if taint.key.is_empty() {
                self.problems.add(format!("{field}.key"), "Required value: the taint's key");
            }
            if !TAINT_EFFECTS.contains(&taint.effect.as_str()) {
                let reason = format!("must be one of {}", TAINT_EFFECTS.join(", "));
                self.problems.invalid(format!("{field}.effect"), &taint.effect, reason);
            }
        }
        taints
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
