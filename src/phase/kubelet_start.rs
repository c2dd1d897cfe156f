//! `kubelet-start`: what a kubelet on this node would read [5.5]. No kubelet is started: the runner runs the static pods.

use super::file;
use crate::desired::Desired;
use crate::layout;
use crate::plan::found::Found;
use crate::plan::{Action, Step};

pub(super) fn steps(desired: &Desired, found: &Found) -> Vec<Step> {
    let decided = desired
        .kubelet_files
        .iter()
        .map(|file| file::decide(desired, found, file.path.clone(), layout::PUBLIC_FILE, file.content.clone()));
    let (decision, mut actions) = file::together(decided);
    if !actions.is_empty() {
        let directory = Action::MakeDirectory { path: layout::KUBELET.into(), mode: layout::PRIVATE_DIRECTORY };
        actions.insert(0, directory);
    }
    vec![Step { phase: "kubelet-start", item: None, needs: Vec::new(), decision, actions }]
}
