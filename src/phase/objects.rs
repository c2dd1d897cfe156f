//! The phases that only change the API: `upload-config`, `mark-control-plane`, `bootstrap-token` and `addon`; and the
//! words at the end about who may join [5.4, 5.7-5.10].

use crate::desired::Desired;
use crate::desired::node::Marks;
use crate::plan::found::Found;
use crate::plan::{Action, Decision, Step};

pub(super) fn upload_config(_desired: &Desired, _found: &Found) -> Vec<Step> {
    vec![
        step("upload-config", Some("kubeadm"), "upload-config/kubeadm"),
        step("upload-config", Some("kubelet"), "upload-config/kubelet"),
    ]
}

pub(super) fn mark_control_plane(desired: &Desired, _found: &Found) -> Vec<Step> {
    let mut step = step("mark-control-plane", None, "mark-control-plane");
    step.actions = vec![Action::MarkNode(Marks::of(&desired.config))];
    vec![step]
}

pub(super) fn bootstrap_token(_desired: &Desired, _found: &Found) -> Vec<Step> {
    let mut step = step("bootstrap-token", None, "bootstrap-token");
    // whoever joins is told of the cluster's authority
    step.needs.push("certs/ca".to_owned());
    vec![step]
}

pub(super) fn show_join_command(_desired: &Desired, _found: &Found) -> Vec<Step> {
    vec![Step {
        phase: "show-join-command",
        item: None,
        needs: ["certs/ca", "upload-certs", "bootstrap-token"].map(str::to_owned).to_vec(),
        decision: Decision::Do,
        actions: vec![Action::ShowJoinCommand],
    }]
}

pub(super) fn addon(desired: &Desired, _found: &Found) -> Vec<Step> {
    let coredns = (!desired.config.dns.disabled).then(|| step("addon", Some("coredns"), "addon/coredns"));
    let kube_proxy = (!desired.config.proxy_disabled).then(|| step("addon", Some("kube-proxy"), "addon/kube-proxy"));
    coredns.into_iter().chain(kube_proxy).collect()
}

/// Applies the objects of one step once the API server answers; `name` is that of the whole step.
pub(super) fn step(phase: &'static str, item: Option<&str>, name: &'static str) -> Step {
    let mut needs = vec!["wait-control-plane/kube-apiserver".to_owned(), "kubeconfig/admin".to_owned()];
    if phase != "wait-control-plane" {
        // what comes after uses the rights that this step gives
        needs.push("wait-control-plane/admin-rbac".to_owned());
    }
    let actions = vec![Action::ApplyObjects { step: name }];
    Step { phase, item: item.map(str::to_owned), needs, decision: Decision::Do, actions }
}
