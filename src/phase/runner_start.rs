//! `runner-start`: the static pod runner in the background. It stands where kubeadm has `kubelet-start`.

use crate::desired::Desired;
use crate::layout;
use crate::plan::found::Found;
use crate::plan::{Action, Decision, Step};

pub(super) fn steps(_desired: &Desired, _found: &Found) -> Vec<Step> {
    // made here and not by the runner, so that `reset` knows that they are ours
    let directories = [
        ("/etc/kubernetes/manifests", layout::PRIVATE_DIRECTORY),
        ("/var/log/pods", layout::PUBLIC_DIRECTORY),
        ("/var/log/containers", layout::PUBLIC_DIRECTORY),
    ];
    let mut actions: Vec<_> =
        directories.into_iter().map(|(path, mode)| Action::MakeDirectory { path: path.into(), mode }).collect();
    actions.push(Action::StartRunner);
    vec![Step { phase: "runner-start", item: None, needs: Vec::new(), decision: Decision::Do, actions }]
}
